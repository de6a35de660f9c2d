//! Sign-in at a provider for a first-party app that draws its own form (ST-09).
//!
//! The app requests an authorization URL as JSON, opens it in the system's browser, receives a code
//! at its registered redirect URI, and redeems the code for tokens. No user is signed in or created
//! before the code is redeemed with the app's PKCE verifier.

pub mod api;
pub mod code;
pub mod complete;
pub mod messages;
mod tokens;
