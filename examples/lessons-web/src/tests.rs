//! The whole walk against a small provider that signs with a key of its own, and each way to spoil it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_types, reason = "a stand-in for the provider, posted to by the example alone")]

use jwt_compact::{Algorithm, AlgorithmExt as _, Claims, Header, alg::Es256, jwk::JsonWebKey};
use poem::web::Form;
use serde_json::json;

use super::*;

type SigningKey = <Es256 as Algorithm>::SigningKey;

/// What the provider remembers of the authorization request: `nonce` and challenge travel in the code.
#[derive(serde::Deserialize)]
struct Exchange {
    code: String,
    code_verifier: String,
    redirect_uri: String,
    client_id: String,
    grant_type: String,
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

#[handler]
fn metadata(request: &Request) -> String {
    let issuer = format!("http://{}", request.header("host").unwrap());
    let at = |path: &str| format!("{issuer}{path}");
    json!({"issuer":issuer,"authorization_endpoint":at("/a"),"token_endpoint":at("/t"),"jwks_uri":at("/jwks")}).to_string()
}

#[handler]
fn jwks() -> String {
    let mut jwk = serde_json::to_value(JsonWebKey::from(key().verifying_key())).unwrap();
    jwk["kid"] = json!("one");
    json!({"keys":[jwk]}).to_string()
}

#[handler]
fn token(request: &Request, Form(form): Form<Exchange>) -> Response {
    let (nonce, challenge) = form.code.split_once('.').unwrap();
    let fits = URL_SAFE_NO_PAD.encode(digest(&SHA256, form.code_verifier.as_bytes())) == challenge
        && (form.grant_type.as_str(), form.client_id.as_str()) == ("authorization_code", "lessons-web")
        && form.redirect_uri == "http://web.test/callback";
    if !fits {
        return StatusCode::BAD_REQUEST.into();
    }
    let now = lessons_api::now();
    let issuer = format!("http://{}", request.header("host").unwrap());
    let claims = json!({"iss":issuer,"sub":"me","aud":"lessons-web","exp":now+600,"iat":now,"nonce":nonce});
    let id_token = Es256.token(&Header::empty().with_key_id("one"), &Claims::new(claims), &key()).unwrap();
    json!({"access_token":"at","token_type":"Bearer","expires_in":600,"id_token":id_token}).to_string().into()
}

#[handler]
fn api(request: &Request) -> Response {
    if request.header("authorization") != Some("Bearer at") {
        return StatusCode::UNAUTHORIZED.into();
    }
    json!({"lessons":[{"time":"Monday","title":"<b>Tango</b>","studio":"Gardel"}]}).to_string().into()
}

/// One browser at the client, with the provider beside it.
struct Walk {
    app: Arc<App>,
    cookies: Vec<String>,
}

impl Walk {
    async fn new() -> Self {
        lessons_api::install_tls();
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let url = format!("http://{}", acceptor.local_addr()[0].as_socket_addr().unwrap());
        let routes = Route::new()
            .at("/.well-known/openid-configuration", get(metadata))
            .at("/jwks", get(jwks))
            .at("/t", post(token))
            .at("/lessons", get(api));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        let arguments = ["web", "--issuer", &url, "--lessons-api-url", &url, "--public-url", "http://web.test"];
        let app = App::new(Settings::parse_from(arguments), String::new()).unwrap();
        Self { app: Arc::new(app), cookies: Vec::new() }
    }

    async fn go(&mut self, method: poem::http::Method, path: &str) -> (StatusCode, String, String) {
        let request = Request::builder().method(method).uri(path.parse().unwrap()).header("host", "web.test");
        let answer = routes(Arc::clone(&self.app)).get_response(request.header("cookie", self.cookies.join("; ")).finish()).await;
        let cookies = answer.headers().get_all("set-cookie").iter();
        self.cookies.extend(cookies.map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned()));
        let location = answer.header("location").unwrap_or_default().to_owned();
        (answer.status(), location, answer.into_body().into_string().await.unwrap())
    }

    async fn get(&mut self, path: &str) -> (StatusCode, String, String) {
        self.go(poem::http::Method::GET, path).await
    }

    /// Begins, and gives what a provider would answer with: (code, state).
    async fn begin(&mut self) -> (String, String) {
        let (status, location, _) = self.get("/login").await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        let url = Url::parse(&location).unwrap();
        let asked: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((asked["scope"].as_str(), asked["code_challenge_method"].as_str()), ("openid email profile", "S256"));
        (format!("{}.{}", asked["nonce"], asked["code_challenge"]), asked["state"].clone())
    }

    async fn finish(&mut self, code: &str, state: &str) -> StatusCode {
        let path = format!("/callback?code={code}&state={state}&iss={}", self.app.issuer.url());
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
    assert!(page.contains("Tango") && !page.contains("<b>"), "shown, and escaped: {page}");
    assert!(!page.contains("Bearer") && !walk.cookies.join(" ").contains("at;"));
    walk.go(poem::http::Method::POST, "/logout").await;
    assert!(walk.get("/").await.2.contains("id=\"sign-in\""));
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
        assert_eq!(walk.get(&format!("/callback?code={code}&state={state}{iss}")).await.0, StatusCode::BAD_REQUEST);
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
async fn what_nobody_asked_for_is_refused() {
    let mut walk = Walk::new().await;
    for query in ["", "?code=a&state=b", "?state=a&state=b", "?error=access_denied"] {
        assert_eq!(walk.get(&format!("/callback{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn an_error_of_the_provider_is_told_in_safe_words() {
    for (error, shown) in [("access_denied", "access_denied"), ("%3Cscript%3E", "unknown error")] {
        let mut walk = Walk::new().await;
        let (_, state) = walk.begin().await;
        let path = format!("/callback?error={error}&state={state}&iss={}", walk.app.issuer.url());
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
    let request = Request::builder().uri("/login".parse().unwrap()).header("host", "localhost:8081").finish();
    let answer = routes(Arc::clone(&walk.app)).get_response(request).await;
    assert_eq!(answer.header("location"), Some("http://web.test/login"));
}
