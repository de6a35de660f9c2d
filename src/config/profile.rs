//! Profiles of clients: what a profile sets, what it locks, and what it demands of requests.
//!
//! A profile is a key of a client. Before a block is read, [`fill`] gives the keys that it leaves out
//! the values of its profile, so that the rest of the service reads them as if they stood there. A key
//! that says something else is refused where it stands (`check::profile`). What no key says is in
//! [`Demands`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// How long after the first use of a code a second one is a race and no theft, where no profile says
/// less (TK-6, ST-03).
pub const CODE_RACE: Duration = Duration::from_secs(10);

/// A set of rules that a client follows as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// What the keys of the client say.
    #[default]
    Standard,
    /// The FAPI 2.0 Security Profile with `private_key_jwt` and DPoP (FS-1).
    Fapi2,
}

/// Which audience the assertions of clients name (RFC 7523 §3, draft-ietf-oauth-rfc7523bis §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssertionAudience {
    /// The issuer or, as before, the URL of the token endpoint.
    Any,
    /// The issuer.
    Issuer,
}

/// What a profile demands beside the keys of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Whether the audience of an assertion is the issuer as a string, and not an array of it.
    pub audience_is_string: bool,
    /// Whether assertions may be signed with RS256.
    pub allows_rs256: bool,
    /// Whether the time of a DPoP proof counts also where the proof shows a nonce (PP-3).
    pub proof_time_counts: bool,
    /// Whether a refresh token stays the same (FS-3).
    pub keeps_refresh_token: bool,
    /// Whether the client, and not the API, chooses the algorithm of access tokens.
    pub locks_access_token_alg: bool,
    /// How long after the first use of a code a second one is still a race and no theft (TK-6, FS-4).
    pub code_race: Duration,
}

impl Profile {
    /// Returns what the profile demands.
    #[must_use]
    pub const fn demands(self) -> Demands {
        match self {
            Self::Standard => Demands {
                audience_is_string: false,
                allows_rs256: true,
                proof_time_counts: false,
                keeps_refresh_token: false,
                locks_access_token_alg: false,
                code_race: CODE_RACE,
            },
            Self::Fapi2 => Demands {
                audience_is_string: true,
                allows_rs256: false,
                proof_time_counts: true,
                keeps_refresh_token: true,
                locks_access_token_alg: true,
                // Times are whole milliseconds, so one that comes 500 ms later is no race.
                code_race: Duration::from_millis(499),
            },
        }
    }
}

/// The keys that `fapi2` sets (FAPI 2.0 Security Profile §5.3.2, §5.4).
pub(super) fn keys_of_fapi2() -> [(&'static str, Value); 7] {
    [
        ("token_endpoint_auth_method", "private_key_jwt".into()),
        ("assertion_audience", "issuer".into()),
        ("require_pushed_authorization_requests", true.into()),
        ("require_pkce", true.into()),
        ("dpop_bound_access_tokens", true.into()),
        ("id_token_signed_response_alg", "ES256".into()),
        ("access_token_alg", "ES256".into()),
    ]
}

/// Gives the keys that each block of `clients` leaves out the values of its profile.
pub(super) fn fill(root: &mut Table) {
    let Some(Value::Array(blocks)) = root.get_mut("clients") else {
        return;
    };
    for block in blocks.iter_mut().filter_map(Value::as_table_mut) {
        if block.get("profile").and_then(Value::as_str) == Some("fapi2") {
            for (key, value) in keys_of_fapi2() {
                block.entry(key).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fs_3_fs_4_pp_3_what_each_profile_demands() {
        let (standard, fapi2) = (Profile::Standard.demands(), Profile::Fapi2.demands());
        assert_eq!(standard.code_race, Duration::from_secs(10), "tk_6");
        assert_eq!(fapi2.code_race, Duration::from_millis(499));
        let of = |demands: Demands| {
            [
                demands.audience_is_string,
                demands.proof_time_counts,
                demands.keeps_refresh_token,
                demands.locks_access_token_alg,
                !demands.allows_rs256,
            ]
        };
        assert_eq!((of(standard), of(fapi2)), ([false; 5], [true; 5]));
    }

    #[test]
    fn fs_1_only_blocks_of_the_profile_are_filled_and_what_stands_there_stays() {
        let text = "[[clients]]\nclient_id = \"a\"\n[[clients]]\nclient_id = \"b\"\n\
                    profile = \"fapi2\"\nrequire_pkce = false";
        let mut root: Table = text.parse().unwrap_or_default();
        fill(&mut root);
        let block = |at: usize| root.get("clients")?.get(at)?.as_table().cloned();
        assert_eq!(block(0).map(|keys| keys.len()), Some(1));
        let filled = block(1).unwrap_or_default();
        for (key, value) in keys_of_fapi2() {
            let expected = match key {
                "require_pkce" => false.into(),
                _ => value,
            };
            assert_eq!(filled.get(key), Some(&expected), "{key}");
        }
    }
}
