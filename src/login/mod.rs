//! Signing in: what every way in has in common.
//!
//! A *flow* is one attempt, started by one browser (its pre-login cookie) or one app (its PKCE
//! challenge). Ways in (`magic_link`, `federation`) prove an address and end at the one door,
//! [`finish`]: proof → user → session → audit → where to go. A client's request that waits for this
//! is *pending*; here it is an opaque text.

pub mod context;
pub mod device;
pub mod evidence;
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
pub mod resume;
pub mod sign_in;

pub use context::RequestContext;
pub use page_error::PageError;
