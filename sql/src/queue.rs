//! The queue of resources whose watchers are owed something: claim, renew, settle. DESIGN of the queue: `notify_queue`
//! in `schema/migrations`.

use std::time::Duration;

use tokio_postgres::Row;

use crate::{Resource, Store, StoreError, registry};

/// A resource that this notifier holds until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What is held.
    pub resource: Resource,
    /// Number of this claim, never used twice. A later claim of the same resource by the same owner replaces this one.
    pub claim: i64,
    /// The state change that is being worked on; 0 when only flagged dialogs are owed a NOTIFY.
    pub version: i64,
    /// A state change is due: all dialogs that have not seen `version` are owed a NOTIFY, not only the flagged ones.
    pub state_due: bool,
    /// One of the caller's own claims goes on (it was in `held`). If the caller has given that one up since it asked, it must
    /// give up this one too: forget it, and the lease runs out.
    pub continued: bool,
    /// An earlier holder's lease ran out with the work unfinished: all dialogs are owed a NOTIFY again.
    pub recovered: bool,
    /// It is to be decided about the watchers of this presentity, before anything is taken of it.
    pub decide: bool,
}

/// A resource whose work is done, or given up for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledResource {
    /// What was held.
    pub resource: Resource,
    /// [`Claimed::claim`]: a claim that was replaced by a later one settles nothing.
    pub claim: i64,
    /// Every dialog that owed `version` was taken and none is in flight. `false` hands the rest to the next holder.
    pub state_taken: bool,
    /// When the resource's document changes although no publication does.
    pub next_change: NextChange,
    /// What became of [`Claimed::decide`].
    pub decided: Decided,
}

/// What became of the decision about the watchers of a presentity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decided {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// It was, and has not been made: it is due at once.
    NotYet,
    /// By the rules of this number. It is due again when time changes one of the decisions that are stored.
    By(i64),
}

/// When the document that was shown changes by itself. The resource is due then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextChange {
    /// Nobody was shown one; what was known before stays.
    #[default]
    Unknown,
    /// It stays as it is.
    Never,
    /// At this epoch second.
    At(i64),
}

/// The statements of this area; see [`Store::queue`].
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a>(pub(crate) &'a Store);

impl Queue<'_> {
    /// Claims up to `limit` resources that are due and free, or due and already held by `owner`, earliest first.
    /// Writes nothing when there is none.
    ///
    /// `held` are the [`Claimed::claim`] numbers that this notifier is working on. A resource that it gave up (a take
    /// without an answer, too little left of the lease) must be missing: it is then left alone until its lease runs out,
    /// and recovered.
    ///
    /// # Locks
    /// Free rows of `notify_queue` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn claim(
        &self,
        owner: i64,
        held: &[i64],
        limit: u32,
        lease: Duration,
        waitn: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.claim_and_look_ahead(owner, held, limit, lease, waitn, Duration::ZERO)
            .await
            .map(|(claimed, _)| claimed)
    }

    /// [`Queue::claim`] that also says how long it is until the next resource is due that the caller could claim, if that is
    /// within `horizon`.
    ///
    /// # Locks
    /// Free rows of `notify_queue` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn claim_and_look_ahead(
        &self,
        owner: i64,
        held: &[i64],
        limit: u32,
        lease: Duration,
        waitn: Duration,
        horizon: Duration,
    ) -> Result<(Vec<Claimed>, Option<Duration>), StoreError> {
        let (limit, lease_s, waitn_s) =
            (i64::from(limit), lease.as_secs_f64(), waitn.as_secs_f64());
        let horizon_s = horizon.as_secs_f64();
        let rows = self
            .0
            .query(
                &registry::QUEUE_CLAIM,
                &[
                    &owner,
                    &held,
                    &limit,
                    &lease_s,
                    &waitn_s,
                    &self.0.now(),
                    &horizon_s,
                ],
            )
            .await?;
        let next_due_s = |row: &Row| row.get::<_, Option<f64>>("next_due_s");
        let next = rows.last().and_then(next_due_s);
        let claimed = rows.iter().filter(|row| next_due_s(row).is_none());
        Ok((
            claimed.map(Claimed::from_row).collect(),
            next.and_then(|next_s| Duration::try_from_secs_f64(next_s).ok()),
        ))
    }

    /// Claims one resource that has been due for over a second, waiting for its lock: a row that busy publishers hold
    /// locked most of the time would else be skipped for ever. `held` as in [`Queue::claim`].
    ///
    /// # Locks
    /// One row of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn claim_overdue(
        &self,
        owner: i64,
        held: &[i64],
        lease: Duration,
        waitn: Duration,
    ) -> Result<Option<Claimed>, StoreError> {
        let (lease_s, waitn_s) = (lease.as_secs_f64(), waitn.as_secs_f64());
        let rows = self
            .0
            .query(
                &registry::QUEUE_CLAIM_OVERDUE,
                &[&owner, &held, &lease_s, &waitn_s, &self.0.now()],
            )
            .await?;
        Ok(rows.first().map(Claimed::from_row))
    }

    /// Lengthens the leases that `owner` still holds, and returns those resources. One that is missing is lost: abandon
    /// its NOTIFYs in flight, another notifier repeats them.
    ///
    /// # Locks
    /// Rows of `notify_queue` by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn renew(
        &self,
        owner: i64,
        resources: &[Resource],
        lease: Duration,
    ) -> Result<Vec<Resource>, StoreError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let (presentity_uri, event) = Resource::columns(resources);
        let lease_s = lease.as_secs_f64();
        let rows = self
            .0
            .query(
                &registry::QUEUE_RENEW,
                &[&owner, &presentity_uri, &event, &lease_s, &self.0.now()],
            )
            .await?;
        Ok(rows.iter().map(resource).collect())
    }

    /// Hands resources back; returns how many were still held under the given claim. Never while a take of the same
    /// resource is under way or one of its NOTIFYs is in flight, and only after its verdicts are committed.
    ///
    /// # Locks
    /// Rows of `notify_queue` by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settle(
        &self,
        owner: i64,
        resources: &[SettledResource],
    ) -> Result<u64, StoreError> {
        if resources.is_empty() {
            return Ok(0);
        }
        let (presentity_uri, event) =
            Resource::columns(resources.iter().map(|settled| &settled.resource));
        let claim: Vec<i64> = resources.iter().map(|settled| settled.claim).collect();
        let state_taken: Vec<bool> = resources
            .iter()
            .map(|settled| settled.state_taken)
            .collect();
        let next_change_s: Vec<Option<f64>> = resources
            .iter()
            .map(|settled| settled.next_change.seconds())
            .collect();
        let decided_rules: Vec<Option<i64>> = resources
            .iter()
            .map(|settled| settled.decided.number())
            .collect();
        self.0
            .execute(
                &registry::QUEUE_SETTLE,
                &[
                    &owner,
                    &presentity_uri,
                    &event,
                    &claim,
                    &state_taken,
                    &self.0.now(),
                    &next_change_s,
                    &decided_rules,
                ],
            )
            .await
    }
}

// === impl Decided ===

impl Decided {
    fn number(self) -> Option<i64> {
        match self {
            Decided::NotAsked => None,
            Decided::NotYet => Some(-1),
            Decided::By(rules_version) => Some(rules_version),
        }
    }
}

// === impl NextChange ===

impl NextChange {
    /// The earlier of two documents of one resource: some dialogs were shown the one, some the other.
    #[must_use]
    pub fn earliest(self, other: NextChange) -> NextChange {
        match (self, other) {
            (NextChange::At(one), NextChange::At(two)) => NextChange::At(one.min(two)),
            (at @ NextChange::At(_), _) | (_, at @ NextChange::At(_)) => at,
            (NextChange::Never, _) | (_, NextChange::Never) => NextChange::Never,
            (NextChange::Unknown, NextChange::Unknown) => NextChange::Unknown,
        }
    }

    fn seconds(self) -> Option<f64> {
        match self {
            NextChange::Unknown => None,
            NextChange::Never => Some(f64::INFINITY),
            // Far beyond what PostgreSQL can write as a time, in either direction, is as good as never, or now.
            NextChange::At(second) => Some(second.clamp(0, LAST_SECOND) as f64),
        }
    }
}

/// Within PostgreSQL's range of times: the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

// === impl Claimed ===

impl Claimed {
    fn from_row(row: &Row) -> Claimed {
        let version: i64 = row.get("version");
        Claimed {
            resource: resource(row),
            claim: row.get("claim"),
            version,
            state_due: version > 0,
            continued: row.get("continued"),
            recovered: row.get("recovered"),
            decide: row.get("decide"),
        }
    }
}

fn resource(row: &Row) -> Resource {
    Resource {
        presentity_uri: row.get("presentity_uri"),
        event: row.get("event"),
    }
}
