//! Signed-in browsers.

pub mod page;
