//! The emails that are due, in their order of precedence (OA-7): first what is for known people, then
//! each recipient domain in turn, at a domain each network of requests in turn, and the oldest first.
//! At a domain that stalls the newest and the oldest are tried alternately: there an attack that began
//! earlier delays a newcomer by some attempts, and not by one for each of its networks.
//!
//! Three of four places go to emails that no recipient has failed yet, and one to retries, so that
//! neither waits for the end of the others. An email whose worker died, or that waited because of our
//! own mail server, a breaker or the ceiling, is no retry: it keeps its place by its age.
//!
//! Usually due emails are few, and each look reads them all. While very many are due, two queries rank
//! them, and their result serves for a second.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use entity::mail_outbox::{Column, Entity};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Statement, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    lease::HELD,
    share::{Choice, DueEmail},
};
use crate::{clock::Time, db::Db, error::InfraError, mail::Composer};

/// How many due emails are few.
const FEW: usize = 512;
/// The most due emails that are ranked: more than all networks of an attack may queue at once.
const MAX_FIRST: i64 = 3072;
const MAX_RETRIES: i64 = 1024;
/// How long a ranking serves.
const RANKING_SERVES: Duration = Duration::from_secs(1);
/// One in this many emails of a look is a retry.
const PLACES: usize = 4;
/// The most addresses that one look looks up.
const MAX_LOOKUPS: usize = 64;

/// The due emails, as one worker knows them.
#[derive(Debug, Default)]
pub(super) struct DueQueue {
    emails: Vec<DueEmail>,
    ranked_at: Option<Time>,
    /// How many emails were picked so far.
    picked: usize,
    /// Whether addresses of due emails have an account, for those that were looked up.
    accounts: HashMap<Uuid, bool>,
    /// How often networks had their turn at a domain while they had an email due there.
    served: HashMap<Requester, usize>,
}

/// A recipient domain and a network of requests.
type Requester = (String, String);

/// A due row, as the order of precedence needs it.
#[derive(Debug, FromQueryResult)]
struct DueRow {
    id: Uuid,
    domain: String,
    canonical: String,
    network: String,
    known_device: bool,
    is_retry: bool,
    last_error: Option<String>,
    give_up_at: Time,
}

impl DueQueue {
    /// Reads what is due. `most` is how many emails of one domain can be tried at once. It reads
    /// without a transaction: a poll never waits for SQLite's only writer.
    pub(super) async fn refresh(
        &mut self,
        db: &Db,
        most: usize,
        is_stalling: impl Fn(&str) -> bool + Send,
    ) -> Result<(), InfraError> {
        let now = db.clock().now();
        let is_current = |at: Time| at <= now && now.since(at) < RANKING_SERVES;
        if self.ranked_at.is_some_and(is_current) && !self.emails.is_empty() {
            return Ok(());
        }
        self.ranked_at = None;
        let mut rows = list_few(db, now).await?;
        if rows.len() >= FEW {
            rows = rank_many(db, now, most).await?;
            self.ranked_at = Some(now);
        }
        let due: HashSet<Uuid> = rows.iter().map(|row| row.id).collect();
        self.accounts.retain(|id, _| due.contains(id));
        let requesters: HashSet<Requester> = rows.iter().map(DueRow::requester).collect();
        self.served.retain(|one, _| requesters.contains(one));
        let order = Order {
            picked: self.picked,
            served: &self.served,
            is_stalling,
        };
        self.emails = order.of(rows);
        Ok(())
    }

    /// Looks up which addresses of the chosen domains have an account: emails to them go first.
    pub(super) async fn look_up_accounts(
        &mut self,
        db: &Db,
        composer: &dyn Composer,
        is_chosen: impl Fn(&str) -> bool + Send,
    ) -> Result<(), InfraError> {
        let (mut lookups, mut is_changed) = (0, false);
        for email in &mut self.emails {
            if email.is_known || !is_chosen(&email.domain) {
                continue;
            }
            let has_account = match self.accounts.get(&email.id) {
                Some(has_account) => *has_account,
                None if lookups == MAX_LOOKUPS => false,
                None => {
                    lookups += 1;
                    let has_account = composer.has_account(db, &email.canonical).await?;
                    self.accounts.insert(email.id, has_account);
                    has_account
                }
            };
            email.is_known = has_account;
            is_changed |= has_account;
        }
        if is_changed {
            let emails = &mut self.emails;
            emails.sort_by_key(|email| email.is_retry || !email.is_known);
        }
        Ok(())
    }

    /// Returns the due emails in their order of precedence.
    pub(super) fn emails(&self) -> &[DueEmail] {
        &self.emails
    }

    /// Removes what is tried now, and what waits until its domain responds again.
    pub(super) fn remove(&mut self, choice: &Choice) {
        self.picked = self.picked.wrapping_add(choice.picked.len());
        for email in &choice.picked {
            let requester = (email.domain.clone(), email.network.clone());
            *self.served.entry(requester).or_default() += 1;
        }
        let picked = choice.picked.iter().map(|email| email.id);
        let gone: HashSet<Uuid> = picked
            .chain(choice.held.values().flatten().copied())
            .collect();
        self.emails.retain(|email| !gone.contains(&email.id));
    }

    /// Removes what the ceiling holds until then. What would then be too late stays, and is dropped.
    pub(super) fn remove_held(&mut self, until: Time) {
        self.emails
            .retain(|email| !email.is_held || email.give_up_at < until);
    }
}

impl DueRow {
    fn requester(&self) -> Requester {
        (self.domain.clone(), self.network.clone())
    }

    fn into_email(self) -> DueEmail {
        DueEmail {
            is_retry: self.is_retry,
            is_held: self.last_error.as_deref() == Some(HELD),
            id: self.id,
            domain: self.domain,
            canonical: self.canonical,
            network: self.network,
            is_known: self.known_device,
            give_up_at: self.give_up_at,
        }
    }
}

/// Whether an attempt failed because of its recipient. After more than three leases without an outcome
/// an email counts as a retry, too: perhaps it is what brings workers down.
const IS_RETRY: &str = "CASE WHEN last_error IS NULL THEN attempts > 3 \
    ELSE last_error NOT LIKE 'session%' AND last_error NOT IN ('ceiling', 'domain down') END";

/// What the order of due emails depends on.
struct Order<'a, S> {
    /// How many emails were picked so far.
    picked: usize,
    served: &'a HashMap<Requester, usize>,
    is_stalling: S,
}

impl<S: Fn(&str) -> bool> Order<'_, S> {
    /// Orders due rows, the first attempts and the retries each by itself, and merges them.
    fn of(&self, rows: Vec<DueRow>) -> Vec<DueEmail> {
        let (retries, first): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_retry);
        let mut first = self.in_turn(first).into_iter().peekable();
        let mut retries = self.in_turn(retries).into_iter().peekable();
        let mut merged = Vec::new();
        let mut place = self.picked;
        while first.peek().is_some() || retries.peek().is_some() {
            place = place.wrapping_add(1);
            let next = if place.is_multiple_of(PLACES) {
                retries.next().or_else(|| first.next())
            } else {
                first.next().or_else(|| retries.next())
            };
            merged.extend(next);
        }
        merged
    }

    /// Orders rows: known devices before others, then each domain in turn, at a domain each network in
    /// turn, and the oldest first, or alternately the newest and the oldest.
    fn in_turn(&self, rows: Vec<DueRow>) -> Vec<DueEmail> {
        let mut ranked: Vec<(bool, usize, DueEmail)> = Vec::new();
        for ((domain, known_device), by_turn) in self.by_domain(rows) {
            let mut by_turn: Vec<Vec<DueRow>> = by_turn.into_values().collect();
            if (self.is_stalling)(&domain) {
                let begins_with_newest = self.picked_of(&domain).is_multiple_of(2);
                let from_both_ends = |rows| from_both_ends(rows, begins_with_newest);
                by_turn = by_turn.into_iter().map(from_both_ends).collect();
            }
            let places = by_turn.into_iter().flatten().zip(1..);
            ranked.extend(places.map(|(row, place)| (!known_device, place, row.into_email())));
        }
        ranked.sort_by_key(|(is_unknown, place, email)| (*is_unknown, *place, email.id));
        ranked.into_iter().map(|(_, _, email)| email).collect()
    }

    /// How many emails of a domain were picked, as far as their networks still have some due there.
    fn picked_of(&self, domain: &str) -> usize {
        let of_domain = self.served.iter().filter(|((one, _), _)| one == domain);
        of_domain.map(|(_, count)| count).sum()
    }

    /// Groups rows by domain and known device, and by the turn of their network there.
    fn by_domain(&self, mut rows: Vec<DueRow>) -> HashMap<(String, bool), ByTurn> {
        rows.sort_by_key(|row| row.id);
        let mut turns: HashMap<(Requester, bool), usize> = HashMap::new();
        let mut by_domain: HashMap<(String, bool), ByTurn> = HashMap::new();
        for row in rows {
            let requester = row.requester();
            let so_far = self.served.get(&requester).copied().unwrap_or(0);
            let turn = turns.entry((requester, row.known_device)).or_default();
            *turn += 1;
            let domain = (row.domain.clone(), row.known_device);
            let by_turn = by_domain.entry(domain).or_default();
            by_turn.entry(so_far + *turn).or_default().push(row);
        }
        by_domain
    }
}

/// Rows by the turn of their network, the oldest first.
type ByTurn = BTreeMap<usize, Vec<DueRow>>;

/// Takes alternately the last and the first.
fn from_both_ends<T>(items: Vec<T>, begins_with_last: bool) -> Vec<T> {
    let mut items = VecDeque::from(items);
    let mut is_last = begins_with_last;
    let mut taken = Vec::with_capacity(items.len());
    while let Some(item) = match is_last {
        true => items.pop_back(),
        false => items.pop_front(),
    } {
        taken.push(item);
        is_last = !is_last;
    }
    taken
}

/// Lists the due emails if they are few, else some of them.
async fn list_few(db: &Db, now: Time) -> Result<Vec<DueRow>, InfraError> {
    let due = Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::Domain,
            Column::Canonical,
            Column::Network,
            Column::KnownDevice,
            Column::LastError,
            Column::GiveUpAt,
        ])
        .column_as(Expr::cust(IS_RETRY), "is_retry")
        // Spelled as in the index `mail_outbox_due`: with a bound value the planner might not use it.
        .filter(Expr::cust("state = 'queued'"))
        .filter(Column::DueAt.lte(now))
        .filter(Column::LeaseUntil.lte(now))
        .order_by_asc(Column::DueAt)
        .limit(FEW as u64);
    Ok(due.into_model().all(db.read()).await?)
}

/// Lists those of very many due emails that come first, `most` of each domain from either end.
async fn rank_many(db: &Db, now: Time, most: usize) -> Result<Vec<DueRow>, InfraError> {
    // What one domain can have within the time that the ranking serves, as well.
    let most = i64::try_from(most.saturating_mul(16)).unwrap_or(i64::MAX);
    let mut rows = Vec::new();
    for (is_retry, limit) in [(false, MAX_FIRST), (true, MAX_RETRIES)] {
        let sql = format!(
            "SELECT id, domain, canonical, network, known_device, is_retry, last_error, give_up_at FROM (\
             SELECT turns.*, ROW_NUMBER() OVER (PARTITION BY domain ORDER BY known_device DESC, turn, id) AS place, \
             ROW_NUMBER() OVER (PARTITION BY domain ORDER BY known_device DESC, turn, id DESC) AS from_newest \
             FROM (SELECT id, domain, canonical, network, known_device, {IS_RETRY} AS is_retry, last_error, \
             give_up_at, ROW_NUMBER() OVER (PARTITION BY domain, network, known_device ORDER BY id) AS turn FROM mail_outbox \
             WHERE state = 'queued' AND due_at <= $1 AND lease_until <= $1 AND ({IS_RETRY}) = $4) AS turns) AS due \
             WHERE place <= $2 OR from_newest <= $2 \
             ORDER BY known_device DESC, CASE WHEN place < from_newest THEN place ELSE from_newest END, id LIMIT $3"
        );
        let values = [now.0.into(), most.into(), limit.into(), is_retry.into()];
        let backend = db.read().get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql, values);
        for row in db.read().query_all_raw(statement).await? {
            rows.push(DueRow::from_query_result(&row, "")?);
        }
    }
    Ok(rows)
}
