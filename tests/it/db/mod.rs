//! The database as an operator runs it.

mod pooler;
