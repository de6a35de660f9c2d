//! The headings of the generated API document.

use poem_openapi::Tags;

/// A heading.
#[derive(Clone, Copy, Debug, Tags)]
pub enum Tag {
    /// Sign-in for first-party apps that draw their own form.
    #[oai(rename = "Sign-in")]
    SignIn,
    /// Sign-in as one resource: create a login, read or stream its state, submit its code. Answers 404 until the switch
    /// `api.v2_enabled` is on.
    #[oai(rename = "Logins (v2)")]
    Logins,
}
