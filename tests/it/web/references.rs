//! OD-4: each reference that an error page shows leads to its reason, in the log or in the audit
//! log.

use entity::audit_event;
use poem::{
    Request,
    http::{Method, header},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use testkit::page::Page;

use crate::{
    log,
    oauth::{Attempt, get, register, signed_in},
    test_app::TestApp,
};

on_both!(
    od_04_each_reference_of_an_error_page_leads_to_its_reason,
    od_14_the_reason_of_a_locked_user_is_in_the_audit_log,
    od_04_errors_for_client_software_lead_to_their_reason,
    oc_12_each_503_has_its_cause_in_the_log,
    oa_19_a_page_shows_a_reference_only_if_the_log_has_its_line,
);

/// Checks that the page shows a reference and returns the reason that the log gives for it.
fn reason_of(page: &Page) -> String {
    let reference = page.header("x-request-id").expect("a reference").to_owned();
    assert!(
        page.body.contains(&reference),
        "the page shows no reference: {}",
        page.summary()
    );
    let reasons = log::reasons(&reference);
    assert!(!reasons.is_empty(), "no reason: {}", page.summary());
    reasons.join(" ")
}

async fn od_04_each_reference_of_an_error_page_leads_to_its_reason(test_app: TestApp) {
    register(&test_app);
    let mut browser = test_app.browser();
    browser.open("/login").await;
    let unknown = "A".repeat(43);
    let flow = "flow=00000000-0000-0000-0000-000000000000";
    for (path, expected) in [
        (
            Attempt::new().with("client_id", "unknown").path(),
            "client_unknown",
        ),
        (Attempt::new().without("client_id").path(), "client_unknown"),
        (
            Attempt::new()
                .with("redirect_uri", "https://evil.example/")
                .path(),
            "redirect_uri_not_registered",
        ),
        (format!("/login?txn={unknown}"), "sign_in_unknown_or_over"),
        (
            format!("/login?txn={}", "A".repeat(50)),
            "invalid_parameter",
        ),
        (format!("/login?link={unknown}"), "lk_browser"),
        (format!("/login/sent?{flow}"), "sign_in_unknown_or_over"),
        (format!("/login/continue?{flow}"), "sign_in_unknown_or_over"),
        (format!("/consent?txn={unknown}"), "sign_in_unknown_or_over"),
        ("/nowhere".to_owned(), "not_found"),
        (
            format!("/upstream/nowhere/callback?state={unknown}&code=x"),
            "up_provider_disabled",
        ),
    ] {
        let page = browser.open(&path).await;
        assert!(page.status.as_u16() >= 400, "{path}: {}", page.summary());
        assert_eq!(reason_of(&page), expected, "{path}");
    }
    let form = |path: &str| {
        let form = Request::builder().method(Method::POST).uri_str(path);
        form.header(header::HOST, "id.test")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    };
    let own = |path: &str| form(path).header(header::ORIGIN, "https://id.test");
    for (request, expected) in [
        (
            own("/login/email").body("email=a%40example.com"),
            "cookie_missing",
        ),
        (
            form("/login/email").body("email=a%40example.com"),
            "form_not_ours",
        ),
        (own("/login/email").body("x".repeat(70_000)), "too_large"),
        (
            Request::builder()
                .method(Method::POST)
                .uri_str("/login/email")
                .header(header::HOST, "id.test")
                .header(header::ORIGIN, "https://id.test")
                .header(header::CONTENT_TYPE, "text/plain")
                .body("x"),
            "wrong_content_type",
        ),
        (form("/account").body(""), "method_not_allowed"),
        (
            Request::builder()
                .uri_str("/login")
                .header(header::HOST, "evil.example")
                .finish(),
            "other_host",
        ),
        (Request::builder().uri_str("/login").finish(), "malformed"),
        (
            Request::builder()
                .uri_str("/login")
                .header(header::HOST, "id.test")
                .header(
                    header::COOKIE,
                    format!(
                        "__Host-Http-pre={}; __Host-Http-pre=B{}",
                        "A".repeat(43),
                        "A".repeat(42)
                    ),
                )
                .finish(),
            "cookie_repeated",
        ),
    ] {
        let what = format!("{:?}", request.uri());
        let page = test_app.call(request).await;
        assert!(page.status.as_u16() >= 400, "{what}: {}", page.summary());
        assert_eq!(reason_of(&page), expected, "{what}");
    }
    let mut user = signed_in(&test_app, "ada@example.com").await;
    let page = user
        .send(user.posted("/account/sign-out").body("form_token=x"))
        .await;
    assert_eq!(reason_of(&page), "form_not_ours");
}

async fn od_04_errors_for_client_software_lead_to_their_reason(test_app: TestApp) {
    register(&test_app);
    let reason = |answer: &Page| {
        let reference = answer.header("x-request-id").expect("a reference");
        log::reasons(reference).join(" ")
    };
    // An error that is redirected to the client.
    let answer = get(&test_app, &Attempt::new().without("code_challenge").path()).await;
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.summary());
    assert_eq!(reason(&answer), "invalid_request");

    let token = |form: &str| {
        let form = form.to_owned();
        Request::builder()
            .method(Method::POST)
            .uri_str("/oauth2/token")
            .header(header::HOST, "id.test")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
    };
    for (form, expected) in [
        (
            "client_id=unknown&grant_type=authorization_code",
            "unknown_client",
        ),
        ("grant_type=authorization_code", "invalid_request"),
    ] {
        let answer = test_app.call(token(form)).await;
        assert_eq!(reason(&answer), expected, "{form}");
    }

    let request = Request::builder()
        .method(Method::POST)
        .uri_str("/api/v1/auth/magic-link/consume")
        .header(header::HOST, "id.test")
        .header(header::CONTENT_TYPE, "application/json")
        .body("{}");
    let answer = test_app.call(request).await;
    assert!(answer.status.as_u16() >= 400, "{}", answer.summary());
    let reference = answer.header("x-request-id").expect("a reference");
    let problem: serde_json::Value = serde_json::from_str(&answer.body).expect("a problem");
    assert_eq!(problem["reference"], reference, "{problem}");
}

async fn oa_19_a_page_shows_a_reference_only_if_the_log_has_its_line(test_app: TestApp) {
    register(&test_app);
    let mut user = signed_in(&test_app, "ada@example.com").await;
    let mut stranger = test_app.browser();
    let path = format!("/login?txn={}", "A".repeat(43));
    let mut shown = 0;
    for _ in 0..40 {
        let page = stranger.open(&path).await;
        let reference = page.header("x-request-id").expect("an id");
        let is_shown = page.body.contains(reference);
        assert_eq!(is_shown, !log::reasons(reference).is_empty());
        shown += usize::from(is_shown);
    }
    assert_eq!(shown, 30, "of one network in a minute");
    // The neighbour who is signed in, and another network.
    user.from.clone_from(&stranger.from);
    for browser in [&mut user, &mut test_app.browser()] {
        reason_of(&browser.open(&path).await);
    }
}

async fn od_14_the_reason_of_a_locked_user_is_in_the_audit_log(test_app: TestApp) {
    let mut browser = signed_in(&test_app, "locked@example.com").await;
    let user = entity::user::Entity::find()
        .one(test_app.app.db.read())
        .await
        .unwrap()
        .unwrap();
    let tx = test_app.tx().await;
    entree::user::set_state(&tx, user.id, entree::user::UserState::Disabled)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    browser.cookies.clear();
    browser.ask("locked@example.com").await;
    test_app.send_due_emails().await;
    let refused = audit_event::Entity::find()
        .filter(audit_event::Column::UserId.eq(user.id))
        .filter(audit_event::Column::Reason.eq("user_disabled"))
        .all(test_app.app.db.read())
        .await
        .unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].kind, "magic_link.refused");
    assert!(refused[0].flow_id.is_some() && refused[0].address_key.is_some());
}

async fn oc_12_each_503_has_its_cause_in_the_log(test_app: TestApp) {
    register(&test_app);
    let mut user = signed_in(&test_app, "ada@example.com").await;
    test_app.app.db.close().await;
    let page = user.open("/account").await;
    assert_eq!(page.status.as_u16(), 503, "{}", page.summary());
    assert_eq!(reason_of(&page), "unavailable");
    let code = Attempt::new().exchange(&"A".repeat(43));
    for answer in [
        crate::oauth::token(&test_app, &code).await,
        get(&test_app, "/oauth2/userinfo").await,
        get(&test_app, "/api/v1/me").await,
        user.open(&Attempt::new().path()).await,
    ] {
        if answer.status.as_u16() == 503 {
            let reference = answer.header("x-request-id").unwrap();
            let reasons = log::reasons(reference);
            assert!(
                !reasons.is_empty() && !reasons.contains(&"unnamed".to_owned()),
                "{}: {reasons:?}",
                answer.summary()
            );
        }
    }
}
