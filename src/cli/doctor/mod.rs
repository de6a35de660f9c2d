//! `entree doctor`: checks every dependency of the service.
//!
//! It checks what the configuration alone cannot show: database, signing keys, ticket store, mail
//! server, clock, upstream providers. It changes nothing and writes no row, so it can run before the
//! first start, beside a running service, and when something is wrong. All checks run at once, and
//! each finding that is not fine has a hint.

mod finding;
mod running;
mod stores;

use std::io::IsTerminal as _;

use futures_util::future::join_all;
use tokio::time::timeout;

use finding::{CHECK_TIMEOUT, Finding, FindingState, count_of};

use super::{
    outcome::{CommandError, Outcome, block_on},
    output, reach,
};
use crate::{
    clock::Clock,
    config::{Config, Live, Loaded, Source, Startup},
    federation::provider::{ProviderFinding, Providers},
    key,
    mail::transport::Transport,
};

/// Runs every check and prints the findings. Exit code 1 if a check fails; warnings do not count.
pub(super) fn run(source: &Source, json: bool) -> Outcome {
    match source.load() {
        // What the configuration lacks cannot be checked.
        Err(problems) => print_findings(
            &problems
                .iter()
                .map(|problem| Finding::from_problem(problem, FindingState::Fail))
                .collect::<Vec<_>>(),
            json,
        ),
        Ok(loaded) => {
            key::install();
            // The only TLS stack; a second call, in tests, changes nothing.
            let _ = rustls::crypto::ring::default_provider().install_default();
            block_on(async { print_findings(&check_all(&loaded).await, json) })
        }
    }
}

/// Returns the findings of all checks, in the order in which they are printed.
async fn check_all(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = vec![configuration(config)];
    findings.extend(
        loaded
            .warnings
            .iter()
            .map(|warning| Finding::from_problem(warning, FindingState::Warn)),
    );
    let (database, tickets, mail, providers, running) = tokio::join!(
        stores::check_database(config),
        stores::check_tickets(&config.startup),
        check_mail_server(&config.startup),
        check_providers(config),
        running::check_running(&config.startup)
    );
    findings.extend(database);
    findings.push(tickets);
    findings.push(mail);
    findings.extend(providers);
    findings.extend(running);
    findings
}

/// Checks each upstream provider with the requests of a sign-in, without signing in. They have time-outs
/// of their own.
async fn check_providers(config: &Config) -> Vec<Finding> {
    let registry = Providers::without_database(
        Live::new(config.clone()),
        &public_url(&config.startup),
        Clock::default(),
    );
    let checks = config.reloadable.providers.iter().map(async |provider| {
        let check = format!("provider {}", provider.id);
        if !provider.enabled {
            return vec![Finding::ok(check, "switched off")];
        }
        let to_finding = |found: ProviderFinding| {
            let what = format!("{}: {}", found.check.replace('_', " "), found.message);
            if found.ok {
                Finding::ok(&check, what)
            } else if found.is_warning {
                Finding::warn(&check, what, found.hint)
            } else {
                Finding::fail(&check, what, found.hint)
            }
        };
        registry
            .diagnose(&provider.id)
            .await
            .into_iter()
            .map(to_finding)
            .collect()
    });
    join_all(checks).await.concat()
}

/// Returns the public URL, or without one the address that `entree dev` uses.
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
        count_of(config.reloadable.clients.len(), "client"),
        count_of(config.reloadable.providers.len(), "provider"),
    );
    Finding::ok(
        "configuration",
        format!("{}; {clients}, {providers}", public_url(&config.startup)),
    )
}

/// Checks what an email would need: connection, TLS, user name and password. It sends nothing.
async fn check_mail_server(config: &Startup) -> Finding {
    const CHECK: &str = "mail server";
    let transport = match Transport::new(&config.mail, Clock::default()) {
        Ok(transport) => transport,
        Err(message) => return Finding::fail(CHECK, message, "fix that key of the section [mail]"),
    };
    if transport.mailbox().is_some() {
        return Finding::ok(CHECK, "none: every email appears on the mailbox page");
    }
    let place = transport.describe();
    if let Some((host, port)) = place.rsplit_once(':')
        && let Ok(port) = port.parse()
        && let Err(obstacle) = reach::connect_to(host, port).await
    {
        return Finding::fail(
            CHECK,
            obstacle.what,
            format!("mail.host, mail.port: {}", obstacle.hint),
        );
    }
    match timeout(CHECK_TIMEOUT, transport.verify())
        .await
        .unwrap_or_else(|_| Err("timeout".to_owned()))
    {
        Ok(()) => Finding::ok(CHECK, format!("{place} accepts mail")),
        Err(class) => Finding::fail(CHECK, format!("{place}: {class}"), hint_for(&class)),
    }
}

/// Returns the fix for a class of failure at the mail server.
fn hint_for(class: &str) -> &'static str {
    match class {
        "timeout" | "connection" => {
            "the port is open, but no mail server responds: is mail.tls what this port speaks?"
        }
        "tls" => {
            "its certificate must be valid for mail.host, or its authority be in mail.ca_file; mail.tls must be what \
             this port speaks (`implicit`: 465, `starttls`: 587)"
        }
        "session 535" | "session 534" | "session 530" => {
            "set mail.username and mail.password to an account of the server"
        }
        "protocol" => {
            "mail.tls must be what this port speaks (`implicit`: 465, `starttls`: 587), and it a mail server"
        }
        "unsupported" => {
            "the server offers no STARTTLS, or no safe authentication: try mail.tls = \"implicit\""
        }
        _ => "the server refuses before any email: ask its operator what that code means",
    }
}

fn print_findings(findings: &[Finding], json: bool) -> Outcome {
    let healthy = findings
        .iter()
        .all(|finding| finding.state != FindingState::Fail);
    if json {
        output::print(
            &serde_json::json!({ "healthy": healthy, "findings": findings }).to_string(),
        )?;
    } else {
        output::print(&findings_table(
            findings,
            output::wants_colour(std::io::stdout().is_terminal()),
        ))?;
    }
    if healthy {
        Ok(())
    } else {
        Err(CommandError::Reported)
    }
}

/// Returns one line for each finding, and below those that are not fine the fix.
fn findings_table(findings: &[Finding], colour: bool) -> String {
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
        hint,
    } in findings
    {
        let (word, code) = match state {
            FindingState::Ok => ("ok  ", "32"),
            FindingState::Warn => ("warn", "33"),
            FindingState::Fail => ("FAIL", "31"),
        };
        let word = if colour {
            output::paint(word, code)
        } else {
            word.to_owned()
        };
        lines.push(format!("{word}  {check:<width$}  {}", output::clean(what)));
        if !hint.is_empty() {
            lines.push(format!("{:1$}{2}", "", width + 8, output::clean(hint)));
        }
    }
    let count = |state| {
        findings
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    lines.push(String::new());
    lines.push(
        match (count(FindingState::Fail), count(FindingState::Warn)) {
            (0, 0) => "everything is fine".to_owned(),
            (0, warnings) => format!("it works; {} to check", count_of(warnings, "warning")),
            (failures, _) => format!("{} to fix", count_of(failures, "failure")),
        },
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn people_get_aligned_lines_with_hints_and_nothing_raw() {
        let findings = [
            Finding::ok("database", "SQLite"),
            Finding::warn("clock", "late", "set it"),
            Finding::fail("mail server", "said\x1b[2J", "contact its operator"),
        ];
        let text = findings_table(&findings, false);
        assert_eq!(
            text,
            "ok    database     SQLite\nwarn  clock        late\n                   set it\nFAIL  mail server  \
             said\\u{1b}[2J\n                   contact its operator\n\n1 failure to fix"
        );
        assert!(findings_table(&findings, true).starts_with("\x1b[1;32mok"));
        assert!(findings_table(&findings[..1], false).ends_with("everything is fine"));
        assert!(findings_table(&findings[..2], false).ends_with("it works; 1 warning to check"));
    }

    #[tokio::test]
    async fn a_mail_server_that_is_not_there_fails_with_a_hint() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut config = Startup::default();
        config.mail.from = "login@example.com".to_owned();
        (config.mail.host, config.mail.port) = ("127.0.0.1".to_owned(), port);
        let found = check_mail_server(&config).await;
        assert_eq!(
            (found.state, found.what),
            (
                FindingState::Fail,
                format!("127.0.0.1 refuses connections on port {port}")
            )
        );
        assert!(found.hint.contains("mail.host"), "{}", found.hint);
    }
}
