//! The loop: it starts the steps, listens to what comes back, and keeps the [`Ledger`].
//!
//! One task owns the ledger; everything that waits (statements, DNS, the network) runs beside it and reports back. Of the
//! steps that move the queue on ([`crate::step`]) one runs at a time, in turn, and decisions beside them. So batches grow by themselves
//! under load, as in a group commit. Measured on the statements alone, one connection takes over 40,000 dialogs/s, more than
//! one process sends.

mod leases;
mod sending;
mod stopping;

use crate::Settings;
use crate::decider::Decider;
use crate::ledger::{Ledger, Work};
use crate::outage::Outage;
use crate::pace::Pace;
use crate::portion::Portion;
use crate::send::{Notify, Prepared, Sender};
use crate::step::verdicts::Judged;
use crate::step::{End, Fault, IN_TURN, Running, decide};
use crate::witness::Witnesses;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use leases::OVERDUE_PERIOD;
use net::{Client, Outcomes};
use sql::{Resource, Store, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

/// The state of the notifier: everything in it can be lost at any moment.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) decider: Arc<Decider>,
    client: Client<Notify>,
    sender: Arc<Sender>,
    pub(crate) witnesses: Witnesses,
    pub(crate) owner: i64,
    pub(crate) ledger: Ledger<Arc<Resource>>,
    pub(crate) verdicts: Vec<Judged>,
    pub(crate) pace: Pace,
    pub(crate) portion: Portion,
    /// Requests under construction, and what they are for.
    preparing: JoinSet<()>,
    prepared_for: HashMap<Id, Vec<Held>>,
    in_turn: Option<Running>,
    last_turn: usize,
    deciding: FuturesUnordered<Running>,
    last_decision: Instant,
    /// The last claim left decisions in the queue for which there was no room.
    pub(crate) more_decisions: bool,
    renewal: Option<Running>,
    overdue: Option<Running>,
    pub(crate) outage: Outage,
    pub(crate) stopping: Option<Instant>,
    pub(crate) interrupted: bool,
}

/// What the loop listens to.
pub(crate) struct Inputs {
    pub(crate) outcomes: Outcomes<Notify>,
    pub(crate) prepared: mpsc::UnboundedReceiver<Vec<Prepared>>,
    pub(crate) owner: watch::Receiver<i64>,
    pub(crate) shutdown: node::Shutdown,
}

/// A resource at work.
pub(crate) type Held = Work<Arc<Resource>>;

// === impl Engine ===

impl Engine {
    pub(crate) fn new(
        settings: Settings,
        store: Store,
        decider: Decider,
        client: Client<Notify>,
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
            in_turn: None,
            last_turn: 0,
            deciding: FuturesUnordered::new(),
            last_decision: Instant::now(),
            more_decisions: false,
            renewal: None,
            overdue: None,
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
            self.start_steps();
            let next_step_at = self.next_step_at();
            tokio::select! {
                end = ended(&mut self.in_turn) => end(&mut self),
                Some(end) = self.deciding.next() => handed_back(end)(&mut self),
                end = ended(&mut self.renewal) => end(&mut self),
                end = ended(&mut self.overdue) => end(&mut self),
                batch = inputs.outcomes.recv_batch() => self.answered(batch.ok_or("client transactions")?),
                batch = inputs.prepared.recv() => self.send(batch.ok_or("senders")?),
                Some(done) = self.preparing.join_next_with_id() => self.preparation_done(done),
                () = doorbell.rung() => self.pace.ring(Instant::now()),
                () = tokio::time::sleep_until(next_step_at.into()) => {}
                _ = lease_watch.tick() => self.watch_leases(),
                _ = overdue_watch.tick() => self.start_overdue(),
                Ok(()) = inputs.owner.changed() => self.change_owner(*inputs.owner.borrow_and_update()),
                () = inputs.shutdown.triggered(), if self.stopping.is_none() => self.stop(),
            }
            self.interrupt_late_notifies();
        }
        if !self.ledger.is_empty() {
            tracing::warn!(
                "stopped with resources unsettled; their leases run out and they are recovered"
            );
        }
        Ok(())
    }

    // --- steps ---

    /// Starts the next steps that have something to do: decisions, and one of those that take turns.
    fn start_steps(&mut self) {
        let now = Instant::now();
        if self.outage.lasts(now) {
            return;
        }
        self.ledger.wake(now);
        while self.next_decision_at().is_some_and(|at| at <= now)
            && let Some(running) = decide::start(self)
        {
            self.deciding.push(running);
            self.last_decision = now;
        }
        if self.in_turn.is_some() {
            return;
        }
        for _ in 0..IN_TURN.len() {
            self.last_turn = (self.last_turn + 1) % IN_TURN.len();
            let start = IN_TURN[self.last_turn];
            if let Some(running) = start(self, now) {
                self.in_turn = Some(running);
                return;
            }
        }
    }

    /// Pauses after a step that failed.
    pub(crate) fn failed(&mut self, step: &'static str, fault: &Fault) {
        self.outage.note(Instant::now(), step, fault);
    }

    /// Notes whether a step met an outage.
    pub(crate) fn note(&mut self, step: &'static str, outage: Option<StoreError>) {
        match outage {
            None => self.outage.over(),
            Some(error) => self.failed(step, &Fault::from(error)),
        }
    }

    /// Gives resources up: nothing more of them is sent or settled, and they are recovered when their leases run out.
    pub(crate) fn abandon(&mut self, works: &[Held]) {
        let branches = self.ledger.abandon(works);
        self.cancel(branches);
    }

    pub(crate) fn cancel(&self, branches: Vec<String>) {
        for branch in branches {
            self.client.cancel(&branch);
        }
    }

    /// How many more NOTIFYs may be in flight.
    pub(crate) fn free_permits(&self) -> usize {
        self.settings
            .in_flight
            .saturating_sub(self.ledger.notify_count())
    }

    /// When the next decision may start, if there is one to make.
    fn next_decision_at(&self) -> Option<Instant> {
        match self.ledger.undecided_count() {
            0 => None,
            _ => decide::may_start(self.deciding.len(), self.last_decision),
        }
    }

    /// When [`Engine::start_steps`] has to look again without anything having happened.
    fn next_step_at(&self) -> Instant {
        let now = Instant::now();
        if let Some(end) = self.outage.until.filter(|end| *end > now) {
            return end;
        }
        let next = match self.in_turn.is_some() {
            true => now + Duration::from_secs(1),
            false => self.next_turn_at(now),
        };
        // Of what could start already but did not, something else must end first.
        let decision = self.next_decision_at().filter(|at| *at > now);
        decision.map_or(next, |at| at.min(next))
    }

    fn next_turn_at(&self, now: Instant) -> Instant {
        let claims_at = match self.free_permits() == 0 || self.stopping.is_some() {
            true => now + Duration::from_millis(100),
            false => self.pace.next(),
        };
        let verdicts = self.verdicts.iter().map(|judged| judged.not_before);
        let again = verdicts.chain(self.ledger.next_wake()).min();
        again.map_or(claims_at, |again| again.min(claims_at))
    }
}

/// Waits for the step in the slot and empties it; for ever when there is none. Cancel-safe.
async fn ended(slot: &mut Option<Running>) -> End {
    match slot {
        None => std::future::pending().await,
        Some(running) => {
            let end = running.await;
            *slot = None;
            handed_back(end)
        }
    }
}

/// A step that panics hands that back as its result ([`crate::step::begin`]), so its task never does.
fn handed_back(end: Result<End, JoinError>) -> End {
    end.unwrap_or_else(|error| {
        tracing::error!(error = %error, "a step was lost");
        Box::new(|_| {})
    })
}
