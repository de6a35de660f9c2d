//! Whose account it is: the linking table, what it does, and the questions it asks.

pub mod confirm;
pub mod disconnect;
pub mod settle;
pub mod table;
