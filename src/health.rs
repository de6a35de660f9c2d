//! The endpoints of the management listener: liveness, readiness and metrics.
//!
//! Only the database and a shutdown fail readiness. Without the ticket store the service reports
//! that it is degraded and stays ready (ST-20): taking it out would turn a clear 503 on some pages
//! into an outage of all pages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use poem::{
    Endpoint, EndpointExt as _, Response, Route, get, handler, http::StatusCode, web::Data,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    app::App,
    error::InfraError,
    telemetry::metrics,
    ticket::{EvictionPolicy, Usage, Writable},
    web::reason::RefusalReason,
};

/// A dependency that takes longer counts as unavailable.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a shutdown has begun. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on `/readyz` answers 503, so that no new traffic is sent to this instance.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The body of `/readyz`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Report {
    /// `ready`, `degraded`, `unready` or `draining`.
    status: &'static str,
    /// The names of what is missing, `trusted_proxies` for a proxy that is not named there, and
    /// `public_url_path` for one that takes the path of `public_url` off.
    missing: Vec<&'static str>,
    database: &'static str,
    /// The names of migrations that the schema lacks.
    pending_migrations: Vec<String>,
    /// `ok`, `away`, `evicts` for a store that drops live entries when it is full (RD-10), or why it
    /// refuses writes: `full`, `read-only` or `forbidden` (OB-7).
    tickets: &'static str,
    /// The space of the ticket store, unless it is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_bytes: Option<TicketBytes>,
}

/// The space of the ticket store in bytes (OA-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct TicketBytes {
    /// What all entries take.
    used: usize,
    /// Those that are charged to networks, users and clients, which make space for one another.
    charged: usize,
    limit: usize,
}

/// What the ticket store returned.
#[derive(Debug)]
struct TicketStore {
    policy: Result<EvictionPolicy, InfraError>,
    writable: Result<Writable, InfraError>,
    usage: Result<Usage, InfraError>,
}

#[derive(Clone, Debug)]
struct Health {
    app: App,
    draining: Draining,
    /// A schema that was once complete stays so while this process runs.
    schema_complete: Arc<AtomicBool>,
}

/// Returns the routes `/livez`, `/readyz` and `/metrics`.
pub fn management(app: App, draining: Draining) -> impl Endpoint<Output = Response> {
    let health = Health {
        app,
        draining,
        schema_complete: Arc::default(),
    };
    let routes = Route::new()
        .at("/livez", get(livez))
        .at("/readyz", get(readyz))
        .at("/metrics", get(metrics_text));
    routes.data(health).map_to_response()
}

/// Succeeds while the runtime serves requests. It checks no dependency: a restart would not help
/// one.
#[handler]
fn livez() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "live" }))
}

#[handler]
async fn readyz(Data(health): Data<&Health>) -> Response {
    let report = health.report().await;
    if matches!(report.status, "ready" | "degraded") {
        return json(StatusCode::OK, &report);
    }
    let response = json(StatusCode::SERVICE_UNAVAILABLE, &report);
    RefusalReason::new(report.status)
        .about(Some(&report.missing.join(" ")))
        .attach_to(response)
}

/// The text format of Prometheus. It queries nothing: a job collects the figures of the database.
#[handler]
fn metrics_text(Data(health): Data<&Health>) -> Response {
    health.app.db.gauge();
    match metrics::text() {
        Ok(text) => Response::builder()
            .content_type("text/plain; version=0.0.4; charset=utf-8")
            .body(text),
        Err(error) => {
            tracing::error!(error, "the metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into()
        }
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into();
    };
    Response::builder()
        .status(status)
        .content_type("application/json")
        .header("cache-control", "no-store")
        .body(body)
}

impl Health {
    async fn report(&self) -> Report {
        let tickets = &self.app.tickets;
        let (pending_migrations, policy, writable, usage) = tokio::join!(
            self.pending_migrations(),
            with_timeout(tickets.policy()),
            with_timeout(tickets.check_writable()),
            with_timeout(tickets.usage())
        );
        let tickets = TicketStore {
            policy,
            writable,
            usage,
        };
        Report::new(pending_migrations, &tickets, self.draining.is_on())
            .with_fault("trusted_proxies", self.app.unnamed_proxy.was_seen())
            .with_fault("public_url_path", self.app.path_stripping.was_seen())
    }

    /// Returns the pending migrations, or an error if the database does not respond or does not write.
    async fn pending_migrations(&self) -> Result<Vec<String>, InfraError> {
        if self.schema_complete.load(Ordering::Relaxed) {
            return with_timeout(self.probe()).await.map(|()| Vec::new());
        }
        let pending = with_timeout(self.app.db.pending_migrations()).await?;
        if pending.is_empty() {
            with_timeout(self.probe()).await?;
            self.schema_complete.store(true, Ordering::Relaxed);
        }
        Ok(pending)
    }

    /// Writes to the database, in a task of its own: the time-out of the report ends no transaction
    /// half-way (SP-3).
    async fn probe(&self) -> Result<(), InfraError> {
        let db = self.app.db.clone();
        let probe = tokio::spawn(async move { db.probe().await });
        probe
            .await
            .unwrap_or_else(|error| Err(InfraError::internal(error)))
    }
}

async fn with_timeout<T>(
    check: impl Future<Output = Result<T, InfraError>>,
) -> Result<T, InfraError> {
    timeout(CHECK_TIMEOUT, check)
        .await
        .unwrap_or_else(|_| Err(InfraError::internal("no response in time")))
}

fn status_of<T>(result: &Result<T, InfraError>) -> &'static str {
    if result.is_err() { "away" } else { "ok" }
}

impl TicketStore {
    fn status(&self) -> &'static str {
        match (&self.policy, &self.writable) {
            (Err(_), _) | (_, Err(_)) => "away",
            (Ok(EvictionPolicy::Evicts(_)), _) => "evicts",
            (_, Ok(Writable::Full)) => "full",
            (_, Ok(Writable::ReadOnly)) => "read-only",
            (_, Ok(Writable::Forbidden)) => "forbidden",
            (_, Ok(Writable::Yes)) => "ok",
        }
    }

    fn bytes(&self) -> Option<TicketBytes> {
        let usage = self.usage.as_ref().ok()?;
        Some(TicketBytes {
            used: usage.total(),
            charged: usage.tickets + usage.counters + usage.proofs,
            limit: usage.limit,
        })
    }
}

impl Report {
    fn new(
        pending_migrations: Result<Vec<String>, InfraError>,
        ticket_store: &TicketStore,
        draining: bool,
    ) -> Self {
        let database = status_of(&pending_migrations);
        let pending_migrations = pending_migrations.unwrap_or_default();
        let tickets = ticket_store.status();
        let missing: Vec<&'static str> = [
            ("database", database == "away"),
            ("migrations", !pending_migrations.is_empty()),
            ("tickets", tickets != "ok"),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        let status = match missing.as_slice() {
            _ if draining => "draining",
            [] => "ready",
            ["tickets"] => "degraded",
            _ => "unready",
        };
        Self {
            status,
            missing,
            database,
            pending_migrations,
            tickets,
            ticket_bytes: ticket_store.bytes(),
        }
    }

    /// Names a fault of the proxy in front: `trusted_proxies` lacks it, so that all users share the
    /// limits of one network (OA-12), or it takes the path of `public_url` off (OC-9).
    fn with_fault(mut self, name: &'static str, was_seen: bool) -> Self {
        if was_seen {
            self.missing.push(name);
            if self.status == "ready" {
                self.status = "degraded";
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> InfraError {
        InfraError::Unavailable {
            dependency: "database",
            cause: "gone".to_owned(),
        }
    }

    fn store(policy: Result<EvictionPolicy, InfraError>, writable: Writable) -> TicketStore {
        TicketStore {
            policy,
            writable: Ok(writable),
            usage: Ok(Usage {
                own: 1,
                tickets: 20,
                counters: 300,
                proofs: 0,
                limit: 4000,
            }),
        }
    }

    fn well() -> TicketStore {
        store(Ok(EvictionPolicy::Refuses), Writable::Yes)
    }

    /// OB-7, ST-20: a store that responds and refuses writes is named, with the reason.
    #[test]
    fn oa_4_a_store_that_refuses_writes_is_named() {
        for (writable, name) in [
            (Writable::Full, "full"),
            (Writable::ReadOnly, "read-only"),
            (Writable::Forbidden, "forbidden"),
        ] {
            let tickets = store(Ok(EvictionPolicy::Refuses), writable);
            let report = Report::new(Ok(Vec::new()), &tickets, false);
            assert_eq!((report.status, report.tickets), ("degraded", name));
        }
        let report = serde_json::to_value(Report::new(Ok(Vec::new()), &well(), false)).unwrap();
        let bytes = serde_json::json!({ "used": 321, "charged": 320, "limit": 4000 });
        assert_eq!(report["ticket_bytes"], bytes);
    }

    /// ST-20: degraded, and still 200.
    #[test]
    fn rd_10_without_the_ticket_store_it_is_degraded_and_names_it() {
        let report = Report::new(
            Ok(Vec::new()),
            &store(Err(unavailable()), Writable::Yes),
            false,
        );
        assert_eq!(
            (report.status, report.missing.as_slice()),
            ("degraded", ["tickets"].as_slice())
        );
        let report = Report::new(
            Ok(Vec::new()),
            &store(
                Ok(EvictionPolicy::Evicts("allkeys-lru".to_owned())),
                Writable::Yes,
            ),
            false,
        );
        assert_eq!((report.status, report.tickets), ("degraded", "evicts"));
    }

    #[test]
    fn oa_12_a_proxy_that_is_not_named_degrades() {
        let report = || Report::new(Ok(Vec::new()), &well(), false);
        let fine = report().with_fault("trusted_proxies", false);
        assert_eq!((fine.status, fine.missing.len()), ("ready", 0));
        let seen = report().with_fault("trusted_proxies", true);
        assert_eq!(
            (seen.status, seen.missing.as_slice()),
            ("degraded", ["trusted_proxies"].as_slice())
        );
        let unready = Report::new(Err(unavailable()), &well(), false);
        assert_eq!(
            unready.with_fault("public_url_path", true).status,
            "unready"
        );
    }

    #[test]
    fn only_database_schema_and_draining_fail_readiness() {
        assert_eq!(Report::new(Ok(Vec::new()), &well(), false).status, "ready");
        assert_eq!(
            Report::new(Err(unavailable()), &well(), false).status,
            "unready"
        );
        let report = Report::new(
            Ok(vec!["m1".to_owned()]),
            &store(Err(unavailable()), Writable::Yes),
            false,
        );
        assert_eq!(
            (report.status, report.missing.as_slice()),
            ("unready", ["migrations", "tickets"].as_slice())
        );
        assert_eq!(
            Report::new(Ok(Vec::new()), &well(), true).status,
            "draining"
        );
    }

    #[test]
    fn a_report_names_no_cause() {
        let text = serde_json::to_string(&Report::new(
            Err(unavailable()),
            &store(Err(unavailable()), Writable::Yes),
            false,
        ))
        .unwrap();
        assert!(!text.contains("gone"), "{text}");
    }

    #[tokio::test]
    async fn livez_needs_nothing() {
        let endpoint = get(livez);
        let response = endpoint.call(poem::Request::default()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[test]
    fn draining_is_shared() {
        let one = Draining::default();
        let other = one.clone();
        other.begin();
        assert!(one.is_on());
    }
}
