//! Signing in: what all sign-in methods have in common.
//!
//! A *flow* is one attempt to sign in by email, started by one browser (its pre-login cookie) or
//! one app (its PKCE challenge). The sign-in methods (`magic_link`, `federation`) check evidence
//! and end in [`finish`]: evidence → user → session → audit log. A client's request that waits for
//! a sign-in is *pending*, and so is an account at a provider that waits for a decision; what the
//! request says is opaque here.

pub mod app_api;
pub mod authenticate;
pub mod client_home;
pub mod context;
pub mod device;
pub mod done;
pub mod finish;
pub mod first_party;
pub mod flow;
pub mod flow_payload;
pub mod form;
pub mod lookup;
pub mod notify;
pub mod page;
pub mod page_error;
pub mod pending;
pub mod pending_link;
pub mod provider_buttons;
pub mod repeated;
pub mod restart;
pub mod resume;
pub mod sign_in;
mod store_budget;

pub use context::RequestContext;
pub use page_error::PageError;
