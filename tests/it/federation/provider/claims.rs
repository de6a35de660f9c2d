//! The claims of an ID token, and the subject of userinfo.

use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use testkit::upstream::{CLIENT_ID, Fault, Place};

use crate::{
    federation::{ProviderFixture, RefusalCase, assert_refused},
    test_app::TestApp,
};

on_both!(
    r_26_it_03_pr_02_up_iss_claim,
    r_27_it_03_up_aud_up_azp,
    r_28_it_05_up_expired,
    r_29_it_05_up_iat_up_nbf,
    r_30_it_06_up_nonce,
    r_31_it_07_up_at_hash,
    r_32_it_08_up_sub,
    r_34_it_11_up_userinfo_sub,
    r_35_it_10_up_claims_malformed,
    it_05_a_small_clock_difference_is_accepted,
    it_11_the_id_token_wins_over_userinfo,
    amr_of_a_provider_is_plain_words_and_no_name_of_ours,
);

/// Returns the case of a claim with another value.
fn claim(why: &'static str, name: &'static str, value: Value) -> RefusalCase {
    RefusalCase::new(why, 502, vec![Fault::claim(name, value)])
}

/// Returns the case of a claim that is null and not absent.
fn null(name: &'static str) -> RefusalCase {
    RefusalCase::new(
        "null",
        502,
        vec![Fault::claims(move |claims| claims[name] = Value::Null)],
    )
}

/// Returns the case of a time that is this many seconds from now.
fn moved(why: &'static str, name: &'static str, seconds: i64) -> RefusalCase {
    let change =
        move |claims: &mut Value| claims[name] = (claims["iat"].as_i64().unwrap() + seconds).into();
    RefusalCase::new(why, 502, vec![Fault::claims(change)])
}

async fn r_26_it_03_pr_02_up_iss_claim(test_app: TestApp) {
    let changed = |why, change: fn(&str) -> Value| {
        let fault =
            Fault::claims(move |claims| claims["iss"] = change(claims["iss"].as_str().unwrap()));
        RefusalCase::new(why, 502, vec![fault])
    };
    assert_refused(
        &test_app,
        "up_iss_claim",
        vec![
            claim("missing", "iss", Value::Null),
            changed("a slash more", |iss| json!(format!("{iss}/"))),
            changed("another case", |iss| json!(iss.replace("http", "HTTP"))),
            changed("an array", |iss| json!([iss])),
            changed("without its scheme", |iss| {
                json!(iss.trim_start_matches("http://"))
            }),
            claim("another's", "iss", json!("https://accounts.google.com")),
        ],
    )
    .await;
}

async fn r_27_it_03_up_aud_up_azp(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_aud",
        vec![
            claim("missing", "aud", Value::Null),
            null("aud"),
            claim("another's", "aud", json!("another client")),
            claim(
                "ours and another's",
                "aud",
                json!([CLIENT_ID, "another client"]),
            ),
            claim("empty", "aud", json!([])),
            claim("in another case", "aud", json!(CLIENT_ID.to_uppercase())),
        ],
    )
    .await;
    assert_refused(
        &test_app,
        "up_azp",
        vec![
            claim("another's", "azp", json!("another client")),
            claim("a number", "azp", json!(7)),
        ],
    )
    .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::claim("aud", json!([CLIENT_ID])));
    fixture.up.inject(Fault::claim("azp", json!(CLIENT_ID)));
    fixture.assert_signs_in("an array of one, and azp").await;
}

async fn r_28_it_05_up_expired(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_expired",
        vec![
            moved("a minute ago", "exp", -60),
            moved("an hour ago", "exp", -3600),
            claim("missing", "exp", Value::Null),
            claim("text", "exp", json!("4102444800")),
            claim("1e30", "exp", json!(1e30)),
            claim("negative", "exp", json!(-1)),
        ],
    )
    .await;
}

async fn r_29_it_05_up_iat_up_nbf(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_iat",
        vec![
            moved("too young", "iat", 63),
            moved("too old", "iat", -603),
            claim("missing", "iat", Value::Null),
            claim("text", "iat", json!("now")),
        ],
    )
    .await;
    assert_refused(
        &test_app,
        "up_nbf",
        vec![
            moved("not yet", "nbf", 63),
            claim("text", "nbf", json!("soon")),
        ],
    )
    .await;
}

async fn it_05_a_small_clock_difference_is_accepted(test_app: TestApp) {
    for (name, seconds) in [("exp", -50), ("iat", 55), ("iat", -590), ("nbf", 55)] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let change = move |claims: &mut Value| {
            let now = claims["iat"].as_i64().unwrap();
            claims["iat"] = (now - 300).into();
            claims[name] = (now + seconds).into();
        };
        fixture.up.inject(Fault::claims(change));
        fixture.assert_signs_in(name).await;
    }
}

async fn r_30_it_06_up_nonce(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_nonce",
        vec![
            claim("missing", "nonce", Value::Null),
            null("nonce"),
            claim("empty", "nonce", json!("")),
            claim("another", "nonce", json!("A".repeat(43))),
        ],
    )
    .await;
    // RFC 9700 §4.5: the token of another flow is injected.
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut other, page) = fixture.open_sign_in().await;
    let page = fixture.press_button(&mut other, &page).await;
    fixture.up.visit(&page).await;
    let nonce = fixture.up.requests(Place::Authorize)[0]
        .one("nonce")
        .unwrap();
    fixture.up.inject(Fault::Claims(Box::new(move |claims| {
        claims["nonce"] = json!(nonce)
    })));
    fixture
        .assert_sign_in_refused("another flow's", 502, "up_nonce")
        .await;
}

async fn r_31_it_07_up_at_hash(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_at_hash",
        vec![
            claim(
                "another token's",
                "at_hash",
                json!("77QmUPtjPfzWtF2AnpK9RQ"),
            ),
            claim("empty", "at_hash", json!("")),
            claim("a number", "at_hash", json!(1)),
        ],
    )
    .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::claim("at_hash", Value::Null));
    fixture.assert_signs_in("it is optional with a code").await;
}

async fn r_32_it_08_up_sub(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_sub",
        vec![
            claim("missing", "sub", Value::Null),
            claim("empty", "sub", json!("")),
            claim("256 letters", "sub", json!("x".repeat(256))),
            claim("a control", "sub", json!("a\u{7}b")),
            claim("not ASCII", "sub", json!("ann\u{e9}")),
            claim("a number", "sub", json!(42)),
        ],
    )
    .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let longest = fixture.id.repeat(255).chars().take(255).collect::<String>();
    fixture.up.inject(Fault::Claims(Box::new(move |claims| {
        claims["sub"] = json!(longest)
    })));
    fixture.assert_signs_in("255 letters").await;
}

async fn r_34_it_11_up_userinfo_sub(test_app: TestApp) {
    let asks = || json!({"userinfo": "always"});
    assert_refused(
        &test_app,
        "up_userinfo_sub",
        vec![
            RefusalCase::new(
                "differs",
                502,
                vec![Fault::member(Place::Userinfo, "sub", json!("mallory"))],
            )
            .with(asks()),
            RefusalCase::new(
                "missing",
                502,
                vec![Fault::member(Place::Userinfo, "sub", Value::Null)],
            )
            .with(asks()),
        ],
    )
    .await;
    let fixture = ProviderFixture::new(&test_app, asks()).await;
    fixture.assert_signs_in("the same subject").await;
    assert!(fixture.up.count(Place::Userinfo) > 0);
}

async fn it_11_the_id_token_wins_over_userinfo(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"userinfo": "always"})).await;
    fixture.up.inject(Fault::member(
        Place::Userinfo,
        "email",
        json!("mallory@upstream.test"),
    ));
    let mut browser = fixture
        .assert_signs_in("with another address in userinfo")
        .await;
    let account = browser.account().await.expect("the account");
    assert!(
        account.contains(&fixture.email) && !account.contains("mallory"),
        "{account}"
    );
}

async fn r_35_it_10_up_claims_malformed(test_app: TestApp) {
    assert_refused(
        &test_app,
        "up_claims_malformed",
        vec![
            claim("locale as an object", "locale", json!({"en": true})),
            claim("updated_at as text", "updated_at", json!("yesterday")),
            claim("a name that is a number", "name", json!(7)),
            claim(
                "an address that is a list",
                "email",
                json!(["ann@upstream.test"]),
            ),
            claim("email_verified as a number", "email_verified", json!(2)),
        ],
    )
    .await;
}

/// ST-16: `amr` as the provider states it, but never a word of ours or one that reads like it.
async fn amr_of_a_provider_is_plain_words_and_no_name_of_ours(test_app: TestApp) {
    let long = "x".repeat(33);
    let amr = json!([
        "urn:entree:acr:email",
        "pwd",
        "a b",
        "",
        "MFA",
        "face.id",
        "hwk:user",
        long,
        "é",
        "mfa_2-x"
    ]);
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::claim("amr", amr));
    fixture.assert_signs_in("with all sorts of words").await;
    let session = entity::session::Entity::find()
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (session.acr.as_str(), session.amr.as_str()),
        ("urn:entree:acr:upstream", "pwd mfa_2-x")
    );
}
