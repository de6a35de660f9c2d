//! How many codes and grants one session or user can make (OA-8).

use entity::{audit_event, grant_family};
use poem::http::StatusCode;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use crate::{
    log,
    oauth::{Attempt, error_of, parameter, register, signed_in, token},
    test_app::TestApp,
};

on_both!(
    oa_08_a_session_gets_60_codes_a_minute,
    oa_08_a_user_has_at_most_50_live_grants_with_a_client,
    oa_08_st_17_what_strangers_send_writes_no_audit_row,
);

async fn live_grants(test_app: &TestApp) -> u64 {
    grant_family::Entity::find()
        .filter(grant_family::Column::RevokedAt.is_null())
        .count(test_app.app.db.read())
        .await
        .unwrap()
}

async fn oa_08_a_session_gets_60_codes_a_minute(test_app: TestApp) {
    register(&test_app);
    let mut browser = signed_in(&test_app, "many@example.com").await;
    for _ in 0..60 {
        Attempt::new().code(&mut browser).await;
    }
    let refused = browser.open(&Attempt::new().path()).await;
    assert_eq!(
        (
            parameter(&refused, "error").as_deref(),
            parameter(&refused, "state").as_deref()
        ),
        (Some("temporarily_unavailable"), Some("the state")),
        "{}",
        refused.summary()
    );
    let mut other = signed_in(&test_app, "other@example.com").await;
    Attempt::new().code(&mut other).await;
}

async fn oa_08_a_user_has_at_most_50_live_grants_with_a_client(test_app: TestApp) {
    register(&test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.scopes.push("offline_access".to_owned());
        }
    });
    let mut browser = signed_in(&test_app, "ada@example.com").await;
    let refreshable = Attempt::new().with("scope", "openid offline_access");
    let first = refreshable.tokens(&mut browser).await;
    let second = refreshable.tokens(&mut browser).await;
    let other = Attempt::new().with("client_id", "other");
    other.tokens(&mut browser).await;
    test_app.pass(1);
    let refresh = async |tokens: &serde_json::Value| {
        let fields = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", "web".to_owned()),
            (
                "refresh_token",
                tokens["refresh_token"].as_str().unwrap().to_owned(),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        token(&test_app, &fields.into()).await
    };
    assert_eq!(refresh(&second).await.status, StatusCode::OK);
    for _ in 0..49 {
        test_app.pass(1);
        Attempt::new().tokens(&mut browser).await;
    }
    assert_eq!(
        live_grants(&test_app).await,
        51,
        "50 with web, one with the other client"
    );
    let ended = refresh(&first).await;
    assert_eq!(error_of(&ended), "invalid_grant", "unused for longest");
    test_app.pass(100);
    Attempt::new().tokens(&mut browser).await;
    assert_eq!(live_grants(&test_app).await, 51);
}

async fn oa_08_st_17_what_strangers_send_writes_no_audit_row(test_app: TestApp) {
    register(&test_app);
    let before = audit_event::Entity::find()
        .count(test_app.app.db.read())
        .await
        .unwrap();
    let state = "A".repeat(43);
    let mut stranger = test_app.browser();
    stranger.open("/login").await;
    let redirect = Attempt::new().with("redirect_uri", "https://evil.example/");
    for path in [
        format!("/upstream/nowhere/callback?state={state}&code=x"),
        "/upstream/nowhere/callback".to_owned(),
        format!("/upstream/nowhere/callback/resume?h={state}"),
        format!("/login/identity?link={state}"),
        format!("/login?link={state}"),
        format!("/login?txn={state}"),
        format!("/login/link/{state}"),
        "/login/sent?flow=00000000-0000-0000-0000-000000000000".to_owned(),
        "/oauth2/logout?id_token_hint=x".to_owned(),
        redirect.path(),
    ] {
        for _ in 0..3 {
            let page = stranger.open(&path).await;
            let reference = page.header("x-request-id").unwrap();
            if page.body.contains(reference) {
                assert!(
                    !log::reasons(reference).is_empty(),
                    "{path}: no reason in the log"
                );
            }
        }
    }
    let code = Attempt::new().exchange(&state);
    for _ in 0..3 {
        assert_eq!(error_of(&token(&test_app, &code).await), "invalid_grant");
    }
    let after = audit_event::Entity::find().count(test_app.app.db.read());
    assert_eq!(after.await.unwrap(), before);
}
