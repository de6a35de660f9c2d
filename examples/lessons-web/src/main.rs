//! The smallest browser client of Entree: sign in by authorization code and PKCE, call an API, show the answer.
//!
//! A backend for the browser: tokens stay in this process, the browser holds one opaque cookie. Everything is in memory:
//! after a restart people sign in again, which costs them one redirect.

mod callback;
mod id_token;
mod page;
mod store;

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use lessons_api::{issuer::Issuer, keys::Keys};
use poem::{
    Endpoint, EndpointExt as _, Request, Response, Route, Server, get, handler,
    http::{StatusCode, header},
    listener::{Acceptor as _, Listener as _, TcpListener},
    post,
    web::Data,
};
use ring::digest::{SHA256, digest};
use url::Url;

use crate::store::{Store, secret};

/// How long a person may take to sign in.
const LOGIN_LIFETIME: Duration = Duration::from_secs(1800);

/// Everything there is to configure: by flag or by environment.
#[derive(Parser)]
struct Settings {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// How browsers reach this client; left out: the address it listens on.
    #[arg(long, env = "PUBLIC_URL")]
    public_url: Option<String>,
    /// Who signs people in.
    #[arg(long, env = "ISSUER", default_value = "http://127.0.0.1:8080")]
    issuer: String,
    /// Where this process reaches the issuer, if not under its own URL: inside a container network.
    #[arg(long, env = "ISSUER_INTERNAL_URL")]
    issuer_internal_url: Option<String>,
    /// Our name at the issuer.
    #[arg(long, env = "CLIENT_ID", default_value = "lessons-web")]
    client_id: String,
    /// Where this process reaches the lessons API.
    #[arg(long, env = "LESSONS_API_URL", default_value = "http://127.0.0.1:8082")]
    lessons_api_url: String,
}

/// A sign-in under way, kept under its `state`.
#[derive(Clone)]
struct Login {
    /// The cookie of the browser that began: no other may finish.
    browser: String,
    /// PKCE (RFC 7636).
    verifier: String,
    /// Ties the ID token to this sign-in.
    nonce: String,
}

/// Somebody signed in.
#[derive(Clone)]
struct Session {
    sub: String,
    access_token: String,
}

/// What the handlers share.
struct App {
    public_url: String,
    client_id: String,
    lessons_api_url: String,
    issuer: Issuer,
    keys: Keys,
    http: reqwest::Client,
    logins: Store<Login>,
    sessions: Store<Session>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    lessons_api::install_tls();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let settings = Settings::parse();
    let acceptor = TcpListener::bind(settings.listen).into_acceptor().await.context("cannot listen")?;
    let addresses = acceptor.local_addr();
    let address = addresses.iter().find_map(|local| local.as_socket_addr()).context("no address")?;
    let listening = format!("http://{address}");
    writeln!(std::io::stdout(), "lessons-web: {listening}")?;
    let app = Arc::new(App::new(settings, listening)?);
    Server::new_with_acceptor(acceptor).run(routes(app)).await?;
    Ok(())
}

impl App {
    fn new(settings: Settings, listening: String) -> anyhow::Result<Self> {
        let public_url = settings.public_url.unwrap_or(listening);
        Ok(Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            client_id: settings.client_id,
            lessons_api_url: settings.lessons_api_url,
            issuer: Issuer::new(&settings.issuer, settings.issuer_internal_url.as_deref())?,
            keys: Keys::default(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?,
            logins: Store::default(),
            sessions: Store::default(),
        })
    }

    fn redirect_uri(&self) -> String {
        format!("{}/callback", self.public_url)
    }

    /// `__Host-` where there is TLS; browsers refuse that name on plain http. Cookies do not keep ports of one host
    /// apart, so the names say whose they are.
    fn cookie_name(&self, name: &str) -> String {
        let prefix = if self.public_url.starts_with("https:") { "__Host-" } else { "" };
        format!("{prefix}lessons_{name}")
    }

    fn set_cookie(&self, name: &str, value: &str, age: Duration) -> String {
        let secure = if self.public_url.starts_with("https:") { "; Secure" } else { "" };
        let name = self.cookie_name(name);
        format!("{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", age.as_secs())
    }

    fn cookie<'a>(&self, request: &'a Request, name: &str) -> Option<&'a str> {
        let name = self.cookie_name(name);
        let mut pairs = request.header(header::COOKIE)?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

fn routes(app: Arc<App>) -> impl Endpoint {
    Route::new()
        .at("/", get(home))
        .at("/login", get(begin))
        .at("/callback", get(callback::callback))
        .at("/logout", post(logout))
        .at("/style.css", get(page::style))
        .at("/healthz", get(health))
        .data(app)
        .after(|answer| async { answer.map(page::with_headers) })
}

#[handler]
fn health() -> &'static str {
    "ok"
}

/// The lessons, or the way to them.
#[handler]
async fn home(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    let Some(id) = app.cookie(request, "session") else { return page::sign_in(None) };
    let Some(session) = app.sessions.get(id) else { return page::sign_in(Some("Your visit is over.")) };
    let url = format!("{}/lessons", app.lessons_api_url);
    let answer = app.http.get(url).bearer_auth(&session.access_token).send().await;
    match answer {
        Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
            app.sessions.take(id);
            page::sign_in(Some("Your visit is over."))
        }
        Ok(answer) if answer.status().is_success() => match answer.json::<page::Lessons>().await {
            Ok(lessons) => page::lessons(&session.sub, &lessons),
            Err(error) => page::away(&error),
        },
        Ok(answer) => page::away(&format!("the lessons API answered {}", answer.status())),
        Err(error) => page::away(&error.without_url()),
    }
}

/// Begins a sign-in: remembers what the answer must fit, and sends the browser to the provider.
#[handler]
async fn begin(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    // A cookie set under another name of this machine (localhost) would not come back to the callback.
    let host = request.header(header::HOST).unwrap_or_default();
    if app.public_url.split_once("://").is_none_or(|(_, ours)| ours != host) {
        return see_other(&format!("{}/login", app.public_url));
    }
    let endpoint = match app.issuer.metadata().await {
        Ok(metadata) => metadata.authorization_endpoint.clone(),
        Err(error) => return page::away(&error),
    };
    // One cookie for all sign-ins of this browser, so that two tabs do not spoil each other's.
    let known = app.cookie(request, "browser").filter(|value| store::is_secret(value));
    let login = Login { browser: known.map_or_else(secret, str::to_owned), verifier: secret(), nonce: secret() };
    let cookie = app.set_cookie("browser", &login.browser, LOGIN_LIFETIME);
    let state = secret();
    let Some(url) = authorization_url(app, &endpoint, &state, &login) else {
        return page::away(&"the provider's address is not a URL");
    };
    if !app.logins.put(state, login, LOGIN_LIFETIME) {
        return page::away(&"too many sign-ins are under way");
    }
    let mut answer = see_other(url.as_str());
    page::add_header(&mut answer, header::SET_COOKIE, &cookie);
    answer
}

/// RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1.
fn authorization_url(app: &App, endpoint: &str, state: &str, login: &Login) -> Option<Url> {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, login.verifier.as_bytes()));
    let mut url = Url::parse(endpoint).ok()?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &app.client_id)
        .append_pair("redirect_uri", &app.redirect_uri())
        .append_pair("scope", "openid email profile")
        .append_pair("state", state)
        .append_pair("nonce", &login.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    Some(url)
}

/// Forgets the session here. The person stays signed in at the provider. A POST, and the cookie is `SameSite=Lax`: no
/// other site can send it.
#[handler]
fn logout(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    if let Some(id) = app.cookie(request, "session") {
        app.sessions.take(id);
    }
    let mut answer = see_other("/");
    page::add_header(&mut answer, header::SET_COOKIE, &app.set_cookie("session", "", Duration::ZERO));
    answer
}

fn see_other(url: &str) -> Response {
    Response::builder().status(StatusCode::SEE_OTHER).header(header::LOCATION, url).finish()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
