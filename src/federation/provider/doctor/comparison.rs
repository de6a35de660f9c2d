//! Whether the settings of a provider agree with what its metadata says that it supports (OC-4).
//! Each disagreement names the key to set. It is a warning: metadata may leave things out.

use super::finding::ProviderFinding;
use crate::{
    config::{
        Provider,
        providers::{ProviderAuth, ResponseMode},
    },
    federation::{
        error::upstream_words,
        provider::oidc::{
            client_auth,
            keys::{ALGORITHMS, algorithm_name},
            metadata::Supported,
        },
    },
};

const CHECK: &str = "metadata";

pub(super) fn compare(settings: &Provider, supported: &Supported) -> Vec<ProviderFinding> {
    let problems: Vec<ProviderFinding> = [
        compare_algorithms(settings, supported),
        compare_authentication(settings, supported),
        compare_key(settings, supported),
        compare_scopes(settings, supported),
        compare_response_mode(settings, supported),
    ]
    .into_iter()
    .flatten()
    .collect();
    if problems.is_empty() {
        let message = "algorithms, authentication, scopes and response mode agree with it";
        return vec![ProviderFinding::ok(CHECK, message)];
    }
    problems
}

fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|value| value == name)
}

/// Returns what a provider wrote, for one line of a report.
fn words(list: &[String]) -> String {
    upstream_words(&list.join(", "))
}

/// Returns a list as it stands in the configuration.
fn toml_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

fn compare_algorithms(settings: &Provider, supported: &Supported) -> Option<ProviderFinding> {
    let list = supported.id_token_algs.as_ref()?;
    let is_offered = |alg| has(list, algorithm_name(alg));
    if settings.algs.iter().any(|alg| is_offered(*alg)) {
        return None;
    }
    let usable: Vec<&str> = ALGORITHMS
        .into_iter()
        .filter(|alg| is_offered(*alg))
        .map(algorithm_name)
        .collect();
    let hint = if usable.is_empty() {
        "register this client there for RS256 or ES256".to_owned()
    } else {
        format!("set algs = {}", toml_list(usable))
    };
    let message = format!(
        "it signs ID tokens with {}, none of which is in algs",
        words(list)
    );
    Some(ProviderFinding::warning(CHECK, message, &hint))
}

fn compare_authentication(settings: &Provider, supported: &Supported) -> Option<ProviderFinding> {
    let list = supported.auth_methods.as_ref()?;
    let used = client_auth::name(client_auth::choose(settings, Some(list)));
    if list.is_empty() || has(list, used) {
        return None;
    }
    let has_secret = !settings.client_secret.is_empty();
    let has_key = !settings.private_key.is_empty();
    let possible = [
        (ProviderAuth::Basic, has_secret, "set auth = \"basic\""),
        (ProviderAuth::Post, has_secret, "set auth = \"post\""),
        (
            ProviderAuth::PrivateKeyJwt,
            has_key,
            "set auth = \"private_key_jwt\"",
        ),
        (
            ProviderAuth::PrivateKeyJwt,
            true,
            "set private_key_file, and register its public key there",
        ),
        (
            ProviderAuth::Basic,
            true,
            "set client_secret_file to a secret that it gave this client",
        ),
    ];
    let hint = possible
        .into_iter()
        .find(|(auth, is_possible, _)| *is_possible && has(list, client_auth::name(*auth)))
        .map_or(
            "register this client there with client_secret_basic",
            |(_, _, hint)| hint,
        );
    let message = format!(
        "clients authenticate with {} there, and we use {used}",
        words(list)
    );
    Some(ProviderFinding::warning(CHECK, message, hint))
}

/// With a key of ours, the provider has to know its algorithm.
fn compare_key(settings: &Provider, supported: &Supported) -> Option<ProviderFinding> {
    let methods = supported.auth_methods.as_deref();
    let list = supported.auth_algs.as_ref()?;
    if client_auth::choose(settings, methods) != ProviderAuth::PrivateKeyJwt {
        return None;
    }
    let own = format!("{:?}", client_auth::key_algorithm(settings)?);
    let hint = "set private_key_file to a key on P-256 (ES256) or of RSA (RS256), as it supports";
    let message = format!(
        "it verifies clients by {}, and private_key is for {own}",
        words(list)
    );
    (!has(list, &own)).then(|| ProviderFinding::warning(CHECK, message, hint))
}

fn compare_scopes(settings: &Provider, supported: &Supported) -> Option<ProviderFinding> {
    let list = supported.scopes.as_ref()?;
    let (known, missing): (Vec<String>, Vec<String>) = settings
        .scopes()
        .into_iter()
        .partition(|scope| has(list, scope));
    if missing.is_empty() {
        return None;
    }
    let hint = format!(
        "set scopes = {}, if sign-ins fail",
        toml_list(known.iter().map(String::as_str))
    );
    let message = format!("it does not list the scopes {}", words(&missing));
    Some(ProviderFinding::warning(CHECK, message, &hint))
}

fn compare_response_mode(settings: &Provider, supported: &Supported) -> Option<ProviderFinding> {
    let list = supported.response_modes.as_ref()?;
    let (used, other) = match settings.response_mode() {
        ResponseMode::Query => ("query", "form_post"),
        ResponseMode::FormPost => ("form_post", "query"),
    };
    if has(list, used) {
        return None;
    }
    let hint = if has(list, other) {
        format!("set response_mode = {other:?}")
    } else {
        "ask the provider for one of query and form_post".to_owned()
    };
    let message = format!("its response modes are {}, and we use {used}", words(list));
    Some(ProviderFinding::warning(CHECK, message, &hint))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|&name| name.to_owned()).collect())
    }

    fn settings(more: &str) -> Provider {
        let text =
            format!("id = \"a\"\nclient_id = \"c\"\nissuer = \"https://op.example\"\n{more}");
        toml::from_str(&text).unwrap()
    }

    fn assert_hint(more: &str, supported: &Supported, expected: &str) {
        let findings = compare(&settings(more), supported);
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert!(!finding.ok && finding.is_warning, "{finding:?}");
        assert!(finding.hint.contains(expected), "{finding:?}");
    }

    #[test]
    fn oc_04_each_disagreement_with_the_metadata_names_what_to_set() {
        let secret = "client_secret = \"s\"";
        let id_token_algs = |names: &[&str]| Supported {
            id_token_algs: list(names),
            ..Supported::default()
        };
        assert_hint(
            secret,
            &id_token_algs(&["HS256", "ES256"]),
            "algs = [\"ES256\"]",
        );
        assert_hint(secret, &id_token_algs(&["HS256"]), "RS256 or ES256");
        let auth_methods = |names: &[&str]| Supported {
            auth_methods: list(names),
            ..Supported::default()
        };
        let set = "client_secret = \"s\"\nauth = \"basic\"";
        assert_hint(
            set,
            &auth_methods(&["client_secret_post"]),
            "auth = \"post\"",
        );
        let jwt = auth_methods(&["private_key_jwt"]);
        assert_hint(secret, &jwt, "private_key_file");
        let both = "client_secret = \"s\"\nprivate_key = \"k\"\nauth = \"post\"";
        assert_hint(both, &jwt, "auth = \"private_key_jwt\"");
        let key = "private_key = \"k\"";
        let basic = auth_methods(&["client_secret_basic"]);
        assert_hint(key, &basic, "client_secret_file");
        assert_hint(secret, &auth_methods(&["tls_client_auth"]), "register");
        let scopes = Supported {
            scopes: list(&["openid", "email"]),
            ..Supported::default()
        };
        assert_hint(secret, &scopes, "scopes = [\"openid\", \"email\"]");
        let response_modes = |names: &[&str]| Supported {
            response_modes: list(names),
            ..Supported::default()
        };
        let posts = response_modes(&["form_post"]);
        assert_hint(secret, &posts, "response_mode = \"form_post\"");
        assert_hint(secret, &response_modes(&["fragment"]), "ask the provider");
    }

    #[test]
    fn oc_04_metadata_that_agrees_or_says_nothing_is_in_order() {
        let all = Supported {
            auth_methods: list(&["client_secret_post"]),
            auth_algs: list(&["RS256"]),
            id_token_algs: list(&["ES256", "RS256"]),
            scopes: list(&["openid", "profile", "email", "address"]),
            response_modes: list(&["query", "fragment"]),
        };
        for supported in [all, Supported::default()] {
            let findings = compare(&settings("client_secret = \"s\""), &supported);
            assert_eq!(findings.len(), 1);
            assert!(findings.iter().all(|finding| finding.ok), "{findings:?}");
        }
    }
}
