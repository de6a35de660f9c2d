//! The commands of the built binary.

mod commands;
mod doctor;
mod files;
