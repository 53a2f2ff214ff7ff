//! The queue of resources with a NOTIFY due: claim, renew, settle. DESIGN of the queue: `notify_queue`
//! in `schema/migrations`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use crate::registry::queue;
use crate::statement::batch;
use crate::{Resource, Seen, Store, StoreError, ordinal};

/// A resource that this notifier holds until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What is held.
    pub resource: Resource,
    /// Number of this claim, never used twice. A later claim of the same resource by the same owner replaces this one.
    pub claim: i64,
    /// The state change that is being worked on; 0 when a NOTIFY is due for flagged dialogs only.
    pub version: i64,
    /// A state change is due: a NOTIFY is due for all dialogs that have not seen `version`, not only for the flagged ones.
    pub state_due: bool,
    /// One of the caller's own claims goes on (it was in `held`). If the caller has given that one up since it asked, it must
    /// give up this one too: forget it, and the lease runs out.
    pub continued: bool,
    /// An earlier holder's lease ran out with the work unfinished: a NOTIFY is due again for all dialogs.
    pub recovered: bool,
    /// The watchers of this presentity must be decided before anything is taken of it.
    pub decide: bool,
    /// Something of it was set aside before ([`crate::Quarantine::put`]), and it was claimed then: that is tried again now.
    pub suspect: Option<SystemTime>,
    /// The last state change.
    pub last_change: LastChange,
}

/// The last change of state of a resource, as of its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastChange {
    /// Its number, which is higher than [`Claimed::version`] while the pacing holds it back. Whatever changes the publications raises it.
    pub version: i64,
    /// Who made the last changes of its publications; `""` = several did, or it is not known.
    pub by: String,
}

/// What to claim.
#[derive(Clone, Copy, Debug)]
pub struct Claiming<'a> {
    /// Who claims.
    pub owner: i64,
    /// The [`Claimed::claim`] numbers that this notifier is working on. A resource that it gave up (a take without an answer, too
    /// little left of the lease) must be missing: it is then left alone until its lease runs out, and recovered.
    pub held: &'a [i64],
    /// Most resources that are due for another reason than a decision.
    pub limit: u32,
    /// Most resources that are due to be decided about.
    pub decisions: u32,
    /// Resources to be left alone.
    pub apart: &'a [Resource],
    /// How long they are held.
    pub lease: Duration,
    /// `waitn_time`
    pub waitn: Duration,
    /// How far to look ahead for the next one.
    pub horizon: Duration,
}

/// A resource whose work is done, or given up for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledResource {
    /// What was held.
    pub resource: Resource,
    /// [`Claimed::claim`]: a claim that was replaced by a later one settles nothing.
    pub claim: i64,
    /// Whether every dialog that had not seen `version` was taken. None is in flight.
    pub taken: TakenState,
    /// When the resource's document changes although no publication does.
    pub next_change: NextChange,
    /// What became of [`Claimed::decide`].
    pub decided: Decided,
    /// [`Claimed::suspect`]
    pub suspect: Option<SystemTime>,
}

/// Whether all due dialogs were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TakenState {
    /// They were.
    #[default]
    All,
    /// No dialog was taken: none was due, or another transaction holds the rows of all that are. It is settled only if nothing is due, its dialogs
    /// being shown this ([`crate::Offer::seen`]).
    Doubted(Option<Arc<Seen>>),
    /// Not all: the rest is handed to the next holder.
    Some,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease is longer.
    Renewed,
    /// It is as long as it was: somebody has the row locked.
    Busy,
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
    /// [`Queue::claim_all`] with as many decisions as anything else, without looking ahead.
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
        let claiming = Claiming {
            owner,
            held,
            limit,
            decisions: limit,
            apart: &[],
            lease,
            waitn,
            horizon: Duration::ZERO,
        };
        self.claim_all(&claiming).await.map(|(claimed, _)| claimed)
    }

    /// Claims resources that are due and free, or due and already held by the owner, earliest first; and says how long it is until the
    /// next resource is due that the caller could claim, if that is within the horizon. Writes nothing when there is none.
    ///
    /// # Locks
    /// Free rows of `notify_queue` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn claim_all(
        &self,
        claiming: &Claiming<'_>,
    ) -> Result<(Vec<Claimed>, Option<Duration>), StoreError> {
        let apart = claiming.apart.iter();
        let (apart_uri, apart_event): (Vec<&str>, Vec<&str>) = apart
            .map(|resource| (resource.presentity_uri.as_str(), resource.event.as_str()))
            .unzip();
        let rows = self
            .0
            .query(&queue::Claim {
                owner: &claiming.owner,
                held: &claiming.held,
                limit: &i64::from(claiming.limit),
                lease_s: &claiming.lease.as_secs_f64(),
                waitn_s: &claiming.waitn.as_secs_f64(),
                now: &self.0.now(),
                horizon_s: &claiming.horizon.as_secs_f64(),
                decisions: &i64::from(claiming.decisions),
                apart_uri: &apart_uri,
                apart_event: &apart_event,
            })
            .await?;
        let next_due_s = |row: &Row| row.get::<_, Option<f64>>("next_due_s");
        let next = rows.last().and_then(next_due_s);
        let claimed = rows.iter().filter(|row| next_due_s(row).is_none());
        Ok((
            claimed.map(Claimed::from_row).collect(),
            next.and_then(|next_s| Duration::try_from_secs_f64(next_s).ok()),
        ))
    }

    /// What [`Queue::claim_all`] would claim now.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_due(&self, claiming: &Claiming<'_>) -> Result<Vec<Resource>, StoreError> {
        let rows = self
            .0
            .query(&queue::ListDue {
                owner: &claiming.owner,
                held: &claiming.held,
                limit: &i64::from(claiming.limit),
                now: &self.0.now(),
                decisions: &i64::from(claiming.decisions),
            })
            .await?;
        Ok(rows.iter().map(resource).collect())
    }

    /// Claims one of the resources that have been due for over a second, waiting for its lock: a row that busy publishers hold
    /// locked most of the time would else be skipped for ever. `held` as in [`Claiming::held`].
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
            .query(&queue::ClaimOverdue {
                owner: &owner,
                held: &held,
                lease_s: &lease_s,
                waitn_s: &waitn_s,
                now: &self.0.now(),
            })
            .await?;
        Ok(rows.first().map(Claimed::from_row))
    }

    /// Lengthens the leases that `owner` still holds, and says which. One that is missing is lost: abandon its NOTIFYs in flight,
    /// another notifier repeats them.
    ///
    /// # Locks
    /// Free rows of `notify_queue` (SKIP LOCKED) by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn renew(
        &self,
        owner: i64,
        resources: &[Resource],
        lease: Duration,
    ) -> Result<Vec<(Resource, Renewed)>, StoreError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .0
            .query(&batch!(
                resources,
                |resource| queue::Renew {
                    presentity_uri: &resource.presentity_uri,
                    event: &resource.event,
                },
                Once {
                    owner: owner,
                    lease_s: lease.as_secs_f64(),
                    now: self.0.now(),
                }
            ))
            .await?;
        let renewed = |row: &Row| match row.get("renewed") {
            true => Renewed::Renewed,
            false => Renewed::Busy,
        };
        Ok(rows
            .iter()
            .map(|row| (resource(row), renewed(row)))
            .collect())
    }

    /// Hands resources back; returns the places of those that are. Not handed back is what is not held under the given claim any more, what
    /// another transaction has locked, and what turns out to be due ([`TakenState::Doubted`]). Never while a take of the same resource is under way
    /// or one of its NOTIFYs is in flight, and only after its verdicts are committed.
    ///
    /// # Locks
    /// Free rows of `notify_queue` (SKIP LOCKED) by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settle(
        &self,
        owner: i64,
        resources: &[SettledResource],
    ) -> Result<Vec<usize>, StoreError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .0
            .query(&batch!(
                resources,
                |settled| queue::Settle {
                    presentity_uri: &settled.resource.presentity_uri,
                    event: &settled.resource.event,
                    claim: settled.claim,
                    state_taken: settled.taken != TakenState::Some,
                    next_change_s: settled.next_change.seconds(),
                    decided_rules: settled.decided.number(),
                    doubted: matches!(settled.taken, TakenState::Doubted(_)),
                    digest: settled.taken.seen().map(|seen| seen.digest),
                    digests: settled.taken.seen().and_then(Seen::others),
                    suspect: settled.suspect,
                },
                Once {
                    owner: owner,
                    now: self.0.now(),
                }
            ))
            .await?;
        Ok(rows.iter().map(|row| ordinal(row, "resource")).collect())
    }
}

// === impl TakenState ===

impl TakenState {
    fn seen(&self) -> Option<&Seen> {
        match self {
            TakenState::Doubted(seen) => seen.as_deref(),
            TakenState::All | TakenState::Some => None,
        }
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
            suspect: row.get("suspect"),
            last_change: LastChange {
                version: row.get("last_version"),
                by: row.get("changed_by"),
            },
        }
    }
}

fn resource(row: &Row) -> Resource {
    Resource {
        presentity_uri: row.get("presentity_uri"),
        event: row.get("event"),
    }
}
