//! What a flow carries as JSON: the client's request, and a pending link.

use super::{flow::Flow, pending::PendingRequest, pending_link::PendingLink};
use crate::error::InfraError;

/// Returns the client's request that a flow carries.
///
/// # Errors
/// If the row is damaged.
pub fn pending_request_in(flow: &Flow) -> Result<Option<PendingRequest>, InfraError> {
    parse(flow.destination.as_deref())
}

/// Returns the pending link that a flow carries.
///
/// # Errors
/// If the row is damaged.
pub fn pending_link_in(flow: &Flow) -> Result<Option<PendingLink>, InfraError> {
    parse(flow.link.as_deref())
}

fn parse<T: serde::de::DeserializeOwned>(json: Option<&str>) -> Result<Option<T>, InfraError> {
    json.map(serde_json::from_str)
        .transpose()
        .map_err(InfraError::internal)
}
