//! The ceiling of emails a minute (OA-9): a flood of requests for addresses without an account must
//! not ruin the reputation of the sender's domain. It grows with the recent normal. Beyond it, emails
//! to people who are known here go on, and the others wait.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use entity::mail_outbox::{Column, Entity, State};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
    sea_query::Expr,
};

use crate::{clock::Time, db::Db, error::InfraError, telemetry::metrics};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const HOURS: usize = 24;
/// How long the count of the last minute serves: other instances send, too.
const COUNT_SERVES: Duration = Duration::from_secs(1);
/// How long emails wait at most before they are considered again.
const OPENING_EVERY: Duration = Duration::from_secs(5);
/// How long the normal serves.
const NORMAL_SERVES: Duration = Duration::from_secs(600);

/// How the ceiling follows from the normal.
#[derive(Clone, Copy, Debug)]
pub struct CeilingSettings {
    /// The lowest ceiling, in emails a minute.
    pub least: u32,
    /// How many times the rate of the median hour of a day the ceiling is.
    pub times_normal: u32,
}

/// The ceiling, as one worker knows it.
#[derive(Debug)]
pub(super) struct Ceiling {
    settings: CeilingSettings,
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Until when emails wait, and when that was logged.
    closed_until: Time,
    logged_at: Time,
    /// Emails a minute, and when that was computed.
    ceiling: Option<(u64, Time)>,
    /// Emails of the last minute, and when they were counted.
    sent: Option<(u64, Time)>,
}

impl Ceiling {
    pub(super) fn new(settings: CeilingSettings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
        }
    }

    /// Returns until when emails of strangers wait, if the last minute had as many emails as it may
    /// have. They wait together, for what all instances take as the end of the same few seconds: the
    /// oldest then go first, and a newer one does not take the place of one that waits.
    pub(super) async fn closed_until(&self, db: &Db) -> Result<Option<Time>, InfraError> {
        let now = db.clock().now();
        let until = next_opening(now);
        if self.known().closed_until == until {
            return Ok(Some(until));
        }
        let (sent, ceiling) = self.count_minute(db, now).await?;
        if sent < ceiling {
            return Ok(None);
        }
        let mut known = self.known();
        known.closed_until = until;
        if known.logged_at > now || now.since(known.logged_at) >= MINUTE {
            known.logged_at = now;
            tracing::warn!(
                sent,
                ceiling,
                "emails to strangers wait: the last minute had as many emails as it may have"
            );
        }
        Ok(Some(until))
    }

    /// Returns how many emails the last minute had, and how many it may have.
    async fn count_minute(&self, db: &Db, now: Time) -> Result<(u64, u64), InfraError> {
        let Known { ceiling, sent, .. } = *self.known();
        let is_current = |at: Time, serves| now.since(at) < serves && at <= now;
        let ceiling = match ceiling.filter(|(_, at)| is_current(*at, NORMAL_SERVES)) {
            Some((ceiling, _)) => ceiling,
            None => {
                let ceiling = self.ceiling_of(&count_by_hour(db, now).await?);
                self.known().ceiling = Some((ceiling, now));
                metrics::mail_ceiling(ceiling);
                ceiling
            }
        };
        let sent = match sent.filter(|(_, at)| is_current(*at, COUNT_SERVES)) {
            Some((sent, _)) => sent,
            None => {
                let sent = count_since(db, now - MINUTE).await?;
                self.known().sent = Some((sent, now));
                sent
            }
        };
        Ok((sent, ceiling))
    }

    /// Counts an email that this worker has sent.
    pub(super) fn count(&self) {
        if let Some((sent, _)) = &mut self.known().sent {
            *sent = sent.saturating_add(1);
        }
    }

    fn ceiling_of(&self, hours: &[u64; HOURS]) -> u64 {
        let mut hours = *hours;
        hours.sort_unstable();
        let median = (hours[HOURS / 2 - 1] + hours[HOURS / 2]) / 2;
        let times_normal = median.saturating_mul(self.settings.times_normal.into()) / 60;
        times_normal.max(self.settings.least.into())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when emails that wait are considered next.
fn next_opening(now: Time) -> Time {
    let every = i64::try_from(OPENING_EVERY.as_millis()).unwrap_or(i64::MAX);
    Time((now.0.div_euclid(every) + 1).saturating_mul(every))
}

async fn count_since(db: &Db, since: Time) -> Result<u64, InfraError> {
    let sent = Entity::find()
        .filter(Column::FinishedAt.gt(since))
        .filter(Column::State.eq(State::Sent));
    Ok(sent.count(db.read()).await?)
}

/// Counts the emails of each of the last 24 hours.
async fn count_by_hour(db: &Db, now: Time) -> Result<[u64; HOURS], InfraError> {
    let hour = Expr::cust_with_values("($1 - finished_at) / 3600000", [now.0]);
    let counts: Vec<(i64, i64)> = Entity::find()
        .select_only()
        .column_as(hour.clone(), "hour")
        .column_as(Column::Id.count(), "emails")
        .filter(Column::FinishedAt.gt(now - HOUR * 24))
        .filter(Column::State.eq(State::Sent))
        .group_by(Expr::cust("1"))
        .into_tuple()
        .all(db.read())
        .await?;
    let mut hours = [0; HOURS];
    for (hour, count) in counts {
        let slot = usize::try_from(hour)
            .ok()
            .and_then(|hour| hours.get_mut(hour));
        if let Some(slot) = slot {
            *slot = u64::try_from(count).unwrap_or(0);
        }
    }
    Ok(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oa_09_the_ceiling_is_20_times_the_median_hour_and_at_least_600() {
        let ceiling = Ceiling::new(CeilingSettings {
            least: 600,
            times_normal: 20,
        });
        assert_eq!(ceiling.ceiling_of(&[0; HOURS]), 600);
        assert_eq!(ceiling.ceiling_of(&[1_800; HOURS]), 600);
        assert_eq!(ceiling.ceiling_of(&[6_000; HOURS]), 2_000);
        let mut attacked = [6_000; HOURS];
        attacked[..11].fill(1_000_000);
        assert_eq!(
            ceiling.ceiling_of(&attacked),
            2_000,
            "an attack of 11 hours"
        );
    }
}
