//! The account pages: who the user is, which accounts and sessions they have, and signing out.
//!
//! Owns the routes below `/account` except those of another module's data: `oauth` shows the
//! connected applications, and `federation` disconnects an account at a provider.

pub mod overview;
pub mod page;
pub mod sign_out;
