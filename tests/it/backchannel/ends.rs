//! Each way in which a session ends, and the ends of which no client is notified.

use testkit::logout::LogoutReceiver;

use super::{deliver, one_for, register_notified, signed_in_at_web, waiting};
use crate::{
    federation::linking::{link_account_to, provider, step_up_by_provider},
    oauth::{Attempt, get, token, verified},
    test_app::{Browser, TestApp},
};

on_both!(
    lo_5_a_user_signs_out_here,
    lo_5_a_user_signs_out_everywhere,
    lo_5_a_user_ends_another_session,
    lo_5_a_client_asks_for_the_sign_out,
    lo_5_another_person_signs_in_in_the_browser,
    lo_5_an_operator_ends_a_session_or_disables_the_user,
    lo_5_an_owner_reclaims_the_account,
    lo_5_a_provider_is_disconnected,
    lo_5_a_user_has_too_many_sessions,
    lo_6_neither_the_idle_nor_the_absolute_end_is_reported,
    lo_2_the_metadata_and_the_token_agree,
    lo_12_a_logout_token_opens_nothing,
);

const EMAIL: &str = "ada@example.com";

/// Submits a form of the account page.
async fn from_account(browser: &mut Browser<'_>, selector: &str) {
    let account = browser.open("/account").await;
    let form = account.forms(selector).into_iter().next().expect("a form");
    let request = browser.filled(&account, &form, &[]);
    let done = browser.send(request).await;
    assert!(done.status.is_redirection(), "{}", done.summary());
}

async fn lo_5_a_user_signs_out_here(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (mut browser, id_token, _) = signed_in_at_web(&test_app, EMAIL).await;
    deliver(&test_app).await;
    assert!(receiver.received().is_empty(), "the session lives");
    from_account(&mut browser, "form#sign-out").await;
    assert!(receiver.received().is_empty(), "the browser did not wait");
    deliver(&test_app).await;
    let one = one_for(&receiver.take(), &id_token);
    assert_eq!((one.path.as_str(), one.fields.len()), ("web", 1));
    deliver(&test_app).await;
    assert!(receiver.received().is_empty(), "once");
    assert_eq!(waiting(&test_app).await, 0);
}

async fn lo_5_a_user_signs_out_everywhere(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (mut browser, first, _) = signed_in_at_web(&test_app, EMAIL).await;
    let (_, second, _) = signed_in_at_web(&test_app, EMAIL).await;
    let (_, stranger, _) = signed_in_at_web(&test_app, "eve@example.com").await;
    from_account(&mut browser, "form#sign-out-everywhere").await;
    deliver(&test_app).await;
    let mut sids: Vec<_> = receiver.take().iter().map(|one| one.sid()).collect();
    sids.sort();
    let mut ended = vec![first["sid"].clone(), second["sid"].clone()];
    ended.sort_by_key(ToString::to_string);
    assert_eq!(sids, ended);
    assert!(!sids.iter().any(|sid| *sid == stranger["sid"]));
}

async fn lo_5_a_user_ends_another_session(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (_, other, _) = signed_in_at_web(&test_app, EMAIL).await;
    let (mut browser, _, _) = signed_in_at_web(&test_app, EMAIL).await;
    from_account(&mut browser, "form.end-session").await;
    deliver(&test_app).await;
    one_for(&receiver.take(), &other);
}

async fn lo_5_a_client_asks_for_the_sign_out(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    test_app.configure(|config| {
        config.clients[0].post_logout_redirect_uris = vec!["https://app.example/bye".to_owned()];
    });
    let (mut browser, claims, id_token) = signed_in_at_web(&test_app, EMAIL).await;
    // A second client of the same session is notified as well.
    let other = Attempt::new().with("client_id", "es");
    let tokens = other.tokens(&mut browser).await;
    let of_es = verified(&test_app, &tokens["id_token"]).await;
    let bye = "post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye&state=s";
    let done = browser
        .open(&format!("/oauth2/logout?{bye}&id_token_hint={id_token}"))
        .await;
    let to = done.location().unwrap();
    assert_eq!(to.as_str(), "https://app.example/bye?state=s");
    deliver(&test_app).await;
    let (web, es): (Vec<_>, Vec<_>) = receiver
        .take()
        .into_iter()
        .partition(|one| one.path == "web");
    one_for(&web, &claims);
    let of_client = one_for(&es, &of_es.claims);
    let token = serde_json::Value::from(of_client.token);
    assert_eq!(verified(&test_app, &token).await.header["alg"], "ES256");
    let none = Attempt::new().with("prompt", "none");
    let refused = browser.open(&none.path()).await;
    let error = crate::oauth::parameter(&refused, "error");
    assert_eq!(error.as_deref(), Some("login_required"));
}

async fn lo_5_another_person_signs_in_in_the_browser(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (mut browser, first, _) = signed_in_at_web(&test_app, EMAIL).await;
    // The same person again is no end.
    browser.sign_in(EMAIL).await;
    deliver(&test_app).await;
    assert!(receiver.received().is_empty());
    browser.sign_in("eve@example.com").await;
    deliver(&test_app).await;
    one_for(&receiver.take(), &first);
}

async fn lo_5_an_operator_ends_a_session_or_disables_the_user(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (_, revoked, _) = signed_in_at_web(&test_app, EMAIL).await;
    let (_, disabled, _) = signed_in_at_web(&test_app, EMAIL).await;
    let sid = revoked["sid"].as_str().unwrap();
    // The program has the clock of this machine, which the service shares.
    test_app.entree(&format!("sessions revoke {sid} --yes"));
    deliver(&test_app).await;
    one_for(&receiver.take(), &revoked);
    test_app.entree(&format!("users disable {EMAIL} --yes"));
    deliver(&test_app).await;
    one_for(&receiver.take(), &disabled);
}

async fn lo_5_an_owner_reclaims_the_account(test_app: TestApp) {
    use sea_orm::ConnectionTrait as _;

    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (_, intruder, _) = signed_in_at_web(&test_app, EMAIL).await;
    let tx = test_app.tx().await;
    tx.conn()
        .execute_unprepared("UPDATE user_emails SET verified_at = NULL, verified_by = 'import'")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut owner = test_app.browser();
    owner.sign_in(EMAIL).await;
    deliver(&test_app).await;
    one_for(&receiver.take(), &intruder);
    assert!(owner.account().await.is_some());
}

async fn lo_5_a_provider_is_disconnected(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let email = "ann@example.test";
    test_app.configure(|config| config.providers.push(provider("office")));
    let (mut owner, _, _) = signed_in_at_web(&test_app, email).await;
    let link = link_account_to(&test_app, email, "ann").await;
    let (mut there, id_token, _) = signed_in_at_web(&test_app, email).await;
    step_up_by_provider(&test_app, &mut there, link).await;
    from_account(&mut owner, "form.disconnect").await;
    deliver(&test_app).await;
    one_for(&receiver.take(), &id_token);
    assert!(owner.account().await.is_some());
}

async fn lo_5_a_user_has_too_many_sessions(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    test_app.configure(|config| config.session.max_per_user = 1);
    let (_, first, _) = signed_in_at_web(&test_app, EMAIL).await;
    signed_in_at_web(&test_app, EMAIL).await;
    deliver(&test_app).await;
    one_for(&receiver.take(), &first);
}

async fn lo_6_neither_the_idle_nor_the_absolute_end_is_reported(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (mut idle, _, _) = signed_in_at_web(&test_app, EMAIL).await;
    test_app.pass(86_401);
    assert!(idle.account().await.is_none(), "it was idle for too long");
    deliver(&test_app).await;
    // The same browser signs in again, and another one reaches the absolute end.
    let mut again = idle.clone();
    again.sign_in(EMAIL).await;
    test_app.configure(|config| config.session.absolute_seconds = 600);
    let (mut absolute, _, _) = signed_in_at_web(&test_app, "eve@example.com").await;
    test_app.pass(601);
    assert!(absolute.account().await.is_none());
    deliver(&test_app).await;
    assert!(receiver.received().is_empty(), "no user acted");
    assert_eq!(waiting(&test_app).await, 0);
}

async fn lo_2_the_metadata_and_the_token_agree(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let document = get(&test_app, "/.well-known/openid-configuration")
        .await
        .body;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["backchannel_logout_supported"], true);
    assert_eq!(document["backchannel_logout_session_supported"], true);
    let (mut browser, id_token, _) = signed_in_at_web(&test_app, EMAIL).await;
    from_account(&mut browser, "form#sign-out").await;
    deliver(&test_app).await;
    let one = one_for(&receiver.take(), &id_token);
    let token = verified(&test_app, &serde_json::Value::from(one.token)).await;
    assert_eq!(token.header["typ"], "logout+jwt");
    assert_eq!(
        token.header["alg"], "RS256",
        "as the ID tokens of the client"
    );
    let claims = token.claims;
    let span = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(span, 120);
    assert!(claims.get("nonce").is_none());
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(claims["events"], serde_json::json!({ event: {} }));
}

async fn lo_12_a_logout_token_opens_nothing(test_app: TestApp) {
    let receiver = LogoutReceiver::start().await;
    register_notified(&test_app, &receiver);
    let (mut browser, ..) = signed_in_at_web(&test_app, EMAIL).await;
    let (mut other, ..) = signed_in_at_web(&test_app, EMAIL).await;
    from_account(&mut browser, "form#sign-out").await;
    deliver(&test_app).await;
    let stolen = receiver.take().pop().unwrap().token;
    let bearer = poem::Request::builder()
        .uri_str("/oauth2/userinfo")
        .header("host", "id.test")
        .header("authorization", format!("Bearer {stolen}"));
    assert_eq!(test_app.call(bearer.finish()).await.status, 401);
    let hint = other
        .open(&format!("/oauth2/logout?id_token_hint={stolen}"))
        .await;
    assert_eq!(hint.status, 400, "{}", hint.summary());
    let asked = Attempt::new().with("id_token_hint", &stolen);
    let answer = other.open(&asked.path()).await;
    assert!(
        crate::oauth::parameter(&answer, "code").is_none(),
        "{}",
        answer.summary()
    );
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "web"),
        ("client_assertion_type", kind),
        ("client_assertion", &stolen),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let refused = token(&test_app, &fields.into()).await;
    assert!(refused.status.is_client_error(), "{}", refused.body);
    assert!(other.account().await.is_some(), "nothing ended");
}
