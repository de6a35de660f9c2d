//! Sizes of an authorization request (ST-15), and how the error of a refused one travels.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::http::StatusCode;
use testkit::page::Page;

use crate::{
    oauth::{
        Attempt, CALLBACK, leads_to_client, parameter, register, sign_in_from, signed_in, token,
        verified,
    },
    test_app::{Browser, TestApp, encoded},
};

on_both!(
    oc_1_st_15_a_state_and_a_nonce_of_4096_bytes_come_back_through_a_whole_sign_in,
    oc_1_a_state_that_is_too_long_is_refused_and_comes_back,
);

/// As many bytes, of characters that a query and a form encode.
fn long(bytes: usize) -> String {
    "a+b/c=&?{\"é\"}<"
        .chars()
        .cycle()
        .scan(0, |sum, character| {
            *sum += character.len_utf8();
            (*sum <= bytes).then_some(character)
        })
        .collect::<String>()
        + "-"
}

/// Sends the request as another site does by a form, and opens where that leads.
async fn post(browser: &mut Browser<'_>, attempt: &Attempt) -> Page {
    let request = browser
        .posted("/oauth2/authorize")
        .header("sec-fetch-site", "cross-site")
        .body(encoded(&attempt.parameters));
    let stored = browser.send(request).await;
    assert_eq!(stored.status, StatusCode::SEE_OTHER, "{}", stored.summary());
    browser.follow(&stored).await
}

async fn oc_1_st_15_a_state_and_a_nonce_of_4096_bytes_come_back_through_a_whole_sign_in(
    test_app: TestApp,
) {
    register(&test_app);
    test_app.configure(|config| {
        for client in &mut config.clients {
            client.post_logout_redirect_uris = vec!["https://app.example/bye".to_owned()];
        }
    });
    let (state, nonce) = (long(4095), "n".repeat(4096));
    assert_eq!(state.len(), 4096);
    for (state, nonce, is_post) in [
        (state.as_str(), "short", true),
        ("short", nonce.as_str(), false),
        (&nonce, &nonce[..3700], false),
    ] {
        let mut browser = test_app.browser();
        let attempt = Attempt::new().with("state", state).with("nonce", nonce);
        let asked = match is_post {
            true => post(&mut browser, &attempt).await,
            false => browser.open(&attempt.path()).await,
        };
        let login = browser.follow(&asked).await;
        let back = sign_in_from(&mut browser, &login, "long@example.com").await;
        assert!(leads_to_client(&back), "{}", back.summary());
        assert_eq!(parameter(&back, "state").as_deref(), Some(state));
        let code = parameter(&back, "code").unwrap();
        let tokens = token(&test_app, &attempt.exchange(&code)).await;
        let tokens: serde_json::Value = serde_json::from_str(&tokens.body).unwrap();
        let claims = verified(&test_app, &tokens["id_token"]).await.claims;
        assert_eq!(claims["nonce"], nonce);
        // The token that the nonce made long is still a hint.
        let hint = tokens["id_token"].as_str().unwrap();
        let silent = Attempt::new()
            .with("prompt", "none")
            .with("id_token_hint", hint);
        assert!(parameter(&browser.open(&silent.path()).await, "code").is_some());
        let bye = "https://app.example/bye";
        let state = &state[..state.floor_char_boundary(4000)];
        let asked = [
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", bye),
            ("state", state),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let gone = browser
            .open(&format!("/oauth2/logout?{}", encoded(&asked)))
            .await;
        let to = gone
            .location()
            .unwrap_or_else(|| panic!("{}", gone.summary()));
        assert!(to.as_str().starts_with(bye), "{to}");
        assert_eq!(parameter(&gone, "state").as_deref(), Some(state));
    }
}

async fn oc_1_a_state_that_is_too_long_is_refused_and_comes_back(test_app: TestApp) {
    register(&test_app);
    let state = "s".repeat(4097);
    for mode in ["query", "form_post"] {
        let attempt = Attempt::new()
            .with("state", &state)
            .with("response_mode", mode);
        let mut browser = test_app.browser();
        for page in [
            browser.open(&attempt.path()).await,
            post(&mut browser, &attempt).await,
        ] {
            assert_eq!(returned(&page, "state").as_deref(), Some(&*state));
            assert_eq!(returned(&page, "error").as_deref(), Some("invalid_request"));
            let description = returned(&page, "error_description").unwrap();
            assert_eq!(description, "The parameter state is too long.");
        }
    }
    // Each other refusal that the client gets, before and after the user has seen a page.
    let most = &state[1..];
    let asked = Attempt::new().with("state", most);
    let mut browser = test_app.browser();
    let silent = browser
        .open(&asked.clone().with("prompt", "none").path())
        .await;
    assert_eq!(
        returned(&silent, "error").as_deref(),
        Some("login_required")
    );
    assert_eq!(returned(&silent, "state").as_deref(), Some(most));
    let login = browser.open(&asked.path()).await;
    let login = browser.follow(&login).await;
    let canceled = browser.submit(&login, "cancel", &[]).await;
    let to = canceled
        .refresh()
        .unwrap_or_else(|| panic!("{}", canceled.summary()));
    let state = to.query_pairs().find(|(name, _)| name == "state");
    assert_eq!(state.unwrap().1, most);
}

/// A field of an error that goes to the client, in a redirect or in a form.
fn returned(page: &Page, name: &str) -> Option<String> {
    if page.location().is_some() {
        assert!(leads_to_client(page), "{}", page.summary());
        return parameter(page, name);
    }
    assert_eq!(page.attribute("form", "action").as_deref(), Some(CALLBACK));
    page.attribute(&format!("form input[name={name}]"), "value")
}

/// The module of the official Form Post plan: a request object that is refused says in which form
/// its error travels.
#[tokio::test]
async fn oc_10_the_error_of_a_refused_request_object_goes_where_it_says() {
    let test_app = TestApp::embedded().await;
    register(&test_app);
    let mut browser = signed_in(&test_app, "oc10@example.com").await;
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let members = r#"{"state":"inside","response_mode":"form_post","nonce":"n"}"#;
    let object = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(members));
    let asked = Attempt::new().without("state").with("request", &object);
    let page = browser.open(&asked.path()).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.summary());
    assert_eq!(returned(&page, "state").as_deref(), Some("inside"));
    let error = returned(&page, "error");
    assert_eq!(error.as_deref(), Some("request_not_supported"));
    assert_eq!(returned(&page, "code"), None);
    let query = asked
        .with("response_mode", "query")
        .with("state", "outside");
    let page = browser.open(&query.path()).await;
    assert_eq!(returned(&page, "state").as_deref(), Some("outside"));
    let uri = Attempt::new().with("request_uri", "https://app.example/object");
    let page = browser.open(&uri.path()).await;
    let error = returned(&page, "error");
    assert_eq!(error.as_deref(), Some("request_uri_not_supported"));
    assert_eq!(returned(&page, "state").as_deref(), Some("the state"));
}
