//! Requests of both kinds of people: beginning, sending, sending again, giving up, and the answers that both treat alike.

use sip::{HeaderName, Response};

use super::{BURST, Worker};
use crate::login::Login;
use crate::people::{Flight, Slot, Step, Usage};
use crate::tally::{TIMEOUT, is_success};
use crate::task::Readiness;
use crate::timers::{Alarm, MILLISECOND, Nanos, Party, SECOND};
use crate::wire::{Line, More, end_before_body, end_without_body, parameter};
use crate::workload::Action;

const COOKIE: &[u8] = b"z9hG4bK";
/// How often a Min-Expires is taken up in a row.
const PROPOSALS: u8 = 3;

impl Worker<'_> {
    /// Begins what the phase wants begun; false when there is more than one burst of it.
    pub(super) fn begin_requests(&mut self) -> bool {
        let mut burst = BURST;
        for task in 0..self.tasks.len() {
            while let Some((party, step, intended)) = self.next_of(task) {
                let slot = Slot {
                    stage: self.progress.stage(),
                    task,
                };
                self.begin(party, step, Some(slot), intended);
                burst -= 1;
                if burst == 0 {
                    return false;
                }
            }
        }
        true
    }

    fn next_of(&mut self, task: usize) -> Option<(Party, Step, Nanos)> {
        if self.progress.has_stopped(self.now) {
            return None;
        }
        let (publications, watchers) = (&self.publications, &self.watchers);
        let task = &mut self.tasks[task];
        let action = task.action;
        let (index, intended) = task.next(self.now, |index| {
            if action.is_of_watchers() {
                let watcher = &watchers[index];
                let is_in_dialog = watcher.usage == Usage::Accepted;
                let is_fit = match action {
                    Action::Subscribe => matches!(watcher.usage, Usage::None | Usage::Ended),
                    _ => is_in_dialog,
                };
                readiness(&watcher.flight, is_fit)
            } else {
                let publication = &publications[index];
                let is_there = publication.entity_tag.is_some();
                let is_fit = match action {
                    Action::Publish => !is_there,
                    Action::Modify => true,
                    _ => is_there,
                };
                readiness(&publication.flight, is_fit)
            }
        })?;
        let step = match action {
            Action::Publish => Step::PublishInitial,
            Action::Modify if publications[index].entity_tag.is_none() => Step::PublishInitial,
            Action::Modify => Step::PublishModify,
            Action::Refresh => Step::PublishRefresh,
            Action::Remove => Step::PublishRemove,
            Action::Subscribe => Step::SubscribeInitial,
            Action::Resubscribe => Step::SubscribeRefresh,
            Action::Unsubscribe => Step::SubscribeEnd,
        };
        let party = if action.is_of_watchers() {
            Party::Watcher(index as u32)
        } else {
            Party::Publication(index as u32)
        };
        Some((party, step, intended))
    }

    pub(super) fn flight(&mut self, party: Party) -> Option<&mut Flight> {
        match party {
            Party::Publication(index) => {
                let publication = self.publications.get_mut(index as usize);
                publication.map(|publication| &mut publication.flight)
            }
            Party::Watcher(index) => {
                let watcher = self.watchers.get_mut(index as usize);
                watcher.map(|watcher| &mut watcher.flight)
            }
        }
    }

    /// Begins a request of somebody who has none under way.
    pub(super) fn begin(&mut self, party: Party, step: Step, slot: Option<Slot>, intended: Nanos) {
        let is_measured = self.progress.is_measured(intended);
        if let Some(flight) = self.flight(party) {
            flight.slot = slot;
            flight.intended = intended;
            flight.is_measured = is_measured;
            flight.proposals = 0;
        }
        match party {
            Party::Publication(index) => self.prepare_publish(index, step, intended, is_measured),
            Party::Watcher(index) => self.prepare_subscribe(index, step, intended, is_measured),
        }
        self.attempt(party, step);
    }

    /// Sends a request, or sends it anew after an answer that told how.
    pub(super) fn attempt(&mut self, party: Party, step: Step) {
        let (now, t1) = (self.now, self.plan.workload.t1_ms * MILLISECOND);
        let end = now + self.plan.workload.timeout_ms * MILLISECOND;
        let server = self.next_server;
        self.next_server = (server + 1) % self.plan.servers.len();
        match party {
            Party::Publication(index) => self.publications[index as usize].cseq += 1,
            Party::Watcher(index) => self.watchers[index as usize].cseq += 1,
        }
        let retransmits = self.lanes.retransmits();
        let authorization = self.authorization(party, step);
        let Some(flight) = self.flight(party) else {
            return;
        };
        flight.authorization = authorization;
        flight.step = Some(step);
        flight.serial = flight.serial.wrapping_add(1);
        flight.is_put_off = false;
        flight.interval = t1;
        flight.end = end;
        flight.server = server;
        let serial = flight.serial;
        let first = if retransmits {
            (now + t1).min(end)
        } else {
            end
        };
        self.timers.set(first, Alarm::Transaction { party, serial });
        self.transmit(party);
    }

    /// The answer to the challenge that somebody had last, if there was one.
    fn authorization(&mut self, party: Party, step: Step) -> Option<Box<str>> {
        let password = self.plan.password.as_deref()?;
        let mut login = self.flight(party)?.login.take()?;
        let (method, (user, uri)) = match party {
            Party::Publication(index) => {
                let presentity = self.publications[index as usize].presentity;
                ("PUBLISH", self.wire.names(b'p', presentity, presentity))
            }
            Party::Watcher(index) => {
                let watcher = &self.watchers[index as usize];
                let (user, presentity) = self.wire.names(b'w', watcher.number, watcher.presentity);
                let uri = match step {
                    Step::SubscribeInitial => presentity,
                    _ => watcher.remote_target.clone(),
                };
                ("SUBSCRIBE", (user, uri))
            }
        };
        let answer = login.answer(&user, password, method, &uri);
        self.flight(party)?.login = Some(login);
        Some(answer.into())
    }

    /// Puts the request that is under way on the wire. The same state makes the same bytes, so nothing is kept for repetitions.
    fn transmit(&mut self, party: Party) {
        let wire = &self.wire;
        match party {
            Party::Publication(index) => {
                let publication = &self.publications[index as usize];
                let flight = &publication.flight;
                let lane = index as usize % self.lanes.count();
                let step = flight.step.unwrap_or(Step::PublishRefresh);
                let line = Line {
                    party,
                    serial: flight.serial,
                    cseq: publication.cseq,
                    address: self.lanes.address(lane),
                    presentity: publication.presentity,
                    expires_s: if step == Step::PublishRemove {
                        0
                    } else {
                        publication.expires_s
                    },
                    authorization: flight.authorization.as_deref(),
                    more: More::Publish {
                        entity_tag: publication.entity_tag.as_deref(),
                    },
                };
                let bodies = &self.bodies;
                self.lanes.send(lane, flight.server, |out| {
                    wire.write_head(out, &line);
                    if step.has_body() {
                        end_before_body(out, wire.package.content_type(), bodies.len());
                        bodies.write(out, publication.mark());
                    } else {
                        end_without_body(out);
                    }
                });
            }
            Party::Watcher(index) => {
                let watcher = &self.watchers[index as usize];
                let flight = &watcher.flight;
                let lane = index as usize % self.lanes.count();
                let line = Line {
                    party,
                    serial: flight.serial,
                    cseq: watcher.cseq,
                    address: self.lanes.address(lane),
                    presentity: watcher.presentity,
                    expires_s: if flight.step == Some(Step::SubscribeEnd) {
                        0
                    } else {
                        watcher.expires_s
                    },
                    authorization: flight.authorization.as_deref(),
                    more: More::Subscribe {
                        watcher: watcher.number,
                        generation: watcher.generation,
                        // An initial SUBSCRIBE stays the same when a NOTIFY has overtaken its answer.
                        dialog: (flight.step != Some(Step::SubscribeInitial)).then_some((
                            watcher.remote_tag.as_str(),
                            watcher.remote_target.as_str(),
                            watcher.routes.as_str(),
                        )),
                    },
                };
                self.lanes.send(lane, flight.server, |out| {
                    wire.write_head(out, &line);
                    end_without_body(out);
                });
            }
        }
        self.count_sent();
    }

    /// Timers E and F (RFC 3261 section 17.1.2.2).
    pub(super) fn check_transaction(&mut self, party: Party, serial: u32) {
        let (now, t2) = (self.now, self.plan.workload.t2_ms * MILLISECOND);
        let Some(flight) = self.flight(party) else {
            return;
        };
        let Some(step) = flight
            .step
            .filter(|_| flight.serial == serial && !flight.is_put_off)
        else {
            return;
        };
        if now >= flight.end {
            self.give_up(party, step);
            return;
        }
        flight.interval = (2 * flight.interval).min(t2);
        let again = (now + flight.interval).min(flight.end);
        self.timers.set(again, Alarm::Transaction { party, serial });
        if self.progress.is_measuring() {
            self.tally.sent_again += 1;
        }
        self.transmit(party);
    }

    fn give_up(&mut self, party: Party, step: Step) {
        if self.progress.is_measuring() {
            self.tally.outcome(step, TIMEOUT);
        }
        if self.progress.is_judging() {
            self.lost += 1;
            let name = self.name_of(party);
            self.findings
                .tell(|| format!("{name}: no final answer to {step:?}"));
        }
        self.drop_request(party, step);
    }

    /// After 503 and its Retry-After.
    pub(super) fn retry(&mut self, party: Party, serial: u32) {
        let Some(flight) = self.flight(party) else {
            return;
        };
        if flight.serial == serial
            && flight.is_put_off
            && let Some(step) = flight.step
        {
            self.attempt(party, step);
        }
    }

    pub(super) fn take_response(&mut self, response: &Response) {
        let branch = response
            .header(HeaderName::Via)
            .and_then(|via| parameter(via, b"branch"));
        let token = branch.and_then(|branch| branch.strip_prefix(COOKIE));
        let Some((party, serial)) = token.and_then(|token| self.wire.read_token(token)) else {
            return;
        };
        let t2 = self.plan.workload.t2_ms * MILLISECOND;
        let now = self.now;
        // A late or doubled answer finds nothing under way, and is left at that.
        let Some(flight) = self.flight(party) else {
            return;
        };
        let Some(step) = flight
            .step
            .filter(|_| flight.serial == serial && !flight.is_put_off)
        else {
            return;
        };
        let status = response.status();
        if status.is_provisional() {
            flight.interval = t2;
            return;
        }
        let (intended, is_measured) = (flight.intended, flight.is_measured);
        let status = status.code();
        if self.progress.is_measuring() {
            self.tally.outcome(step, status);
        }
        if is_success(status) {
            let total = if step.is_publish() {
                &mut self.total.publish
            } else {
                &mut self.total.subscribe
            };
            *total += 1;
            if is_measured {
                let histogram = if step.is_publish() {
                    &mut self.tally.publish_response
                } else {
                    &mut self.tally.subscribe_response
                };
                histogram.record(now.saturating_sub(intended));
            }
        }
        match party {
            Party::Publication(index) => self.published(index, step, response),
            Party::Watcher(index) => self.subscribed(index, step, response),
        }
    }

    /// Heeds what an answer says about trying again, for both kinds of requests; false if it says nothing of the kind.
    pub(super) fn heed(&mut self, party: Party, step: Step, response: &Response) -> bool {
        match response.status().code() {
            401 => {
                let login = self.plan.password.as_ref().and(Login::learn(response));
                let Some(flight) = self.flight(party).filter(|_| login.is_some()) else {
                    return false;
                };
                flight.proposals += 1;
                if flight.proposals > PROPOSALS {
                    return false;
                }
                flight.login = login.map(Box::new);
                self.attempt(party, step);
                true
            }
            423 => {
                let Some(least_s) = response.min_expires().ok().flatten() else {
                    return false;
                };
                let Some(flight) = self.flight(party) else {
                    return false;
                };
                flight.proposals += 1;
                if flight.proposals > PROPOSALS {
                    return false;
                }
                match party {
                    Party::Publication(index) => {
                        self.publications[index as usize].expires_s = least_s;
                    }
                    Party::Watcher(index) => self.watchers[index as usize].expires_s = least_s,
                }
                self.attempt(party, step);
                true
            }
            503 => {
                // Without Retry-After it says as much as a 500 (RFC 3261 section 21.5.4).
                let Some(after_s) = response.retry_after().ok().flatten() else {
                    return false;
                };
                // Not all at the same instant again: nobody's clocks are that equal.
                let after =
                    (f64::from(after_s) * (1.0 + self.lot() / 4.0) * SECOND as f64) as Nanos;
                let at = self.now + after.max(MILLISECOND);
                let Some(flight) = self.flight(party) else {
                    return false;
                };
                flight.is_put_off = true;
                let serial = flight.serial;
                self.timers.set(at, Alarm::Retry { party, serial });
                true
            }
            _ => false,
        }
    }

    /// A refusal for good.
    pub(super) fn refused(&mut self, party: Party, step: Step, response: &Response) {
        if self.progress.is_judging() {
            self.failed += 1;
            let name = self.name_of(party);
            self.findings.tell(|| {
                let status = response.status().code();
                format!("{name}: {step:?} refused: {status} {}", response.reason())
            });
        }
        self.drop_request(party, step);
    }

    fn drop_request(&mut self, party: Party, step: Step) {
        match party {
            Party::Publication(index) if step.has_body() || step == Step::PublishRemove => {
                let publication = &mut self.publications[index as usize];
                publication.times.forget(publication.ledger.sent);
            }
            Party::Watcher(index) if step == Step::SubscribeInitial => {
                self.watchers[index as usize].usage = Usage::None;
            }
            _ => {}
        }
        self.finish(party);
    }

    /// Nothing is under way any more: the slot is free.
    pub(super) fn finish(&mut self, party: Party) {
        let stage = self.progress.stage();
        let Some(flight) = self.flight(party) else {
            return;
        };
        flight.step = None;
        flight.is_put_off = false;
        let slot = flight.slot.take().filter(|slot| slot.stage == stage);
        if let Some(slot) = slot {
            self.tasks[slot.task].in_flight -= 1;
        }
        let is_watcher = matches!(party, Party::Watcher(_));
        for task in &mut self.tasks {
            if task.action.is_of_watchers() == is_watcher {
                task.is_stalled = false;
            }
        }
    }

    /// For messages to people.
    pub(super) fn name_of(&self, party: Party) -> String {
        match party {
            Party::Publication(index) => {
                let publication = &self.publications[index as usize];
                let digits = self.wire.presentity_digits;
                format!(
                    "publication {} of p{:0digits$}",
                    publication.number, publication.presentity
                )
            }
            Party::Watcher(index) => {
                let watcher = &self.watchers[index as usize];
                let (own, theirs) = (self.wire.watcher_digits, self.wire.presentity_digits);
                format!(
                    "w{:0own$} watching p{:0theirs$}",
                    watcher.number, watcher.presentity
                )
            }
        }
    }
}

fn readiness(flight: &Flight, is_fit: bool) -> Readiness {
    if flight.step.is_some() {
        Readiness::Busy
    } else if is_fit {
        Readiness::Ready
    } else {
        Readiness::Unfit
    }
}
