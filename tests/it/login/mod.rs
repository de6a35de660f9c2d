//! The ways of a sign-in that are the same for every method: tabs, second clicks, and late returns.

mod again;
mod tabs;
