//! The loop: doorbell or poll, claim, take, render, send, outcomes, settle.
//!
//! One task owns the [`Ledger`] and decides; everything that waits (statements, DNS, the network) runs beside it and reports
//! back. Of the four statements that move the queue on, one runs at a time, in turn: storing verdicts, settling, taking,
//! claiming. So a resource is never settled while it's being claimed, and batches grow by themselves under load, as in a
//! group commit. Measured on the statements alone, one connection takes over 40,000 dialogs/s, more than one process sends.
//!
//! What a failed statement did is unknown. A claim that was lost runs out of its lease and is recovered. So is a take
//! ([`Ledger::abandon`]). Verdicts and settlements may be repeated and are, as long as the lease lasts.

mod leases;
mod stopping;

use crate::Settings;
use crate::claim::{Pace, claim_limit, log_recovered};
use crate::decide::{Asked, Decider};
use crate::in_flight::{FlightKey, Guard, Ledger, Work};
use crate::outage::Outage;
use crate::portion::Portion;
use crate::send::{Letter, Prepared, Sender, Taken, is_terminated};
use crate::settle::{Ending, Standing};
use crate::statement::{Done, Job, Take, claimed, settled_resource};
use crate::witness::Witnesses;
use leases::{OVERDUE_PERIOD, Renewal};
use net::{Client, Outcome, Outcomes, Unreachable};
use sql::{Claimed, DialogVerdict, Resource, Store, StoreError, Verdict};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// The state of the notifier: everything in it can be lost at any moment.
pub(crate) struct Engine {
    settings: Settings,
    store: Store,
    decider: Arc<Decider>,
    client: Client<Letter>,
    sender: Arc<Sender>,
    witnesses: Witnesses,
    owner: i64,
    ledger: Ledger<Arc<Resource>>,
    /// Verdicts to store; their dialogs stay in flight until then, so that they aren't taken in between.
    verdicts: Vec<(FlightKey, DialogVerdict)>,
    pace: Pace,
    portion: Portion,
    /// Requests under construction, and what they are for.
    preparing: JoinSet<()>,
    prepared_for: HashMap<Id, Vec<Work<Arc<Resource>>>>,
    statement: Slot<Stage, Done>,
    renewal: Slot<Renewal, Result<Vec<Resource>, StoreError>>,
    overdue: Slot<Instant, Result<Option<Claimed>, StoreError>>,
    last_stage: usize,
    outage: Outage,
    stopping: Option<Instant>,
    interrupted: bool,
}

/// What the loop listens to.
pub(crate) struct Inputs {
    pub(crate) outcomes: Outcomes<Letter>,
    pub(crate) prepared: mpsc::UnboundedReceiver<Vec<Prepared>>,
    pub(crate) owner: watch::Receiver<i64>,
    pub(crate) shutdown: node::Shutdown,
}

/// A resource at work.
pub(crate) type Held = Work<Arc<Resource>>;

/// A statement under way: what it's for, and its task.
type Slot<What, T> = Option<(What, AbortOnDropHandle<T>)>;

/// The statements that move the queue on.
enum Stage {
    Verdicts(Vec<(FlightKey, DialogVerdict)>),
    Settle(Vec<Held>),
    Take { works: Vec<Held>, limit: u32 },
    Claim { issued: Instant, limit: u32 },
}

/// Most resources or verdicts of one settling statement.
const SETTLE_CHUNK: usize = 2000;

// === impl Engine ===

impl Engine {
    pub(crate) fn new(
        settings: Settings,
        store: Store,
        decider: Decider,
        client: Client<Letter>,
        sender: Sender,
        witnesses: Witnesses,
        owner: i64,
    ) -> Engine {
        Engine {
            pace: Pace::new(settings.poll_rate, Instant::now()),
            portion: Portion::new(),
            settings,
            store,
            decider: Arc::new(decider),
            client,
            sender: Arc::new(sender),
            witnesses,
            owner,
            ledger: Ledger::new(),
            verdicts: Vec::new(),
            preparing: JoinSet::new(),
            prepared_for: HashMap::new(),
            statement: None,
            renewal: None,
            overdue: None,
            last_stage: 0,
            outage: Outage::default(),
            stopping: None,
            interrupted: false,
        }
    }

    /// Runs until told to stop. `Err` names a task that ended although it never should.
    pub(crate) async fn run(mut self, mut inputs: Inputs) -> Result<(), &'static str> {
        // Registered before the first claim: a ring from now on is remembered.
        let mut doorbell = self.store.listen();
        let mut lease_watch = tokio::time::interval(self.settings.lease / 20);
        lease_watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut overdue_watch = tokio::time::interval(OVERDUE_PERIOD);
        overdue_watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_done() {
            self.start_statement();
            let next_statement_at = self.next_statement_at();
            tokio::select! {
                done = finished(&mut self.statement) => self.statement_done(done),
                done = finished(&mut self.renewal) => self.renewal_done(done),
                done = finished(&mut self.overdue) => self.overdue_done(done),
                batch = inputs.outcomes.recv_batch() => {
                    for (letter, outcome) in batch.ok_or("client transactions")? {
                        self.witnesses.answered(letter.key, &outcome);
                        self.ended(letter, ending(&outcome));
                    }
                }
                batch = inputs.prepared.recv() => self.send(batch.ok_or("senders")?),
                Some(done) = self.preparing.join_next_with_id() => self.preparation_done(done),
                () = doorbell.rung() => self.pace.ring(Instant::now()),
                () = tokio::time::sleep_until(next_statement_at.into()) => {}
                _ = lease_watch.tick() => self.watch_leases(),
                _ = overdue_watch.tick() => self.start_overdue(),
                Ok(()) = inputs.owner.changed() => self.change_owner(*inputs.owner.borrow_and_update()),
                () = inputs.shutdown.triggered(), if self.stopping.is_none() => self.stop(),
            }
            self.interrupt_late_flights();
        }
        if !self.ledger.is_empty() {
            tracing::warn!(
                "stopped with resources unsettled; their leases run out and they are recovered"
            );
        }
        Ok(())
    }

    // --- statements ---

    /// Starts the next statement that has something to do, in turn, so that none starves another.
    fn start_statement(&mut self) {
        let now = Instant::now();
        if self.statement.is_some() || self.outage.lasts(now) {
            return;
        }
        for _ in 0..4 {
            self.last_stage = (self.last_stage + 1) % 4;
            let stage = match self.last_stage {
                0 => self.verdicts_stage(),
                1 => self.settle_stage(),
                2 => self.take_stage(),
                _ => self.claim_stage(now),
            };
            if let Some(stage) = stage {
                let task = tokio::spawn(self.statement(&stage));
                self.statement = Some((stage, AbortOnDropHandle::new(task)));
                return;
            }
        }
    }

    fn verdicts_stage(&mut self) -> Option<Stage> {
        // The flight may have been abandoned or replaced since it was judged.
        self.verdicts
            .retain(|(key, _)| self.ledger.guard(*key).is_some());
        let count = self.verdicts.len().min(SETTLE_CHUNK);
        (count > 0).then(|| Stage::Verdicts(self.verdicts.drain(..count).collect()))
    }

    fn settle_stage(&mut self) -> Option<Stage> {
        let works = self.ledger.begin_settle(SETTLE_CHUNK);
        (!works.is_empty()).then_some(Stage::Settle(works))
    }

    fn take_stage(&mut self) -> Option<Stage> {
        let free = self.free_permits();
        if free == 0 || !self.ledger.wants_take() {
            return None;
        }
        let works = self.ledger.begin_take(self.portion.resources());
        let limit = self.portion.dialogs(&works).min(free);
        Some(Stage::Take {
            works,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        })
    }

    fn claim_stage(&mut self, now: Instant) -> Option<Stage> {
        let limit = claim_limit(self.free_permits(), self.settings.fetch_rows);
        if limit == 0 || self.stopping.is_some() || !self.pace.is_due(now) {
            return None;
        }
        self.pace.issued(now, rand::random());
        Some(Stage::Claim { issued: now, limit })
    }

    fn free_permits(&self) -> usize {
        self.settings
            .in_flight
            .saturating_sub(self.ledger.flight_count())
    }

    /// When [`Engine::start_statement`] has to look again without anything having happened.
    fn next_statement_at(&self) -> Instant {
        let now = Instant::now();
        if self.statement.is_some() {
            return now + Duration::from_secs(1);
        }
        if let Some(end) = self.outage.until.filter(|end| *end > now) {
            return end;
        }
        if self.free_permits() == 0 || self.stopping.is_some() {
            return now + Duration::from_millis(100);
        }
        self.pace.next()
    }

    fn statement(&self, stage: &Stage) -> impl Future<Output = Done> + Send + use<> {
        let store = self.store.clone();
        let (owner, lease, waitn) = (self.owner, self.settings.lease, self.settings.waitn);
        let job = match stage {
            Stage::Verdicts(verdicts) => Job::Verdicts(
                verdicts
                    .iter()
                    .map(|(_, verdict)| verdict.clone())
                    .collect(),
            ),
            Stage::Settle(works) => Job::Settle(works.iter().map(settled_resource).collect()),
            Stage::Take { works, limit } => Job::Take {
                claimed: works.iter().map(claimed).collect(),
                in_flight: self.ledger.in_flight_of(works),
                asked: asked(works),
                limit: *limit,
                decider: self.decider.clone(),
                manner: self.settings.manner,
            },
            Stage::Claim { limit, .. } => Job::Claim {
                held: self.ledger.claims(),
                limit: *limit,
                lease,
                waitn,
                horizon: self.pace.interval(),
            },
        };
        async move { job.run(&store, owner).await }
    }

    fn statement_done(&mut self, (stage, done): (Stage, Result<Done, JoinError>)) {
        let now = Instant::now();
        let failed = match (stage, done) {
            (Stage::Verdicts(verdicts), Ok(Done::Verdicts(Ok(_)))) => {
                for (key, _) in verdicts {
                    self.ledger.landed(key);
                }
                None
            }
            (Stage::Settle(works), Ok(Done::Settle(Ok(_)))) => {
                self.ledger.settled(&works);
                None
            }
            (Stage::Take { works, limit }, Ok(Done::Take(Ok(take)))) => {
                self.taken(works, take, limit);
                None
            }
            (Stage::Claim { issued, limit }, Ok(Done::Claim(Ok((claimed, next_due))))) => {
                if claimed.len() >= limit as usize {
                    self.pace.full(now);
                }
                if let Some(next_due) = next_due {
                    self.pace.due(now + next_due);
                }
                self.claimed(claimed, issued);
                None
            }
            (Stage::Verdicts(verdicts), done) => {
                self.verdicts.extend(verdicts);
                Some(("verdicts", done))
            }
            (Stage::Settle(works), done) => {
                self.ledger.settle_failed(&works);
                Some(("settle", done))
            }
            (Stage::Take { works, .. }, done) => {
                let branches = self.ledger.abandon(&works);
                self.cancel(branches);
                Some(("take", done))
            }
            (Stage::Claim { .. }, done) => Some(("claim", done)),
        };
        match failed {
            None => self.outage.over(),
            Some((what, done)) => self.outage.note(now, what, done.map(Done::error)),
        }
    }

    // --- claim and take ---

    fn claimed(&mut self, claimed: Vec<Claimed>, issued: Instant) {
        log_recovered(&claimed);
        let lease_end = issued + self.settings.lease;
        for Claimed {
            resource,
            claim,
            version,
            state_due,
            continued,
            recovered,
            decide,
        } in claimed
        {
            let resource = Arc::new(resource);
            if continued && !self.ledger.holds(&resource) {
                // Abandoned while the claim ran: what was taken of it may be lost, so it's left to be recovered.
                continue;
            }
            let decide = decide || (state_due && self.decider.looks_at_state_of(&resource));
            self.ledger
                .claimed(resource.clone(), claim, version, state_due, lease_end);
            if decide {
                self.ledger.must_decide(&resource, recovered);
            }
        }
    }

    fn taken(
        &mut self,
        works: Vec<Held>,
        Take {
            dialogs,
            rendered,
            decided,
        }: Take,
        limit: u32,
    ) {
        for (place, rules_version) in decided {
            if let Some(work) = works.get(place) {
                self.ledger.decided(work, rules_version);
            }
        }
        // Only half full counts as complete: the statement chooses up to `limit` dialogs and then leaves out those that changed
        // before it could lock them, so a little less than the limit doesn't prove that there were no more.
        let complete = dialogs.len() <= limit as usize / 2;
        self.portion.taken(works.len(), dialogs.len(), complete);
        for work in &works {
            self.ledger
                .shown(work, rendered.next_change(&work.resource));
        }
        let mut cancelled = Vec::new();
        let mut letters = Vec::with_capacity(dialogs.len());
        for dialog in dialogs {
            let Some(work) = works
                .get(dialog.resource_index)
                .filter(|_| !dialog.ended && !dialog.silent)
            else {
                continue;
            };
            let guard = Guard {
                target_version: dialog.target_version,
                remote_cseq: dialog.remote_cseq,
            };
            let Some(key) = self.ledger.take_off(work, dialog.id, guard, &mut cancelled) else {
                continue;
            };
            let is_open = |key| self.ledger.guard(key).is_some();
            self.witnesses
                .taken(key, guard, &work.resource, &dialog, is_open);
            let standing = Standing {
                terminated: is_terminated(&dialog),
                failures: dialog.failures,
            };
            let letter = Letter {
                key,
                standing,
                flow: None,
            };
            letters.push(Taken {
                letter,
                dialog,
                resource: work.resource.clone(),
            });
        }
        self.cancel(cancelled);
        self.ledger.taken(&works, complete);
        if self.interrupted {
            letters
                .iter()
                .for_each(|taken| self.ended(taken.letter, Ending::Interrupted));
        } else if !letters.is_empty() {
            let sender = self.sender.clone();
            let task = self
                .preparing
                .spawn(async move { sender.prepare(letters, rendered).await });
            self.prepared_for.insert(task.id(), works);
        }
    }

    /// A preparation that panicked leaves flights that nobody will ever send: their resources are abandoned and recovered.
    fn preparation_done(&mut self, done: Result<(Id, ()), JoinError>) {
        match done {
            Ok((id, ())) => {
                self.prepared_for.remove(&id);
            }
            Err(error) => {
                let works = self.prepared_for.remove(&error.id()).unwrap_or_default();
                tracing::error!(error = %error, resources = works.len(), "building NOTIFYs failed; these resources are abandoned");
                let branches = self.ledger.abandon(&works);
                self.cancel(branches);
            }
        }
    }

    // --- send and settle ---

    fn send(&mut self, prepared: Vec<Prepared>) {
        let now = Instant::now();
        let mut requests = Vec::with_capacity(prepared.len());
        for (letter, request) in prepared {
            match request {
                Ok(request) => {
                    let may = !self.interrupted
                        && self.ledger.may_send(
                            letter.key,
                            &request.branch,
                            now,
                            self.settings.lease_margin(),
                        );
                    if may {
                        self.witnesses.sent(letter.key);
                        requests.push(request);
                    }
                }
                Err(ending) => self.ended(letter, ending),
            }
        }
        if !requests.is_empty() {
            self.client.send(requests);
        }
    }

    /// A NOTIFY is over, one way or another. Late news of an abandoned or replaced one is ignored.
    fn ended(&mut self, letter: Letter, ending: Ending) {
        let Some(guard) = self.ledger.guard(letter.key) else {
            return;
        };
        let ending = self.sender.judge(letter.key.dialog, ending);
        self.witnesses.ended(letter.key, ending);
        let gone = letter.flow.filter(|_| ending.is_flow_gone());
        let policy = &self.settings.failure;
        let verdict = match gone {
            // At once, by another way.
            Some(flow) => {
                self.sender.flow_is_gone(letter.key.dialog, flow);
                Some(Verdict::Retry { after_s: 0 })
            }
            None => policy.verdict(ending, letter.standing, rand::random()),
        };
        match verdict {
            None => self.ledger.landed(letter.key),
            Some(verdict) => {
                let Guard {
                    target_version,
                    remote_cseq,
                } = guard;
                let verdict = DialogVerdict {
                    id: letter.key.dialog,
                    remote_cseq,
                    target_version,
                    failure: match verdict {
                        Verdict::Retry { .. } => ending.in_words(),
                        Verdict::Delivered | Verdict::Ended => String::new(),
                    },
                    verdict,
                };
                tracing::debug!(subscription.id = letter.key.dialog, ?ending, verdict = ?verdict.verdict, "NOTIFY judged");
                self.verdicts.push((letter.key, verdict));
            }
        }
    }

    fn cancel(&self, branches: Vec<String>) {
        for branch in branches {
            self.client.cancel(&branch);
        }
    }
}

/// The works about whose watchers is to be decided, by their place.
fn asked(works: &[Held]) -> Vec<(usize, Asked)> {
    let asked = works.iter().enumerate().filter_map(|(place, work)| {
        let asked = Asked {
            presentity_uri: work.resource.presentity_uri.clone(),
            recovered: work.decide?.recovered,
        };
        Some((place, asked))
    });
    asked.collect()
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Final(response, _) => Ending::Answered {
            status: response.status().code(),
            retry_after_s: response.retry_after().ok().flatten(),
        },
        Outcome::TimedOut => Ending::TimedOut,
        Outcome::Unreachable(Unreachable::TooLong { octets }) => {
            Ending::TooLong { octets: *octets }
        }
        Outcome::Unreachable(_) => Ending::Unreachable,
    }
}

/// Waits for the task in the slot and empties it; for ever when there is none. Cancel-safe.
async fn finished<What, T>(slot: &mut Slot<What, T>) -> (What, Result<T, JoinError>) {
    if let Some((_, task)) = slot {
        let done = task.await;
        if let Some((what, _)) = slot.take() {
            return (what, done);
        }
    }
    std::future::pending().await
}
