//! Whether the email of a flow is on its way, for the user of a known device (OD-11). Other browsers learn
//! nothing of it: their text is one for every address (A1).

use crate::{
    db::Db,
    error::InfraError,
    login::{device, flow::Flow},
    mail::outbox::{self, DeliveryProblem},
    secret::Hash,
};

/// Returns what keeps the last email of a flow from its user, if this is a known device of the address.
pub(super) async fn problem_of(
    db: &Db,
    flow: &Flow,
    device: Option<&Hash>,
) -> Result<Option<DeliveryProblem>, InfraError> {
    let Some(key) = Hash::from_column(&flow.address_key) else {
        return Ok(None);
    };
    if !device::is_known(db.read(), device, &key, db.clock().now()).await? {
        return Ok(None);
    }
    outbox::problem_of_flow(db, flow.id, &flow.canonical).await
}
