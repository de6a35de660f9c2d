//! Parses `WWW-Authenticate: Bearer …`: what a resource server requires (RFC 6750 §3, RFC 9470 §3).

/// The parts of a challenge that this client understands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The error code: `invalid_token`, `insufficient_scope` or `insufficient_user_authentication`.
    pub(crate) error: String,
    /// How old the sign-in may be, in seconds.
    pub(crate) max_age: Option<u32>,
}

impl Challenge {
    /// Parses a header and leaves out what is unknown. A header with another scheme gives an empty challenge.
    pub(crate) fn parse(text: &str) -> Self {
        let mut challenge = Self::default();
        let Some((scheme, mut rest)) = text.trim().split_once(' ') else {
            return challenge;
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return challenge;
        }
        while let Some((name, value, after)) = parameter(rest) {
            match name.to_ascii_lowercase().as_str() {
                "error" => challenge.error = value,
                "max_age" => challenge.max_age = value.parse().ok(),
                _ => {}
            }
            rest = after;
        }
        challenge
    }

    /// Returns the `max_age` of RFC 9470, if the challenge requires a recent sign-in.
    pub(crate) fn step_up(&self) -> Option<u32> {
        self.max_age
            .filter(|_| self.error == "insufficient_user_authentication")
    }
}

/// Returns the next `name=value` or `name="value"` (RFC 9110 §11.2), and what follows it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.trim_start_matches([' ', '\t', ',']).split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
        return Some((name.trim(), value.trim().to_owned(), rest));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in quoted.char_indices() {
        match letter {
            _ if escaped => {
                value.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((name.trim(), value, quoted.get(at + 1..)?)),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_9470_3_the_age_is_read_and_nothing_else_is_taken_for_it() {
        let asks = |text: &str| Challenge::parse(text).step_up();
        let error = r#"error="insufficient_user_authentication""#;
        assert_eq!(
            asks(&format!(
                r#"Bearer {error}, error_description="a, max_age=\"9\"", max_age="300""#
            )),
            Some(300)
        );
        assert_eq!(asks(&format!("bearer max_age=0 , {error}")), Some(0));
        for other in [
            "",
            "Bearer",
            r#"Bearer error="invalid_token", max_age="300""#,
        ] {
            assert_eq!(asks(other), None, "{other}");
        }
        for broken in [
            format!(r#"Bearer {error}, max_age="-1""#),
            format!(r#"Bearer {error}, max_age="3"#),
        ] {
            assert_eq!(asks(&broken), None, "{broken}");
        }
        assert_eq!(asks(&format!(r#"DPoP {error}, max_age="300""#)), None);
    }
}
