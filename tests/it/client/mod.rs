//! The clients that operators register in the database.

mod registry;
