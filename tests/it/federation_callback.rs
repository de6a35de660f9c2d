//! The callback before any request goes out: method, parameters, state, browser, issuer.

use poem::http::Method;
use serde_json::json;
use testkit::{
    page::Page,
    upstream::{Lie, Place},
};

use crate::{
    federation::{Kept, Stage, at_client, bring, post_back},
    oauth::{Attempt, settle},
    test_app::{Browser, TestApp},
};

on_both!(
    r_07_cb_01_up_method,
    r_08_cb_02_up_param_duplicate,
    r_09_cb_02_up_state_malformed,
    r_10_cb_05_up_state_unknown,
    r_11_cb_04_up_state_used,
    r_12_cb_05_up_provider_mismatch,
    r_13_cb_05_up_browser_mismatch,
    r_14_cb_06_up_iss_missing_up_iss_mismatch,
    r_15_mix_up_an_honest_code_never_reaches_the_attacker,
    r_16_cb_07_up_code_missing,
    cb_03_an_answer_by_form_post_finds_its_browser_again,
    cb_03_posted_answers_take_little_room,
    up_05_the_button_is_a_form_of_ours_and_nothing_else,
    up_02_up_04_up_06_up_07_the_request_to_the_provider,
    up_07_the_provider_hears_of_a_typed_address_and_of_no_clients_hint,
);

/// Something wrong before the state is looked at: refused, and the flow goes on.
async fn and_then_works(stage: &Stage<'_>, browser: &mut Browser<'_>, path: &str, why: &str) {
    let answer = browser.open(path).await;
    let done = settle(browser, answer).await;
    assert!(
        browser.is_signed_in() && at_client(&done),
        "{why}: the state was spent: {}",
        done.summary()
    );
    assert_eq!(stage.up.count(Place::Token), 1, "{why}");
}

async fn r_07_cb_01_up_method(test_app: TestApp) {
    for method in [Method::HEAD, Method::POST] {
        let stage = Stage::new(&test_app, json!({})).await;
        let (mut browser, _, back) = stage.gone().await;
        let before = Kept::of(&test_app).await;
        let answer = if method == Method::POST {
            post_back(&mut browser, &back).await
        } else {
            bring(&mut browser, method.clone(), &back.path()).await
        };
        stage
            .check(&before, &answer, (method.as_str(), 405, "up_method"))
            .await;
        and_then_works(&stage, &mut browser, &back.path(), method.as_str()).await;
    }
    for method in [Method::GET, Method::HEAD] {
        let stage = Stage::new(&test_app, json!({"response_mode": "form_post"})).await;
        let (mut browser, _, back) = stage.gone().await;
        let before = Kept::of(&test_app).await;
        let answer = bring(&mut browser, method.clone(), &back.path()).await;
        stage
            .check(
                &before,
                &answer,
                ("where a form is posted", 405, "up_method"),
            )
            .await;
        assert_eq!(stage.up.count(Place::Token), 0, "{method}");
    }
}

async fn r_08_cb_02_up_param_duplicate(test_app: TestApp) {
    for name in ["state", "code", "iss", "error"] {
        let stage = Stage::new(&test_app, json!({})).await;
        let (mut browser, _, back) = stage.gone().await;
        let before = Kept::of(&test_app).await;
        let value = back.get(name).unwrap_or("x").to_owned();
        let twice = format!("{}&{name}={value}&{name}={value}", back.path());
        let answer = browser.open(&twice).await;
        stage
            .check(&before, &answer, (name, 400, "up_param_duplicate"))
            .await;
        and_then_works(&stage, &mut browser, &back.path(), name).await;
    }
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    and_then_works(
        &stage,
        &mut browser,
        &format!("{}&word=a&word=b", back.path()),
        "CB-02",
    )
    .await;
}

async fn r_09_cb_02_up_state_malformed(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
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
        let before = Kept::of(&test_app).await;
        let answer = browser.open(&format!("{path}?{query}")).await;
        stage
            .check(&before, &answer, (why, 400, "up_state_malformed"))
            .await;
    }
    // The query is at most 8 KiB, and not a byte longer.
    for (length, works) in [(8193, false), (8192, true)] {
        let stage = Stage::new(&test_app, json!({})).await;
        let (mut browser, _, back) = stage.gone().await;
        let path = format!("{}&more=", back.path());
        let query = path.len() - path.find('?').unwrap() - 1;
        let path = format!("{path}{}", "a".repeat(length - query));
        if works {
            and_then_works(&stage, &mut browser, &path, "8 KiB").await;
        } else {
            let before = Kept::of(&test_app).await;
            let answer = browser.open(&path).await;
            stage
                .check(&before, &answer, ("over 8 KiB", 400, "up_state_malformed"))
                .await;
        }
    }
    and_then_works(&stage, &mut browser, &back.path(), "after all that").await;
}

async fn r_10_cb_05_up_state_unknown(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    let before = Kept::of(&test_app).await;
    let other = back.clone().with("state", &"A".repeat(43));
    let answer = browser.open(&other.path()).await;
    stage
        .check(&before, &answer, ("random", 400, "up_state_unknown"))
        .await;

    test_app.pass(601);
    let before = Kept::of(&test_app).await;
    let answer = browser.open(&back.path()).await;
    stage
        .check(&before, &answer, ("601 s old", 400, "up_state_unknown"))
        .await;
    assert_eq!(stage.up.count(Place::Token), 0);
}

async fn r_11_cb_04_up_state_used(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    let mut thief = browser.clone();
    let first = browser.open(&back.path()).await;
    assert!(browser.is_signed_in(), "{}", first.summary());
    let before = Kept::of(&test_app).await;
    let answer = thief.open(&back.path()).await;
    stage
        .check(&before, &answer, ("the second use", 400, "up_state_used"))
        .await;
    assert!(!thief.is_signed_in());
    assert_eq!(stage.up.count(Place::Token), 1);
}

async fn r_12_cb_05_up_provider_mismatch(test_app: TestApp) {
    let (stage, other) = (
        Stage::new(&test_app, json!({})).await,
        Stage::new(&test_app, json!({})).await,
    );
    let (mut browser, login, mut back) = stage.gone().await;
    back.to
        .set_path(&format!("/upstream/{}/callback", other.id));
    stage
        .judge(
            &mut browser,
            &login,
            &back,
            ("A's state on B", 400, "up_provider_mismatch"),
        )
        .await;
    assert_eq!(
        stage.up.count(Place::Token) + other.up.count(Place::Token),
        0
    );
}

async fn r_13_cb_05_up_browser_mismatch(test_app: TestApp) {
    for foreign in [false, true] {
        let stage = Stage::new(&test_app, json!({})).await;
        let (mut browser, login, back) = stage.gone().await;
        let mine = browser.cookies.clone();
        if foreign {
            browser.cookies = stage.at_login().await.0.cookies;
        } else {
            browser.cookies.clear();
        }
        let before = Kept::of(&test_app).await;
        let answer = browser.open(&back.path()).await;
        stage
            .check(
                &before,
                &answer,
                ("another browser", 400, "up_browser_mismatch"),
            )
            .await;
        browser.cookies = mine;
        // CB-04: it is spent for the right one too.
        let before = Kept::of(&test_app).await;
        let answer = browser.open(&back.path()).await;
        stage
            .check(
                &before,
                &answer,
                ("then the right one", 400, "up_state_used"),
            )
            .await;
        assert_eq!(stage.up.count(Place::Token), 0);
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
            let stage = Stage::new(&test_app, json!({})).await;
            if advertised {
                stage.up.sends_iss();
            }
            if error {
                stage.up.tell(Lie::error("access_denied"));
            }
            let issuer = stage.up.issuer();
            stage.up.tell(Lie::callback(move |pairs| {
                pairs.retain(|(name, _)| name != "iss");
                match change {
                    "" => {}
                    "/" => pairs.push(("iss".to_owned(), format!("{issuer}/"))),
                    other => pairs.push(("iss".to_owned(), other.to_owned())),
                }
            }));
            stage.refused(why, 400, code).await;
            assert_eq!(stage.up.count(Place::Token), 0, "{why}");
        }
    }
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.sends_iss();
    stage.signs_in("with the right one").await;
    let stage = Stage::new(&test_app, json!({"iss_param": "optional"})).await;
    stage.up.sends_iss();
    stage.up.tell(Lie::parameter("iss", ""));
    stage.signs_in("absent, where it is optional").await;
    let stage = Stage::new(&test_app, json!({"iss_param": "required"})).await;
    stage
        .refused("absent, where it is required", 400, "up_iss_missing")
        .await;
}

async fn r_15_mix_up_an_honest_code_never_reaches_the_attacker(test_app: TestApp) {
    let honest = Stage::new(&test_app, json!({})).await;
    let attacker = Stage::new(&test_app, json!({})).await;
    // The person means the attacker's provider, which sends the browser on to the honest one.
    let (mut browser, login, at_attacker) = attacker.gone().await;
    let (_, _, at_honest) = honest.gone().await;
    let state = at_attacker.get("state").unwrap();
    // The honest one answers at its own callback, with the attacker's state …
    let back = at_honest.clone().with("state", state);
    honest
        .judge(
            &mut browser,
            &login,
            &back,
            ("at its own callback", 400, "up_provider_mismatch"),
        )
        .await;
    // … or, lured there, at the attacker's, with its own name.
    let (mut browser, login, at_attacker) = attacker.gone().await;
    let code = at_honest.get("code").unwrap();
    let back = at_attacker
        .with("code", code)
        .with("iss", &honest.up.issuer());
    attacker
        .judge(
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

async fn r_16_cb_07_up_code_missing(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::parameter("code", ""));
    stage
        .refused("neither code nor error", 400, "up_code_missing")
        .await;
    let stage = Stage::new(&test_app, json!({})).await;
    stage.up.tell(Lie::parameter("error", "access_denied"));
    stage.refused("both: error wins", 200, "up_denied").await;
    assert_eq!(stage.up.count(Place::Token), 0);
}

async fn cb_03_an_answer_by_form_post_finds_its_browser_again(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = stage.gone().await;
    let answer = post_back(&mut browser, &back).await;
    assert_eq!(answer.status, 303, "{}", answer.summary());
    let to = answer.location().unwrap();
    assert!(
        !to.as_str().contains(back.get("code").unwrap()),
        "the code is in the URL"
    );
    assert!(
        answer.header("set-cookie").is_none(),
        "it reads and sets no cookie"
    );
    let page = browser.open(&to[url::Position::BeforePath..]).await;
    let page = settle(&mut browser, page).await;
    assert!(
        browser.is_signed_in() && at_client(&page),
        "{}",
        page.summary()
    );
    // Once, and in this browser alone.
    let before = Kept::of(&test_app).await;
    let again = post_back(&mut browser, &back).await;
    stage
        .check(&before, &again, ("posted again", 400, "up_state_used"))
        .await;
    let before = Kept::of(&test_app).await;
    let again = browser.open(&to[url::Position::BeforePath..]).await;
    stage
        .check(&before, &again, ("the handle again", 400, "up_state_used"))
        .await;
    let unknown = back.clone().with("state", &"A".repeat(43));
    let before = Kept::of(&test_app).await;
    let never = post_back(&mut browser, &unknown).await;
    stage
        .check(&before, &never, ("never begun", 400, "up_state_unknown"))
        .await;
    let before = Kept::of(&test_app).await;
    let never = browser
        .open(&format!("{}?h={}", to.path(), "A".repeat(43)))
        .await;
    stage
        .check(&before, &never, ("no such handle", 400, "up_state_unknown"))
        .await;
    let stage = Stage::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = stage.gone().await;
    let answer = post_back(&mut browser, &back).await;
    let (mut thief, _) = stage.at_login().await;
    let before = Kept::of(&test_app).await;
    let stolen = thief.follow(&answer).await;
    stage
        .check(&before, &stolen, ("stolen", 400, "up_browser_mismatch"))
        .await;
    assert!(!thief.is_signed_in());
    // Kept for a minute, by the store's own clock: no test moves that of Redis.
    if !test_app.app.db.is_postgres() {
        let stage = Stage::new(&test_app, json!({"response_mode": "form_post"})).await;
        let (mut browser, _, back) = stage.gone().await;
        let answer = post_back(&mut browser, &back).await;
        test_app.pass(61);
        let before = Kept::of(&test_app).await;
        let late = browser.follow(&answer).await;
        stage
            .check(&before, &late, ("61 s old", 400, "up_state_unknown"))
            .await;
        assert_eq!(stage.up.count(Place::Token), 0);
    }
}

async fn cb_03_posted_answers_take_little_room(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({"response_mode": "form_post"})).await;
    let (mut browser, _, back) = stage.gone().await;
    let first = post_back(&mut browser, &back).await;
    for status in [303, 303, 429, 429] {
        // From anywhere: whoever has the state may give it away.
        assert_eq!(
            post_back(&mut test_app.browser(), &back).await.status,
            status
        );
    }
    let page = browser.follow(&first).await;
    let page = settle(&mut browser, page).await;
    assert!(
        browser.is_signed_in() && at_client(&page),
        "{}",
        page.summary()
    );

    // And many states from one network: the way there and one way back.
    test_app.configure(|config| {
        config.limits.authorize = vec![entree::config::Budget {
            count: 2,
            seconds: 600,
        }]
    });
    let (mut browser, _, back) = stage.gone().await;
    assert_eq!(post_back(&mut browser, &back).await.status, 303);
    assert_eq!(post_back(&mut browser, &back).await.status, 429);
}

async fn up_05_the_button_is_a_form_of_ours_and_nothing_else(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, login) = stage.at_login().await;
    let path = format!("/login/upstream/{}", stage.id);
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(bring(&mut browser, method, &path).await.status, 405);
    }
    let form = stage.button(&login).expect("a button");
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
        let answer: Page = browser.send(request).await;
        assert_eq!(answer.status, 403, "{}", answer.summary());
        assert!(answer.refresh().is_none() && answer.location().is_none());
    }
    assert_eq!(stage.up.total(), 0, "nobody was asked for a forged form");
}

async fn up_02_up_04_up_06_up_07_the_request_to_the_provider(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
    let (mut browser, login) = stage.at_login().await;
    let page = stage.press(&mut browser, &login).await;
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
        format!("https://id.test/upstream/{}/callback", stage.id),
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
        "UP-07: nobody typed an address"
    );
    // Two starts share nothing.
    let again = stage.press(&mut browser, &login).await.refresh().unwrap();
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

/// What a page tells the provider about who comes.
fn hint(page: &Page) -> Option<String> {
    let to = page.refresh().expect("a continue page");
    to.query_pairs()
        .find(|(name, _)| name == "login_hint")
        .map(|(_, value)| value.into_owned())
}

async fn up_07_the_provider_hears_of_a_typed_address_and_of_no_clients_hint(test_app: TestApp) {
    let stage = Stage::new(&test_app, json!({})).await;
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
    let page = stage.press(&mut browser, &login).await;
    assert_eq!(hint(&page), None, "a client wrote it");
    assert!(
        !stage
            .button(&login)
            .unwrap()
            .fields
            .iter()
            .any(|(name, _)| name == "email"),
        "nor does the form hold it"
    );
    // Typed here, and not fit for mail: the provider's button of the page that says so brings it along.
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
    let page = stage.press(&mut browser, &wrong).await;
    assert_eq!(hint(&page), None, "no address");
    let form = stage.button(&wrong).unwrap();
    assert!(
        form.fields
            .contains(&("email".to_owned(), typed.to_owned())),
        "{:?}",
        form.fields
    );
    let request = browser.filled(&wrong, &form, &[("email", "Ann@example.test")]);
    let page = browser.send(request).await;
    assert_eq!(
        hint(&page).as_deref(),
        Some("ann@example.test"),
        "an address of this browser"
    );
}
