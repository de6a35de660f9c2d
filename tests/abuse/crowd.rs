//! The attackers: bare requests from many networks, over connections that stay open.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, stream};
use ring::digest;
use serde_json::{Value, json};
use testkit::{
    page::{Form, Page},
    smtp::Sink,
};
use tokio::task::JoinHandle;

use crate::stage::{CLIENT, Stage};

/// The PKCE verifier of all the attackers' flows.
pub(crate) const VERIFIER: &str = "attackers-use-one-verifier-for-all-of-their-flows";

/// How many requests of the attackers are under way at once.
const AT_ONCE: usize = 24;

/// The address of the attackers' network of that number, each in a /24 of its own.
pub(crate) fn network(number: usize) -> IpAddr {
    let [.., a, b] = u32::try_from(number).expect("a small number").to_be_bytes();
    Ipv4Addr::new(11, a, b, 7).into()
}

/// The attackers, seen by the service at the addresses that its proxy forwards.
pub(crate) struct Crowd {
    http: reqwest::Client,
    url: String,
    host: String,
    sent: AtomicUsize,
    /// Where emails arrive.
    mail_sink: Arc<Sink>,
}

/// A sign-in form that was opened, with its cookie.
struct LoginForm {
    form: Form,
    cookie: String,
}

impl Crowd {
    pub(crate) fn of(stage: &Stage) -> Arc<Self> {
        let _ = testkit::browser::client();
        // The service closes what was idle for ten seconds, perhaps just when we send on it.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(4))
            .timeout(Duration::from_secs(30));
        Arc::new(Self {
            http: http.build().expect("an HTTP client"),
            url: stage.service.copies[0].public.clone(),
            host: stage.service.url.trim_start_matches("http://").to_owned(),
            sent: AtomicUsize::new(0),
            mail_sink: Arc::clone(&stage.mail_sink),
        })
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, from: IpAddr, path: &str) -> reqwest::RequestBuilder {
        self.with_headers(from, self.http.get(format!("{}{path}", self.url)))
    }

    pub(crate) fn post(&self, from: IpAddr, path: &str) -> reqwest::RequestBuilder {
        self.with_headers(from, self.http.post(format!("{}{path}", self.url)))
    }

    fn with_headers(
        &self,
        from: IpAddr,
        request: reqwest::RequestBuilder,
    ) -> reqwest::RequestBuilder {
        request
            .header("host", &self.host)
            .header("x-forwarded-for", from.to_string())
            .header("user-agent", "curl/8.5.0")
    }

    /// Sends a request; gives status and text. A connection that breaks gives 0.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                (status, answer.text().await.unwrap_or_default())
            }
            Err(_) => (0, String::new()),
        }
    }

    pub(crate) async fn json(&self, from: IpAddr, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.send(self.post(from, path).json(body)).await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Opens the sign-in page in a browser without cookies.
    async fn login_form(&self, from: IpAddr) -> Option<LoginForm> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let response = self.get(from, "/login").send().await.ok()?;
        let headers = response.headers().clone();
        let cookie = headers.get("set-cookie")?.to_str().ok()?;
        let page = Page {
            url: response.url().clone(),
            status: response.status(),
            headers: headers.clone(),
            body: response.text().await.ok()?,
        };
        Some(LoginForm {
            form: page.forms("form#sign-in").into_iter().next()?,
            cookie: cookie.split(';').next()?.to_owned(),
        })
    }

    /// Requests an email on the page, each time in a new browser: one that asks again for the same
    /// address is led to the flow that it has.
    pub(crate) async fn email_by_page(&self, from: IpAddr, to: &str) -> u16 {
        let Some(form) = self.login_form(from).await else {
            return 0;
        };
        let mut fields = form.form.fields.clone();
        fields.retain(|(name, _)| name != "email");
        fields.push(("email".to_owned(), to.to_owned()));
        let request = self
            .post(from, form.form.action.path())
            .header("cookie", &form.cookie)
            .header("origin", format!("http://{}", self.host))
            .header("sec-fetch-site", "same-origin")
            .form(&fields);
        self.send(request).await.0
    }

    /// Requests an email as an app.
    pub(crate) async fn email_by_app(&self, from: IpAddr, to: &str) -> (u16, Value) {
        let path = "/api/v1/auth/magic-link/request";
        self.json(from, path, &new_login(CLIENT, to)).await
    }

    /// Waits until the emails that were requested are sent: no further one comes within 200 ms. At most 2 s,
    /// since other attackers go on requesting.
    pub(crate) async fn wait_for_emails(&self) {
        let mut last = usize::MAX;
        for _ in 0..10 {
            let total = self.mail_sink.total();
            if total == last {
                return;
            }
            last = total;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Enters a code of a flow as an app.
    pub(crate) async fn code_by_app(&self, from: IpAddr, started: &Value, code: &str) -> u16 {
        let proof = json!({"flow_id": started["flow_id"], "code_verifier": VERIFIER, "code": code,
                           "scope": "openid"});
        self.json(from, "/api/v1/auth/magic-link/consume", &proof)
            .await
            .0
    }
}

/// What an app sends to begin a sign-in.
pub(crate) fn new_login(client: &str, to: &str) -> Value {
    let digest = digest::digest(&digest::SHA256, VERIFIER.as_bytes());
    json!({"client_id": client, "email": to, "code_challenge": URL_SAFE_NO_PAD.encode(digest),
           "code_challenge_method": "S256"})
}

/// Runs one attempt for each number, some at once.
pub(crate) async fn flood<F: Future<Output = ()>>(count: usize, attempt: impl Fn(usize) -> F) {
    stream::iter(0..count)
        .for_each_concurrent(AT_ONCE, attempt)
        .await;
}

/// An attack that goes on in the background until it is dropped, or for two minutes.
pub(crate) struct Background {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Background {
    /// Repeats `attempt` with a number that grows.
    pub(crate) fn start<F>(attempt: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let end = Instant::now() + Duration::from_secs(120);
            let on = move |_: &usize| {
                std::future::ready(!stopped.load(Ordering::Relaxed) && Instant::now() < end)
            };
            stream::iter(0..)
                .take_while(on)
                .for_each_concurrent(4, attempt)
                .await;
        });
        Self { stop, task }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}
