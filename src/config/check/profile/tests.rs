#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::json;

use super::*;
use crate::config::{ClientBlock, Problem, Token, client_definition, problem::Findings};

const KEY: &str = r#"{"keys":[{"kty":"EC","crv":"P-256",
    "x":"WKn-ZIGevcwGIyyrzFoZNBdaq9_TsqzGl96oc0CWuis","y":"y77t-RvAHRKTsSGdIYUfweuOvwrvDD-Q3Hv5J0fSKbE"}]}"#;

fn read(more: &[(&str, &str)]) -> Result<(Client, Vec<Problem>), Vec<Problem>> {
    let mut block = ClientBlock::default();
    for (key, text) in [
        ("client_id", "bank"),
        ("name", "Bank"),
        ("audience", "https://api.example"),
        ("redirect_uris", "https://bank.example/cb"),
        ("profile", "fapi2"),
        ("jwks", KEY),
    ] {
        block.set(key, text);
    }
    for (key, text) in more {
        block.set(key, text);
    }
    block.into_client(&Token::default(), "https://id.example")
}

#[test]
fn fs_1_fa_1_the_profile_sets_every_key_that_a_client_leaves_out() {
    let (client, warnings) = read(&[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let method = client.token_endpoint_auth_method;
    assert_eq!(method, ClientAuth::PrivateKeyJwt);
    assert_eq!(client.assertion_audience, Some(AssertionAudience::Issuer));
    assert!(client.require_pushed_authorization_requests && client.require_pkce);
    assert!(client.dpop_bound_access_tokens);
    let algs = (client.id_token_signed_response_alg, client.access_token_alg);
    assert_eq!(algs, (Alg::ES256, Alg::ES256));
    // The same when they stand there, and when the definition is read again.
    let texts = keys_of_fapi2().map(|(key, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (key, text)
    });
    let spelled: Vec<_> = texts
        .iter()
        .map(|(key, text)| (*key, text.as_str()))
        .collect();
    assert_eq!(read(&spelled).unwrap().0, client);
    let text = client_definition(&client).unwrap();
    let again = ClientBlock::from_definition("bank", &text).unwrap();
    let again = again.into_client(&Token::default(), "https://id.example");
    assert_eq!(again.unwrap().0, client, "{text}");
}

#[test]
fn fs_1_a_client_without_the_profile_keeps_its_defaults() {
    let (client, _) = read(&[
        ("profile", "standard"),
        ("token_endpoint_auth_method", "private_key_jwt"),
    ])
    .unwrap();
    assert_eq!(client.profile, Profile::Standard);
    assert_eq!(client.assertion_audience, None);
    assert!(!client.require_pushed_authorization_requests && !client.dpop_bound_access_tokens);
    assert_eq!(client.id_token_signed_response_alg, Alg::RS256);
}

#[test]
fn fs_1_an_api_cannot_choose_rs256_for_a_client_of_the_profile() {
    let (client, _) = read(&[]).unwrap();
    let standard = Client {
        profile: Profile::Standard,
        ..client.clone()
    };
    let found = |client: &Client, api: &str| {
        let resource = toml::from_str(api).unwrap();
        let mut findings = Findings::default();
        let mut section = findings.section("resources[0]");
        check_resource(std::slice::from_ref(client), &resource, &mut section);
        let keys = findings.problems.into_iter().map(|problem| problem.key);
        keys.collect::<Vec<_>>()
    };
    let own = "identifier = \"https://API.example/\"\naccess_token_alg = ";
    let other = "identifier = \"https://other.example\"\naccess_token_alg = ";
    let by_name = "clients = [\"bank\"]\n";
    let refused = vec!["resources[0].access_token_alg".to_owned()];
    assert_eq!(found(&client, &format!("{own}\"RS256\"")), refused);
    assert_eq!(
        found(&client, &format!("{by_name}{other}\"RS256\"")),
        refused
    );
    for (client, api) in [
        (&client, format!("{own}\"ES256\"")),
        (&client, format!("{other}\"RS256\"")),
        (&standard, format!("{own}\"RS256\"")),
    ] {
        assert_eq!(found(client, &api), [""; 0], "{api}");
    }
}

#[test]
fn fs_1_each_contrary_key_is_refused_where_it_stands() {
    let rs256 = json!({ "keys": [{
        "kty": "RSA", "alg": "RS256", "e": "AQAB", "n": "_".repeat(341) + "w",
    }] })
    .to_string();
    for (key, text, at) in [
        ("require_pushed_authorization_requests", "false", ""),
        ("require_pkce", "false", ""),
        ("dpop_bound_access_tokens", "false", ""),
        ("id_token_signed_response_alg", "RS256", ""),
        ("access_token_alg", "RS256", ""),
        ("assertion_audience", "any", ""),
        ("code_seconds", "61", ""),
        ("redirect_uris", "http://127.0.0.1/cb", "[0]"),
        (
            "redirect_uris",
            "https://a.example/cb,http://[::1]:9/cb",
            "[1]",
        ),
        ("redirect_uris", "com.example.app:/cb", "[0]"),
        ("jwks", rs256.as_str(), ""),
    ] {
        let problems = read(&[(key, text)]).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| &*problem.key).collect();
        assert_eq!(keys, [format!("{key}{at}")], "{key} = {text}: {problems:?}");
    }
    for method in ["none", "client_secret_basic", "client_secret_post"] {
        let problems = read(&[("token_endpoint_auth_method", method)]).unwrap_err();
        let named = problems
            .iter()
            .find(|problem| problem.key == "token_endpoint_auth_method");
        let words = named.unwrap().to_string();
        assert!(words.contains("contradicts profile"), "{words}");
        assert!(words.contains("\"private_key_jwt\""), "{words}");
    }
    let problems = read(&[("profile", "fapi1")]).unwrap_err();
    assert!(
        problems.iter().any(|problem| problem.key == "profile"),
        "{problems:?}"
    );
}
