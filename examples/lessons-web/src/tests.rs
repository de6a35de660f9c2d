//! The whole walk against a small provider that signs with a key of its own, and each way to spoil it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(
    clippy::disallowed_types,
    reason = "a stand-in for the provider, posted to by the example alone"
)]

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_compact::{Algorithm, AlgorithmExt as _, Claims, Header, alg::Es256, jwk::JsonWebKey};
use poem::web::Form;
use ring::digest::{SHA256, digest};
use serde_json::json;
use url::Url;

use super::*;

type SigningKey = <Es256 as Algorithm>::SigningKey;

/// What the client sends to the token endpoint.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Asked {
    grant_type: String,
    client_id: String,
    /// `nonce` and challenge of the authorization request travel in it.
    code: String,
    code_verifier: String,
    redirect_uri: String,
    refresh_token: String,
}

/// The provider and the API behind it: what they do, and what they saw.
struct Provider {
    sub: Mutex<&'static str>,
    auth_time: AtomicI64,
    expires_in: AtomicU64,
    /// The refresh token in force, by number. An older one that comes back ends the grant.
    generation: AtomicUsize,
    ended: AtomicBool,
    away: AtomicBool,
    given_back: AtomicBool,
    coach: AtomicBool,
    /// The API wants a recent sign-in.
    stale: AtomicBool,
    /// Which key it says that it signs with; 1 is published.
    kid: AtomicUsize,
    /// The API takes only tokens of this generation and later.
    least: AtomicUsize,
}

impl Provider {
    fn new() -> Self {
        let no = || AtomicBool::new(false);
        Self {
            sub: Mutex::new("me"),
            auth_time: AtomicI64::new(lessons_api::now()),
            expires_in: AtomicU64::new(600),
            generation: AtomicUsize::new(0),
            ended: no(),
            away: no(),
            given_back: no(),
            coach: no(),
            stale: no(),
            kid: AtomicUsize::new(1),
            least: AtomicUsize::new(0),
        }
    }
}

const SEQ: Ordering = Ordering::SeqCst;

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

#[handler]
fn metadata(request: &Request) -> String {
    let issuer = format!("http://{}", request.header("host").unwrap());
    let at = |path: &str| format!("{issuer}{path}");
    json!({"issuer":issuer,"authorization_endpoint":at("/a"),"token_endpoint":at("/t"),"jwks_uri":at("/jwks"),
        "revocation_endpoint":at("/r"),"end_session_endpoint":at("/end")})
    .to_string()
}

#[handler]
fn jwks() -> String {
    let mut jwk = serde_json::to_value(JsonWebKey::from(key().verifying_key())).unwrap();
    jwk["kid"] = json!("one");
    json!({"keys":[jwk]}).to_string()
}

#[handler]
fn token(
    request: &Request,
    Form(form): Form<Asked>,
    Data(provider): Data<&Arc<Provider>>,
) -> Response {
    if provider.away.load(SEQ) {
        return StatusCode::BAD_GATEWAY.into();
    }
    assert_eq!(form.client_id, "lessons-web");
    let refused = || {
        Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .body(r#"{"error":"invalid_grant"}"#)
    };
    let nonce = if form.grant_type == "refresh_token" {
        let current = form.refresh_token == format!("rt-{}", provider.generation.load(SEQ));
        if !current || provider.ended.load(SEQ) {
            provider.ended.store(true, SEQ);
            return refused();
        }
        None
    } else {
        let (nonce, challenge) = form.code.split_once('.').unwrap();
        let fits = URL_SAFE_NO_PAD.encode(digest(&SHA256, form.code_verifier.as_bytes()))
            == challenge
            && form.grant_type == "authorization_code"
            && form.redirect_uri == "http://web.test/callback";
        if !fits {
            return refused();
        }
        Some(nonce)
    };
    let now = lessons_api::now();
    let generation = provider.generation.fetch_add(1, SEQ) + 1;
    let issuer = format!("http://{}", request.header("host").unwrap());
    let mut claims = json!({"iss":issuer,"sub":*provider.sub.lock().unwrap(),"aud":"lessons-web","exp":now+600,
        "iat":now,"auth_time":provider.auth_time.load(SEQ),"sid":"the-session"});
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    let kid = if provider.kid.load(SEQ) == 1 {
        "one"
    } else {
        "two"
    };
    let id_token = Es256
        .token(
            &Header::empty().with_key_id(kid),
            &Claims::new(claims),
            &key(),
        )
        .unwrap();
    json!({"access_token":format!("at-{generation}"),"token_type":"Bearer","expires_in":provider.expires_in.load(SEQ),
        "id_token":id_token,"refresh_token":format!("rt-{generation}")})
    .to_string()
    .into()
}

#[handler]
fn revoke(
    Form(form): Form<std::collections::HashMap<String, String>>,
    Data(provider): Data<&Arc<Provider>>,
) {
    assert!(form["token"].starts_with("rt-"));
    provider.given_back.store(true, SEQ);
}

#[handler]
fn api(request: &Request, Data(provider): Data<&Arc<Provider>>) -> Response {
    let challenge = |status: StatusCode, words: &str| {
        Response::builder()
            .status(status)
            .header("www-authenticate", words)
            .finish()
    };
    let shown = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer at-"));
    if shown.is_none_or(|number| number.parse::<usize>().unwrap() < provider.least.load(SEQ)) {
        return challenge(StatusCode::UNAUTHORIZED, r#"Bearer error="invalid_token""#);
    }
    if request.uri().path() == "/lessons" {
        return json!({"lessons":[{"time":"Monday","title":"<b>Tango</b>","studio":"Gardel"}]})
            .to_string()
            .into();
    }
    if !provider.coach.load(SEQ) {
        return StatusCode::FORBIDDEN.into();
    }
    if provider.stale.load(SEQ) {
        let words = r#"Bearer error="insufficient_user_authentication", max_age="300""#;
        return challenge(StatusCode::UNAUTHORIZED, words);
    }
    json!({"register":[{"pupil":"Marie","call":"her mother"}]})
        .to_string()
        .into()
}

/// One browser at the client, with the provider beside it.
struct Walk {
    app: Arc<App>,
    provider: Arc<Provider>,
    cookies: Vec<String>,
}

impl Walk {
    async fn new() -> Self {
        lessons_api::install_tls();
        let provider = Arc::new(Provider::new());
        let acceptor = TcpListener::bind("127.0.0.1:0")
            .into_acceptor()
            .await
            .unwrap();
        let url = format!(
            "http://{}",
            acceptor.local_addr()[0].as_socket_addr().unwrap()
        );
        let routes = Route::new()
            .at("/.well-known/openid-configuration", get(metadata))
            .at("/jwks", get(jwks))
            .at("/t", post(token))
            .at("/r", post(revoke))
            .at("/lessons", get(api))
            .at("/register", get(api))
            .data(Arc::clone(&provider));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        let arguments = [
            "web",
            "--issuer",
            &url,
            "--lessons-api-url",
            &url,
            "--public-url",
            "http://web.test",
        ];
        let app = App::new(Settings::parse_from(arguments), String::new()).unwrap();
        Self {
            app: Arc::new(app),
            provider,
            cookies: Vec::new(),
        }
    }

    async fn go(&mut self, method: poem::http::Method, path: &str) -> (StatusCode, String, String) {
        let request = Request::builder()
            .method(method)
            .uri(path.parse().unwrap())
            .header("host", "web.test");
        let answer = routes(Arc::clone(&self.app))
            .get_response(request.header("cookie", self.cookies.join("; ")).finish())
            .await;
        for value in answer.headers().get_all("set-cookie") {
            let pair = value
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let name = format!("{}=", pair.split('=').next().unwrap());
            self.cookies.retain(|old| !old.starts_with(&name));
            self.cookies.push(pair);
        }
        let location = answer.header("location").unwrap_or_default().to_owned();
        (
            answer.status(),
            location,
            answer.into_body().into_string().await.unwrap(),
        )
    }

    async fn get(&mut self, path: &str) -> (StatusCode, String, String) {
        self.go(poem::http::Method::GET, path).await
    }

    /// Begins, and gives what a provider would answer with: (code, state).
    async fn begin(&mut self) -> (String, String) {
        let (code, state, _) = self.asked("/login").await;
        (code, state)
    }

    /// A page of ours that leads to the provider: (code, state, everything that it asks for).
    async fn asked(
        &mut self,
        path: &str,
    ) -> (String, String, std::collections::HashMap<String, String>) {
        let (status, location, _) = self.get(path).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let url = Url::parse(&location).unwrap();
        let asked: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(
            (
                asked["scope"].as_str(),
                asked["code_challenge_method"].as_str()
            ),
            ("openid email profile", "S256")
        );
        (
            format!("{}.{}", asked["nonce"], asked["code_challenge"]),
            asked["state"].clone(),
            asked,
        )
    }

    /// A browser that is signed in.
    async fn signed_in() -> Self {
        let mut walk = Self::new().await;
        let (code, state) = walk.begin().await;
        assert_eq!(walk.finish(&code, &state).await, StatusCode::SEE_OTHER);
        walk
    }

    async fn post(&mut self, path: &str) -> (StatusCode, String, String) {
        self.go(poem::http::Method::POST, path).await
    }

    async fn sees_lessons(&mut self) -> bool {
        self.get("/").await.2.contains("id=\"lessons\"")
    }

    async fn finish(&mut self, code: &str, state: &str) -> StatusCode {
        let path = format!(
            "/callback?code={code}&state={state}&iss={}",
            self.app.issuer.url()
        );
        self.get(&path).await.0
    }
}

#[tokio::test]
async fn the_walk_ends_at_the_lessons_and_sign_out_ends_it() {
    let mut walk = Walk::new().await;
    assert!(walk.get("/").await.2.contains("id=\"sign-in\""));
    let (code, state) = walk.begin().await;
    assert_eq!(walk.finish(&code, &state).await, StatusCode::SEE_OTHER);
    let page = walk.get("/").await.2;
    assert!(
        page.contains("Tango") && !page.contains("<b>"),
        "shown, and escaped: {page}"
    );
    let held = format!("{page} {}", walk.cookies.join(" "));
    assert!(
        !["at-", "rt-", "ey"]
            .iter()
            .any(|secret| held.contains(secret)),
        "no token reaches the browser: {held}"
    );
    walk.post("/logout").await;
    assert!(walk.get("/").await.2.contains("id=\"sign-in\""));
    assert!(
        walk.provider.given_back.load(SEQ),
        "RFC 7009: the client will not use it any more"
    );
}

#[tokio::test]
async fn an_answer_is_taken_once() {
    let mut walk = Walk::new().await;
    let (code, state) = walk.begin().await;
    assert_eq!(walk.finish(&code, &state).await, StatusCode::SEE_OTHER);
    assert_eq!(walk.finish(&code, &state).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_browser_cannot_finish_and_spoils_nothing() {
    let mut walk = Walk::new().await;
    let (code, state) = walk.begin().await;
    let mine = std::mem::take(&mut walk.cookies);
    assert_eq!(walk.finish(&code, &state).await, StatusCode::BAD_REQUEST);
    walk.cookies = mine;
    assert_eq!(walk.finish(&code, &state).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn two_tabs_do_not_spoil_each_other() {
    let mut walk = Walk::new().await;
    let (code, state) = walk.begin().await;
    walk.begin().await;
    assert_eq!(walk.finish(&code, &state).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_missing_or_foreign_iss_is_refused() {
    for iss in ["", "&iss=http://evil.test"] {
        let mut walk = Walk::new().await;
        let (code, state) = walk.begin().await;
        assert_eq!(
            walk.get(&format!("/callback?code={code}&state={state}{iss}"))
                .await
                .0,
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn a_code_of_another_sign_in_is_refused() {
    let mut walk = Walk::new().await;
    let (other, _) = walk.begin().await;
    let (_, state) = walk.begin().await;
    assert_eq!(walk.finish(&other, &state).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unrequested_response_is_refused() {
    let mut walk = Walk::new().await;
    for query in [
        "",
        "?code=a&state=b",
        "?state=a&state=b",
        "?error=access_denied",
    ] {
        assert_eq!(
            walk.get(&format!("/callback{query}")).await.0,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_error_of_the_provider_is_told_in_safe_words() {
    for (error, shown) in [
        ("access_denied", "access_denied"),
        ("%3Cscript%3E", "unknown error"),
    ] {
        let mut walk = Walk::new().await;
        let (_, state) = walk.begin().await;
        let path = format!(
            "/callback?error={error}&state={state}&iss={}",
            walk.app.issuer.url()
        );
        let (status, _, page) = walk.get(&path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(page.contains(shown), "{page}");
    }
}

#[tokio::test]
async fn an_unknown_session_is_asked_to_sign_in() {
    let mut walk = Walk::new().await;
    walk.cookies.push("lessons_session=gone".to_owned());
    let (status, _, page) = walk.get("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("id=\"notice\"") && page.contains("id=\"sign-in\""));
}

#[tokio::test]
async fn another_name_of_this_machine_is_sent_to_the_right_one() {
    let walk = Walk::new().await;
    let request = Request::builder()
        .uri("/login".parse().unwrap())
        .header("host", "localhost:8081")
        .finish();
    let answer = routes(Arc::clone(&walk.app)).get_response(request).await;
    assert_eq!(answer.header("location"), Some("http://web.test/login"));
}

#[path = "visit_tests.rs"]
mod visit;
