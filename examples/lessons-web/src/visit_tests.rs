//! A visit from its first token to its end: refreshing, proving again, leaving.

use super::*;

#[tokio::test]
async fn a_token_is_refreshed_before_it_is_over_and_no_refresh_token_is_used_twice() {
    let mut walk = Walk::signed_in().await;
    assert!(walk.sees_lessons().await);
    assert_eq!(
        walk.provider.generation.load(SEQ),
        1,
        "good for another ten minutes"
    );
    let session = walk
        .app
        .sessions
        .get(walk.cookies.last().unwrap().split_once('=').unwrap().1)
        .unwrap();
    walk.provider.expires_in.store(30, SEQ);
    session.renewed(&walk.app, "at-1").await.unwrap();
    // Twenty tabs at once, each with a token that is as good as over.
    let tabs: Vec<_> = (0..20)
        .map(|_| {
            let (app, session) = (Arc::clone(&walk.app), session.clone());
            tokio::spawn(async move { session.access_token(&app).await.map(drop).is_ok() })
        })
        .collect();
    for tab in tabs {
        assert!(tab.await.unwrap());
    }
    assert!(!walk.provider.ended.load(SEQ), "one was used twice");
    assert_eq!(walk.provider.generation.load(SEQ), 22);
}

#[tokio::test]
async fn a_refresh_whose_id_token_is_bad_loses_no_refresh_token() {
    let mut walk = Walk::signed_in().await;
    walk.provider.least.store(2, SEQ);
    walk.provider.kid.store(2, SEQ);
    assert_eq!(
        walk.get("/").await.0,
        StatusCode::SERVICE_UNAVAILABLE,
        "who signed that?"
    );
    walk.provider.kid.store(1, SEQ);
    assert!(
        walk.sees_lessons().await,
        "the next one asks with the token that came along"
    );
    assert!(!walk.provider.ended.load(SEQ));
}

#[tokio::test]
async fn a_grant_that_ended_elsewhere_ends_the_visit_here() {
    let mut walk = Walk::new().await;
    walk.provider.expires_in.store(30, SEQ);
    let (code, state) = walk.begin().await;
    walk.finish(&code, &state).await;
    walk.provider.ended.store(true, SEQ);
    assert!(walk.get("/").await.2.contains(page::OVER));
    walk.provider.ended.store(false, SEQ);
    assert!(
        walk.get("/").await.2.contains(page::OVER),
        "and it does not come back"
    );
}

#[tokio::test]
async fn while_the_provider_is_away_the_token_that_we_have_does_until_it_is_over() {
    let mut walk = Walk::new().await;
    walk.provider.expires_in.store(30, SEQ);
    let (code, state) = walk.begin().await;
    walk.finish(&code, &state).await;
    walk.provider.away.store(true, SEQ);
    assert!(walk.sees_lessons().await);
    walk.provider.away.store(false, SEQ);
    walk.provider.expires_in.store(0, SEQ);
    assert!(walk.sees_lessons().await);
    walk.provider.away.store(true, SEQ);
    assert_eq!(walk.get("/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    walk.provider.away.store(false, SEQ);
    assert!(walk.sees_lessons().await, "the visit outlives that");
}

#[tokio::test]
async fn a_token_that_the_api_refuses_is_replaced_once() {
    let mut walk = Walk::signed_in().await;
    walk.provider.least.store(2, SEQ);
    assert!(walk.sees_lessons().await);
    walk.provider.least.store(usize::MAX, SEQ);
    assert!(walk.get("/").await.2.contains(page::OVER));
    assert_eq!(walk.provider.generation.load(SEQ), 3, "once a request");
}

#[tokio::test]
async fn rfc_9470_4_the_api_asks_for_a_recent_sign_in_and_gets_one() {
    let mut walk = Walk::signed_in().await;
    let before = walk.cookies.clone();
    walk.provider.coach.store(true, SEQ);
    walk.provider.stale.store(true, SEQ);
    let (code, state, asked) = walk.asked("/register").await;
    assert_eq!(asked["max_age"], "300");
    assert!(asked["id_token_hint"].starts_with("ey"));
    walk.provider.auth_time.store(lessons_api::now(), SEQ);
    walk.provider.stale.store(false, SEQ);
    let path = format!(
        "/callback?code={code}&state={state}&iss={}",
        walk.app.issuer.url()
    );
    let (status, location, _) = walk.get(&path).await;
    assert_eq!(
        (status, location.as_str()),
        (StatusCode::SEE_OTHER, "/register")
    );
    assert!(walk.get("/register").await.2.contains("Marie"));
    walk.cookies = before;
    assert!(
        walk.get("/").await.2.contains(page::OVER),
        "the visit has another name since"
    );
}

#[tokio::test]
async fn oidc_core_3_1_3_7_an_old_proof_or_another_person_is_no_step_up() {
    for other in [false, true] {
        let mut walk = Walk::signed_in().await;
        walk.provider.coach.store(true, SEQ);
        walk.provider.stale.store(true, SEQ);
        let (code, state, _) = walk.asked("/register").await;
        if other {
            *walk.provider.sub.lock().unwrap() = "another";
        } else {
            walk.provider.auth_time.store(lessons_api::now() - 400, SEQ);
        }
        assert_eq!(walk.finish(&code, &state).await, StatusCode::BAD_REQUEST);
        assert!(walk.sees_lessons().await, "who was here is still here");
    }
}

#[tokio::test]
async fn who_is_no_coach_is_told_so_and_may_ask_again() {
    let mut walk = Walk::signed_in().await;
    let (status, _, page) = walk.get("/register").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(page.contains("id=\"not-for-you\""));
    walk.provider.coach.store(true, SEQ);
    assert_eq!(walk.post("/register/again").await.1, "/register");
    assert_eq!(
        walk.provider.generation.load(SEQ),
        2,
        "with a token that was made since"
    );
    assert!(walk.get("/register").await.2.contains("Marie"));
}

#[tokio::test]
async fn signing_out_everywhere_leads_through_the_provider_with_a_hint() {
    let mut walk = Walk::signed_in().await;
    let (status, location, _) = walk.post("/logout/everywhere").await;
    let url = Url::parse(&location).unwrap();
    let asked: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!((status, url.path()), (StatusCode::SEE_OTHER, "/end"));
    assert_eq!(
        asked["post_logout_redirect_uri"],
        "http://web.test/signed-out"
    );
    assert!(asked["id_token_hint"].starts_with("ey") && asked["client_id"] == "lessons-web");
    assert!(walk.get("/").await.2.contains("id=\"sign-in\""));
    assert!(walk.get("/signed-out").await.2.contains("id=\"notice\""));
    assert_eq!(
        walk.post("/logout/everywhere").await.1,
        "/",
        "no one is signed in"
    );
}

#[tokio::test]
async fn a_get_does_not_sign_out_and_forms_lead_to_us_and_the_provider_alone() {
    let mut walk = Walk::signed_in().await;
    for path in ["/logout", "/logout/everywhere", "/register/again"] {
        assert_eq!(
            walk.get(path).await.0,
            StatusCode::METHOD_NOT_ALLOWED,
            "{path}"
        );
    }
    assert!(walk.sees_lessons().await);
    let request = Request::builder()
        .uri("/".parse().unwrap())
        .header("host", "web.test")
        .finish();
    let answer = routes(Arc::clone(&walk.app)).get_response(request).await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains(&format!("form-action 'self' {};", walk.app.issuer.url())),
        "{policy}"
    );
}

/// A logout token of the provider, with some claims of another value.
fn logout_token(walk: &Walk, changes: &[(&str, serde_json::Value)]) -> String {
    let now = lessons_api::now();
    let mut claims = json!({
        "iss": walk.app.issuer.url(), "aud": "lessons-web", "iat": now, "exp": now + 120,
        "jti": store::secret(), "sub": "me", "sid": "the-session",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    let header = Header::empty()
        .with_key_id("one")
        .with_token_type("logout+jwt");
    Es256.token(&header, &Claims::new(claims), &key()).unwrap()
}

/// Posts a form as Entree does, without a cookie.
async fn post_logout(walk: &Walk, kind: &str, form: &[(&str, &str)]) -> StatusCode {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = Request::builder()
        .method(poem::http::Method::POST)
        .uri("/backchannel-logout".parse().unwrap())
        .header("host", "web.test")
        .header("content-type", kind)
        .body(body);
    let answer = routes(Arc::clone(&walk.app)).get_response(request).await;
    let cached: Vec<_> = answer.headers().get_all("cache-control").iter().collect();
    assert_eq!(cached, ["no-store"]);
    assert!(answer.header("set-cookie").is_none());
    answer.status()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn lo_11_a_logout_token_ends_the_visits_of_its_session_once() {
    let mut walk = Walk::signed_in().await;
    let other = logout_token(&walk, &[("sid", json!("another"))]);
    assert_eq!(
        post_logout(&walk, FORM, &[("logout_token", &other)]).await,
        StatusCode::OK,
        "there is none here"
    );
    let stranger = logout_token(&walk, &[("sub", json!("another"))]);
    assert_eq!(
        post_logout(&walk, FORM, &[("logout_token", &stranger)]).await,
        StatusCode::OK
    );
    assert!(walk.sees_lessons().await);
    let logout = logout_token(&walk, &[]);
    assert_eq!(
        post_logout(&walk, FORM, &[("logout_token", &logout)]).await,
        StatusCode::OK
    );
    assert!(!walk.sees_lessons().await);
    assert_eq!(
        post_logout(&walk, FORM, &[("logout_token", &logout)]).await,
        StatusCode::BAD_REQUEST,
        "its jti counts once"
    );
    // The user signs in again, and the old token ends nothing.
    let (code, state) = walk.begin().await;
    walk.finish(&code, &state).await;
    post_logout(&walk, FORM, &[("logout_token", &logout)]).await;
    assert!(walk.sees_lessons().await);
}

#[tokio::test]
async fn lo_11_a_request_that_is_no_logout_request_is_400_and_ends_nothing() {
    let mut walk = Walk::signed_in().await;
    let logout = logout_token(&walk, &[]);
    let nonce = logout_token(&walk, &[("nonce", json!("n"))]);
    let id = walk.cookies.last().unwrap().split_once('=').unwrap().1;
    let id_token = walk.app.sessions.get(id).unwrap().id_token().await;
    let long = "x".repeat(20_000);
    for (kind, form) in [
        (FORM, vec![]),
        (FORM, vec![("token", logout.as_str())]),
        (
            FORM,
            vec![
                ("logout_token", logout.as_str()),
                ("logout_token", logout.as_str()),
            ],
        ),
        (FORM, vec![("logout_token", "x")]),
        (FORM, vec![("logout_token", long.as_str())]),
        (FORM, vec![("logout_token", nonce.as_str())]),
        (FORM, vec![("logout_token", id_token.as_str())]),
        ("text/plain", vec![("logout_token", logout.as_str())]),
    ] {
        let status = post_logout(&walk, kind, &form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{kind} {form:?}");
    }
    assert!(walk.sees_lessons().await);
    assert_eq!(
        walk.get("/backchannel-logout").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}
