//! Each kind of provider: a complete sign-in, and a refusal for each peculiarity (PR-01, R-24,
//!
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use serde_json::{Value, json};
use testkit::upstream::{Fault, Place, Reply, Sign, Upstream};

use crate::{
    federation::{ProviderFixture, RefusalCase, assert_refused, count_rows, leads_to_client},
    oauth::sign_in_from,
    test_app::TestApp,
};

on_both!(
    pr_01_keycloak_by_configuration_alone,
    pr_01_gitlab_by_configuration_alone,
    r_36_pr_01_google_up_hd,
    pr_01_google_is_authoritative_for_its_own_mailboxes_only,
    r_36_r_24_pr_01_entra_up_tenant,
    pr_01_entra_is_not_authoritative_for_an_address,
    pr_01_github,
    pr_01_github_errors_come_with_status_200,
    pr_01_r_22_r_26_r_27_r_30_no_kind_accepts_an_invalid_token,
    cb_09_pr_01_a_client_may_authenticate_in_the_form,
    up_01_kinds_with_pkce_off_or_a_nonce_that_is_optional,
);

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";

async fn pr_01_keycloak_by_configuration_alone(test_app: TestApp) {
    let realm = |up: &Upstream| json!({"kind": "keycloak", "issuer": format!("{}/realms/ballet", up.url())});
    let fixture = ProviderFixture::with(&test_app, realm).await;
    fixture
        .up
        .call_itself(&format!("{}/realms/ballet", fixture.up.url()));
    fixture.up.sends_iss();
    fixture.up.inject(Fault::callback(|pairs| {
        pairs.push(("session_state".to_owned(), "x.y".to_owned()))
    }));
    fixture.assert_signs_in("with iss and session_state").await;
    assert_eq!(
        fixture.up.requests(Place::Discovery)[0].path,
        "/realms/ballet/.well-known/openid-configuration"
    );
    // A realm advertises `iss` even if it is off for the client.
    fixture.up.inject(Fault::parameter("iss", ""));
    fixture.assert_signs_in("without iss").await;
    fixture.up.inject(Fault::parameter(
        "iss",
        "https://evil.example/realms/ballet",
    ));
    fixture
        .assert_sign_in_refused("another realm's", 400, "up_iss_mismatch")
        .await;

    let fixture = ProviderFixture::with(&test_app, realm).await;
    fixture
        .assert_start_refused("the issuer without its realm", 503, "up_discovery_issuer")
        .await;
}

async fn pr_01_gitlab_by_configuration_alone(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"kind": "gitlab"})).await;
    fixture.assert_signs_in("a self-hosted instance").await;
    fixture.up.inject(Fault::claim("aud", json!("another")));
    fixture
        .assert_sign_in_refused("another client's token", 502, "up_aud")
        .await;
}

async fn r_36_pr_01_google_up_hd(test_app: TestApp) {
    let school = || json!({"kind": "google", "trust": null, "hosted_domains": ["school.example"]});
    for (why, hd) in [
        ("absent", Value::Null),
        ("another", json!("evil.example")),
        ("a list", json!(["school.example"])),
    ] {
        let fixture = ProviderFixture::new(&test_app, school()).await;
        fixture.up.inject(Fault::claim("hd", hd.clone()));
        fixture.assert_sign_in_refused(why, 403, "up_hd").await;
    }
    let fixture = ProviderFixture::new(&test_app, school()).await;
    let member = format!("{}@school.example", fixture.id);
    fixture.up.inject(Fault::Claims(Box::new(move |claims| {
        claims["hd"] = json!("school.example");
        claims["email"] = json!(member);
    })));
    fixture.assert_signs_in("of the school").await;
    // Google sends `iss` without advertising it.
    let issuer = fixture.up.issuer();
    fixture.up.inject(Fault::callback(move |pairs| {
        pairs.push(("iss".to_owned(), issuer.clone()))
    }));
    fixture.assert_signs_in("with iss").await;
}

async fn pr_01_google_is_authoritative_for_its_own_mailboxes_only(test_app: TestApp) {
    let users = count_rows(&test_app, "users").await;
    let fixture = ProviderFixture::new(&test_app, json!({"kind": "google", "trust": null})).await;
    let (browser, page) = fixture.complete_sign_in().await;
    assert!(
        !browser.is_signed_in() && page.has("form#sign-in"),
        "a foreign address: {}",
        page.summary()
    );
    let gmail = format!("{}@gmail.com", fixture.id);
    fixture.up.inject(Fault::Claims(Box::new(move |claims| {
        claims["email"] = json!(gmail)
    })));
    fixture.assert_signs_in("gmail.com").await;
    let fixture = ProviderFixture::new(&test_app, json!({"kind": "google", "trust": null})).await;
    fixture
        .up
        .inject(Fault::claim("hd", json!("upstream.test")));
    fixture.assert_signs_in("a Workspace domain").await;
    assert_eq!(count_rows(&test_app, "users").await, users + 2);
    // Google is not authoritative for an address that it has not verified.
    let fixture = ProviderFixture::new(&test_app, json!({"kind": "google", "trust": null})).await;
    fixture
        .up
        .inject(Fault::claim("hd", json!("upstream.test")));
    fixture
        .up
        .inject(Fault::claim("email_verified", json!(false)));
    let (browser, _) = fixture.complete_sign_in().await;
    assert!(!browser.is_signed_in());
}

/// Returns a provider for users of many directories, whose tokens name one directory.
async fn entra(test_app: &TestApp, more: Value) -> ProviderFixture<'_> {
    let fixture = ProviderFixture::with(test_app, |up| {
        let mut settings = json!({
            "kind": "entra", "tenant": "common", "issuer": format!("{}/{{tenantid}}/v2.0", up.url()),
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    })
    .await;
    let base = fixture.up.url();
    fixture.up.call_itself(&format!("{base}/{{tenantid}}/v2.0"));
    fixture
        .up
        .person(json!({"sub": fixture.id, "email": fixture.email, "xms_edov": true, "tid": TENANT, "iss": format!("{base}/{TENANT}/v2.0")}));
    // As Entra does: no `at_hash`, and keys without `alg` and with an issuer of their own.
    fixture.up.inject(Fault::claim("at_hash", Value::Null));
    fixture.up.inject(Fault::json(Place::Jwks, move |jwks| {
        for key in jwks["keys"].as_array_mut().unwrap() {
            key.as_object_mut().unwrap().remove("alg");
            key["issuer"] = format!("{base}/{{tenantid}}/v2.0").into();
        }
    }));
    fixture
}

async fn r_36_r_24_pr_01_entra_up_tenant(test_app: TestApp) {
    let fixture = entra(&test_app, json!({})).await;
    fixture.assert_signs_in("of any directory").await;
    assert_eq!(
        fixture.up.requests(Place::Discovery)[0].path,
        "/common/v2.0/.well-known/openid-configuration"
    );

    let refused = async |why: &'static str,
                         fault: fn(&mut Value, String),
                         status: u16,
                         code: &str,
                         more: Value| {
        let fixture = entra(&test_app, more).await;
        let base = fixture.up.url();
        fixture.up.inject(Fault::Claims(Box::new(move |claims| {
            fault(claims, base.clone())
        })));
        let (mut browser, login, back) = fixture.go_to_provider().await;
        let response = fixture
            .assert_callback_refused(&mut browser, &login, &back, (why, status, code))
            .await;
        assert!(!leads_to_client(&response));
    };
    let none = || json!({});
    refused(
        "no tid",
        |claims, _| drop(claims.as_object_mut().unwrap().remove("tid")),
        403,
        "up_tenant",
        none(),
    )
    .await;
    refused(
        "upper case",
        |claims, _| claims["tid"] = json!("AAAAAAAA-2222-3333-4444-555555555555"),
        403,
        "up_tenant",
        none(),
    )
    .await;
    refused(
        "not a GUID",
        |claims, _| claims["tid"] = json!("../common"),
        403,
        "up_tenant",
        none(),
    )
    .await;
    refused(
        "iss of another tid",
        |claims, _| claims["tid"] = json!(OTHER),
        502,
        "up_iss_claim",
        none(),
    )
    .await;
    let template = |claims: &mut Value, base: String| {
        claims["iss"] = json!(format!("{base}/{{tenantid}}/v2.0"))
    };
    refused("the template itself", template, 502, "up_iss_claim", none()).await;
    refused(
        "not of the list",
        |_, _| {},
        403,
        "up_tenant",
        json!({"tenants": [OTHER]}),
    )
    .await;
    let fixture = entra(&test_app, json!({"tenants": [TENANT]})).await;
    fixture.assert_signs_in("of the list").await;

    // A key that names another directory.
    let fixture = entra(&test_app, json!({})).await;
    let base = fixture.up.url();
    fixture.up.inject(Fault::json(Place::Jwks, move |jwks| {
        for key in jwks["keys"].as_array_mut().unwrap() {
            key["issuer"] = format!("{base}/{OTHER}/v2.0").into();
        }
    }));
    fixture
        .assert_sign_in_refused("another directory's key", 502, "up_key_unknown")
        .await;
}

async fn pr_01_entra_is_not_authoritative_for_an_address(test_app: TestApp) {
    // `email` is not for authorization: the address is verified by email, whatever `xms_edov` says.
    for edov in [json!(true), json!(1), json!("1"), json!(false), Value::Null] {
        let fixture = entra(&test_app, json!({"trust": null})).await;
        fixture.up.inject(Fault::Claims(Box::new(move |claims| {
            claims["xms_edov"] = edov.clone()
        })));
        let (browser, page) = fixture.complete_sign_in().await;
        assert!(
            !browser.is_signed_in() && page.has("form#sign-in"),
            "{}",
            page.summary()
        );
    }
}

async fn pr_01_github(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"kind": "github", "trust": null})).await;
    let (browser, page) = fixture.complete_sign_in().await;
    assert!(
        !browser.is_signed_in(),
        "an Enterprise Server is trusted with nothing"
    );
    assert_eq!(
        page.attribute("form#sign-in input[name=email]", "value"),
        Some(fixture.email.clone()),
        "{}",
        page.summary()
    );
    assert_eq!(fixture.up.complaints(), Vec::<String>::new());
    let request = &fixture.up.requests(Place::Token)[0];
    assert!(
        request
            .header("accept")
            .is_some_and(|accept| accept.contains("application/json"))
    );
    assert!(
        fixture.up.requests(Place::Userinfo)[0]
            .header("user-agent")
            .is_some_and(|agent| !agent.is_empty())
    );

    // github.com only asserts addresses, so that an email verifies the address the first time.
    // GitHub may give the login name to another user, but not the number.
    let trusted = json!({"kind": "github", "trust": "asserted"});
    let fixture = ProviderFixture::new(&test_app, trusted.clone()).await;
    let (mut browser, page) = fixture.complete_sign_in().await;
    assert!(!browser.is_signed_in(), "before the verification");
    let done = sign_in_from(&mut browser, &page, &fixture.email).await;
    assert!(
        browser.is_signed_in() && leads_to_client(&done),
        "{}",
        done.summary()
    );
    fixture.assert_signs_in("the second time").await;
    fixture
        .up
        .inject(Fault::member(Place::Userinfo, "login", json!("renamed")));
    fixture.assert_signs_in("renamed").await;
    let users = count_rows(&test_app, "users").await;
    assert_eq!(count_rows(&test_app, "user_identities").await, users);
    for (why, emails) in [
        (
            "not verified",
            json!([{"email": "ann@upstream.test", "primary": true, "verified": false}]),
        ),
        (
            "not primary",
            json!([{"email": "ann@upstream.test", "primary": false, "verified": true}]),
        ),
        (
            "noreply",
            json!([{"email": "7+ann@users.noreply.github.com", "primary": true, "verified": true}]),
        ),
        ("none", json!([])),
    ] {
        let fixture = ProviderFixture::new(&test_app, trusted.clone()).await;
        fixture.up.inject(Fault::json(Place::Emails, move |list| {
            *list = emails.clone()
        }));
        let (browser, page) = fixture.complete_sign_in().await;
        let shown = page.attribute("form#sign-in input[name=email]", "value");
        assert!(
            !browser.is_signed_in() && shown.unwrap_or_default().is_empty(),
            "{why}: {}",
            page.summary()
        );
    }
    let fixture = ProviderFixture::new(&test_app, trusted).await;
    fixture
        .up
        .inject(Fault::member(Place::Userinfo, "id", json!("ann")));
    let page = fixture
        .assert_sign_in_refused("a subject that is no number", 502, "up_sub")
        .await;
    assert!(!leads_to_client(&page));
}

async fn pr_01_github_errors_come_with_status_200(test_app: TestApp) {
    let settings = json!({"kind": "github"});
    for (why, body, status) in [
        (
            "a used code",
            json!({"error": "bad_verification_code", "error_description": "words of the upstream"}),
            400,
        ),
        (
            "a wrong secret",
            json!({"error": "incorrect_client_credentials"}),
            502,
        ),
    ] {
        let fixture = ProviderFixture::new(&test_app, settings.clone()).await;
        fixture
            .up
            .inject(Fault::reply(Place::Token, Reply::json(200, &body)));
        fixture
            .assert_sign_in_refused(why, status, "up_token_http")
            .await;
    }
    let fixture = ProviderFixture::new(&test_app, settings).await;
    fixture.up.inject(Fault::reply(
        Place::Token,
        Reply::new(200, "application/x-www-form-urlencoded", "access_token=x"),
    ));
    fixture
        .assert_sign_in_refused("not JSON", 502, "up_token_http")
        .await;
}

/// The presets of a kind switch off no check.
async fn pr_01_r_22_r_26_r_27_r_30_no_kind_accepts_an_invalid_token(test_app: TestApp) {
    for kind in ["google", "entra", "gitlab", "keycloak"] {
        let settings =
            || json!({"kind": kind, "tenant": if kind == "entra" { TENANT } else { "" }});
        for (code, fault) in [
            ("up_alg", Fault::Sign(Sign::None)),
            ("up_signature", Fault::Sign(Sign::Stranger)),
            (
                "up_iss_claim",
                Fault::claim("iss", json!("https://accounts.google.com/")),
            ),
            ("up_aud", Fault::claim("aud", json!("another client"))),
            ("up_nonce", Fault::claim("nonce", Value::Null)),
            ("up_expired", Fault::claim("exp", json!(1))),
        ] {
            assert_refused(
                &test_app,
                code,
                vec![RefusalCase::new(kind, 502, vec![fault]).with(settings())],
            )
            .await;
        }
    }
}

async fn cb_09_pr_01_a_client_may_authenticate_in_the_form(test_app: TestApp) {
    for auth in ["basic", "post"] {
        let fixture = ProviderFixture::new(&test_app, json!({"auth": auth})).await;
        fixture.assert_signs_in(auth).await;
        let request = &fixture.up.requests(Place::Token)[0];
        assert_eq!(request.header("authorization").is_some(), auth == "basic");
        assert_eq!(request.one("client_secret").is_some(), auth == "post");
    }
}

/// ST-21: a deviation that real providers need is a setting of that provider.
async fn up_01_kinds_with_pkce_off_or_a_nonce_that_is_optional(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"nonce_optional": true})).await;
    fixture.up.inject(Fault::claim("nonce", Value::Null));
    fixture
        .assert_signs_in("IT-06: the exception, with PKCE on")
        .await;
    fixture.up.reset_faults();
    fixture
        .up
        .inject(Fault::claim("nonce", json!("A".repeat(43))));
    fixture
        .assert_sign_in_refused(
            "a nonce that is present is compared nevertheless",
            502,
            "up_nonce",
        )
        .await;

    let off = || json!({"pkce": false, "pkce_off_reason": "it refuses what it does not know"});
    let fixture = ProviderFixture::new(&test_app, off()).await;
    fixture.up.knows_no_pkce();
    fixture
        .assert_signs_in("UP-06: with PKCE switched off")
        .await;
    assert!(
        !fixture.up.requests(Place::Authorize)[0]
            .query
            .contains("code_challenge")
    );
    assert_eq!(
        fixture.up.requests(Place::Token)[0].one("code_verifier"),
        None
    );
    let mut optional = off();
    optional["nonce_optional"] = json!(true);
    let fixture = ProviderFixture::new(&test_app, optional).await;
    fixture.up.knows_no_pkce();
    fixture.up.inject(Fault::claim("nonce", Value::Null));
    fixture
        .assert_sign_in_refused(
            "IT-06: then the nonce alone binds the code",
            502,
            "up_nonce",
        )
        .await;

    let fixture = ProviderFixture::new(&test_app, json!({"string_booleans": true})).await;
    fixture
        .up
        .inject(Fault::claim("email_verified", json!("true")));
    fixture
        .assert_signs_in("where a setting allows booleans as text")
        .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture
        .up
        .inject(Fault::claim("email_verified", json!("true")));
    fixture
        .assert_sign_in_refused("ST-01: only by setting", 502, "up_claims_malformed")
        .await;

    let fixture = ProviderFixture::new(&test_app, json!({"require_kid": true})).await;
    fixture.up.inject(Fault::header("kid", Value::Null));
    fixture
        .assert_sign_in_refused("no kid where it is required", 502, "up_key_unknown")
        .await;
}
