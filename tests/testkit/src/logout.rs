//! Clients that receive logout tokens: an HTTP server that keeps what was posted, by path.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::upstream::http::{self, Answer, Reply, Request};

/// A logout token as it was posted.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path, by which clients differ.
    pub path: String,
    /// The names of all fields of the form.
    pub fields: Vec<String>,
    /// The token.
    pub token: String,
}

impl Received {
    /// Returns the claims, without a check of the signature.
    ///
    /// # Panics
    /// It is no JWT.
    #[must_use]
    pub fn claims(&self) -> Value {
        let payload = self.token.split('.').nth(1).expect("a JWT");
        let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// Returns the session that it names.
    ///
    /// # Panics
    /// It names none.
    #[must_use]
    pub fn sid(&self) -> String {
        self.claims()["sid"].as_str().expect("a sid").to_owned()
    }
}

/// The reply to a path, and what arrived so far.
struct State {
    received: Vec<Received>,
    reply: Box<dyn Fn(&str) -> Reply + Send>,
}

/// A running receiver, which ends when it is dropped.
pub struct LogoutReceiver {
    url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Drop for LogoutReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl LogoutReceiver {
    /// Starts one that takes each token.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let state = Arc::new(Mutex::new(State {
            received: Vec::new(),
            reply: Box::new(|_| ok()),
        }));
        let of_server = Arc::clone(&state);
        let answer: Answer = Arc::new(move |request| receive(&of_server, &request));
        let server = tokio::spawn(http::serve(listener, answer));
        Self { url, state, server }
    }

    /// Returns the address of a client.
    #[must_use]
    pub fn uri(&self, client: &str) -> String {
        format!("{}/{client}", self.url)
    }

    /// Changes what it answers from now on, by path.
    pub fn reply_with(&self, reply: impl Fn(&str) -> Reply + Send + 'static) {
        lock(&self.state).reply = Box::new(reply);
    }

    /// Returns everything that arrived so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// Forgets what arrived, and returns it.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut lock(&self.state).received)
    }
}

/// The response of a client that ended the session.
#[must_use]
pub fn ok() -> Reply {
    Reply::new(200, "text/plain", "").with("cache-control", "no-store")
}

fn receive(state: &Mutex<State>, request: &Request) -> Reply {
    let mut state = lock(state);
    let form = request.form();
    let token = form.iter().find(|(name, _)| name == "logout_token");
    state.received.push(Received {
        path: request.path.trim_start_matches('/').to_owned(),
        token: token.map(|(_, value)| value.clone()).unwrap_or_default(),
        fields: form.into_iter().map(|(name, _)| name).collect(),
    });
    (state.reply)(&request.path)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
