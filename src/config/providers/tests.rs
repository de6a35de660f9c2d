//! What each kind presets.
#![allow(clippy::unwrap_used)]

use super::*;

fn provider(text: &str) -> Provider {
    toml::from_str(text).unwrap()
}

#[test]
fn up_01_five_lines_are_a_provider() {
    let plain = provider(
        "id = \"office\"\nissuer = \"https://op.example\"\nclient_id = \"c\"\nclient_secret = \"s\"",
    );
    assert_eq!(
        (plain.kind, plain.fixed_auth(), plain.trust()),
        (ProviderKind::Oidc, None, EmailTrust::None)
    );
    assert_eq!(
        (plain.pkce, plain.algs.as_slice()),
        (true, &[UpstreamAlg::RS256][..])
    );
    assert_eq!(plain.scopes(), ["openid", "profile", "email"]);
    assert_eq!(
        plain.discovery_url().unwrap(),
        "https://op.example/.well-known/openid-configuration"
    );
    assert_eq!(
        plain.redirect_uri("https://login.example.com"),
        "https://login.example.com/upstream/office/callback"
    );
    assert_eq!((plain.shown_name(), plain.shown_icon()), ("office", "key"));
}

#[test]
fn up_01_each_kind_presets_what_its_provider_needs() {
    let of = |kind: &str, more: &str| {
        provider(&format!(
            "id = \"a\"\nkind = \"{kind}\"\nclient_id = \"c\"\n{more}"
        ))
    };
    let google = of("google", "");
    assert_eq!(google.issuer(), "https://accounts.google.com");
    assert_eq!(google.other_hosts().collect::<Vec<_>>(), ["googleapis.com"]);
    let one = of("entra", "tenant = \"0f0e0d0c-0000-4000-8000-000000000001\"");
    assert_eq!(
        one.issuer(),
        "https://login.microsoftonline.com/0f0e0d0c-0000-4000-8000-000000000001/v2.0"
    );
    let many = of("entra", "tenant = \"common\"");
    assert_eq!(
        many.issuer(),
        "https://login.microsoftonline.com/{tenantid}/v2.0"
    );
    let url = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration";
    assert_eq!(many.discovery_url().unwrap(), url);
    let apple = of("apple", "");
    assert_eq!(
        (apple.fixed_auth(), apple.response_mode()),
        (Some(ProviderAuth::Post), ResponseMode::FormPost)
    );
    assert!(apple.takes_string_booleans() && !google.takes_string_booleans());
    assert_eq!(
        of("apple", "scopes = [\"openid\"]").response_mode(),
        ResponseMode::Query
    );
    let github = of("github", "");
    assert_eq!(
        (github.discovery_url(), github.trust()),
        (None, EmailTrust::Asserted)
    );
    assert_eq!(
        of("github", "issuer = \"https://ghe.example\"").trust(),
        EmailTrust::None
    );
    assert_eq!(
        of("keycloak", "issuer = \"https://k/realms/r\"").iss_param(),
        IssParam::Optional
    );
    assert_eq!(of("gitlab", "").issuer(), "https://gitlab.com");
}

#[test]
fn r_38_an_account_is_of_a_provider_while_its_issuer_is() {
    let of = |more: &str| provider(&format!("id = \"a\"\nclient_id = \"c\"\n{more}"));
    let own = of("issuer = \"https://op.example\"");
    assert!(
        own.is_issuer("https://op.example")
            && !own.is_issuer("https://op.example/")
            && !own.is_issuer("")
    );
    assert!(of("kind = \"github\"").is_issuer("https://github.com"));
    let (a, b) = (
        "0f0e0d0c-0000-4000-8000-00000000000a",
        "0f0e0d0c-0000-4000-8000-00000000000b",
    );
    let issuer = |tid: &str| format!("https://login.microsoftonline.com/{tid}/v2.0");
    let many = of("kind = \"entra\"\ntenant = \"common\"");
    assert!(many.is_issuer(&issuer(a)) && many.is_issuer(&issuer(b)));
    for bad in [
        &issuer("{tenantid}"),
        &issuer(&a.to_uppercase()),
        &issuer(""),
        "https://login.microsoftonline.com",
    ] {
        assert!(!many.is_issuer(bad), "{bad}");
    }
    let some = of(&format!(
        "kind = \"entra\"\ntenant = \"organizations\"\ntenants = [\"{a}\"]"
    ));
    assert!(
        some.is_issuer(&issuer(a)) && !some.is_issuer(&issuer(b)),
        "a directory that may not come any more"
    );
    let one = of(&format!("kind = \"entra\"\ntenant = \"{a}\""));
    assert!(one.is_issuer(&issuer(a)) && !one.is_issuer(&issuer(b)));
}
