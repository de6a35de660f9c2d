//! What the machine room asks: does the process live, and should it get traffic.
//!
//! Only the database and a stop under way fail readiness. With the ticket store away the service is degraded and says
//! so, but stays: taking it out would turn a clear 503 on some pages into an outage of all.

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

use crate::{app::App, error::InfraError, telemetry::metrics, ticket::Policy};

/// Longer than this, and what was asked counts as away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Raised once a stop began. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// Raises it: from now on `/readyz` answers 503, so that no new traffic is sent here.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether a stop began.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What `/readyz` says.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Report {
    /// `ready`, `degraded`, `unready` or `draining`.
    status: &'static str,
    /// What is missing, by name; empty when all is well.
    missing: Vec<&'static str>,
    database: &'static str,
    /// Names of migrations that the schema lacks.
    pending_migrations: Vec<String>,
    /// `ok`, `away`, or `evicts`: set up to drop live entries when full, which must not be (RD-10).
    tickets: &'static str,
}

/// What is asked, and whether the schema was once found complete: it stays so while we run.
#[derive(Clone, Debug)]
struct Health {
    app: App,
    draining: Draining,
    schema_complete: Arc<AtomicBool>,
}

/// The management listener's endpoints of this module: `/livez`, `/readyz` and `/metrics`.
pub fn management(app: App, draining: Draining) -> impl Endpoint<Output = Response> {
    let health = Health {
        app,
        draining,
        schema_complete: Arc::default(),
    };
    let routes = Route::new()
        .at("/livez", get(livez))
        .at("/readyz", get(readyz))
        .at("/metrics", get(numbers));
    routes.data(health).map_to_response()
}

/// The process runs and its runtime turns. Nothing else: a restart mends no database.
#[handler]
fn livez() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "live" }))
}

#[handler]
async fn readyz(Data(health): Data<&Health>) -> Response {
    let report = health.report().await;
    let ready = matches!(report.status, "ready" | "degraded");
    json(
        if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        &report,
    )
}

/// The text format of Prometheus. Asks nobody: what the database knows is gathered by a job.
#[handler]
fn numbers(Data(health): Data<&Health>) -> Response {
    health.app.db.gauge();
    match metrics::text() {
        Ok(text) => Response::builder()
            .content_type("text/plain; version=0.0.4; charset=utf-8")
            .body(text),
        Err(error) => {
            tracing::error!(error, "the metrics cannot be written");
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
        let (schema, tickets) = tokio::join!(self.schema(), within(self.app.tickets.policy()));
        Report::new(schema, tickets, self.draining.is_on())
    }

    /// The migrations that are pending; an error if the database does not answer.
    async fn schema(&self) -> Result<Vec<String>, InfraError> {
        if self.schema_complete.load(Ordering::Relaxed) {
            return within(self.app.db.ping()).await.map(|()| Vec::new());
        }
        let pending = within(self.app.db.pending_migrations()).await?;
        self.schema_complete
            .store(pending.is_empty(), Ordering::Relaxed);
        Ok(pending)
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, InfraError>>) -> Result<T, InfraError> {
    timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(InfraError::internal("no answer in time")))
}

impl Report {
    fn new(
        schema: Result<Vec<String>, InfraError>,
        tickets: Result<Policy, InfraError>,
        draining: bool,
    ) -> Self {
        let word = |away: bool| if away { "away" } else { "ok" };
        let (database, pending_migrations) = (word(schema.is_err()), schema.unwrap_or_default());
        let tickets = match tickets {
            Ok(Policy::Evicts(_)) => "evicts",
            other => word(other.is_err()),
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn away() -> InfraError {
        InfraError::Unavailable {
            dependency: "database",
            cause: "gone".to_owned(),
        }
    }

    /// ST-20: degraded, and still 200.
    #[test]
    fn rd_10_tickets_away_is_degraded_and_named() {
        let report = Report::new(Ok(Vec::new()), Err(away()), false);
        assert_eq!(
            (report.status, report.missing.as_slice()),
            ("degraded", ["tickets"].as_slice())
        );
        let report = Report::new(
            Ok(Vec::new()),
            Ok(Policy::Evicts("allkeys-lru".to_owned())),
            false,
        );
        assert_eq!((report.status, report.tickets), ("degraded", "evicts"));
    }

    #[test]
    fn only_database_schema_and_draining_fail_readiness() {
        assert_eq!(
            Report::new(Ok(Vec::new()), Ok(Policy::Refuses), false).status,
            "ready"
        );
        assert_eq!(
            Report::new(Err(away()), Ok(Policy::Refuses), false).status,
            "unready"
        );
        let report = Report::new(Ok(vec!["m1".to_owned()]), Err(away()), false);
        assert_eq!(
            (report.status, report.missing.as_slice()),
            ("unready", ["migrations", "tickets"].as_slice())
        );
        assert_eq!(
            Report::new(Ok(Vec::new()), Ok(Policy::Refuses), true).status,
            "draining"
        );
    }

    #[test]
    fn a_report_names_no_cause() {
        let text = serde_json::to_string(&Report::new(Err(away()), Err(away()), false)).unwrap();
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
