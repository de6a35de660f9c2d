//! Metrics and traces of the built binary: what a sign-in leaves in them, and what it must not.

use std::{path::Path, time::Duration};

use testkit::{
    browser::{self, Browser},
    entree::{Backend, Options, Service},
    mail::Mailbox as _,
    oidc::Client,
    otlp::Collector,
    smtp::Sink,
};

const CLIENT: &str = r#"
[[clients]]
client_id = "lessons-web"
name = "Lessons"
audience = "https://api.lessons.example"
redirect_uris = ["http://127.0.0.1:9/callback"]
first_party = true
app_sign_in = true
"#;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

async fn metrics(service: &Service) -> String {
    let answer = browser::client()
        .get(format!("{}/metrics", service.copies[0].management))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// The value of a series; 0 if it is not there.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |number| number.parse().unwrap())
}

/// Signs in by link at a client and gives everything secret that was seen on the way.
async fn sign_in(service: &Service, sink: &Sink, address: &str) -> Vec<String> {
    let mut browser = Browser::new([203, 0, 113, 77].into());
    let client = Client::new(&service.url, "lessons-web", "http://127.0.0.1:9/callback");
    let authorize = client.authorize_url("openid email").await;
    let page = browser.open(authorize.as_str()).await;
    let page = browser.settle(page).await;
    let page = browser
        .submit(&page, "sign-in", &[("email", address)])
        .await;
    browser.settle(page).await;
    let mail = sink
        .wait(address, 1, Duration::from_secs(20))
        .await
        .unwrap()
        .remove(0);
    // A scanner first, without the cookie.
    Browser::new([198, 51, 100, 9].into())
        .open(&mail.link())
        .await;
    let page = browser.open(&mail.link()).await;
    let page = browser.submit(&page, "link", &[]).await;
    let page = browser.settle(page).await;
    let code = client.code(&page);
    let (status, tokens) = client.exchange(&code, &client.verifier).await;
    assert_eq!(status, 200, "{tokens}");
    let (refused, _) = client.exchange(&code, &client.verifier).await;
    assert_eq!(refused, 400);
    let link = mail.link().rsplit('/').next().unwrap().to_owned();
    let mut secrets = vec![
        address.to_owned(),
        "203.0.113.77".to_owned(),
        mail.code(),
        link,
        code,
    ];
    secrets.extend([
        client.verifier.clone(),
        client.state.clone(),
        client.nonce.clone(),
    ]);
    for token in ["access_token", "id_token"] {
        secrets.push(
            tokens[token]
                .as_str()
                .unwrap()
                .rsplit('.')
                .next()
                .unwrap()
                .to_owned(),
        );
    }
    for cookie in ["sid", "pre", "dev"] {
        secrets.push(browser.cookie(cookie).unwrap().value.clone());
    }
    secrets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_and_numbers_of_a_sign_in_arrive_and_hold_none_of_its_secrets() {
    let (sink, collector) = (Sink::start().await, Collector::start());
    let options = Options::new(Backend::Embedded, sink.address())
        .set(
            "telemetry.otlp_endpoint",
            &format!("\"{}\"", collector.url()),
        )
        .tail(CLIENT);
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_entree")), options)
        .await
        .unwrap();
    let secrets = sign_in(&service, &sink, "traced-person@example.test").await;
    let request = browser::client().get(service.at("/login?login_hint=hinted-user%40example.test"));
    let followed = request
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    assert_eq!(followed.status(), 200);

    // Refusals at other endpoints are no refused tokens.
    for path in ["/oauth2/revoke", "/oauth2/introspect"] {
        let refused = browser::client()
            .post(service.at(path))
            .form(&[("client_id", "unknown-client"), ("token", "x")]);
        assert!(refused.send().await.unwrap().status().is_client_error());
    }

    // The email was here before the attempt was counted; how many wait, and how old keys are, is looked up every ten
    // seconds.
    let counted = || async {
        let text = metrics(&service).await;
        let tried = value(&text, r#"entree_mail_tries_total{outcome="accepted"}"#) > 0.0;
        let is_looked_up = text.contains("\nentree_outbox_mails 0")
            && text.contains(r#"entree_key_age_seconds{alg="RS256"}"#);
        (tried && is_looked_up).then_some(text)
    };
    let text = testkit::until("the mail on record", Duration::from_secs(30), counted)
        .await
        .unwrap();
    assert!(
        !text.contains(r#"entree_tokens_refused_total{error="invalid_client"}"#),
        "{text}"
    );
    for (series, count) in [
        ("entree_sign_in_requested_total", 1.0),
        ("entree_sign_in_mailed_total", 1.0),
        (r#"entree_sign_in_opened_total{browser="other"}"#, 1.0),
        (r#"entree_sign_in_opened_total{browser="same"}"#, 1.0),
        (r#"entree_sign_in_consumed_total{by="link"}"#, 1.0),
        (r#"entree_sign_in_consume_seconds_count{by="link"}"#, 1.0),
        (r#"entree_mail_tries_total{outcome="accepted"}"#, 1.0),
        (
            r#"entree_tokens_issued_total{client="lessons-web",grant="authorization_code"}"#,
            1.0,
        ),
        (r#"entree_tokens_refused_total{error="invalid_grant"}"#, 1.0),
        (
            r#"entree_http_request_duration_seconds_count{method="POST",route="/login/email",status="3xx"}"#,
            1.0,
        ),
        ("entree_outbox_mails", 0.0),
    ] {
        assert_eq!(
            value(&text, series).to_bits(),
            f64::to_bits(count),
            "{series} in\n{text}"
        );
    }
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);

    let (status, _) = service.copies[0].stop().await;
    assert!(status.success());
    for name in [
        "POST /login/email",
        "POST /login/link/:token",
        "INSERT magic_link_flows, ",
        ", mail_outbox",
        "ticket claim",
        "SMTP send",
    ] {
        assert!(collector.holds("/v1/traces", name), "no span {name}");
    }
    assert!(collector.holds("/v1/metrics", "entree_sign_in_mailed"));
    let id: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    assert!(
        collector
            .bytes("/v1/traces")
            .windows(16)
            .any(|window| window == id),
        "the proxy's trace goes on"
    );
    let named = || async {
        service
            .log()
            .iter()
            .any(|line| line.contains(TRACE))
            .then_some(())
    };
    testkit::until("the trace in the log", Duration::from_secs(10), named)
        .await
        .unwrap();
    // The digits of the code may stand in a longer number by chance.
    let shows = |secret: &str| match secret.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .any(|number| number == secret),
        false => text.contains(secret),
    };
    for secret in secrets
        .iter()
        .map(String::as_str)
        .chain(["hinted-user", "login_hint", "WHERE"])
    {
        for path in ["/v1/traces", "/v1/metrics"] {
            assert!(!collector.holds(path, secret), "{path} holds {secret}");
        }
        assert!(!shows(secret), "/metrics holds {secret}");
    }
}
