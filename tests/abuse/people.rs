//! Legitimate users, the innocents: they sign in while the attack goes on.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{browser::Browser, mail::Mail, oidc::Client, page::Page};
use tokio::{sync::Mutex, task::JoinSet};

use crate::{
    crowd::new_login,
    judge::{Outcome, within},
    stage::{CALLBACK, CLIENT, Stage},
};

/// How an innocent signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a browser that signed in before.
    KnownDevice,
    /// In a browser without a cookie.
    NewDevice,
    /// In an app that holds a device secret.
    App,
    /// At a client, in a browser that is signed in.
    AtClient,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [
        Self::KnownDevice,
        Self::NewDevice,
        Self::App,
        Self::AtClient,
    ];
    /// All but those with a new device.
    pub(crate) const KNOWN: [Self; 3] = [Self::KnownDevice, Self::App, Self::AtClient];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KnownDevice => "known device",
            Self::NewDevice => "new device",
            Self::App => "app",
            Self::AtClient => "at a client",
        }
    }

    /// The `User-Agent`, and the name that the email gives it: none is an attacker's.
    const fn agent(self) -> (&'static str, &'static str) {
        match self {
            Self::KnownDevice => (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14) AppleWebKit/605 Version/18.0 Safari/605",
                "Safari on macOS",
            ),
            Self::NewDevice => (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537 Chrome/130.0 Safari/537",
                "Chrome on Android",
            ),
            Self::App => (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605 Version/18.0 Safari/604",
                "Safari on iPhone",
            ),
            Self::AtClient => (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/130.0 Safari/537 Edg/130.0",
                "Edge on Windows",
            ),
        }
    }
}

/// The names of ways, for [`crate::judge::Bounds`].
pub(crate) fn names(ways: &[Way]) -> Vec<&'static str> {
    ways.iter().map(|way| way.name()).collect()
}

/// A network that no other request of this process comes from.
pub(crate) fn own_network(stage: &Stage) -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, a, b] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    if stage.is_bound {
        Ipv4Addr::new(127, 200, b, 1 + a)
    } else {
        Ipv4Addr::new(10, a, b, 1)
    }
}

/// A user with one browser or app.
pub(crate) struct Person {
    way: Way,
    address: String,
    from: Ipv4Addr,
    browser: Browser,
    device_secret: Option<String>,
}

impl Person {
    /// Gets a user ready before the attack: with a known device, a device secret or a session.
    pub(crate) async fn ready(stage: &Stage, way: Way, address: &str, from: Ipv4Addr) -> Self {
        let mut browser = stage.browser(from);
        way.agent().0.clone_into(&mut browser.agent);
        let mut this = Self {
            way,
            address: address.to_owned(),
            from,
            browser,
            device_secret: None,
        };
        match way {
            Way::NewDevice => {}
            Way::App => drop(this.at_app(stage).await),
            Way::KnownDevice | Way::AtClient => {
                this.at_browser(stage).await;
                if way == Way::KnownDevice {
                    let account = this.browser.open(&stage.service.at("/account")).await;
                    this.browser.submit(&account, "sign-out", &[]).await;
                }
            }
        }
        this
    }

    /// Users of the given ways, each with an address of its own.
    pub(crate) async fn crowd(stage: &Stage, ways: &[Way], waves: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for wave in 0..waves {
            for way in ways {
                let address = format!("{}-{wave}@example.test", way.name().replace(' ', "-"));
                all.push(Self::ready(stage, *way, &address, own_network(stage)).await);
            }
        }
        all
    }

    /// Signs in, and tries again after a 503, as its page and its JSON say; whatever else keeps the person out is the
    /// outcome.
    pub(crate) async fn sign_in(self, stage: Arc<Stage>) -> Outcome {
        let way = self.way;
        let began = Instant::now();
        let result = tokio::time::timeout(within(), self.sign_in_with_patience(stage)).await;
        Outcome {
            way: way.name(),
            took: began.elapsed(),
            result: result
                .unwrap_or_else(|_| Err(format!("not signed in after {} s", within().as_secs()))),
        }
    }

    async fn sign_in_with_patience(self, stage: Arc<Stage>) -> Result<(), String> {
        let person = Arc::new(Mutex::new(self));
        loop {
            let (person, stage) = (Arc::clone(&person), Arc::clone(&stage));
            // A task, so that a failed assertion is an outcome; in a set, so that it ends with this function.
            let mut walk = JoinSet::new();
            walk.spawn(async move { person.lock().await.walk(&stage).await });
            let why = match walk.join_next().await {
                Some(Err(error)) => reason(error),
                _ => return Ok(()),
            };
            if !why.contains("503") {
                return Err(why);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn walk(&mut self, stage: &Stage) {
        match self.way {
            Way::App => drop(self.at_app(stage).await),
            Way::KnownDevice | Way::NewDevice | Way::AtClient => self.at_browser(stage).await,
        }
    }

    /// Begins at the client, as users do, and ends there with an ID token.
    async fn at_browser(&mut self, stage: &Stage) {
        let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
        let url = client.authorize_url("openid email").await;
        let mut page = self.browser.open(url.as_str()).await;
        page = self.browser.settle(page).await;
        if page.has("form#sign-in") {
            page = self.by_email(stage, page).await;
        }
        let (status, tokens) = client.exchange(&client.code(&page), &client.verifier).await;
        assert!(
            status == 200 && tokens["id_token"].is_string(),
            "{status} {tokens}"
        );
    }

    /// Requests an authorization code for the client in a session, and exchanges it if there is one.
    pub(crate) async fn request_authorization_code(&mut self, stage: &Stage) {
        let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
        let url = client.authorize_url("openid email").await;
        let page = self.browser.open(url.as_str()).await;
        let page = self.browser.settle(page).await;
        let to = page.location().or_else(|| page.refresh());
        if to.is_some_and(|to| to.query_pairs().any(|(name, _)| name == "code")) {
            client.exchange(&client.code(&page), &client.verifier).await;
        }
    }

    async fn by_email(&mut self, stage: &Stage, login: Page) -> Page {
        let device = self.way.agent().1;
        let seen = stage.emails(&self.address, device).await.len();
        let fields = [("email", self.address.as_str())];
        let sent = self.browser.submit(&login, "sign-in", &fields).await;
        let waiting = self.browser.settle(sent).await;
        assert!(waiting.has("form#code"), "{}", waiting.summary());
        let mail = stage.email(&self.address, device, seen).await;
        let entered = self
            .browser
            .submit(&waiting, "code", &[("code", &mail.code())])
            .await;
        let page = self.browser.settle(entered).await;
        if !page.has("form#code") {
            return page;
        }
        stage.count_refused_right_code();
        // The page says that the link in the same email still works.
        assert!(page.error().is_some(), "{}", page.summary());
        self.by_link(&mail).await
    }

    async fn by_link(&mut self, mail: &Mail) -> Page {
        let link = self.browser.open(&mail.link()).await;
        let used = self.browser.submit(&link, "link", &[]).await;
        self.browser.settle(used).await
    }

    /// Signs in in the app; the tokens come with a device secret for the next time.
    async fn at_app(&mut self, stage: &Stage) -> Value {
        let mut last = Value::Null;
        // A code that is refused while the address is locked: a new one works.
        for _ in 0..2 {
            let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
            let begun = self.begin_at_app(stage, &client).await;
            let (seen, started) = begun;
            let mail = stage.email(&self.address, self.way.agent().1, seen).await;
            let mut proof = json!({"flow_id": started["flow_id"], "code_verifier": client.verifier,
                                   "code": mail.code(), "scope": "openid"});
            if let Some(secret) = &self.device_secret {
                proof["device_secret"] = secret.as_str().into();
            }
            let (status, tokens) = self.call(stage, "consume", proof).await;
            if status == 200 {
                self.device_secret = tokens["device_secret"].as_str().map(str::to_owned);
                return tokens;
            }
            stage.count_refused_right_code();
            last = tokens;
        }
        panic!("{last}");
    }

    async fn begin_at_app(&self, stage: &Stage, client: &Client) -> (usize, Value) {
        let seen = stage.emails(&self.address, self.way.agent().1).await.len();
        let mut new = json!({"client_id": CLIENT, "email": self.address,
                             "code_challenge": client.challenge(), "code_challenge_method": "S256"});
        if let Some(secret) = &self.device_secret {
            new["device_secret"] = secret.as_str().into();
        }
        let (status, started) = self.call(stage, "request", new).await;
        assert_eq!(status, 202, "{started}");
        (seen, started)
    }

    /// Requests an email in the app without using it, and returns the status.
    pub(crate) async fn request_email(&self, stage: &Stage) -> u16 {
        let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
        let mut new = new_login(CLIENT, &self.address);
        new["code_challenge"] = client.challenge().into();
        new["device_secret"] = self.device_secret.clone().into();
        self.call(stage, "request", new).await.0
    }

    async fn call(&self, stage: &Stage, action: &str, body: Value) -> (u16, Value) {
        let local = stage.is_bound.then_some(self.from.into());
        let answer = testkit::browser::client_at(local)
            .post(
                stage
                    .service
                    .at(&format!("/api/v1/auth/magic-link/{action}")),
            )
            .header("x-forwarded-for", self.from.to_string())
            .header("user-agent", self.way.agent().0)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }
}

/// Lets all of them sign in at the same time.
pub(crate) async fn all_sign_in(stage: &Arc<Stage>, people: Vec<Person>) -> Vec<Outcome> {
    let mut walks = JoinSet::new();
    for person in people {
        walks.spawn(person.sign_in(Arc::clone(stage)));
    }
    walks.join_all().await
}

/// What a task said when it gave up.
fn reason(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "cancelled".to_owned();
    };
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default().chars().take(600).collect()
}
