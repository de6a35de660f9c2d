//! One bundle for each kind of provider: a whole sign-in, and one refusal for each particular
//! (PR-01, R-24, R-36).

use serde_json::{Value, json};
use testkit::upstream::{Lie, Place, Reply, Sign, Upstream};

use crate::{
    federation::{Row, Stage, at_client, count, refuse},
    oauth::sign_in_from,
    test_app::TestApp,
};

on_both!(
    pr_01_keycloak_by_configuration_alone,
    pr_01_gitlab_by_configuration_alone,
    r_36_pr_01_google_up_hd,
    pr_01_google_is_authoritative_for_its_own_mailboxes_alone,
    r_36_r_24_pr_01_entra_up_tenant,
    pr_01_entra_word_about_an_address,
    pr_01_github,
    pr_01_github_errors_come_with_status_200,
    pr_01_r_22_r_26_r_27_r_30_no_kind_takes_a_token_that_is_wrong,
    cb_09_pr_01_a_client_may_authenticate_in_the_form,
    up_01_kinds_with_pkce_off_or_a_nonce_that_is_optional,
);

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";

async fn pr_01_keycloak_by_configuration_alone(test_app: TestApp) {
    let realm = |up: &Upstream| json!({"kind": "keycloak", "issuer": format!("{}/realms/ballet", up.url())});
    let stage = Stage::with(&test_app, realm).await;
    stage
        .up
        .call_itself(&format!("{}/realms/ballet", stage.up.url()));
    stage.up.sends_iss();
    stage.up.tell(Lie::callback(|pairs| {
        pairs.push(("session_state".to_owned(), "x.y".to_owned()))
    }));
    stage.signs_in("with iss and session_state").await;
    assert_eq!(
        stage.up.requests(Place::Discovery)[0].path,
        "/realms/ballet/.well-known/openid-configuration"
    );
    // A realm advertises iss even if the client has it off.
    stage.up.tell(Lie::parameter("iss", ""));
    stage.signs_in("without iss").await;
    stage
        .up
        .tell(Lie::parameter("iss", "https://evil.example/realms/ballet"));
    stage
        .refused("another realm's", 400, "up_iss_mismatch")
        .await;

    let stage = Stage::with(&test_app, realm).await;
    stage
        .start_refused("the issuer without its realm", 503, "up_discovery_issuer")
        .await;
}

async fn pr_01_gitlab_by_configuration_alone(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"kind": "gitlab"})).await;
    stage.signs_in("an instance of one's own").await;
    stage.up.tell(Lie::claim("aud", json!("another")));
    stage.refused("another client's token", 502, "up_aud").await;
}

async fn r_36_pr_01_google_up_hd(test_app: TestApp) {
    let school = || json!({"kind": "google", "trust": null, "hosted_domains": ["school.example"]});
    for (why, hd) in [
        ("absent", Value::Null),
        ("another", json!("evil.example")),
        ("a list", json!(["school.example"])),
    ] {
        let stage = Stage::new(&test_app, school()).await;
        stage.up.tell(Lie::claim("hd", hd.clone()));
        stage.refused(why, 403, "up_hd").await;
    }
    let stage = Stage::new(&test_app, school()).await;
    stage.up.tell(Lie::claim("hd", json!("school.example")));
    stage.signs_in("of the school").await;
    // Google sends iss without saying so.
    let issuer = stage.up.issuer();
    stage.up.tell(Lie::callback(move |pairs| {
        pairs.push(("iss".to_owned(), issuer.clone()))
    }));
    stage.signs_in("with iss").await;
}

async fn pr_01_google_is_authoritative_for_its_own_mailboxes_alone(test_app: TestApp) {
    let users = count(&test_app, "users").await;
    let stage = Stage::new(&test_app, json!({"kind": "google", "trust": null})).await;
    let (browser, page) = stage.walk().await;
    assert!(
        !browser.is_signed_in() && page.has("form#sign-in"),
        "a foreign address: {}",
        page.summary()
    );
    let gmail = format!("{}@gmail.com", stage.id);
    stage.up.tell(Lie::Claims(Box::new(move |claims| {
        claims["email"] = json!(gmail)
    })));
    stage.signs_in("gmail.com").await;
    let stage = Stage::new(&test_app, json!({"kind": "google", "trust": null})).await;
    stage.up.tell(Lie::claim("hd", json!("upstream.test")));
    stage.signs_in("a Workspace domain").await;
    assert_eq!(count(&test_app, "users").await, users + 2);
    // What Google has not verified it is not authoritative for.
    let stage = Stage::new(&test_app, json!({"kind": "google", "trust": null})).await;
    stage.up.tell(Lie::claim("hd", json!("upstream.test")));
    stage.up.tell(Lie::claim("email_verified", json!(false)));
    let (browser, _) = stage.walk().await;
    assert!(!browser.is_signed_in());
}

/// A provider for people of many directories, whose tokens are of one.
async fn entra(test_app: &TestApp, more: Value) -> Stage<'_> {
    let stage = Stage::with(test_app, |up| {
        let mut settings = json!({
            "kind": "entra", "tenant": "common", "issuer": format!("{}/{{tenantid}}/v2.0", up.url()),
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    })
    .await;
    let base = stage.up.url();
    stage.up.call_itself(&format!("{base}/{{tenantid}}/v2.0"));
    stage
        .up
        .person(json!({"sub": stage.id, "email": stage.email, "xms_edov": true, "tid": TENANT, "iss": format!("{base}/{TENANT}/v2.0")}));
    // Usually: no at_hash, and keys without alg, with an issuer of their own.
    stage.up.tell(Lie::claim("at_hash", Value::Null));
    stage.up.tell(Lie::json(Place::Jwks, move |jwks| {
        for key in jwks["keys"].as_array_mut().unwrap() {
            key.as_object_mut().unwrap().remove("alg");
            key["issuer"] = format!("{base}/{{tenantid}}/v2.0").into();
        }
    }));
    stage
}

async fn r_36_r_24_pr_01_entra_up_tenant(test_app: TestApp) {
    let stage = entra(&test_app, json!({})).await;
    stage.signs_in("of any directory").await;
    assert_eq!(
        stage.up.requests(Place::Discovery)[0].path,
        "/common/v2.0/.well-known/openid-configuration"
    );

    let refused = async |why: &'static str,
                         lie: fn(&mut Value, String),
                         status: u16,
                         code: &str,
                         more: Value| {
        let stage = entra(&test_app, more).await;
        let base = stage.up.url();
        stage.up.tell(Lie::Claims(Box::new(move |claims| {
            lie(claims, base.clone())
        })));
        let (mut browser, login, back) = stage.gone().await;
        let answer = stage
            .judge(&mut browser, &login, &back, (why, status, code))
            .await;
        assert!(!at_client(&answer));
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
    let stage = entra(&test_app, json!({"tenants": [TENANT]})).await;
    stage.signs_in("of the list").await;

    // A key that says it is another directory's.
    let stage = entra(&test_app, json!({})).await;
    let base = stage.up.url();
    stage.up.tell(Lie::json(Place::Jwks, move |jwks| {
        for key in jwks["keys"].as_array_mut().unwrap() {
            key["issuer"] = format!("{base}/{OTHER}/v2.0").into();
        }
    }));
    stage
        .refused("another directory's key", 502, "up_key_unknown")
        .await;
}

async fn pr_01_entra_word_about_an_address(test_app: TestApp) {
    // `email` is not for authorization: a mail is asked for, whatever xms_edov says.
    for edov in [json!(true), json!(1), json!("1"), json!(false), Value::Null] {
        let stage = entra(&test_app, json!({"trust": null})).await;
        stage.up.tell(Lie::Claims(Box::new(move |claims| {
            claims["xms_edov"] = edov.clone()
        })));
        let (browser, page) = stage.walk().await;
        assert!(
            !browser.is_signed_in() && page.has("form#sign-in"),
            "{}",
            page.summary()
        );
    }
}

async fn pr_01_github(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"kind": "github", "trust": null})).await;
    let (browser, page) = stage.walk().await;
    assert!(
        !browser.is_signed_in(),
        "an Enterprise Server is trusted with nothing"
    );
    assert_eq!(
        page.attribute("form#sign-in input[name=email]", "value"),
        Some(stage.email.clone()),
        "{}",
        page.summary()
    );
    assert_eq!(stage.up.complaints(), Vec::<String>::new());
    let asked = &stage.up.requests(Place::Token)[0];
    assert!(
        asked
            .header("accept")
            .is_some_and(|accept| accept.contains("application/json"))
    );
    assert!(
        stage.up.requests(Place::Userinfo)[0]
            .header("user-agent")
            .is_some_and(|agent| !agent.is_empty())
    );

    // What github.com has: its word is asserted, so the first time a mail proves the address. The login may be given to
    // somebody else; the number may not.
    let trusted = json!({"kind": "github", "trust": "asserted"});
    let stage = Stage::new(&test_app, trusted.clone()).await;
    let (mut browser, page) = stage.walk().await;
    assert!(!browser.is_signed_in(), "before the mail");
    let done = sign_in_from(&mut browser, &page, &stage.email).await;
    assert!(
        browser.is_signed_in() && at_client(&done),
        "{}",
        done.summary()
    );
    stage.signs_in("the second time").await;
    stage
        .up
        .tell(Lie::member(Place::Userinfo, "login", json!("renamed")));
    stage.signs_in("renamed").await;
    let users = count(&test_app, "users").await;
    assert_eq!(count(&test_app, "user_identities").await, users);
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
        let stage = Stage::new(&test_app, trusted.clone()).await;
        stage
            .up
            .tell(Lie::json(Place::Emails, move |list| *list = emails.clone()));
        let (browser, page) = stage.walk().await;
        let shown = page.attribute("form#sign-in input[name=email]", "value");
        assert!(
            !browser.is_signed_in() && shown.unwrap_or_default().is_empty(),
            "{why}: {}",
            page.summary()
        );
    }
    let stage = Stage::new(&test_app, trusted).await;
    stage
        .up
        .tell(Lie::member(Place::Userinfo, "id", json!("ann")));
    let page = stage
        .refused("a subject that is no number", 502, "up_sub")
        .await;
    assert!(!at_client(&page));
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
        let stage = Stage::new(&test_app, settings.clone()).await;
        stage
            .up
            .tell(Lie::reply(Place::Token, Reply::json(200, &body)));
        stage.refused(why, status, "up_token_http").await;
    }
    let stage = Stage::new(&test_app, settings).await;
    stage.up.tell(Lie::reply(
        Place::Token,
        Reply::new(200, "application/x-www-form-urlencoded", "access_token=x"),
    ));
    stage.refused("not JSON", 502, "up_token_http").await;
}

/// A kind presets what its provider needs, and none of it makes a check go away.
async fn pr_01_r_22_r_26_r_27_r_30_no_kind_takes_a_token_that_is_wrong(test_app: TestApp) {
    for kind in ["google", "entra", "gitlab", "keycloak"] {
        let settings =
            || json!({"kind": kind, "tenant": if kind == "entra" { TENANT } else { "" }});
        for (code, lie) in [
            ("up_alg", Lie::Sign(Sign::None)),
            ("up_signature", Lie::Sign(Sign::Stranger)),
            (
                "up_iss_claim",
                Lie::claim("iss", json!("https://accounts.google.com/")),
            ),
            ("up_aud", Lie::claim("aud", json!("another client"))),
            ("up_nonce", Lie::claim("nonce", Value::Null)),
            ("up_expired", Lie::claim("exp", json!(1))),
        ] {
            refuse(
                &test_app,
                code,
                vec![Row::new(kind, 502, vec![lie]).with(settings())],
            )
            .await;
        }
    }
}

async fn cb_09_pr_01_a_client_may_authenticate_in_the_form(test_app: TestApp) {
    for auth in ["basic", "post"] {
        let stage = Stage::new(&test_app, json!({"auth": auth})).await;
        stage.signs_in(auth).await;
        let request = &stage.up.requests(Place::Token)[0];
        assert_eq!(request.header("authorization").is_some(), auth == "basic");
        assert_eq!(request.one("client_secret").is_some(), auth == "post");
    }
}

/// ST-21: what real providers need is a setting of that provider.
async fn up_01_kinds_with_pkce_off_or_a_nonce_that_is_optional(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"nonce_optional": true})).await;
    stage.up.tell(Lie::claim("nonce", Value::Null));
    stage.signs_in("IT-06: the exception, with PKCE on").await;
    stage.up.honest();
    stage.up.tell(Lie::claim("nonce", json!("A".repeat(43))));
    stage
        .refused(
            "one that is there is compared all the same",
            502,
            "up_nonce",
        )
        .await;

    let off = || json!({"pkce": false, "pkce_off_reason": "it refuses what it does not know"});
    let stage = Stage::new(&test_app, off()).await;
    stage.up.knows_no_pkce();
    stage.signs_in("UP-06: with PKCE switched off").await;
    assert!(
        !stage.up.requests(Place::Authorize)[0]
            .query
            .contains("code_challenge")
    );
    assert_eq!(
        stage.up.requests(Place::Token)[0].one("code_verifier"),
        None
    );
    let mut optional = off();
    optional["nonce_optional"] = json!(true);
    let stage = Stage::new(&test_app, optional).await;
    stage.up.knows_no_pkce();
    stage.up.tell(Lie::claim("nonce", Value::Null));
    stage
        .refused(
            "IT-06: then the nonce alone binds the code",
            502,
            "up_nonce",
        )
        .await;

    let stage = Stage::new(&test_app, json!({"string_booleans": true})).await;
    stage.up.tell(Lie::claim("email_verified", json!("true")));
    stage
        .signs_in("where the provider is set to write them as text")
        .await;
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::claim("email_verified", json!("true")));
    stage
        .refused("ST-01: only by setting", 502, "up_claims_malformed")
        .await;

    let stage = Stage::new(&test_app, json!({"require_kid": true})).await;
    stage.up.tell(Lie::header("kid", Value::Null));
    stage
        .refused("no kid where it is required", 502, "up_key_unknown")
        .await;
}
