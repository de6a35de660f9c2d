//! Whether a request has a line of its own in the log (OA-19).

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use poem::http::StatusCode;

use super::line_budget::{LineBudget, LineKind};
use crate::network::Network;

/// The line of one request. Clones share it. Without a budget the line is always written.
#[derive(Clone, Debug, Default)]
pub struct LogLine(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    budget: LineBudget,
    network: Network,
    is_written: OnceLock<bool>,
}

impl LogLine {
    /// Returns the line of a request from this network, which takes it from the budget unless
    /// [`LogLine::always_write`] comes first.
    #[must_use]
    pub fn new(budget: &LineBudget, network: Network) -> Self {
        Self(Some(Arc::new(Line {
            budget: budget.clone(),
            network,
            is_written: OnceLock::new(),
        })))
    }

    /// Has the line written whatever others take: the request belongs to a user, a flow or a client of
    /// ours, or met a fault of ours.
    pub fn always_write(&self) {
        if let Some(line) = &self.0 {
            let _ = line.is_written.set(true);
        }
    }

    /// Returns whether the line is written, for a response of this status. The first call decides.
    #[must_use]
    pub fn is_written(&self, status: StatusCode) -> bool {
        let Some(line) = &self.0 else {
            return true;
        };
        *line
            .is_written
            .get_or_init(|| kind_of(status).is_none_or(|kind| line.budget.take(line.network, kind)))
    }

    /// Counts the request in place of its line.
    pub fn leave_out(&self, status: StatusCode, reason: Option<Cow<'static, str>>) {
        if let (Some(line), Some(kind)) = (&self.0, kind_of(status)) {
            let reason = reason.unwrap_or(Cow::Borrowed("none"));
            line.budget.leave_out(line.network, kind, reason);
        }
    }
}

/// Returns what the line says; none for a fault of ours, whose line is always written.
fn kind_of(status: StatusCode) -> Option<LineKind> {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Some(LineKind::Refused),
        status if status.is_server_error() => None,
        status if status.is_client_error() => Some(LineKind::Refused),
        _ => Some(LineKind::Served),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[tokio::test]
    async fn oa_19_what_belongs_to_us_always_has_its_line() {
        let budget = LineBudget::default();
        let network = Network::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let line = || LogLine::new(&budget, network);
        let refused = StatusCode::BAD_REQUEST;
        let written = (0..100).filter(|_| line().is_written(refused)).count();
        assert_eq!(written, 30);
        let known = line();
        known.always_write();
        assert!(known.is_written(refused));
        assert!(line().is_written(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(!line().is_written(StatusCode::SERVICE_UNAVAILABLE));
        let decided = line();
        assert!(!decided.is_written(refused));
        assert!(
            !decided.is_written(refused),
            "a page that shows no reference keeps to it"
        );
        assert!(LogLine::default().is_written(refused));
    }
}
