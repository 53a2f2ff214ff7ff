//! Resources whose watchers must be decided before anything is taken.

use std::hash::Hash;

use sql::Decided;

use super::{Decide, Ledger, Phase, Queue, Work};

impl<R: Clone + Eq + Hash> Ledger<R> {
    /// Notes that the watchers of a resource that was just claimed must be decided before anything is taken of it.
    pub(crate) fn must_decide(&mut self, resource: &R, recovered: bool) {
        let Some(&id) = self.by_resource.get(resource) else {
            return;
        };
        let Some(hold) = self.holds.get_mut(&id) else {
            return;
        };
        let before = hold.decide.is_some_and(|decide| decide.recovered);
        hold.decide = Some(Decide {
            claim: hold.claim,
            recovered: recovered || before,
        });
        self.want_again(id);
    }

    /// How many resources wait to be decided about.
    pub(crate) fn undecided_count(&self) -> usize {
        self.waiting.undecided_count()
    }

    /// Hands out up to `limit` resources to decide about, none of which is being taken. Each must come back through
    /// [`Ledger::decided`], [`Ledger::left_behind`] or [`Ledger::abandon`]. A suspect one comes alone.
    pub(crate) fn begin_decide(&mut self, limit: usize) -> Vec<Work<R>> {
        let queue = self.waiting.queue(Queue::Undecided);
        let mut works = Vec::with_capacity(limit.min(queue.len()));
        for _ in 0..queue.len() {
            if works.len() == limit {
                break;
            }
            let Some(id) = queue.pop_front() else { break };
            match self.holds.get_mut(&id) {
                None => {}
                Some(hold) if hold.phase != Phase::Idle => queue.push_back(id),
                Some(hold) if hold.suspect.is_some() && !works.is_empty() => {
                    queue.push_front(id);
                    break;
                }
                Some(hold) => {
                    hold.wanted = None;
                    hold.phase = Phase::Deciding;
                    works.push(hold.work(id));
                    if hold.suspect.is_some() {
                        break;
                    }
                }
            }
        }
        works
    }

    /// Notes by which rules it was decided. What a later claim asks for stays to be done; else the resource is taken now.
    pub(crate) fn decided(&mut self, work: &Work<R>, rules_version: i64) {
        let Some(hold) = self.holds.get_mut(&work.hold) else {
            return;
        };
        hold.phase = Phase::Idle;
        hold.attempts = 0;
        hold.decided = Decided::By(rules_version);
        if hold.decide == work.decide {
            hold.decide = None;
        }
        self.want(work.hold, Queue::Fresh);
        self.want_again(work.hold);
        self.note_drained(work.hold);
    }
}
