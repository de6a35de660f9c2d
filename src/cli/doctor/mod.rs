//! `entree doctor`: is everything that the service needs there, and as it must be?
//!
//! It looks at what the configuration alone cannot tell: database, signing keys, ticket store, mail server, clock, upstream
//! providers. It mends nothing and writes no row, so it runs before the first start, beside a running service, and when something is
//! wrong. Everything is looked at, at once, and each finding that is not fine says how to mend it.

mod stores;

use std::{fmt::Display, io::IsTerminal as _, time::Duration};

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::{Outcome, Refusal, block_on, out};
use crate::{
    clock::Clock,
    config::{Config, Live, Loaded, Problem, Source, Startup},
    federation::provider::{ProviderFinding, Providers},
    key,
    mail::transport::Transport,
};

/// How long one thing may take to answer. Longer than each one's own patience.
const PATIENCE: Duration = Duration::from_secs(8);

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it must be.
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// The service does not work, or not safely, until this is mended.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: String,
    state: State,
    what: String,
    /// How to mend it; empty where nothing is to be mended.
    #[serde(skip_serializing_if = "String::is_empty")]
    mend: String,
}

impl Finding {
    fn ok(check: impl Into<String>, what: impl Display) -> Self {
        Self {
            check: check.into(),
            state: State::Ok,
            what: what.to_string(),
            mend: String::new(),
        }
    }

    fn warn(check: impl Into<String>, what: impl Display, mend: impl Display) -> Self {
        Self {
            check: check.into(),
            state: State::Warn,
            what: what.to_string(),
            mend: mend.to_string(),
        }
    }

    fn fail(check: impl Into<String>, what: impl Display, mend: impl Display) -> Self {
        Self {
            check: check.into(),
            state: State::Fail,
            what: what.to_string(),
            mend: mend.to_string(),
        }
    }

    fn of(problem: &Problem, state: State) -> Self {
        let what = format!("{} {}", problem.key, problem.what);
        Self {
            check: "configuration".to_owned(),
            state,
            what,
            mend: problem.hint.clone(),
        }
    }
}

/// Looks at everything and tells. Exit code 1 if something fails; warnings do not count.
pub(super) fn run(source: &Source, json: bool) -> Outcome {
    match source.load() {
        // What is missing from the configuration cannot be looked at.
        Err(problems) => tell(
            &problems
                .iter()
                .map(|problem| Finding::of(problem, State::Fail))
                .collect::<Vec<_>>(),
            json,
        ),
        Ok(loaded) => {
            key::install();
            // The only TLS stack; a second call, in tests, changes nothing.
            let _ = rustls::crypto::ring::default_provider().install_default();
            block_on(async { tell(&examine(&loaded).await, json) })
        }
    }
}

/// Everything, in the order in which it is told.
async fn examine(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = vec![configuration(config)];
    findings.extend(
        loaded
            .warnings
            .iter()
            .map(|warning| Finding::of(warning, State::Warn)),
    );
    let (rows, tickets, mail, providers) = tokio::join!(
        stores::rows(config),
        stores::tickets(&config.startup),
        mail(&config.startup),
        providers(config)
    );
    findings.extend(rows);
    findings.push(tickets);
    findings.push(mail);
    findings.extend(providers);
    findings
}

/// Each upstream provider, asked as a sign-in would; nobody signs in. They have patience of their own.
async fn providers(config: &Config) -> Vec<Finding> {
    let looked = Providers::without_database(
        Live::new(config.clone()),
        &public_url(&config.startup),
        Clock::default(),
    );
    let asked = config.reloadable.providers.iter().map(async |provider| {
        let check = format!("provider {}", provider.id);
        if !provider.enabled {
            return vec![Finding::ok(check, "switched off")];
        }
        let told = |found: ProviderFinding| {
            let what = format!("{}: {}", found.check.replace('_', " "), found.message);
            if found.ok {
                Finding::ok(&check, what)
            } else {
                Finding::fail(&check, what, found.hint)
            }
        };
        looked
            .diagnose(&provider.id)
            .await
            .into_iter()
            .map(told)
            .collect()
    });
    join_all(asked).await.concat()
}

/// Where people will come to: without a public URL, as `entree dev` has it.
fn public_url(config: &Startup) -> String {
    let server = &config.server;
    if !server.public_url.is_empty() {
        return server.public_url.clone();
    }
    let scheme = if server.tls.cert_file.is_some() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{}", server.listen)
}

fn configuration(config: &Config) -> Finding {
    let (clients, providers) = (
        many(config.reloadable.clients.len(), "client"),
        many(config.reloadable.providers.len(), "provider"),
    );
    Finding::ok(
        "configuration",
        format!("{}; {clients}, {providers}", public_url(&config.startup)),
    )
}

/// As far as a letter would need: connection, TLS, user name and password. Nothing is sent.
async fn mail(config: &Startup) -> Finding {
    const CHECK: &str = "mail server";
    let transport = match Transport::new(&config.mail, Clock::default()) {
        Ok(transport) => transport,
        Err(words) => return Finding::fail(CHECK, words, "mend that key of the section [mail]"),
    };
    if transport.mailbox().is_some() {
        return Finding::ok(CHECK, "none: every mail lands on the mailbox page");
    }
    let place = transport.describe();
    match timeout(PATIENCE, transport.verify())
        .await
        .unwrap_or_else(|_| Err("timeout".to_owned()))
    {
        Ok(()) => Finding::ok(CHECK, format!("{place} takes our letters")),
        Err(class) => Finding::fail(CHECK, format!("{place}: {class}"), remedy(&class)),
    }
}

/// What mends a way to the mail server that was cut short with this class (see `mail::DeliveryAttempt`).
fn remedy(class: &str) -> &'static str {
    match class {
        "timeout" | "connection" => {
            "is it running, are mail.host and mail.port right, and does the network let us through?"
        }
        "tls" => {
            "its certificate must be valid for mail.host, or its authority stand in mail.ca_file; mail.tls must be what \
             this port speaks (`implicit`: 465, `starttls`: 587)"
        }
        "session 535" | "session 534" | "session 530" => {
            "set mail.username and mail.password to what the server knows"
        }
        "protocol" => {
            "mail.tls must be what this port speaks (`implicit`: 465, `starttls`: 587), and it a mail server"
        }
        "unsupported" => {
            "the server offers no STARTTLS, or no way of signing in that is safe: try mail.tls = \"implicit\""
        }
        _ => "the server refuses us before any letter: ask whoever runs it what that code means",
    }
}

/// Prints the findings.
fn tell(findings: &[Finding], json: bool) -> Outcome {
    let healthy = findings.iter().all(|finding| finding.state != State::Fail);
    if json {
        out::answer(&serde_json::json!({ "healthy": healthy, "findings": findings }).to_string());
    } else {
        out::answer(&table(
            findings,
            out::wants_colour(std::io::stdout().is_terminal()),
        ));
    }
    if healthy { Ok(()) } else { Err(Refusal::Said) }
}

/// For people: a line a finding, and below those that are not fine how to mend them.
fn table(findings: &[Finding], colour: bool) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.check.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for Finding {
        check,
        state,
        what,
        mend,
    } in findings
    {
        let (word, code) = match state {
            State::Ok => ("ok  ", "32"),
            State::Warn => ("warn", "33"),
            State::Fail => ("FAIL", "31"),
        };
        let word = if colour {
            out::paint(word, code)
        } else {
            word.to_owned()
        };
        lines.push(format!("{word}  {check:<width$}  {}", out::clean(what)));
        if !mend.is_empty() {
            lines.push(format!("{:1$}{2}", "", width + 8, out::clean(mend)));
        }
    }
    let count = |state| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    lines.push(String::new());
    lines.push(match (count(State::Fail), count(State::Warn)) {
        (0, 0) => "everything is fine".to_owned(),
        (0, warnings) => format!("it works; {} to look at", many(warnings, "warning")),
        (failures, _) => format!("{} to mend", many(failures, "failure")),
    });
    lines.join("\n")
}

/// `1 client`, `2 clients`.
fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn people_get_aligned_lines_with_remedies_and_nothing_raw() {
        let findings = [
            Finding::ok("database", "SQLite"),
            Finding::warn("clock", "late", "set it"),
            Finding::fail("mail server", "said\x1b[2J", "call them"),
        ];
        let text = table(&findings, false);
        assert_eq!(
            text,
            "ok    database     SQLite\nwarn  clock        late\n                   set it\nFAIL  mail server  \
             said\\u{1b}[2J\n                   call them\n\n1 failure to mend"
        );
        assert!(table(&findings, true).starts_with("\x1b[1;32mok"));
        assert!(table(&findings[..1], false).ends_with("everything is fine"));
        assert!(table(&findings[..2], false).ends_with("it works; 1 warning to look at"));
    }

    #[tokio::test]
    async fn a_mail_server_that_is_not_there_fails_with_a_remedy() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config = Startup::default();
        config.mail.from = "login@example.com".to_owned();
        (config.mail.host, config.mail.port) = ("127.0.0.1".to_owned(), port);
        let found = mail(&config).await;
        assert_eq!(
            (found.state, found.what),
            (State::Fail, format!("127.0.0.1:{port}: connection"))
        );
        assert!(found.mend.contains("mail.host"), "{}", found.mend);
    }
}
