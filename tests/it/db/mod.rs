//! The database as an operator runs it.

mod group;
mod pooler;
