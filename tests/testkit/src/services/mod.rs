//! Throw-away servers, started once per test process and gone with it.

mod pgbouncer;
mod postgres;
mod redis;

pub use pgbouncer::{PgBouncer, new_pgbouncer, old_pgbouncer};
pub use postgres::{Postgres, postgres};
pub use redis::{Redis, redis};
