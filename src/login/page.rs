//! The templates of the sign-in pages: plain values in, HTML out. What they show is decided
//! elsewhere.
//!
//! Names of fields, forms and ids are a contract with the endpoints and the browser tests. Every
//! page works without scripts; on the waiting page and the link page a script saves a click.

mod error;
mod link;
mod outcome;
mod sent;
mod sign_in;

pub use error::ErrorPage;
pub use link::{DeadLinkPage, DeadLinkReason, ElsewherePage, ElsewhereReason, LinkMode, LinkPage};
pub use outcome::{ContinuePage, SignedInPage, SignedOutPage};
pub use sent::SentPage;
pub use sign_in::{LinkingAccount, ProviderButton, SignInPage};

#[cfg(test)]
mod tests;
