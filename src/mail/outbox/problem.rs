//! What keeps an email from its recipient, as far as the outbox knows.

use std::time::Duration;

use entity::mail_outbox::{Column, Entity, Model, State};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use uuid::Uuid;

use crate::{clock::Time, db::Db, error::InfraError};

/// How long an email may wait in the queue before it is late.
const LATE: Duration = Duration::from_secs(30);

/// Why an email does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryProblem {
    /// It waits for the mail server, or in the queue.
    Late,
    /// The mail server refused it for good, or its time is over.
    Failed,
}

impl DeliveryProblem {
    /// Returns the name in the status of a flow, which is the key of its text, too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "email-late",
            Self::Failed => "email-failed",
        }
    }

    fn of_row(row: &Model, now: Time) -> Option<Self> {
        match row.state {
            State::Queued if row.last_error.is_some() || now.since(row.created_at) > LATE => {
                Some(Self::Late)
            }
            // An email without a recipient is dropped, too, and that is no problem of delivery.
            State::Dropped if row.attempts > 0 && is_of_server(row) => Some(Self::Failed),
            State::Queued | State::Sent | State::Dropped | State::Withheld => None,
        }
    }
}

/// Whether a row was dropped because of the mail server. The composer's own reasons say who has an
/// account.
fn is_of_server(row: &Model) -> bool {
    let own = ["no_flow", "flow_over", "user_disabled", "sign_up_closed"];
    (row.last_error.as_deref()).is_some_and(|reason| !own.contains(&reason))
}

/// Returns what keeps the last email of a flow from its recipient.
pub async fn problem_of_flow(
    db: &Db,
    flow_id: Uuid,
    canonical: &str,
) -> Result<Option<DeliveryProblem>, InfraError> {
    let row = Entity::find()
        .filter(Column::Canonical.eq(canonical))
        .filter(Column::FlowId.eq(flow_id))
        .order_by_desc(Column::CreatedAt)
        .one(db.read())
        .await?;
    Ok(row.and_then(|row| DeliveryProblem::of_row(&row, db.clock().now())))
}
