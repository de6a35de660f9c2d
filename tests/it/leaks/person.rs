//! Walks of a person in a browser, with errors on the way.

use reqwest::Method;
use testkit::{browser::Browser, oidc::Client};

use super::{WRONG_VERIFIER, collected::Loot};
use crate::service::{CALLBACK, CLIENT, Stage, fresh_network, token_of};

/// One sign-in by link with errors on the way; gives the browser.
pub(super) async fn by_link(stage: &Stage, loot: &mut Loot, address: &str) -> Browser {
    let mut browser = Browser::new(fresh_network());
    let login = browser.open(&stage.service.at("/login")).await;
    loot.look(&browser, &login);
    let waiting = stage.ask(&mut browser, address).await;
    loot.look(&browser, &waiting);
    let mail = stage.mail(address, 1).await;
    let link = mail.link();
    loot.note("link", &token_of(&link));
    loot.note("code", &mail.code());
    // An attacker with the link and without the cookie: a GET shows no form, and a POST is refused.
    let mut thief = Browser::new(fresh_network());
    let shown = thief.open(&link).await;
    assert!(!shown.has("form#link"), "{}", shown.summary());
    let url = url::Url::parse(&link).unwrap();
    let forged = thief
        .forged(&url, &[("form_token".to_owned(), "x".repeat(43))])
        .await;
    loot.error_page("a forged use of the link", &forged);
    let page = browser.open(&link).await;
    loot.look(&browser, &page);
    let bad = browser
        .submit(&page, "link", &[("form_token", &"x".repeat(43))])
        .await;
    loot.error_page("a link with a wrong form token", &bad);
    let long = browser.open(&format!("{link}{}", "x".repeat(200))).await;
    loot.errors.push((
        "the answer to a longer link".to_owned(),
        long.body.replace(&mail.link(), "").into_bytes(),
    ));
    let done = browser.submit(&page, "link", &[]).await;
    loot.look(&browser, &done);
    let account = browser.settle(done).await;
    assert!(account.has("form#sign-out"), "{}", account.summary());
    loot.look(&browser, &account);
    loot.error_page(
        "a method that is not taken",
        &browser.bare(Method::PUT, &link).await,
    );
    browser
}

pub(super) async fn by_code(stage: &Stage, loot: &mut Loot, address: &str) {
    let mut browser = Browser::new(fresh_network());
    let waiting = stage.ask(&mut browser, address).await;
    loot.look(&browser, &waiting);
    let mail = stage.mail(address, 1).await;
    loot.note("code", &mail.code());
    loot.note("link", &token_of(&mail.link()));
    let bad = browser
        .submit(
            &waiting,
            "code",
            &[("code", &mail.code()), ("form_token", "")],
        )
        .await;
    loot.error_page("a code without form token", &bad);
    let bad = browser
        .submit(
            &waiting,
            "code",
            &[("code", &mail.code()), ("flow", "nonsense")],
        )
        .await;
    loot.error_page("a code for no flow", &bad);
    // The code as an address, which is how people paste: it comes back in the field and nowhere else.
    let entered = format!("{}0", mail.code());
    let redirect = browser
        .submit(&waiting, "code", &[("code", &entered)])
        .await;
    let wrong = browser.settle(redirect).await;
    assert!(wrong.error().is_some(), "{}", wrong.summary());
    let quiet = wrong.body.replace(address, "").replace(&entered, "");
    let tokens = wrong
        .forms("form")
        .into_iter()
        .flat_map(|form| form.fields)
        .filter(|(name, _)| name == "form_token");
    let quiet = tokens.fold(quiet, |body, (_, token)| body.replace(&token, ""));
    loot.errors
        .push(("the answer to a wrong code".to_owned(), quiet.into_bytes()));
    let done = browser
        .submit(&waiting, "code", &[("code", &mail.code())])
        .await;
    loot.look(&browser, &done);
    let account = browser.settle(done).await;
    assert!(account.has("form#sign-out"), "{}", account.summary());
    loot.look(&browser, &account);
}

/// A code exchange with errors on the way. Leaves one more code, unused; gives it with its verifier.
pub(super) async fn by_client(stage: &Stage, loot: &mut Loot, browser: &mut Browser) {
    let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
    let code = authorize(&client, browser).await;
    loot.note("authorization code", &code);
    loot.note("verifier", &client.verifier);
    let (status, body) = client.exchange(&code, WRONG_VERIFIER).await;
    loot.error(
        "an exchange with another verifier",
        status,
        &body.to_string(),
    );
    let (status, body) = client.exchange(&code, &"v".repeat(9000)).await;
    loot.error(
        "an exchange with an over-long verifier",
        status,
        &body.to_string(),
    );
    let (status, body) = client.exchange(&code, &client.verifier).await;
    assert_eq!(status, 200, "{}", body["error"]);
    loot.note("access token", body["access_token"].as_str().unwrap());
    loot.note("ID token", body["id_token"].as_str().unwrap());
    for token in ["access_token", "id_token"] {
        let signature = body[token].as_str().unwrap().rsplit('.').next().unwrap();
        loot.note("signature of a token", signature);
    }
    let (status, body) = client.exchange(&code, &client.verifier).await;
    loot.error("a second exchange", status, &body.to_string());
}

/// Returns an unused code and its verifier. The code expires after a minute.
pub(super) async fn unspent_code(
    stage: &Stage,
    loot: &mut Loot,
    browser: &mut Browser,
) -> (String, String) {
    let open = Client::new(&stage.service.url, CLIENT, CALLBACK);
    let code = authorize(&open, browser).await;
    loot.note("authorization code", &code);
    loot.note("verifier", &open.verifier);
    (code, open.verifier)
}

async fn authorize(client: &Client, browser: &mut Browser) -> String {
    let url = client.authorize_url("openid email profile").await;
    let page = browser.open(url.as_str()).await;
    client.code(&browser.settle(page).await)
}
