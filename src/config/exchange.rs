//! `token_exchange` of a client: which access tokens it may exchange (RFC 8693), and for what.

use serde::{Deserialize, Serialize};

/// A rule: access tokens for one API may be exchanged for access tokens for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRule {
    /// The audience of the tokens that the client brings: the API that it is itself.
    pub from: String,
    /// The audience of the tokens that it gets.
    pub to: String,
    /// The scopes that these may have, as far as the user's grant has them.
    pub scopes: Vec<String>,
}
