//! A caller of one provider with one kind of work.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    closed_loop::Caller,
    connection::{Connection, Response},
    figures::Outcome,
    provider::{Provider, REDIRECT, STEPS, Session, Work, parameter, path_of},
};

/// The caller.
#[derive(Debug)]
pub struct Worker {
    connection: Connection,
    provider: Arc<Provider>,
    /// A network address of its own behind a trusted proxy.
    from: Option<String>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// The same request again and again; the response must hold the text.
    Request(Vec<u8>, &'static str),
    Authorize(Session),
    CodeFlow(Session),
    /// With the refresh token that came last.
    Refresh(String),
}

impl Worker {
    /// Prepares a caller: what needs tokens gets them by a code flow with the session.
    ///
    /// # Errors
    /// The provider lacks the endpoint, or that code flow fails.
    pub async fn new(
        provider: Arc<Provider>,
        work: Work,
        session: &Session,
    ) -> Result<Self, String> {
        let mut worker = Self {
            connection: Connection::new(provider.target.address),
            task: Task::CodeFlow(session.clone()),
            provider,
            from: None,
        };
        worker.task = worker.task_of(work, session).await?;
        Ok(worker)
    }

    /// Has all its requests come from an address behind the trusted proxy.
    #[must_use]
    pub fn at_address(mut self, address: Ipv4Addr) -> Self {
        self.from = Some(address.to_string());
        self
    }

    async fn task_of(&mut self, work: Work, session: &Session) -> Result<Task, String> {
        let provider = Arc::clone(&self.provider);
        let (target, endpoints) = (&provider.target, &provider.endpoints);
        let basic = provider.software.basic();
        Ok(match work {
            Work::Authorize => Task::Authorize(session.clone()),
            Work::CodeFlow => Task::CodeFlow(session.clone()),
            Work::Discovery => Task::Request(target.get(&endpoints.discovery, &[]), "issuer"),
            Work::ClientCredentials => {
                let mut fields = vec![("grant_type", "client_credentials")];
                fields.extend(provider.resource.as_deref().map(|uri| ("resource", uri)));
                let request = target.post(&endpoints.token, &[("Authorization", &basic)], &fields);
                Task::Request(request, "access_token")
            }
            Work::Refresh => Task::Refresh(self.token(session, "refresh_token").await?),
            Work::Userinfo => {
                let path = endpoints.userinfo.as_ref().ok_or("no userinfo endpoint")?;
                let token = self.token(session, "access_token").await?;
                let bearer = format!("Bearer {token}");
                Task::Request(target.get(path, &[("Authorization", &bearer)]), "\"sub\"")
            }
            Work::Introspection => {
                let path = endpoints.introspection.as_ref();
                let path = path.ok_or("no introspection endpoint")?;
                let token = self.token(session, "access_token").await?;
                let fields = [("token", token.as_str())];
                let request = target.post(path, &[("Authorization", &basic)], &fields);
                Task::Request(request, "\"active\":true")
            }
        })
    }

    /// One kind of token out of a code flow.
    async fn token(&mut self, session: &Session, name: &str) -> Result<String, String> {
        let tokens = self.tokens(session).await?;
        let token = tokens[name].as_str().map(str::to_owned);
        token.ok_or_else(|| format!("no {name} in {tokens}"))
    }

    /// The response of the token endpoint to a code flow.
    ///
    /// # Errors
    /// The flow fails.
    pub async fn tokens(&mut self, session: &Session) -> Result<Value, String> {
        let response = match self.code_flow(session).await {
            Ok(response) => response,
            Err(outcome) => return Err(format!("{outcome:?}")),
        };
        serde_json::from_slice(&response.body).map_err(|error| error.to_string())
    }

    async fn code_flow(&mut self, session: &Session) -> Result<Response, Outcome> {
        let code = self.code(session).await?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("redirect_uri", REDIRECT),
            ("code_verifier", session.verifier.as_str()),
            ("code", code.as_str()),
        ];
        self.token_request(&fields, "\"id_token\"").await
    }

    /// Follows the provider's redirects to itself: some have none, some a few.
    async fn code(&mut self, session: &Session) -> Result<String, Outcome> {
        let mut path = session.authorize.clone();
        for _ in 0..STEPS {
            let mut headers = vec![("Cookie", session.cookies.as_str())];
            if session.cookies.is_empty() {
                headers.clear();
            }
            headers.extend(forwarded(self.from.as_ref()));
            let request = self.provider.target.get(&path, &headers);
            let response = send(&mut self.connection, &request).await?;
            let Some(location) = response.location.as_deref() else {
                return Err(unexpected("authorize", &response));
            };
            if location.starts_with(REDIRECT) {
                return parameter(location, "code")
                    .ok_or_else(|| Outcome::Failed(format!("authorize: {location}")));
            }
            path = path_of(location);
        }
        Err(Outcome::Failed("authorize: no end of redirects".to_owned()))
    }

    async fn token_request(
        &mut self,
        fields: &[(&str, &str)],
        needed: &str,
    ) -> Result<Response, Outcome> {
        let basic = self.provider.client.basic();
        let mut headers = vec![("Authorization", basic.as_str())];
        headers.extend(forwarded(self.from.as_ref()));
        let path = &self.provider.endpoints.token;
        let request = self.provider.target.post(path, &headers, fields);
        let response = send(&mut self.connection, &request).await?;
        expect("token", response, needed)
    }

    async fn refresh(&mut self, token: &str) -> Result<String, Outcome> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let response = self.token_request(&fields, "\"access_token\"").await?;
        let tokens: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let next = tokens["refresh_token"].as_str();
        Ok(next.unwrap_or(token).to_owned())
    }

    async fn step(&mut self) -> Result<(), Outcome> {
        // Taken out and put back, so that a task may use the connection beside it.
        let task = std::mem::replace(&mut self.task, Task::Refresh(String::new()));
        let result = match &task {
            Task::Request(request, needed) => {
                let response = send(&mut self.connection, request).await;
                response
                    .and_then(|response| expect("request", response, needed))
                    .map(drop)
            }
            Task::Authorize(session) => self.code(session).await.map(drop),
            Task::CodeFlow(session) => self.code_flow(session).await.map(drop),
            Task::Refresh(token) => match self.refresh(token).await {
                Ok(next) => {
                    self.task = Task::Refresh(next);
                    return Ok(());
                }
                Err(outcome) => Err(outcome),
            },
        };
        self.task = task;
        result
    }
}

impl Caller for Worker {
    async fn operate(&mut self) -> Outcome {
        self.step().await.err().unwrap_or(Outcome::Done)
    }
}

fn forwarded(from: Option<&String>) -> Option<(&'static str, &str)> {
    from.map(|address| ("X-Forwarded-For", address.as_str()))
}

/// Sends a request; a refusal with 503 is one of its own kind.
pub(super) async fn send(connection: &mut Connection, request: &[u8]) -> Result<Response, Outcome> {
    let begin = Instant::now();
    let sent = connection.send(request).await;
    let response = sent.map_err(|error| Outcome::Failed(format!("{:?}", error.kind())))?;
    if response.status == 503 {
        return Err(Outcome::Shed {
            took: begin.elapsed(),
            pause: Duration::from_secs(response.retry_after.unwrap_or(1)),
        });
    }
    Ok(response)
}

pub(super) fn expect(what: &str, response: Response, needed: &str) -> Result<Response, Outcome> {
    let holds = || {
        let needed = needed.as_bytes();
        response
            .body
            .windows(needed.len())
            .any(|part| part == needed)
    };
    if response.status == 200 && holds() {
        return Ok(response);
    }
    Err(unexpected(what, &response))
}

/// Says where a sequence of requests ended, with the beginning of what the response says.
pub(super) fn unexpected(what: &str, response: &Response) -> Outcome {
    let text = response.text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(120).collect();
    Outcome::Failed(format!("{what}: {} {text}", response.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_without_what_it_must_hold_is_a_failure() {
        let response = |status, body: &str| Response {
            status,
            body: body.into(),
            ..Response::default()
        };
        let needed = "\"active\":true";
        assert!(expect("x", response(200, "{\"active\":true}"), needed).is_ok());
        assert_eq!(
            expect("x", response(200, "{\"active\":false}"), needed),
            Err(Outcome::Failed("x: 200 {\"active\":false}".to_owned()))
        );
        assert!(expect("x", response(401, "{\"active\":true}"), needed).is_err());
    }
}
