//! The callback before any request to the provider: method, parameters, state, browser, issuer
//!
#![allow(
    clippy::too_many_lines,
    reason = "a table of cases reads best in one piece"
)]

use poem::http::Method;
use serde_json::json;
use testkit::{
    page::Page,
    upstream::{Fault, Place},
};

use crate::{
    federation::{ProviderFixture, Snapshot, leads_to_client, post_callback, send_with_method},
    oauth::{Attempt, settle},
    test_app::{Browser, TestApp},
};

on_both!(
    r_07_cb_01_up_method,
    r_08_cb_02_up_param_duplicate,
    r_46_up_param_too_long,
    r_09_cb_02_up_state_malformed,
    r_10_cb_05_up_state_unknown,
    r_11_cb_04_up_state_used,
    r_12_cb_05_up_provider_mismatch,
    r_13_cb_05_up_browser_mismatch,
    r_14_cb_06_up_iss_missing_up_iss_mismatch,
    r_15_mix_up_an_honest_code_never_reaches_the_attacker,
    r_16_cb_07_up_code_missing,
    cb_03_a_response_by_form_post_finds_its_browser_again,
    oa_3_a_neighbour_stops_no_known_device_at_a_provider,
    cb_03_posted_responses_take_little_room,
    up_05_the_button_is_a_form_of_our_own_pages_only,
    up_02_up_04_up_06_up_07_the_request_to_the_provider,
    up_07_the_provider_receives_a_typed_address_and_no_hint_of_a_client,
);

/// Requires that a refusal before the check of the state has not spent the flow.
async fn assert_flow_continues(
    fixture: &ProviderFixture<'_>,
    browser: &mut Browser<'_>,
    path: &str,
    why: &str,
) {
    let response = browser.open(path).await;
    let done = settle(browser, response).await;
    assert!(
        browser.is_signed_in() && leads_to_client(&done),
        "{why}: the state was spent: {}",
        done.summary()
    );
    assert_eq!(fixture.up.count(Place::Token), 1, "{why}");
}

async fn r_07_cb_01_up_method(test_app: TestApp) {
    for method in [Method::HEAD, Method::POST] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let (mut browser, _, back) = fixture.go_to_provider().await;
        let before = Snapshot::load(&test_app).await;
        let response = if method == Method::POST {
            post_callback(&mut browser, &back).await
        } else {
            send_with_method(&mut browser, method.clone(), &back.path()).await
        };
        fixture
            .assert_refusal(&before, &response, (method.as_str(), 405, "up_method"))
            .await;
        assert_flow_continues(&fixture, &mut browser, &back.path(), method.as_str()).await;
    }
    for method in [Method::GET, Method::HEAD] {
        let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
        let (mut browser, _, back) = fixture.go_to_provider().await;
        let before = Snapshot::load(&test_app).await;
        let response = send_with_method(&mut browser, method.clone(), &back.path()).await;
        fixture
            .assert_refusal(
                &before,
                &response,
                ("where a form is posted", 405, "up_method"),
            )
            .await;
        assert_eq!(fixture.up.count(Place::Token), 0, "{method}");
    }
}

async fn r_08_cb_02_up_param_duplicate(test_app: TestApp) {
    for name in ["state", "code", "iss", "error"] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let (mut browser, _, back) = fixture.go_to_provider().await;
        let before = Snapshot::load(&test_app).await;
        let value = back.get(name).unwrap_or("x").to_owned();
        let twice = format!("{}&{name}={value}&{name}={value}", back.path());
        let response = browser.open(&twice).await;
        fixture
            .assert_refusal(&before, &response, (name, 400, "up_param_duplicate"))
            .await;
        assert_flow_continues(&fixture, &mut browser, &back.path(), name).await;
    }
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    assert_flow_continues(
        &fixture,
        &mut browser,
        &format!("{}&word=a&word=b", back.path()),
        "CB-02",
    )
    .await;
}

async fn r_09_cb_02_up_state_malformed(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let state = back.get("state").unwrap().to_owned();
    let path = back.to.path();
    for (why, query) in [
        ("none", "code=x".to_owned()),
        ("empty", "code=x&state=".to_owned()),
        ("42", format!("code=x&state={}", &state[1..])),
        ("44", format!("code=x&state={state}A")),
        ("%00", format!("code=x&state={}%00", &state[1..])),
        ("a plus", format!("code=x&state={}%2B", &state[1..])),
        ("a blank", format!("code=x&state={}+", &state[1..])),
    ] {
        let before = Snapshot::load(&test_app).await;
        let response = browser.open(&format!("{path}?{query}")).await;
        fixture
            .assert_refusal(&before, &response, (why, 400, "up_state_malformed"))
            .await;
    }
    // The query may have 8 KiB and not a byte more.
    for (length, works) in [(8193, false), (8192, true)] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let (mut browser, _, back) = fixture.go_to_provider().await;
        let path = format!("{}&more=", back.path());
        let query = path.len() - path.find('?').unwrap() - 1;
        let path = format!("{path}{}", "a".repeat(length - query));
        if works {
            assert_flow_continues(&fixture, &mut browser, &path, "8 KiB").await;
        } else {
            let before = Snapshot::load(&test_app).await;
            let response = browser.open(&path).await;
            fixture
                .assert_refusal(
                    &before,
                    &response,
                    ("over 8 KiB", 400, "up_state_malformed"),
                )
                .await;
        }
    }
    assert_flow_continues(&fixture, &mut browser, &back.path(), "after all refusals").await;
}

async fn r_10_cb_05_up_state_unknown(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let before = Snapshot::load(&test_app).await;
    let other = back.clone().with("state", &"A".repeat(43));
    let response = browser.open(&other.path()).await;
    fixture
        .assert_refusal(&before, &response, ("random", 400, "up_state_unknown"))
        .await;

    test_app.pass(601);
    let before = Snapshot::load(&test_app).await;
    let response = browser.open(&back.path()).await;
    fixture
        .assert_refusal(&before, &response, ("601 s old", 400, "up_state_unknown"))
        .await;
    assert_eq!(fixture.up.count(Place::Token), 0);
}

async fn r_11_cb_04_up_state_used(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let mut thief = browser.clone();
    let first = browser.open(&back.path()).await;
    assert!(browser.is_signed_in(), "{}", first.summary());
    let before = Snapshot::load(&test_app).await;
    let response = thief.open(&back.path()).await;
    fixture
        .assert_refusal(&before, &response, ("the second use", 400, "up_state_used"))
        .await;
    assert!(!thief.is_signed_in());
    assert_eq!(fixture.up.count(Place::Token), 1);
}

async fn r_12_cb_05_up_provider_mismatch(test_app: TestApp) {
    let (fixture, other) = (
        ProviderFixture::new(&test_app, json!({})).await,
        ProviderFixture::new(&test_app, json!({})).await,
    );
    let (mut browser, login, mut back) = fixture.go_to_provider().await;
    back.to
        .set_path(&format!("/upstream/{}/callback", other.id));
    fixture
        .assert_callback_refused(
            &mut browser,
            &login,
            &back,
            ("A's state on B", 400, "up_provider_mismatch"),
        )
        .await;
    assert_eq!(
        fixture.up.count(Place::Token) + other.up.count(Place::Token),
        0
    );
}

async fn r_13_cb_05_up_browser_mismatch(test_app: TestApp) {
    for foreign in [false, true] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let (mut browser, login, back) = fixture.go_to_provider().await;
        let own = browser.cookies.clone();
        if foreign {
            browser.cookies = fixture.open_sign_in().await.0.cookies;
        } else {
            browser.cookies.clear();
        }
        let before = Snapshot::load(&test_app).await;
        let response = browser.open(&back.path()).await;
        fixture
            .assert_refusal(
                &before,
                &response,
                ("another browser", 400, "up_browser_mismatch"),
            )
            .await;
        browser.cookies = own;
        // CB-04: the flow is spent for the right browser, too.
        let before = Snapshot::load(&test_app).await;
        let response = browser.open(&back.path()).await;
        fixture
            .assert_refusal(
                &before,
                &response,
                ("then the right one", 400, "up_state_used"),
            )
            .await;
        assert_eq!(fixture.up.count(Place::Token), 0);
        assert!(
            browser
                .open(&login.url[url::Position::BeforePath..])
                .await
                .has("form#sign-in")
        );
    }
}

async fn r_14_cb_06_up_iss_missing_up_iss_mismatch(test_app: TestApp) {
    for (why, advertised, change, code) in [
        ("absent", true, "", "up_iss_missing"),
        ("another's", true, "https://evil.example", "up_iss_mismatch"),
        (
            "another's, unasked",
            false,
            "https://evil.example",
            "up_iss_mismatch",
        ),
        ("a slash", true, "/", "up_iss_mismatch"),
    ] {
        for error in [false, true] {
            let fixture = ProviderFixture::new(&test_app, json!({})).await;
            if advertised {
                fixture.up.sends_iss();
            }
            if error {
                fixture.up.inject(Fault::error("access_denied"));
            }
            let issuer = fixture.up.issuer();
            fixture.up.inject(Fault::callback(move |pairs| {
                pairs.retain(|(name, _)| name != "iss");
                match change {
                    "" => {}
                    "/" => pairs.push(("iss".to_owned(), format!("{issuer}/"))),
                    other => pairs.push(("iss".to_owned(), other.to_owned())),
                }
            }));
            fixture.assert_sign_in_refused(why, 400, code).await;
            assert_eq!(fixture.up.count(Place::Token), 0, "{why}");
        }
    }
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.sends_iss();
    fixture.assert_signs_in("with the right one").await;
    let fixture = ProviderFixture::new(&test_app, json!({"iss_param": "optional"})).await;
    fixture.up.sends_iss();
    fixture.up.inject(Fault::parameter("iss", ""));
    fixture
        .assert_signs_in("absent, where it is optional")
        .await;
    let fixture = ProviderFixture::new(&test_app, json!({"iss_param": "required"})).await;
    fixture
        .assert_sign_in_refused("absent, where it is required", 400, "up_iss_missing")
        .await;
}

async fn r_15_mix_up_an_honest_code_never_reaches_the_attacker(test_app: TestApp) {
    let honest = ProviderFixture::new(&test_app, json!({})).await;
    let attacker = ProviderFixture::new(&test_app, json!({})).await;
    // The user chooses the attacker's provider, which sends the browser on to the honest one.
    let (mut browser, login, at_attacker) = attacker.go_to_provider().await;
    let (_, _, at_honest) = honest.go_to_provider().await;
    let state = at_attacker.get("state").unwrap();
    // The honest provider responds to its own callback, with the attacker's state …
    let back = at_honest.clone().with("state", state);
    honest
        .assert_callback_refused(
            &mut browser,
            &login,
            &back,
            ("at its own callback", 400, "up_provider_mismatch"),
        )
        .await;
    // … or, if it is tricked, to the attacker's callback, with its own issuer.
    let (mut browser, login, at_attacker) = attacker.go_to_provider().await;
    let code = at_honest.get("code").unwrap();
    let back = at_attacker
        .with("code", code)
        .with("iss", &honest.up.issuer());
    attacker
        .assert_callback_refused(
            &mut browser,
            &login,
            &back,
            ("at the attacker's", 400, "up_iss_mismatch"),
        )
        .await;
    assert_eq!(
        attacker.up.count(Place::Token),
        0,
        "BCP §4.4: the code reached the attacker"
    );
}

async fn r_46_up_param_too_long(test_app: TestApp) {
    for (name, most) in [("code", 4096), ("iss", 2048), ("error", 256)] {
        let fixture = ProviderFixture::new(&test_app, json!({})).await;
        let (mut browser, _, back) = fixture.go_to_provider().await;
        let before = Snapshot::load(&test_app).await;
        let state = back.get("state").unwrap_or_default();
        let path = back.path();
        let (path, _) = path.split_once('?').unwrap();
        let long = format!("{path}?state={state}&{name}={}", "x".repeat(most + 1));
        let response = browser.open(&long).await;
        fixture
            .assert_refusal(&before, &response, (name, 400, "up_param_too_long"))
            .await;
        assert_flow_continues(&fixture, &mut browser, &back.path(), name).await;
    }
}

async fn r_16_cb_07_up_code_missing(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture.up.inject(Fault::parameter("code", ""));
    fixture
        .assert_sign_in_refused("neither code nor error", 400, "up_code_missing")
        .await;
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    fixture
        .up
        .inject(Fault::parameter("error", "access_denied"));
    fixture
        .assert_sign_in_refused("both: error wins", 200, "up_denied")
        .await;
    assert_eq!(fixture.up.count(Place::Token), 0);
}

async fn cb_03_a_response_by_form_post_finds_its_browser_again(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let response = post_callback(&mut browser, &back).await;
    assert_eq!(response.status, 303, "{}", response.summary());
    let to = response.location().unwrap();
    assert!(
        !to.as_str().contains(back.get("code").unwrap()),
        "the URL contains the code"
    );
    assert!(
        response.header("set-cookie").is_none(),
        "a posted callback reads and sets no cookie"
    );
    let page = browser.open(&to[url::Position::BeforePath..]).await;
    let page = settle(&mut browser, page).await;
    assert!(
        browser.is_signed_in() && leads_to_client(&page),
        "{}",
        page.summary()
    );
    // The callback works once, and only in this browser.
    let before = Snapshot::load(&test_app).await;
    let again = post_callback(&mut browser, &back).await;
    let again = browser.follow(&again).await;
    fixture
        .assert_refusal(&before, &again, ("posted again", 400, "up_state_used"))
        .await;
    let before = Snapshot::load(&test_app).await;
    let again = browser.open(&to[url::Position::BeforePath..]).await;
    fixture
        .assert_refusal(&before, &again, ("the handle again", 400, "up_state_used"))
        .await;
    let unknown = back.clone().with("state", &"A".repeat(43));
    let before = Snapshot::load(&test_app).await;
    let never = post_callback(&mut browser, &unknown).await;
    fixture
        .assert_refusal(&before, &never, ("never begun", 400, "up_state_unknown"))
        .await;
    let before = Snapshot::load(&test_app).await;
    let never = browser
        .open(&format!("{}?h={}", to.path(), "A".repeat(43)))
        .await;
    fixture
        .assert_refusal(&before, &never, ("no such handle", 400, "up_state_unknown"))
        .await;
    let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let response = post_callback(&mut browser, &back).await;
    let (mut thief, _) = fixture.open_sign_in().await;
    let before = Snapshot::load(&test_app).await;
    let stolen = thief.follow(&response).await;
    fixture
        .assert_refusal(&before, &stolen, ("stolen", 400, "up_browser_mismatch"))
        .await;
    assert!(!thief.is_signed_in());
    // A posted response waits for a minute by the clock of the store, and no test moves that of
    // Redis.
    if !test_app.app.db.is_postgres() {
        let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
        let (mut browser, _, back) = fixture.go_to_provider().await;
        let response = post_callback(&mut browser, &back).await;
        test_app.pass(61);
        let before = Snapshot::load(&test_app).await;
        let late = browser.follow(&response).await;
        fixture
            .assert_refusal(&before, &late, ("61 s old", 400, "up_state_unknown"))
            .await;
        assert_eq!(fixture.up.count(Place::Token), 0);
    }
}

/// OA-3: neither at the button nor on the way back.
async fn oa_3_a_neighbour_stops_no_known_device_at_a_provider(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut known, _, back) = fixture.go_to_provider().await;
    let posted = post_callback(&mut known, &back).await;
    let page = known.follow(&posted).await;
    settle(&mut known, page).await;
    let is_of_device = |name: &str| name.contains("dev");
    known.cookies.retain(|name, _| is_of_device(name));
    assert_eq!(known.cookies.len(), 1, "signed out, on a known device");
    let login = known.open("/login").await;
    let (mut halfway, _, back) = fixture.go_to_provider().await;
    let (mut neighbour, form) = fixture.open_sign_in().await;
    neighbour.from.clone_from(&known.from);
    halfway.from.clone_from(&known.from);
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 3,
            seconds: 600,
        }];
    });
    for _ in 0..3 {
        fixture.press_button(&mut neighbour, &form).await;
    }
    let refused = fixture.press_button(&mut neighbour, &form).await;
    assert_eq!(refused.status, 429);
    let posted = post_callback(&mut halfway, &back).await;
    assert_eq!(posted.status, 303, "halfway: {}", posted.summary());
    let page = halfway.follow(&posted).await;
    settle(&mut halfway, page).await;
    assert!(halfway.is_signed_in());
    let page = fixture.press_button(&mut known, &login).await;
    assert_eq!(page.status, 200, "known device: {}", page.summary());
    let back = fixture.up.visit(&page).await;
    let posted = post_callback(&mut known, &back).await;
    let page = known.follow(&posted).await;
    settle(&mut known, page).await;
    assert!(known.is_signed_in());
}

async fn cb_03_posted_responses_take_little_room(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = fixture.go_to_provider().await;
    let first = post_callback(&mut browser, &back).await;
    for status in [303, 303, 429, 429] {
        // From any browser: the state may have leaked.
        assert_eq!(
            post_callback(&mut test_app.browser(), &back).await.status,
            status
        );
    }
    let page = browser.follow(&first).await;
    let page = settle(&mut browser, page).await;
    assert!(
        browser.is_signed_in() && leads_to_client(&page),
        "{}",
        page.summary()
    );

    // Many states from one network: the starts are counted, and a posted response needs one of them.
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 2,
            seconds: 600,
        }]
    });
    let (mut browser, login, _) = fixture.go_to_provider().await;
    for status in [200, 429] {
        let page = fixture.press_button(&mut browser, &login).await;
        assert_eq!(page.status, status);
    }
}

async fn up_05_the_button_is_a_form_of_our_own_pages_only(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, login) = fixture.open_sign_in().await;
    let path = format!("/login/upstream/{}", fixture.id);
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(
            send_with_method(&mut browser, method, &path).await.status,
            405
        );
    }
    let form = fixture.button(&login).expect("a button");
    for request in [
        browser
            .posted(&path)
            .header("origin", "https://evil.example")
            .body(crate::test_app::encoded(&form.fields)),
        browser
            .posted(&path)
            .header("sec-fetch-site", "cross-site")
            .body(crate::test_app::encoded(&form.fields)),
        browser
            .posted(&path)
            .header("origin", crate::test_app::PUBLIC)
            .body(String::new()),
    ] {
        let response: Page = browser.send(request).await;
        assert_eq!(response.status, 403, "{}", response.summary());
        assert!(response.refresh().is_none() && response.location().is_none());
    }
    assert_eq!(fixture.up.total(), 0, "a forged form causes no request");
}

async fn up_02_up_04_up_06_up_07_the_request_to_the_provider(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let (mut browser, login) = fixture.open_sign_in().await;
    let page = fixture.press_button(&mut browser, &login).await;
    assert_eq!((page.status.as_u16(), page.location()), (200, None));
    let to = page.refresh().expect("a continue page");
    let pairs: Vec<(String, String)> = to.query_pairs().into_owned().collect();
    let one = |name: &str| {
        let mut found = pairs.iter().filter(|(known, _)| known == name);
        let value = found
            .next()
            .unwrap_or_else(|| panic!("no {name}"))
            .1
            .clone();
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    assert_eq!(
        (
            one("response_type").as_str(),
            one("code_challenge_method").as_str()
        ),
        ("code", "S256")
    );
    assert_eq!(
        (
            one("state").len(),
            one("nonce").len(),
            one("code_challenge").len()
        ),
        (43, 43, 43),
        "UP-04"
    );
    assert_eq!(
        one("redirect_uri"),
        format!("https://id.test/upstream/{}/callback", fixture.id),
        "UP-02"
    );
    assert!(
        to.query()
            .unwrap()
            .contains("scope=openid%20profile%20email"),
        "{}",
        to.query().unwrap()
    );
    assert!(
        !pairs.iter().any(|(name, _)| name == "login_hint"),
        "UP-07: no address was typed"
    );
    // Two starts share no value.
    let again = fixture
        .press_button(&mut browser, &login)
        .await
        .refresh()
        .unwrap();
    for name in ["state", "nonce", "code_challenge"] {
        let other = again
            .query_pairs()
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .into_owned();
        assert_ne!(other, one(name), "{name}");
    }
}

/// Returns the `login_hint` that a page sends to the provider.
fn login_hint(page: &Page) -> Option<String> {
    let to = page.refresh().expect("a continue page");
    to.query_pairs()
        .find(|(name, _)| name == "login_hint")
        .map(|(_, value)| value.into_owned())
}

async fn up_07_the_provider_receives_a_typed_address_and_no_hint_of_a_client(test_app: TestApp) {
    let fixture = ProviderFixture::new(&test_app, json!({})).await;
    let mut browser = test_app.browser();
    let asked = browser
        .open(
            &Attempt::new()
                .with("login_hint", "guess@example.test")
                .path(),
        )
        .await;
    let login = settle(&mut browser, asked).await;
    assert_eq!(
        login
            .attribute("form#sign-in input[name=email]", "value")
            .as_deref(),
        Some("guess@example.test")
    );
    let page = fixture.press_button(&mut browser, &login).await;
    assert_eq!(login_hint(&page), None, "a client wrote the hint");
    assert!(
        !fixture
            .button(&login)
            .unwrap()
            .fields
            .iter()
            .any(|(name, _)| name == "email"),
        "the form does not contain it either"
    );
    // An address that was typed here and is invalid: the button on the error page sends it along.
    let typed = "Ann@Example.test, please";
    let wrong = browser.submit(&login, "sign-in", &[("email", typed)]).await;
    assert_eq!(
        wrong
            .attribute("form#sign-in input[name=email]", "value")
            .as_deref(),
        Some(typed),
        "{}",
        wrong.summary()
    );
    let page = fixture.press_button(&mut browser, &wrong).await;
    assert_eq!(login_hint(&page), None, "not an address");
    let form = fixture.button(&wrong).unwrap();
    assert!(
        form.fields
            .contains(&("email".to_owned(), typed.to_owned())),
        "{:?}",
        form.fields
    );
    let request = browser.filled(&wrong, &form, &[("email", "Ann@example.test")]);
    let page = browser.send(request).await;
    assert_eq!(
        login_hint(&page).as_deref(),
        Some("ann@example.test"),
        "an address that was typed in this browser"
    );
}
