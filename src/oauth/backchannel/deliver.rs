//! Delivers logout tokens (Back-Channel Logout 1.0 §2.5).
//!
//! A worker makes at most 16 requests at once, two to one client, outside any transaction. A client
//! that is down is probed and delays no other (`client_state`). What a worker knows of clients is its
//! own: the queue alone is shared, and losing a worker loses nothing.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    time::{Duration, Instant},
};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::sleep,
};
use uuid::Uuid;

use super::{
    client_state::{ClientState, MAX_OF_CLIENT},
    queue::{self, AttemptOutcome, Disposition, DueRow, Row},
    token,
};
use crate::{
    app::App,
    client,
    config::Client,
    error::InfraError,
    secret,
    telemetry::metrics,
    web::fetch::{FetchRequest, FetchScope, Fetcher},
};

/// The interval at which the database is looked at.
const POLL: Duration = Duration::from_secs(1);

/// The interval while the database is unavailable.
const OUTAGE_POLL: Duration = Duration::from_secs(10);

/// How many requests are under way at most.
const MAX_AT_ONCE: usize = 16;

/// How long a prepared client for requests is used: a changed file of certificates counts after it.
const FETCHER_LIFETIME: Duration = Duration::from_secs(600);

/// Delivers logout tokens until it is stopped. Each instance has one.
#[derive(Debug)]
pub struct Worker {
    app: App,
    owner: Uuid,
    clients: BTreeMap<String, ClientState>,
    fetchers: HashMap<String, PreparedFetcher>,
    attempts: JoinSet<bool>,
    /// The clients of the attempts.
    targets: HashMap<Id, String>,
}

#[derive(Debug)]
struct PreparedFetcher {
    scope: FetchScope,
    fetcher: Result<Fetcher, String>,
    made_at: Instant,
}

impl Worker {
    #[must_use]
    pub fn new(app: App) -> Self {
        Self {
            app,
            owner: secret::public_id(),
            clients: BTreeMap::new(),
            fetchers: HashMap::new(),
            attempts: JoinSet::new(),
            targets: HashMap::new(),
        }
    }

    /// Delivers until `stop`, and then waits for the requests under way, each of which has its time-out.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let pause = match self.start_due().await {
                Ok(_) => POLL,
                Err(error) => {
                    tracing::warn!(cause = %error, "logout tokens wait for the database");
                    OUTAGE_POLL
                }
            };
            tokio::select! {
                () = &mut stop => break,
                () = sleep(pause) => {}
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => {
                    self.settle(ended);
                }
            }
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.settle(ended);
        }
    }

    /// Delivers what is due now, and returns when nothing is due or under way.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn deliver_due(&mut self) -> Result<(), InfraError> {
        loop {
            let started = self.start_due().await?;
            match self.attempts.join_next_with_id().await {
                Some(ended) => self.settle(ended),
                None if started == 0 => return Ok(()),
                None => {}
            }
        }
    }

    /// Queues what has ended, and starts what is due, as far as there are places. Returns how many
    /// attempts it started.
    async fn start_due(&mut self) -> Result<usize, InfraError> {
        queue::enqueue_ended(&self.app).await?;
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.settle(ended);
        }
        self.drop_overdue().await?;
        let ids = self.choose_due().await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let rows = queue::lease(&self.app.db, self.owner, ids).await?;
        let started = rows.len();
        for row in rows {
            self.start(row);
        }
        Ok(started)
    }

    /// Drops what waited too long at clients that are down.
    async fn drop_overdue(&self) -> Result<(), InfraError> {
        for client_id in self.clients_that(ClientState::is_down) {
            let dropped = queue::drop_overdue(&self.app.db, client_id).await?;
            for _ in 0..dropped {
                metrics::logout_delivery(client_id, "dropped");
            }
        }
        Ok(())
    }

    /// Chooses among the rows that are due.
    async fn choose_due(&self) -> Result<Vec<Uuid>, InfraError> {
        let free = MAX_AT_ONCE.saturating_sub(self.attempts.len());
        if free == 0 {
            return Ok(Vec::new());
        }
        let now = self.app.clock().now();
        let full = self.clients_that(|state| state.places(now) == 0);
        let of_each = i64::try_from(MAX_OF_CLIENT).unwrap_or(1);
        let due = queue::list_due(&self.app.db, of_each, &full).await?;
        let places = |client_id: &str| {
            let state = self.clients.get(client_id);
            state.map_or(MAX_OF_CLIENT, |state| state.places(now))
        };
        Ok(choose(due, free, places))
    }

    fn clients_that(&self, is_chosen: impl Fn(&ClientState) -> bool) -> Vec<&str> {
        let chosen = self.clients.iter().filter(|(_, state)| is_chosen(state));
        chosen.map(|(client_id, _)| client_id.as_str()).collect()
    }

    fn start(&mut self, row: Row) {
        let app = self.app.clone();
        let client_id = row.client_id.clone();
        let fetcher = self.fetcher_for(&client_id);
        self.clients.entry(client_id.clone()).or_default().begin();
        let task = self
            .attempts
            .spawn(async move { attempt(&app, &row, fetcher).await });
        self.targets.insert(task.id(), client_id);
    }

    /// Returns what sends requests within the scope of a client; none if the client is not to be
    /// notified any more.
    fn fetcher_for(&mut self, client_id: &str) -> Option<Result<Fetcher, String>> {
        let config = self.app.config.get();
        let client = notified(client::find(&config, client_id))?;
        let scope = client::fetch_scope(client, &client.backchannel_logout_uri);
        let is_current = |prepared: &PreparedFetcher| {
            prepared.scope == scope && prepared.made_at.elapsed() < FETCHER_LIFETIME
        };
        if !self.fetchers.get(client_id).is_some_and(is_current) {
            let prepared = PreparedFetcher {
                fetcher: Fetcher::new(scope.clone()),
                scope,
                made_at: Instant::now(),
            };
            self.fetchers.insert(client_id.to_owned(), prepared);
        }
        let prepared = self.fetchers.get(client_id)?;
        Some(prepared.fetcher.clone())
    }

    fn settle(&mut self, ended: Result<(Id, bool), JoinError>) {
        let (id, is_delivered) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(cause = %error, "a delivery broke off; it is repeated after its lease");
                (error.id(), false)
            }
        };
        let Some(client_id) = self.targets.remove(&id) else {
            return;
        };
        let now = self.app.clock().now();
        let state = self.clients.entry(client_id.clone()).or_default();
        state.end(is_delivered, now);
        if state.is_idle() {
            self.clients.remove(&client_id);
        }
    }
}

/// Chooses at most `free` rows, and of each client no more than it has places for.
fn choose(due: Vec<DueRow>, free: usize, places: impl Fn(&str) -> usize) -> Vec<Uuid> {
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut ids = Vec::new();
    for row in due {
        if ids.len() == free {
            break;
        }
        let of_client = taken.entry(row.client_id.clone()).or_default();
        if *of_client < places(&row.client_id) {
            *of_client += 1;
            ids.push(row.id);
        }
    }
    ids
}

fn notified(client: Option<&Client>) -> Option<&Client> {
    client.filter(|client| !client.backchannel_logout_uri.is_empty())
}

/// Makes one attempt and records it. Returns `false` if the client did not take the token.
async fn attempt(app: &App, row: &Row, fetcher: Option<Result<Fetcher, String>>) -> bool {
    let outcome = match fetcher {
        None => AttemptOutcome::NotWanted,
        Some(fetcher) => send(app, row, fetcher).await,
    };
    match queue::record(&app.db, row, outcome).await {
        Ok(Some(disposition)) => count(row, outcome, disposition),
        Ok(None) => tracing::info!(
            client_id = row.client_id,
            "another instance repeats a delivery"
        ),
        // The token may have been taken. The lease expires, and another one is sent: at least once.
        Err(error) => tracing::warn!(cause = %error, "a delivery was not recorded"),
    }
    outcome.class().is_none()
}

/// Logs what kept this service from sending: the log of the client has nothing about it.
fn own_failure(row: &Row, class: &'static str, cause: &dyn std::fmt::Display) -> AttemptOutcome {
    tracing::warn!(client_id = row.client_id, class, %cause, "no logout token was sent");
    AttemptOutcome::Failed(class)
}

/// Posts a new token. The words of a failure are fixed: the URL may hold a secret.
async fn send(app: &App, row: &Row, fetcher: Result<Fetcher, String>) -> AttemptOutcome {
    let config = app.config.get();
    let Some(client) = notified(client::find(&config, &row.client_id)) else {
        return AttemptOutcome::NotWanted;
    };
    let fetcher = match fetcher {
        Ok(fetcher) => fetcher,
        Err(cause) => return own_failure(row, "ca_file", &cause),
    };
    let token = match token::sign(app, client, row) {
        Ok(token) => token,
        Err(cause) => return own_failure(row, "keys", &cause),
    };
    let form = [("logout_token", token.as_str())];
    let request = FetchRequest::post_form(client.backchannel_logout_uri.as_str(), &form);
    match fetcher.send(request).await.map(|response| response.status) {
        Ok(200 | 204) => AttemptOutcome::Delivered,
        Ok(400..=499) => AttemptOutcome::Failed("4xx"),
        Ok(500..=599) => AttemptOutcome::Failed("5xx"),
        Ok(_) => AttemptOutcome::Failed("status"),
        Err(error) => AttemptOutcome::Failed(error.outcome()),
    }
}

fn count(row: &Row, outcome: AttemptOutcome, disposition: Disposition) {
    let label = match (outcome, disposition) {
        (AttemptOutcome::Delivered, _) => "delivered",
        (AttemptOutcome::NotWanted, _) => "not_wanted",
        (AttemptOutcome::Failed(_), Disposition::Dropped) => "dropped",
        (AttemptOutcome::Failed(_), _) => "failed",
    };
    metrics::logout_delivery(&row.client_id, label);
    if let Some(class) = outcome.class() {
        tracing::warn!(
            client_id = row.client_id,
            attempt = row.attempts,
            class,
            "a logout token was not delivered"
        );
    }
}
