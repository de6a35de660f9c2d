//! Lifetimes of codes and tokens (ST-15): their bounds, and those that one client has instead of
//! the defaults.

use std::ops::RangeInclusive;

use super::{
    client::Client,
    problem::{MAX_SECONDS, Section},
    resources::Resource,
    settings::Token,
};

/// Access and ID tokens: resource servers do not learn of a revocation, so an hour at most.
const SIGNED_TOKEN: RangeInclusive<u64> = 60..=3600;

/// RFC 6749 §4.1.2 allows ten minutes for a code. A client that works needs seconds.
const CODE: RangeInclusive<u64> = 5..=60;

/// Refresh tokens, used or not. A shorter lifetime is that of an access token.
const REFRESH_ABSOLUTE: RangeInclusive<u64> = 3600..=MAX_SECONDS;

/// The shortest lifetime of an unused refresh token.
const MIN_REFRESH_IDLE: u64 = 600;

impl Client {
    /// Returns `[token]` with the lifetimes that this client sets itself.
    #[must_use]
    pub fn token_lifetimes(&self, defaults: &Token) -> Token {
        let absolute = self
            .refresh_absolute_seconds
            .unwrap_or(defaults.refresh_absolute_seconds);
        let idle = self
            .refresh_idle_seconds
            .unwrap_or(defaults.refresh_idle_seconds);
        Token {
            access_seconds: self.access_token_seconds.unwrap_or(defaults.access_seconds),
            id_seconds: self.id_token_seconds.unwrap_or(defaults.id_seconds),
            code_seconds: self.code_seconds.unwrap_or(defaults.code_seconds),
            // A client with a short absolute lifetime need not set a short idle one, too.
            refresh_idle_seconds: idle.min(absolute),
            refresh_absolute_seconds: absolute,
            ..defaults.clone()
        }
    }
}

/// Checks `[token]`.
pub(super) fn check_defaults(token: &Token, section: &mut Section<'_>) {
    section.range(token.access_seconds, SIGNED_TOKEN, "access_seconds");
    section.range(token.id_seconds, SIGNED_TOKEN, "id_seconds");
    section.range(token.code_seconds, CODE, "code_seconds");
    let absolute = token.refresh_absolute_seconds;
    section.range(absolute, REFRESH_ABSOLUTE, "refresh_absolute_seconds");
    check_idle(token.refresh_idle_seconds, absolute, section);
}

/// Checks the lifetimes that a client sets itself.
pub(super) fn check_client(client: &Client, defaults: &Token, section: &mut Section<'_>) {
    for (lifetime, bounds, key) in [
        (
            client.access_token_seconds,
            SIGNED_TOKEN,
            "access_token_seconds",
        ),
        (client.id_token_seconds, SIGNED_TOKEN, "id_token_seconds"),
        (client.code_seconds, CODE, "code_seconds"),
        (
            client.refresh_absolute_seconds,
            REFRESH_ABSOLUTE,
            "refresh_absolute_seconds",
        ),
    ] {
        if let Some(seconds) = lifetime {
            section.range(seconds, bounds, key);
        }
    }
    if let Some(seconds) = client.refresh_idle_seconds {
        let absolute = client.token_lifetimes(defaults).refresh_absolute_seconds;
        check_idle(seconds, absolute, section);
    }
}

/// Checks the lifetime that an API sets for its access tokens.
pub(super) fn check_resource(resource: &Resource, section: &mut Section<'_>) {
    if let Some(seconds) = resource.access_token_seconds {
        section.range(seconds, SIGNED_TOKEN, "access_token_seconds");
    }
}

/// An absolute lifetime below its bounds has a problem of its own already.
fn check_idle(seconds: u64, absolute: u64, section: &mut Section<'_>) {
    let is_valid =
        absolute < *REFRESH_ABSOLUTE.start() || (MIN_REFRESH_IDLE..=absolute).contains(&seconds);
    let what = "is under 10 minutes or over refresh_absolute_seconds";
    let hint = format!(
        "Set a number from {MIN_REFRESH_IDLE} to refresh_absolute_seconds, which is {absolute}."
    );
    section.require(is_valid, "refresh_idle_seconds", what, &hint);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::problem::Findings;

    fn client(more: &str) -> Client {
        toml::from_str(&format!(
            "client_id = \"c\"\nname = \"C\"\naudience = \"https://a\"\n{more}"
        ))
        .unwrap()
    }

    #[test]
    fn a_client_has_its_own_lifetimes_or_the_defaults() {
        let defaults = Token::default();
        assert_eq!(client("").token_lifetimes(&defaults), defaults);
        let own = client(
            "access_token_seconds = 60\nid_token_seconds = 61\ncode_seconds = 5\nrefresh_idle_seconds = 600",
        );
        let lifetimes = own.token_lifetimes(&defaults);
        assert_eq!(
            (
                lifetimes.access_seconds,
                lifetimes.id_seconds,
                lifetimes.code_seconds
            ),
            (60, 61, 5)
        );
        assert_eq!(
            (
                lifetimes.refresh_idle_seconds,
                lifetimes.refresh_absolute_seconds
            ),
            (600, defaults.refresh_absolute_seconds)
        );
        let short = client("refresh_absolute_seconds = 3600").token_lifetimes(&defaults);
        assert_eq!(
            (short.refresh_idle_seconds, short.refresh_absolute_seconds),
            (3600, 3600)
        );
    }

    #[test]
    fn lifetimes_out_of_bounds_are_refused_at_their_key() {
        let found = |more: &str| {
            let mut findings = Findings::default();
            let mut section = findings.section("clients[0]");
            check_client(&client(more), &Token::default(), &mut section);
            findings
                .problems
                .into_iter()
                .map(|problem| problem.key)
                .collect::<Vec<_>>()
        };
        for bad in [
            "access_token_seconds = 59",
            "access_token_seconds = 3601",
            "id_token_seconds = 0",
            "id_token_seconds = 3601",
            "code_seconds = 4",
            "code_seconds = 61",
            "refresh_absolute_seconds = 3599",
            "refresh_absolute_seconds = 315360001",
            "refresh_idle_seconds = 599",
            "refresh_idle_seconds = 15552001",
            "refresh_absolute_seconds = 7200\nrefresh_idle_seconds = 7201",
        ] {
            let key = bad.lines().last().unwrap().split(' ').next().unwrap();
            assert_eq!(found(bad), [format!("clients[0].{key}")], "{bad}");
        }
        for good in [
            "",
            "access_token_seconds = 60\nid_token_seconds = 3600\ncode_seconds = 60",
            "refresh_absolute_seconds = 3600",
            "refresh_absolute_seconds = 3600\nrefresh_idle_seconds = 3600",
            "refresh_idle_seconds = 600",
        ] {
            assert_eq!(found(good), Vec::<String>::new(), "{good}");
        }
    }
}
