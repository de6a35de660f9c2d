//! The service's own https.

use std::time::Duration;

use cucumber::{given, then, when};
use reqwest::tls::TlsInfo;

use super::World;

#[given("a service that speaks https")]
async fn own_https(world: &mut World) {
    world.own_service(|options| options.https()).await;
    assert!(world.service.url.starts_with("https://"));
}

#[then(expr = "the {word} keeps its cookies for https and for this host alone")]
fn host_cookies(world: &mut World, device: String) {
    let browser = world.device(&device);
    for name in ["sid", "dev"] {
        let (full, _) = browser
            .raw_cookie(name)
            .unwrap_or_else(|| panic!("no cookie `{name}`"));
        assert!(full.starts_with(&format!("__Host-Http-{name}")), "{full}");
        let line = browser.cookie(name).unwrap().line.to_ascii_lowercase();
        let has = |attribute: &str| line.split(';').any(|part| part.trim() == attribute);
        assert!(
            has("secure") && has("httponly") && has("path=/") && has("samesite=lax"),
            "{line}"
        );
        assert!(!line.contains("domain="), "{line}");
    }
}

#[then(expr = "the account page tells the {word} to stay with https")]
async fn hsts(world: &mut World, device: String) {
    let page = world.account(&device).await.expect("signed in");
    let said = page.header("strict-transport-security").expect("a header");
    assert!(said.starts_with("max-age=31536000"), "{said}");
}

#[when("the certificate is renewed")]
async fn renew(world: &mut World) {
    world.shown = shown(&world.service.url).await;
    world.service.renew_certificate();
}

#[then("every copy shows the renewed certificate")]
async fn renewed(world: &mut World) {
    for copy in &world.service.copies {
        let found = testkit::until(
            "the renewed certificate",
            Duration::from_secs(20),
            || async {
                let now = shown(&copy.public).await;
                (now != world.shown).then_some(())
            },
        );
        found
            .await
            .unwrap_or_else(|why| panic!("{why}\n{}", world.page_error()));
    }
}

/// The certificate that a new connection is shown. The service answers 421 to the name of a copy: only TLS counts here.
async fn shown(url: &str) -> Vec<u8> {
    let answer = testkit::browser::client()
        .get(url)
        .send()
        .await
        .expect("an answer");
    let info = answer.extensions().get::<TlsInfo>().expect("TLS");
    info.peer_certificate().expect("a certificate").to_vec()
}

#[then("plain http gets no answer")]
async fn plain(world: &mut World) {
    let url = world
        .service
        .at("/login")
        .replacen("https://", "http://", 1);
    assert!(testkit::browser::client().get(url).send().await.is_err());
}
