//! OD-13: pages show an internationalised domain in its own script.

use crate::{
    oauth::{register, signed_in},
    test_app::TestApp,
};

on_both!(od_13_each_page_shows_an_address_in_its_own_script);

async fn od_13_each_page_shows_an_address_in_its_own_script(test_app: TestApp) {
    register(&test_app);
    let shown = "jo@müller.example";
    for typed in [shown, "jo@xn--mller-kva.example"] {
        let mut browser = test_app.browser();
        let waiting = browser.ask(typed).await;
        assert!(waiting.text().contains(shown), "{}", waiting.summary());
        assert!(!waiting.body.contains("@xn--"), "{}", waiting.summary());
        let restart = waiting.attribute("a#restart", "href").unwrap();
        let restarted = browser.open(&restart).await;
        let page = browser.follow(&restarted).await;
        let field = page.attribute("form#sign-in input[name=email]", "value");
        assert_eq!(field.as_deref(), Some(shown), "{typed}");
    }

    let mut browser = signed_in(&test_app, "ada@xn--mller-kva.example").await;
    for path in ["/account", "/login", "/login?by=mail", "/oauth2/logout"] {
        let page = browser.open(path).await;
        assert!(
            page.body.contains("ada@müller.example"),
            "{path}: {}",
            page.summary()
        );
        assert!(!page.body.contains("@xn--"), "{path}: {}", page.summary());
    }
}
