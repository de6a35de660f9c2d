//! Request tests.
mod house;
mod ids;
