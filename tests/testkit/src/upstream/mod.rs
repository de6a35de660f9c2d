//! An upstream provider that a test writes the part of: OpenID Connect, or shaped like GitHub.
//!
//! Honest by default, and strict about what it receives: client authentication, redirect URI, PKCE S256, one
//! use of a code. What it does not like it refuses and notes ([`Upstream::complaints`]). A test
//! [injects](Upstream::inject) one [`Fault`], and everything else stays right. It stands behind a [`Wire`], so it can
//! be slow, silent or gone. Shares no code with the service.

mod answers;
mod fault;
pub mod http;
mod keys;
mod token;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

pub use self::{
    fault::{Fault, Place},
    http::{Pace, Reply, Request},
    keys::{Keys, Sign, encode},
};
use crate::{
    page::Page,
    wire::{Mode, Wire},
};

/// The client that it knows, and a secret that form-encoding changes (RFC 6749 §2.3.1).
pub const CLIENT_ID: &str = "entree@school+upstream";
/// Its secret.
pub const CLIENT_SECRET: &str = "s3cret:with+odd/chars%&=é";

/// In which header a test's browser says whose it is.
const PERSON: &str = "x-person";

/// Which protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// OpenID Connect.
    Oidc,
    /// OAuth 2.0 as GitHub has it: no discovery, no ID token, errors with status 200.
    GitHub,
}

/// A running upstream. Dropping it ends it.
pub struct Upstream {
    /// What stands before it.
    pub wire: Wire,
    book: Arc<Mutex<Book>>,
    server: JoinHandle<()>,
}

/// What it knows and what it has seen.
struct Book {
    base: String,
    issuer: String,
    shape: Shape,
    redirect_uris: BTreeSet<String>,
    person: Value,
    sends_iss: bool,
    form_post: bool,
    signer: Option<Vec<u8>>,
    pkce: bool,
    later: i64,
    late: Duration,
    keys: Keys,
    faults: Vec<Fault>,
    codes: BTreeMap<String, Granted>,
    access_tokens: BTreeMap<String, Value>,
    requests: Vec<(Place, Request)>,
    complaints: Vec<String>,
    secrets: BTreeSet<String>,
}

/// What a code stands for.
#[derive(Clone)]
struct Granted {
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    person: Value,
    used: bool,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// An honest OpenID Provider on a free port of loopback.
    pub async fn start() -> Self {
        Self::of(Shape::Oidc).await
    }

    /// An honest provider of that shape.
    pub async fn of(shape: Shape) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let wire = Wire::start().await;
        wire.aim(vec![listener.local_addr().expect("its address")]);
        let base = format!("http://{}", wire.address());
        let book = Book {
            issuer: base.clone(),
            base,
            shape,
            redirect_uris: BTreeSet::new(),
            person: json!({"sub": "ann-1", "email": "ann@upstream.test", "email_verified": true, "name": "Ann Upstream"}),
            sends_iss: false,
            form_post: false,
            signer: None,
            pkce: true,
            later: 0,
            late: Duration::ZERO,
            keys: Keys::new(),
            faults: Vec::new(),
            codes: BTreeMap::new(),
            access_tokens: BTreeMap::new(),
            requests: Vec::new(),
            complaints: Vec::new(),
            secrets: BTreeSet::new(),
        };
        let book = Arc::new(Mutex::new(book));
        let of_server = Arc::clone(&book);
        let answer: http::Answer = Arc::new(move |request| lock(&of_server).answer(&request));
        Self {
            wire,
            book,
            server: tokio::spawn(http::serve(listener, answer)),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.book().base.clone()
    }

    /// What it calls itself; [`Upstream::url`] unless changed.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.book().issuer.clone()
    }

    /// Has it call itself otherwise, in metadata and tokens. Its documents are found below every path.
    pub fn call_itself(&self, issuer: &str) {
        issuer.clone_into(&mut self.book().issuer);
    }

    /// Has it speak another protocol from now on.
    pub fn speak(&self, shape: Shape) {
        self.book().shape = shape;
    }

    /// Registers a redirect URI of the client.
    pub fn register(&self, redirect_uri: &str) {
        self.book().redirect_uris.insert(redirect_uri.to_owned());
    }

    /// Who signs in there from now on: the claims of ID token and userinfo, or GitHub's `/user` and its `emails`.
    pub fn person(&self, person: Value) {
        self.book().person = person;
    }

    /// Sends `iss` with its answers and says so in the metadata (RFC 9207).
    pub fn sends_iss(&self) {
        self.book().sends_iss = true;
    }

    /// Answers by a form that posts itself (OAuth 2.0 Form Post Response Mode).
    pub fn posts_forms(&self) {
        self.book().form_post = true;
    }

    /// Takes no secret but a token that its client signs by itself, as Apple has it, for team `TEAM`, key `KEY`; gives
    /// the private key for that.
    #[must_use]
    pub fn wants_signed_secret(&self) -> String {
        let (pem, public) = keys::key_file();
        self.book().signer = Some(public);
        pem
    }

    /// Knows no PKCE, and refuses what it does not know.
    pub fn knows_no_pkce(&self) {
        self.book().pkce = false;
    }

    /// Does one more thing wrong from now on; earlier faults stay in force.
    pub fn inject(&self, fault: Fault) {
        self.book().faults.push(fault);
    }

    /// Ends all faults: it is honest again.
    pub fn reset_faults(&self) {
        self.book().faults.clear();
    }

    /// Lets time pass for the times in its tokens.
    pub fn pass(&self, seconds: i64) {
        self.book().later += seconds;
    }

    /// Its time, in seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.book().now()
    }

    /// Signs with new keys from now on, and publishes no others.
    pub fn rotate(&self) {
        self.book().keys.rotate();
    }

    /// The name of the key that signs in this way.
    #[must_use]
    pub fn kid(&self, sign: &Sign) -> String {
        self.book().keys.kid(sign)
    }

    /// The public RSA key as bytes, for those who would take it for an HMAC secret.
    #[must_use]
    pub fn public_der(&self) -> Vec<u8> {
        self.book().keys.public_der()
    }

    /// The requests that came to a place, in order.
    #[must_use]
    pub fn requests(&self, place: Place) -> Vec<Request> {
        self.book()
            .requests
            .iter()
            .filter(|(at, _)| *at == place)
            .map(|(_, request)| request.clone())
            .collect()
    }

    /// How many came to a place.
    #[must_use]
    pub fn count(&self, place: Place) -> usize {
        self.requests(place).len()
    }

    /// How many came at all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.book().requests.len()
    }

    /// What it did not like about the requests that came.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.book().complaints.clone()
    }

    /// Codes, tokens, states, nonces and verifiers that passed here: the service must not keep them in clear.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<String> {
        self.book().secrets.clone()
    }

    /// Answers everything so much later, whole.
    pub fn slow_down(&self, by: Duration) {
        self.book().late = by;
    }

    /// Nothing listens any more; open connections are cut.
    pub fn go_down(&self) {
        self.wire.set(Mode::Refuse);
    }

    /// It is back.
    pub fn come_up(&self) {
        self.wire.set(Mode::Ok);
    }

    /// A person's browser goes where a continue page of the service leads, is known here already, and is sent back.
    ///
    /// # Panics
    /// The page leads elsewhere, or the request was refused; shows why.
    pub async fn visit(&self, page: &Page) -> Back {
        self.go(&way(page), None).await
    }

    /// The same for a person of their own, independent of all others.
    ///
    /// # Panics
    /// See [`Upstream::visit`].
    pub async fn visit_as(&self, page: &Page, person: &Value) -> Back {
        self.go(&way(page), Some(person)).await
    }

    /// The same without a connection, for tests that send a thousand people.
    ///
    /// # Panics
    /// The request was refused.
    #[must_use]
    pub fn grant(&self, to: &Url) -> Back {
        let (path, query) = (
            to.path().to_owned(),
            to.query().unwrap_or_default().to_owned(),
        );
        let request = Request {
            method: "GET".to_owned(),
            path,
            query,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let reply = self.book().answer(&request);
        let location = reply.headers.iter().find(|(name, _)| name == "location");
        let (_, location) =
            location.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&reply.body)));
        Back::of(&Url::parse(location).expect("a URL"))
    }

    /// The same for an address.
    ///
    /// # Panics
    /// See [`Upstream::visit`].
    pub async fn authorize(&self, to: &Url) -> Back {
        self.go(to, None).await
    }

    /// The same for a person of their own.
    ///
    /// # Panics
    /// See [`Upstream::visit`].
    pub async fn authorize_as(&self, to: &Url, person: &Value) -> Back {
        self.go(to, Some(person)).await
    }

    async fn go(&self, to: &Url, person: Option<&Value>) -> Back {
        assert!(
            to.as_str().starts_with(&self.url()),
            "leads to {}",
            to.origin().ascii_serialization()
        );
        let mut request = crate::browser::client().get(to.clone());
        if let Some(person) = person {
            request = request.header(PERSON, person.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let location = answer
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = answer.text().await.unwrap_or_default();
        match location {
            Some(location) => Back::of(&Url::parse(&location).expect("a URL")),
            None if status == 200 => Back::of_form(&body),
            None => panic!("{status}: {body}"),
        }
    }
}

impl Book {
    fn now(&self) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        i64::try_from(now).expect("a time") + self.later
    }
}

/// What a browser brings back to the service.
#[derive(Clone, Debug)]
pub struct Back {
    /// Where: scheme, host and path.
    pub to: Url,
    /// The parameters, in order.
    pub pairs: Vec<(String, String)>,
}

impl Back {
    fn of(location: &Url) -> Self {
        let pairs = location.query_pairs().into_owned().collect();
        let mut to = location.clone();
        to.set_query(None);
        Self { to, pairs }
    }

    fn of_form(body: &str) -> Self {
        let (to, fields) = body.split_once('\n').expect("a form of ours");
        let pairs = url::form_urlencoded::parse(fields.as_bytes())
            .into_owned()
            .collect();
        Self {
            to: Url::parse(to).expect("a URL"),
            pairs,
        }
    }

    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// With a parameter of another value, or a further one.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.pairs.retain(|(known, _)| known != name);
        self.pairs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a parameter.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(known, _)| known != name);
        self
    }

    /// The parameters, encoded.
    #[must_use]
    pub fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.pairs)
            .finish()
    }

    /// Path and query, as a GET has them.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}?{}", self.to.path(), self.query())
    }

    /// The whole address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}?{}", self.to, self.query())
    }
}

/// Where a continue page leads.
fn way(page: &Page) -> Url {
    page.refresh()
        .unwrap_or_else(|| panic!("leads nowhere: {}", page.summary()))
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
