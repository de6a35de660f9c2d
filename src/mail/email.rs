//! The content of one email.

/// An email that is ready to be sent.
#[derive(Clone)]
pub struct Email {
    /// The stored address of the recipient.
    pub to: String,
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The BCP 47 tag of the language, for `Content-Language`.
    pub locale: String,
}

impl std::fmt::Debug for Email {
    /// Shows nothing: an email holds an address, and perhaps a link and a code.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Email(…)")
    }
}
