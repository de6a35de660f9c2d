//! How long things live: mailed links and their flows; tokens, with the defaults and bounds (ST-15), and
//! what one client has instead of what all have.

use std::ops::RangeInclusive;

use super::{
    client::Client,
    problem::{Findings, LONG},
    settings::Token,
};

/// Access and ID tokens: resource servers hear of no revocation, so an hour at most.
const SIGNED: RangeInclusive<u64> = 60..=3600;

/// RFC 6749 §4.1.2 allows ten minutes for a code; a client that works needs seconds.
const CODE: RangeInclusive<u64> = 5..=60;

/// Refresh tokens in any case. A shorter life is an access token's.
const ABSOLUTE: RangeInclusive<u64> = 3600..=LONG;

/// Refresh tokens that are not used live so long at least, in seconds.
const IDLE: u64 = 600;

impl Client {
    /// The lives of this client's tokens: its own, else those of `[token]`.
    #[must_use]
    pub fn token_lifetimes(&self, all: &Token) -> Token {
        let absolute = self
            .refresh_absolute_seconds
            .unwrap_or(all.refresh_absolute_seconds);
        Token {
            access_seconds: self.access_token_seconds.unwrap_or(all.access_seconds),
            id_seconds: self.id_token_seconds.unwrap_or(all.id_seconds),
            code_seconds: self.code_seconds.unwrap_or(all.code_seconds),
            // A client whose absolute life is short need not be given a short idle one too.
            refresh_idle_seconds: self
                .refresh_idle_seconds
                .unwrap_or(all.refresh_idle_seconds)
                .min(absolute),
            refresh_absolute_seconds: absolute,
        }
    }
}

/// Checks `[token]`.
pub(super) fn of_all(token: &Token, findings: &mut Findings) {
    findings.range(token.access_seconds, SIGNED, "token.access_seconds");
    findings.range(token.id_seconds, SIGNED, "token.id_seconds");
    findings.range(token.code_seconds, CODE, "token.code_seconds");
    let absolute = token.refresh_absolute_seconds;
    findings.range(absolute, ABSOLUTE, "token.refresh_absolute_seconds");
    idle(token.refresh_idle_seconds, absolute, "token.", findings);
}

/// Checks what a client has of its own.
pub(super) fn of_client(
    client: &Client,
    all: &Token,
    key: &dyn Fn(&str) -> String,
    findings: &mut Findings,
) {
    for (given, bounds, name) in [
        (client.access_token_seconds, SIGNED, "access_token_seconds"),
        (client.id_token_seconds, SIGNED, "id_token_seconds"),
        (client.code_seconds, CODE, "code_seconds"),
        (
            client.refresh_absolute_seconds,
            ABSOLUTE,
            "refresh_absolute_seconds",
        ),
    ] {
        if let Some(seconds) = given {
            findings.range(seconds, bounds, key(name));
        }
    }
    if let Some(seconds) = client.refresh_idle_seconds {
        idle(
            seconds,
            client.token_lifetimes(all).refresh_absolute_seconds,
            &key(""),
            findings,
        );
    }
}

/// An absolute life that is out of bounds was told already.
fn idle(seconds: u64, absolute: u64, at: &str, findings: &mut Findings) {
    let fine = absolute < *ABSOLUTE.start() || (IDLE..=absolute).contains(&seconds);
    let what = "is under 10 minutes or over the absolute life";
    let mend = format!("choose from {IDLE} to refresh_absolute_seconds, which is {absolute}");
    findings.need(fine, format!("{at}refresh_idle_seconds"), what, &mend);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn client(more: &str) -> Client {
        toml::from_str(&format!(
            "client_id = \"c\"\nname = \"C\"\naudience = \"https://a\"\n{more}"
        ))
        .unwrap()
    }

    #[test]
    fn a_client_has_its_own_lives_and_else_those_of_all() {
        let all = Token::default();
        assert_eq!(client("").token_lifetimes(&all), all);
        let own = client(
            "access_token_seconds = 60\nid_token_seconds = 61\ncode_seconds = 5\nrefresh_idle_seconds = 600",
        );
        let lives = own.token_lifetimes(&all);
        assert_eq!(
            (lives.access_seconds, lives.id_seconds, lives.code_seconds),
            (60, 61, 5)
        );
        assert_eq!(
            (lives.refresh_idle_seconds, lives.refresh_absolute_seconds),
            (600, all.refresh_absolute_seconds)
        );
        let short = client("refresh_absolute_seconds = 3600").token_lifetimes(&all);
        assert_eq!(
            (short.refresh_idle_seconds, short.refresh_absolute_seconds),
            (3600, 3600)
        );
    }

    #[test]
    fn lives_out_of_bounds_are_refused_at_their_key() {
        let found = |more: &str| {
            let mut findings = Findings::default();
            of_client(
                &client(more),
                &Token::default(),
                &|name| format!("clients[0].{name}"),
                &mut findings,
            );
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
