//! The smallest browser client of Entree. It signs users in by authorization code and PKCE, calls an API, refreshes
//! tokens silently, lets users sign in again where the API requires it, and signs them out here or everywhere.
//!
//! It is a backend for the browser: tokens stay in this process (`session` says why), and the browser holds one opaque
//! cookie.

mod begin;
mod callback;
mod challenge;
mod id_token;
mod logout;
mod page;
mod school;
mod session;
mod sign_out;
mod store;

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use lessons_api::{issuer::Issuer, keys::Keys};
use poem::{
    Endpoint, EndpointExt as _, Request, Response, Route, Server, get, handler,
    http::{StatusCode, header},
    listener::{Acceptor as _, Listener as _, TcpListener},
    post,
    web::Data,
};

use crate::{
    begin::{Login, Wish, begin, start},
    school::Answer,
    session::Session,
    store::Store,
};

/// How long a session lasts, if Entree does not end it before.
const VISIT: Duration = Duration::from_secs(12 * 3600);

/// The settings, each by a flag or a variable of the environment.
#[derive(Parser)]
struct Settings {
    /// The address to listen on; port 0 chooses a free port.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The URL at which browsers reach this client. Without it: the address it listens on.
    #[arg(long, env = "PUBLIC_URL")]
    public_url: Option<String>,
    /// The issuer, which signs users in.
    #[arg(long, env = "ISSUER", default_value = "http://127.0.0.1:8080")]
    issuer: String,
    /// The URL at which this process reaches the issuer, if that differs, as inside a container network.
    #[arg(long, env = "ISSUER_INTERNAL_URL")]
    issuer_internal_url: Option<String>,
    /// The id of this client at the issuer.
    #[arg(long, env = "CLIENT_ID", default_value = "lessons-web")]
    client_id: String,
    /// The URL at which this process reaches the lessons API.
    #[arg(long, env = "LESSONS_API_URL", default_value = "http://127.0.0.1:8082")]
    lessons_api_url: String,
    /// An access token is refreshed when it has less than so many seconds left.
    #[arg(long, env = "REFRESH_MARGIN", default_value_t = 60)]
    refresh_margin: u64,
}

/// What the handlers share: configuration, clients and stores.
struct App {
    public_url: String,
    client_id: String,
    lessons_api_url: String,
    issuer: Issuer,
    keys: Keys,
    refresh_margin: Duration,
    http: reqwest::Client,
    logins: Store<Login>,
    sessions: Store<Session>,
    /// The `jti` of logout tokens that were taken.
    logout_ids: Store<()>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    lessons_api::install_tls();
    lessons_api::log_to_stderr();
    let settings = Settings::parse();
    let acceptor = TcpListener::bind(settings.listen)
        .into_acceptor()
        .await
        .context("cannot listen")?;
    let addresses = acceptor.local_addr();
    let address = addresses
        .iter()
        .find_map(|local| local.as_socket_addr())
        .context("no address")?;
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
            refresh_margin: Duration::from_secs(settings.refresh_margin),
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()?,
            logins: Store::default(),
            sessions: Store::default(),
            logout_ids: Store::default(),
        })
    }

    fn redirect_uri(&self) -> String {
        format!("{}/callback", self.public_url)
    }

    /// Returns the name of a cookie, with `__Host-` where there is TLS; browsers refuse that prefix on plain http. All
    /// ports of a host share their cookies, so the names say which program they belong to.
    fn cookie_name(&self, name: &str) -> String {
        let prefix = if self.public_url.starts_with("https:") {
            "__Host-"
        } else {
            ""
        };
        format!("{prefix}lessons_{name}")
    }

    fn set_cookie(&self, name: &str, value: &str, age: Duration) -> String {
        let secure = if self.public_url.starts_with("https:") {
            "; Secure"
        } else {
            ""
        };
        let name = self.cookie_name(name);
        format!(
            "{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            age.as_secs()
        )
    }

    fn cookie<'a>(&self, request: &'a Request, name: &str) -> Option<&'a str> {
        let name = self.cookie_name(name);
        let mut pairs = request
            .header(header::COOKIE)?
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

fn routes(app: Arc<App>) -> impl Endpoint {
    // Browsers apply `form-action` to the redirects of a form, too: signing out everywhere leads through Entree.
    let policy = page::policy(app.issuer.url());
    Route::new()
        .at("/", get(home))
        .at("/register", get(register))
        .at("/register/again", post(again))
        .at("/login", get(start))
        .at("/callback", get(callback::callback))
        .at("/logout", post(sign_out::here))
        .at("/logout/everywhere", post(sign_out::everywhere))
        .at("/backchannel-logout", post(logout::receive))
        .at("/signed-out", get(sign_out::done))
        .at("/style.css", get(page::style))
        .at("/healthz", get(health))
        .data(app)
        .after(move |answer| {
            let policy = policy.clone();
            async move { answer.map(|answer| page::with_headers(answer, &policy)) }
        })
}

#[handler]
fn health() -> &'static str {
    "ok"
}

/// Shows the lessons, or how to sign in.
#[handler]
async fn home(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    let Some(id) = app.cookie(request, "session") else {
        return page::sign_in(None);
    };
    let Some(session) = app.sessions.get(id) else {
        return page::sign_in(Some(page::OVER));
    };
    match school::get::<page::Lessons>(app, &session, "/lessons").await {
        Answer::Found(lessons) => page::lessons(&session.sub, &lessons),
        other => otherwise(app, request, other, (session, "/")).await,
    }
}

/// Shows the register of pupils: to coaches alone, and only soon after they signed in.
#[handler]
async fn register(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    let session = app
        .cookie(request, "session")
        .and_then(|id| app.sessions.get(id));
    let Some(session) = session else {
        return see_other("/");
    };
    match school::get::<page::Register>(app, &session, "/register").await {
        Answer::Found(register) => page::register(&session.sub, &register),
        other => otherwise(app, request, other, (session, "/register")).await,
    }
}

/// Renders every result but a response of the API.
async fn otherwise<T>(
    app: &Arc<App>,
    request: &Request,
    answer: Answer<T>,
    (session, back): (Session, &'static str),
) -> Response {
    match answer {
        Answer::Found(_) => StatusCode::INTERNAL_SERVER_ERROR.into(),
        Answer::Over => {
            if let Some(id) = app.cookie(request, "session") {
                app.sessions.take(id);
            }
            page::sign_in(Some(page::OVER))
        }
        Answer::StepUp(max_age) => {
            let wish = Wish {
                back,
                max_age: Some(max_age),
                session: Some(session),
            };
            begin(app, request, wish).await
        }
        Answer::NotForYou => page::not_for_you(&session.sub),
        Answer::Away(cause) => page::away(&cause),
    }
}

/// Refreshes the token, so that it has the roles that an operator has set since.
#[handler]
async fn again(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    if let Some(session) = app
        .cookie(request, "session")
        .and_then(|id| app.sessions.get(id))
        && let Ok(token) = session.access_token(app).await
        && let Err(cause) = session.renewed(app, &token).await
    {
        tracing::info!(%cause, "not refreshed");
    }
    see_other("/register")
}

fn see_other(url: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, url)
        .finish()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
