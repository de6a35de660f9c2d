//! Signing in: the pages every way in shares, and the one door where all of them end.

pub mod page;
