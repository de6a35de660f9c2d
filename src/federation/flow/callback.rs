//! The response of a provider, as a browser brings it to `/upstream/{provider}/callback`.
//!
//! A provider responds in the query of a GET, or by a form that its own site posts (`provider_post`).

use serde::{Deserialize, Serialize};

use crate::{
    federation::{
        error::{FederationError, RefusalCode, upstream_words},
        provider::AuthorizationResponse,
    },
    web::params::{ParamError, Params},
};

/// CB-02: the longest response that is read.
pub const MAX_RESPONSE: usize = 8192;
const MAX_CODE: usize = 4096;
const MAX_ISSUER: usize = 2048;
const MAX_ERROR: usize = 256;
/// The longest `user`, which contains a name; a longer one is ignored.
const MAX_USER: usize = 2048;

/// The parameters of a provider's response. It has no `Debug` because it contains a code.
#[derive(Serialize, Deserialize)]
pub struct CallbackParams {
    pub state: String,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    user: Option<String>,
}

impl CallbackParams {
    /// CB-02: no parameter occurs twice or is too long, and `state` has the form of ours. Unknown
    /// parameters are ignored.
    pub fn parse(params: &Params) -> Result<Self, FederationError> {
        let known = [
            "state",
            "code",
            "iss",
            "error",
            "error_description",
            "error_uri",
            "user",
            "session_state",
        ];
        for name in known {
            if let Err(ParamError::Repeated(_)) = params.check_all(&[name]) {
                return Err(FederationError::new(RefusalCode::ParamDuplicate, name));
            }
        }
        let state = params
            .optional_within("state", 43)
            .map_err(|_| FederationError::new(RefusalCode::StateMalformed, "state"))?;
        let state = state
            .filter(|state| has_state_form(state))
            .ok_or(RefusalCode::StateMalformed)?;
        let text = |name: &'static str, max: usize| {
            let value = params
                .optional_within(name, max)
                .map_err(|_| FederationError::new(RefusalCode::ParamTooLong, name))?;
            Ok::<_, FederationError>(value.map(str::to_owned))
        };
        Ok(Self {
            state: state.to_owned(),
            code: text("code", MAX_CODE)?,
            iss: text("iss", MAX_ISSUER)?,
            error: text("error", MAX_ERROR)?,
            // It is never shown and cut for the log, so its length is no reason to refuse.
            error_description: params
                .optional_within("error_description", MAX_RESPONSE)
                .ok()
                .flatten()
                .map(upstream_words),
            user: params
                .optional_within("user", MAX_USER)
                .ok()
                .flatten()
                .map(str::to_owned),
        })
    }

    #[must_use]
    pub fn response(&self) -> AuthorizationResponse<'_> {
        AuthorizationResponse {
            code: self.code.as_deref(),
            iss: self.iss.as_deref(),
            error: self.error.as_deref(),
            error_description: self.error_description.as_deref(),
            user: self.user.as_deref(),
        }
    }
}

/// Returns whether the text is 43 characters of base64url, as `secret` writes 32 bytes.
pub(super) fn has_state_form(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<CallbackParams, RefusalCode> {
        CallbackParams::parse(
            &Params::from_form(query.as_bytes(), Some("application/x-www-form-urlencoded"))
                .unwrap(),
        )
        .map_err(|error| error.code)
    }

    const STATE: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO-_";

    #[test]
    fn cb_02_a_repeated_parameter_is_refused_and_unknown_ones_are_ignored() {
        for twice in ["state", "code", "iss", "error"] {
            let query = format!("state={STATE}&code=c&iss=i&error=e&{twice}=x");
            assert_eq!(
                read(&query).err(),
                Some(RefusalCode::ParamDuplicate),
                "{twice}"
            );
        }
        let given = read(&format!("state={STATE}&code=c&foo=1&foo=2")).unwrap();
        assert_eq!(
            (given.code.as_deref(), given.state.as_str()),
            (Some("c"), STATE)
        );
    }

    #[test]
    fn cb_02_state_is_exactly_43_characters_of_base64url() {
        let (short, long) = (&STATE[1..], format!("{STATE}a"));
        let others = [
            "",
            short,
            &long,
            &format!("{short}%00"),
            &format!("{short}%2B"),
            &format!("{short}."),
        ];
        for state in others {
            assert_eq!(
                read(&format!("state={state}&code=c")).err(),
                Some(RefusalCode::StateMalformed),
                "{state}"
            );
        }
        assert_eq!(read("code=c").err(), Some(RefusalCode::StateMalformed));
    }

    #[test]
    fn cb_03_a_user_of_over_two_kibibytes_is_ignored() {
        let user = |length| {
            read(&format!("state={STATE}&code=c&user={}", "u".repeat(length)))
                .unwrap()
                .user
        };
        assert_eq!(
            (user(2048).map(|user| user.len()), user(2049)),
            (Some(2048), None)
        );
    }

    #[test]
    fn r_46_an_over_long_parameter_is_refused() {
        for (name, most) in [
            ("code", MAX_CODE),
            ("iss", MAX_ISSUER),
            ("error", MAX_ERROR),
        ] {
            let of = |length| read(&format!("state={STATE}&{name}={}", "x".repeat(length)));
            assert!(of(most).is_ok(), "{name}");
            assert_eq!(
                of(most + 1).err(),
                Some(RefusalCode::ParamTooLong),
                "{name}"
            );
        }
    }
}
