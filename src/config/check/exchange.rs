//! Checks `token_exchange` of `[[clients]]` (EX-1).

use std::collections::BTreeSet;

use super::{clients::check_audience, values::is_scope};
use crate::config::{
    client::{Client, ClientAuth},
    exchange::ExchangeRule,
    problem::{Findings, Section},
    resources::RESERVED_SCOPES,
};

pub(super) fn check(clients: &[Client], public_url: &str, findings: &mut Findings) {
    for (at, client) in clients.iter().enumerate() {
        check_client(
            client,
            public_url,
            &mut findings.section(format!("clients[{at}]")),
        );
    }
}

fn check_client(client: &Client, public_url: &str, section: &mut Section<'_>) {
    let is_public = client.token_endpoint_auth_method == ClientAuth::None;
    section.require(
        !is_public || client.token_exchange.is_empty(),
        "token_exchange",
        "is set for a public client",
        "Remove it, or give the client a secret or a key. Token exchange requires authentication.",
    );
    for (at, rule) in client.token_exchange.iter().enumerate() {
        check_rule(rule, public_url, &format!("token_exchange[{at}]"), section);
    }
}

fn check_rule(rule: &ExchangeRule, public_url: &str, key: &str, section: &mut Section<'_>) {
    check_audience(&rule.from, public_url, &format!("{key}.from"), section);
    check_audience(&rule.to, public_url, &format!("{key}.to"), section);
    section.require(
        rule.from != rule.to,
        format!("{key}.to"),
        "is the same API as `from`",
        "Name the API that the client calls for the user.",
    );
    section.require(
        !rule.scopes.is_empty(),
        format!("{key}.scopes"),
        "is empty",
        "List the scopes that the client needs there, for instance `lessons:read`.",
    );
    let mut seen = BTreeSet::new();
    for (at, scope) in rule.scopes.iter().enumerate() {
        let key = format!("{key}.scopes[{at}]");
        section.require(
            is_scope(scope),
            &key,
            "is not a scope",
            "Write one name without spaces per scope.",
        );
        section.require(
            !RESERVED_SCOPES.contains(&scope.as_str()),
            &key,
            "is a scope of Entree itself",
            "Remove it. An exchanged token has scopes of APIs alone.",
        );
        section.require(
            seen.insert(scope),
            &key,
            "is in the list twice",
            "Remove one.",
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    const PUBLIC_URL: &str = "https://id.example";

    fn refused_keys(more: &str) -> Vec<String> {
        let least = "client_id = \"c\"\nname = \"C\"\naudience = \"https://api.example\"";
        let client: Client = toml::from_str(&format!("{least}\n{more}")).unwrap();
        let mut findings = Findings::default();
        check(&[client], PUBLIC_URL, &mut findings);
        let problems = findings.problems.into_iter();
        problems
            .map(|problem| problem.key.replacen("clients[0].", "", 1))
            .collect()
    }

    fn rule(from: &str, to: &str, scopes: &str) -> String {
        format!(
            "token_endpoint_auth_method = \"client_secret_basic\"\n\
             token_exchange = [{{ from = \"{from}\", to = \"{to}\", scopes = [{scopes}] }}]"
        )
    }

    #[test]
    fn ex_1_each_bad_rule_is_refused_at_its_key() {
        let (from, to) = ("https://mcp.example", "https://lessons.example");
        assert!(refused_keys(&rule(from, to, "\"lessons:read\"")).is_empty());
        assert!(refused_keys("").is_empty());
        for (rule, key) in [
            (rule("mcp", to, "\"a\""), "token_exchange[0].from"),
            (rule(PUBLIC_URL, to, "\"a\""), "token_exchange[0].from"),
            (rule(from, PUBLIC_URL, "\"a\""), "token_exchange[0].to"),
            (rule(from, from, "\"a\""), "token_exchange[0].to"),
            (rule(from, to, ""), "token_exchange[0].scopes"),
            (rule(from, to, "\"a b\""), "token_exchange[0].scopes[0]"),
            (
                rule(from, to, "\"a\", \"openid\""),
                "token_exchange[0].scopes[1]",
            ),
            (
                rule(from, to, "\"offline_access\""),
                "token_exchange[0].scopes[0]",
            ),
            (
                rule(from, to, "\"entree:admin\""),
                "token_exchange[0].scopes[0]",
            ),
            (
                rule(from, to, "\"a\", \"a\""),
                "token_exchange[0].scopes[1]",
            ),
        ] {
            assert_eq!(refused_keys(&rule), [key], "{rule}");
        }
        let public = rule(from, to, "\"a\"").replace("client_secret_basic", "none");
        assert_eq!(refused_keys(&public), ["token_exchange"]);
    }
}
