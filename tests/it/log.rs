//! The log of the service in this process: which reasons it gives for a request, by the reference
//! that the response shows.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry,
    util::SubscriberInitExt as _,
};

type Reasons = Mutex<HashMap<String, Vec<String>>>;

fn collected() -> &'static Reasons {
    static COLLECTED: OnceLock<Reasons> = OnceLock::new();
    COLLECTED.get_or_init(Reasons::default)
}

/// Collects from now on, for all tests of this process.
pub(crate) fn watch() {
    static WATCHED: OnceLock<()> = OnceLock::new();
    WATCHED.get_or_init(|| registry().with(Collector).init());
}

/// Returns the different reasons that the log gives for a request, in order.
pub(crate) fn reasons(reference: &str) -> Vec<String> {
    let collected = collected().lock().unwrap_or_else(PoisonError::into_inner);
    let mut reasons = collected.get(reference).cloned().unwrap_or_default();
    reasons.dedup();
    reasons
}

struct Collector;

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // An operator's log has INFO and above.
        if *event.metadata().level() > Level::INFO {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        if let (Some(reference), Some(reason)) = (line.request_id, line.reason) {
            let mut collected = collected().lock().unwrap_or_else(PoisonError::into_inner);
            collected.entry(reference).or_default().push(reason);
        }
    }
}

#[derive(Default)]
struct Line {
    request_id: Option<String>,
    reason: Option<String>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "request_id" => self.request_id = Some(value.to_owned()),
            "reason" => self.reason = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
