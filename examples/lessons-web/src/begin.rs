//! Leads the browser to the provider with an authorization request, and stores what the response must match.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::{Request, Response, handler, http::header, web::Data};
use ring::digest::{SHA256, digest};
use url::Url;

use crate::{
    App, page, see_other,
    session::Session,
    store::{self, secret},
};

/// How long a user may take to sign in.
const LOGIN_LIFETIME: Duration = Duration::from_secs(1800);

/// A sign-in in progress, stored under its `state`.
#[derive(Clone)]
pub(crate) struct Login {
    /// The cookie of the browser that began; no other browser may finish.
    pub(crate) browser: String,
    /// The PKCE verifier (RFC 7636).
    pub(crate) verifier: String,
    /// Ties the ID token to this sign-in.
    pub(crate) nonce: String,
    /// The page that the user returns to.
    pub(crate) back: &'static str,
    /// How old the sign-in may be, if the API requires a recent one.
    pub(crate) max_age: Option<u32>,
    /// The user who must sign in, if one is signed in already.
    pub(crate) sub: Option<String>,
}

/// What a sign-in is requested for.
#[derive(Default)]
pub(crate) struct Wish {
    /// The page that the user returns to.
    pub(crate) back: &'static str,
    /// How old the sign-in may be.
    pub(crate) max_age: Option<u32>,
    /// The session of the user who is signed in already.
    pub(crate) session: Option<Session>,
}

#[handler]
pub(crate) async fn start(request: &Request, Data(app): Data<&Arc<App>>) -> Response {
    begin(
        app,
        request,
        Wish {
            back: "/",
            ..Wish::default()
        },
    )
    .await
}

/// Stores what the response must match, and redirects the browser to the provider.
pub(crate) async fn begin(app: &App, request: &Request, wish: Wish) -> Response {
    // A cookie set under another name of this machine (localhost) would not come back to the callback.
    let host = request.header(header::HOST).unwrap_or_default();
    if app
        .public_url
        .split_once("://")
        .is_none_or(|(_, ours)| ours != host)
    {
        return see_other(&format!("{}/login", app.public_url));
    }
    let endpoint = match app.issuer.metadata().await {
        Ok(metadata) => metadata.authorization_endpoint.clone(),
        Err(error) => return page::away(&error),
    };
    // One cookie for all sign-ins of this browser, so that two tabs do not spoil each other's.
    let known = app
        .cookie(request, "browser")
        .filter(|value| store::is_secret(value));
    let login = Login {
        browser: known.map_or_else(secret, str::to_owned),
        verifier: secret(),
        nonce: secret(),
        back: wish.back,
        max_age: wish.max_age,
        sub: wish.session.as_ref().map(|session| session.sub.clone()),
    };
    let cookie = app.set_cookie("browser", &login.browser, LOGIN_LIFETIME);
    let state = secret();
    let Some(mut url) = authorization_url(app, &endpoint, &state, &login) else {
        return page::away(&"the provider's address is not a URL");
    };
    if let Some(session) = &wish.session {
        let hint = session.id_token().await;
        url.query_pairs_mut().append_pair("id_token_hint", &hint);
    }
    if !app.logins.put(state, login, LOGIN_LIFETIME) {
        return page::away(&"too many sign-ins are under way");
    }
    let mut answer = see_other(url.as_str());
    page::add_header(&mut answer, header::SET_COOKIE, &cookie);
    answer
}

/// RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1; `max_age` as RFC 9470 §4 has it.
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
    if let Some(max_age) = login.max_age {
        url.query_pairs_mut()
            .append_pair("max_age", &max_age.to_string());
    }
    Some(url)
}
