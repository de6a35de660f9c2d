//! `[[resources]]`: the APIs for which access tokens are issued, where they need other tokens than
//! the default.

use serde::Deserialize;

/// An API. Audiences of clients that have no block here get the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The audience of its access tokens, exactly as clients have it in `audience` and `resources`.
    pub identifier: String,
    #[serde(default)]
    pub access_token_typ: AccessTokenTyp,
}

/// The `typ` in the header of access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AccessTokenTyp {
    /// RFC 9068 §2.1.
    #[default]
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// For frameworks that refuse the other one.
    #[serde(rename = "JWT")]
    Jwt,
}

impl AccessTokenTyp {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtJwt => "at+jwt",
            Self::Jwt => "JWT",
        }
    }

    /// The values of `typ` that a token for this API may have: tokens from before a change to `JWT`
    /// stay valid.
    #[must_use]
    pub const fn accepted(self) -> &'static [&'static str] {
        match self {
            Self::AtJwt => &["at+jwt"],
            Self::Jwt => &["at+jwt", "JWT"],
        }
    }
}
