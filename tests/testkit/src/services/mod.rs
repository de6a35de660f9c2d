//! Throw-away servers, started once per test process and gone with it.

mod postgres;
mod redis;

pub use postgres::{Postgres, postgres};
pub use redis::{Redis, redis};
