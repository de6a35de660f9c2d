//! Emails that notify users of a change to their account.

use std::time::Duration;

use crate::{
    db::Tx,
    error::InfraError,
    mail::outbox::{self, EmailKind},
};

/// How long delivery is tried.
const DELIVERY_WINDOW: Duration = Duration::from_secs(86_400);

/// Queues an email that notifies a user of a change to their account. `provider` is the id of the
/// provider that the change is about.
pub async fn notify(
    tx: &Tx,
    kind: EmailKind,
    to: &str,
    locale: &str,
    provider: Option<&str>,
) -> Result<(), InfraError> {
    let email = outbox::NewEmail {
        kind,
        flow_id: None,
        canonical: to.to_owned(),
        locale: locale.to_owned(),
        due_at: tx.now,
        give_up_at: tx.now + DELIVERY_WINDOW,
        about: provider.map(str::to_owned),
        withheld: false,
        known_device: false,
        network: String::new(),
    };
    outbox::enqueue(tx, email).await
}
