//! The turns of those who write, and the group that passes from one to the next.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use sea_orm::{
    ConnAcquireErr, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbErr,
    RuntimeErr,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, oneshot},
    time::timeout,
};

use crate::db::{sent::SentCounter, undecided::Outcome};

/// The longest wait for a turn.
const WAIT: Duration = Duration::from_secs(5);

/// The bounds of a group: at the first that is reached it is committed.
#[derive(Clone, Copy, Debug)]
pub(in crate::db) struct Bounds {
    pub(in crate::db) units: usize,
    /// How long the first unit of work to end has waited for the others.
    pub(in crate::db) wait: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            units: 64,
            wait: Duration::from_millis(25),
        }
    }
}

/// Whose turn it is. Clones of a [`super::Writer`] share it.
#[derive(Debug)]
pub(super) struct Turns {
    /// Has one connection.
    pub(super) pool: DatabaseConnection,
    /// The holder of the lock writes. While it is free, the group that is open.
    lock: Arc<Mutex<Option<Group>>>,
    /// The units of work and statements that wait for their turn.
    waiting: AtomicUsize,
    bounds: Bounds,
    pub(super) sent: SentCounter,
}

pub(super) type Lock = OwnedMutexGuard<Option<Group>>;

/// A transaction that units of work share.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) transaction: DatabaseTransaction,
    /// How many units of work and statements have begun in it.
    units: usize,
    /// Receive the outcome.
    members: Vec<oneshot::Sender<Outcome>>,
    /// When the first member joined, which waits for the others since.
    joined_first: Option<Instant>,
    /// Whether a task waits in the queue to commit it.
    has_closer: bool,
}

impl Group {
    /// A group whose first unit of work begins.
    pub(super) const fn new(transaction: DatabaseTransaction) -> Self {
        Self {
            transaction,
            units: 1,
            members: Vec::new(),
            joined_first: None,
            has_closer: false,
        }
    }

    /// Counts one more unit of work or statement that begins, and returns the savepoint that is its
    /// own.
    pub(super) const fn begin(&mut self) -> Savepoint {
        self.units += 1;
        Savepoint(self.units)
    }

    /// Adds a member, which receives the outcome.
    pub(super) fn join(&mut self) -> oneshot::Receiver<Outcome> {
        let (sender, outcome) = oneshot::channel();
        self.members.push(sender);
        self.joined_first.get_or_insert_with(Instant::now);
        outcome
    }

    fn is_full(&self, bounds: Bounds) -> bool {
        let waited = self.joined_first.map(|first| first.elapsed());
        self.units >= bounds.units || waited >= Some(bounds.wait)
    }

    /// Rolls all of it back.
    pub(super) fn fail(self, cause: &DbErr) {
        drop(self.transaction);
        notify(self.members, &Err(shared_error(cause)));
    }
}

fn notify(members: Vec<oneshot::Sender<Outcome>>, outcome: &Outcome) {
    for member in members {
        // A member whose caller is gone receives nothing.
        let _ = member.send(outcome.clone());
    }
}

/// The error of all members: it does not say whose fault it was, and a later try may succeed.
fn shared_error(cause: &DbErr) -> DbErr {
    let text = format!("the transaction that units of work share failed: {cause}");
    DbErr::Exec(RuntimeErr::Internal(text))
}

impl Turns {
    pub(super) fn new(pool: DatabaseConnection, sent: SentCounter, bounds: Bounds) -> Self {
        Self {
            pool,
            lock: Arc::default(),
            waiting: AtomicUsize::new(0),
            bounds,
            sent,
        }
    }

    /// Returns how many units of work and statements wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(super) async fn lock(&self) -> Result<Lock, DbErr> {
        if let Ok(lock) = Arc::clone(&self.lock).try_lock_owned() {
            return Ok(lock);
        }
        let _waiting = Waiting::new(&self.waiting);
        timeout(WAIT, Arc::clone(&self.lock).lock_owned())
            .await
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
    }

    /// Ends a member of a group without an outcome yet: the group is committed now, or the turn is
    /// the next one's.
    pub(super) fn leave(
        self: &Arc<Self>,
        mut group: Group,
        lock: Lock,
        is_sure: bool,
    ) -> oneshot::Receiver<Outcome> {
        let outcome = group.join();
        if is_sure && !group.is_full(self.bounds) {
            self.pass_on(group, lock);
        } else {
            tokio::spawn(Arc::clone(self).close(group, lock));
        }
        outcome
    }

    /// Gives the turn to the next in the queue, and sees to it that the group is committed.
    fn pass_on(self: &Arc<Self>, mut group: Group, mut lock: Lock) {
        let closer = (!mem::replace(&mut group.has_closer, true)).then(|| {
            let mut turn = Box::pin(Arc::clone(&self.lock).lock_owned());
            // It queues now, before units of work that come later. This lock is still held.
            let _ = turn.as_mut().now_or_never();
            turn
        });
        *lock = Some(group);
        drop(lock);
        let Some(turn) = closer else { return };
        let turns = Arc::clone(self);
        // In a task of its own, so that no caller that goes away leaves the group open.
        tokio::spawn(async move {
            let mut lock = turn.await;
            // A group that was full is committed already, and another may be open: it may end, too.
            if let Some(group) = lock.take() {
                turns.close(group, lock).await;
            }
        });
    }

    pub(super) async fn close(self: Arc<Self>, group: Group, lock: Lock) {
        self.sent.commit();
        let done = group.transaction.commit().await;
        drop(lock);
        notify(group.members, &done.map_err(|error| shared_error(&error)));
    }

    /// Rolls a member of a group back. The others stay.
    pub(super) async fn roll_back(self: Arc<Self>, group: Group, lock: Lock, savepoint: Savepoint) {
        self.sent.statement();
        let roll_back = format!("ROLLBACK TO {}", savepoint.name());
        match group.transaction.execute_unprepared(&roll_back).await {
            Ok(_) if group.is_full(self.bounds) => self.close(group, lock).await,
            Ok(_) => self.pass_on(group, lock),
            // SQLite itself has rolled the transaction back: its disk is full or fails.
            Err(error) => group.fail(&error),
        }
    }
}

/// Counts a caller that waits, also one that stops to.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The savepoint of one member of a group. No other of the same group has its name, so that rolling
/// back never reaches the work of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Savepoint(usize);

impl Savepoint {
    pub(super) fn name(self) -> String {
        format!("unit_{}", self.0)
    }
}
