//! Sign-in by mail. (interface; to come)

pub mod letter;
