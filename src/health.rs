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

use crate::{app::App, error::InfraError, telemetry::metrics, ticket::EvictionPolicy};

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
    /// The names of what is missing.
    missing: Vec<&'static str>,
    database: &'static str,
    /// The names of migrations that the schema lacks.
    pending_migrations: Vec<String>,
    /// `ok`, `away`, or `evicts` for a store that drops live entries when it is full (RD-10).
    tickets: &'static str,
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
    let is_ready = matches!(report.status, "ready" | "degraded");
    json(
        if is_ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        &report,
    )
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
        let (pending_migrations, tickets) = tokio::join!(
            self.pending_migrations(),
            with_timeout(self.app.tickets.policy())
        );
        Report::new(pending_migrations, tickets, self.draining.is_on())
    }

    /// Returns the pending migrations, or an error if the database does not respond.
    async fn pending_migrations(&self) -> Result<Vec<String>, InfraError> {
        if self.schema_complete.load(Ordering::Relaxed) {
            return with_timeout(self.app.db.ping()).await.map(|()| Vec::new());
        }
        let pending = with_timeout(self.app.db.pending_migrations()).await?;
        self.schema_complete
            .store(pending.is_empty(), Ordering::Relaxed);
        Ok(pending)
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

impl Report {
    fn new(
        pending_migrations: Result<Vec<String>, InfraError>,
        tickets: Result<EvictionPolicy, InfraError>,
        draining: bool,
    ) -> Self {
        let database = status_of(&pending_migrations);
        let pending_migrations = pending_migrations.unwrap_or_default();
        let tickets = match &tickets {
            Ok(EvictionPolicy::Evicts(_)) => "evicts",
            result => status_of(result),
        };
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
        }
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

    /// ST-20: degraded, and still 200.
    #[test]
    fn rd_10_without_the_ticket_store_it_is_degraded_and_names_it() {
        let report = Report::new(Ok(Vec::new()), Err(unavailable()), false);
        assert_eq!(
            (report.status, report.missing.as_slice()),
            ("degraded", ["tickets"].as_slice())
        );
        let report = Report::new(
            Ok(Vec::new()),
            Ok(EvictionPolicy::Evicts("allkeys-lru".to_owned())),
            false,
        );
        assert_eq!((report.status, report.tickets), ("degraded", "evicts"));
    }

    #[test]
    fn only_database_schema_and_draining_fail_readiness() {
        assert_eq!(
            Report::new(Ok(Vec::new()), Ok(EvictionPolicy::Refuses), false).status,
            "ready"
        );
        assert_eq!(
            Report::new(Err(unavailable()), Ok(EvictionPolicy::Refuses), false).status,
            "unready"
        );
        let report = Report::new(Ok(vec!["m1".to_owned()]), Err(unavailable()), false);
        assert_eq!(
            (report.status, report.missing.as_slice()),
            ("unready", ["migrations", "tickets"].as_slice())
        );
        assert_eq!(
            Report::new(Ok(Vec::new()), Ok(EvictionPolicy::Refuses), true).status,
            "draining"
        );
    }

    #[test]
    fn a_report_names_no_cause() {
        let text =
            serde_json::to_string(&Report::new(Err(unavailable()), Err(unavailable()), false))
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
