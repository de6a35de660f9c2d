//! Whose account it is: the linking table, the unit of work that carries out its decision, and the
//! question that a user answers.

pub mod confirm;
mod connect;
pub mod disconnect;
pub mod pending;
mod second_answer;
pub mod settle;
pub mod switch;
pub mod table;
