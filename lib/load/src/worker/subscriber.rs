//! Watchers (RFC 6665 section 4.1): their subscriptions, and every NOTIFY that comes to them.

use sip::{HeaderName, Headers, Reply, Request, Response, StatusCode};

use super::Worker;
use crate::judge::{Arrival, Change, CseqOrder, Shown};
use crate::people::{Manner, Step, Usage, Watcher};
use crate::timers::{Alarm, MILLISECOND, Nanos, Party, SECOND};
use crate::transport::Origin;
use crate::wire::{hash, parameter};

impl Watcher {
    /// Learns how the other side is reached inside the dialog. The route set is made once (RFC 3261 section 12.1.2).
    fn learn(
        &mut self,
        tag: &[u8],
        headers: &Headers,
        routes: impl FnOnce(Vec<String>) -> Vec<String>,
    ) {
        self.remote_tag = String::from_utf8_lossy(tag).into_owned();
        let recorded = headers.record_route().unwrap_or_default();
        self.routes = routes(recorded)
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        self.learn_target(headers);
    }

    /// The Contact is the remote target; a later one replaces it (RFC 3261 section 12.2).
    fn learn_target(&mut self, headers: &Headers) {
        let Some(line) = headers.header_str(HeaderName::Contact) else {
            return;
        };
        // Mostly it is the one that we know: nothing is taken apart then.
        if !self.remote_target.is_empty()
            && line
                .split_once('<')
                .and_then(|(_, rest)| rest.split_once('>'))
                .is_some_and(|(target, _)| target == self.remote_target)
        {
            return;
        }
        if let Ok(Some(contact)) = headers.contact() {
            self.remote_target = contact.uri.to_string();
        }
    }
}

impl Worker<'_> {
    pub(super) fn prepare_subscribe(
        &mut self,
        index: u32,
        step: Step,
        intended: Nanos,
        is_measured: bool,
    ) {
        match step {
            Step::SubscribeInitial => {
                self.begin_dialog(index);
                let stage = self.progress.stage();
                self.watchers[index as usize].begun = (stage, intended, is_measured);
            }
            Step::SubscribeEnd => self.watchers[index as usize].usage = Usage::Ended,
            _ => {}
        }
    }

    /// Begins a dialog anew.
    fn begin_dialog(&mut self, index: u32) {
        let watcher = &mut self.watchers[index as usize];
        watcher.usage = Usage::Begun;
        watcher.generation += 1;
        watcher.was_refused = false;
        self.forget_dialog(index);
    }

    /// Forgets what was learnt in the old dialog.
    fn forget_dialog(&mut self, index: u32) {
        let watcher = &mut self.watchers[index as usize];
        self.progress.gaps += watcher.order.gaps();
        watcher.remote_tag.clear();
        watcher.remote_target.clear();
        watcher.routes.clear();
        watcher.order = CseqOrder::default();
        watcher.answers_at = 0;
        let publications = self.plan.workload.publications as usize;
        let start = index as usize * publications;
        self.shown[start..start + publications].fill(Shown::default());
    }

    /// A final answer to a SUBSCRIBE.
    pub(super) fn subscribed(&mut self, index: u32, step: Step, response: &Response) {
        let party = Party::Watcher(index);
        let watcher = &mut self.watchers[index as usize];
        match response.status().code() {
            200..=299 => {
                if step == Step::SubscribeInitial {
                    self.accepted(index, response);
                } else {
                    watcher.learn_target(response);
                }
                if step != Step::SubscribeEnd {
                    let granted_s = response.expires().ok().flatten();
                    self.renew_subscription(index, granted_s);
                }
                self.finish(party);
            }
            481 if step == Step::SubscribeEnd => self.finish(party),
            481 if step == Step::SubscribeRefresh => {
                // Section 4.1.2.2: the subscription is gone; make a new one.
                self.begin_dialog(index);
                self.attempt(party, Step::SubscribeInitial);
            }
            status if self.heed(party, step, response) => {
                self.watchers[index as usize].was_refused |= status == 503;
            }
            _ => self.refused(party, step, response),
        }
    }

    fn accepted(&mut self, index: u32, response: &Response) {
        let watcher = &mut self.watchers[index as usize];
        // A NOTIFY may have brought the end already.
        if watcher.usage == Usage::Begun {
            watcher.usage = Usage::Accepted;
        }
        let to = response.header(HeaderName::To);
        let Some(tag) = to.and_then(|to| parameter(to, b"tag")) else {
            self.findings.malformed += 1;
            let name = self.name_of(Party::Watcher(index));
            self.findings
                .tell(|| format!("{name}: SUBSCRIBE answered without a To-tag"));
            return;
        };
        if watcher.remote_tag.as_bytes() == tag {
            return;
        }
        if !watcher.remote_tag.is_empty() {
            // A NOTIFY has come in another dialog than the one that the 2xx names.
            if watcher.was_refused {
                // Honest or not: the server did what it had said it could not do. The phone goes on with the dialog of its 2xx.
                if self.progress.is_measuring() {
                    self.tally.after_refusal += 1;
                }
            } else {
                self.findings.doubled += 1;
                let name = self.name_of(Party::Watcher(index));
                self.findings
                    .tell(|| format!("{name}: one SUBSCRIBE made two dialogs"));
            }
            self.forget_dialog(index);
        }
        let watcher = &mut self.watchers[index as usize];
        // "The order of the list is reversed" for who sent the request (RFC 3261 section 12.1.2).
        watcher.learn(tag, response, |routes| routes.into_iter().rev().collect());
    }

    fn renew_subscription(&mut self, index: u32, granted_s: Option<u32>) {
        let watcher = &mut self.watchers[index as usize];
        let granted_s = granted_s.unwrap_or(watcher.expires_s);
        let lifetime = &mut watcher.lifetime;
        lifetime.renew_at = self.now + Nanos::from(granted_s) * SECOND / 5 * 4;
        if !lifetime.has_alarm {
            lifetime.has_alarm = true;
            let party = Party::Watcher(index);
            self.timers
                .set(lifetime.renew_at, Alarm::KeepAlive { party });
        }
    }

    /// Refreshes a subscription whose lifetime is nearly over, or makes one anew that the server ended.
    pub(super) fn keep_subscription(&mut self, index: u32) {
        let party = Party::Watcher(index);
        let watcher = &mut self.watchers[index as usize];
        let is_busy = watcher.flight.step.is_some();
        if watcher.usage == Usage::Ended && !is_busy || !self.progress.is_judging() {
            watcher.lifetime.has_alarm = false;
            return;
        }
        if is_busy || self.now < watcher.lifetime.renew_at {
            let at = watcher.lifetime.renew_at.max(self.now + SECOND);
            self.timers.set(at, Alarm::KeepAlive { party });
            return;
        }
        watcher.lifetime.has_alarm = false;
        let step = match watcher.usage {
            Usage::Accepted => Step::SubscribeRefresh,
            _ => Step::SubscribeInitial,
        };
        self.begin(party, step, None, self.now);
    }

    pub(super) fn take_notify(&mut self, origin: Origin, request: &Request) {
        let Some(index) = self.dialog_of(request) else {
            if self.progress.is_measuring() {
                self.tally.stray += 1;
            }
            let unknown = StatusCode::new(481).unwrap_or(StatusCode::BAD_REQUEST);
            self.answer(origin, request, unknown);
            return;
        };
        let subscription_state = request
            .header(HeaderName::SubscriptionState)
            .unwrap_or_default();
        let word = subscription_state.split(|byte| *byte == b';').next();
        let word = word.unwrap_or_default().trim_ascii();
        let cseq = request.cseq().map(|cseq| cseq.number);
        let event = request.header(HeaderName::Event).unwrap_or_default();
        let event = event.split(|byte| *byte == b';').next().unwrap_or_default();
        let (Ok(cseq), false, true) = (
            cseq,
            word.is_empty(),
            event.trim_ascii() == self.wire.package.name().as_bytes(),
        ) else {
            self.findings.malformed += 1;
            let name = self.name_of(Party::Watcher(index));
            self.findings.tell(|| {
                format!("{name}: a NOTIFY without a usable CSeq, Event or Subscription-State")
            });
            self.answer(origin, request, StatusCode::BAD_REQUEST);
            return;
        };
        let branch = request
            .header(HeaderName::Via)
            .and_then(|via| parameter(via, b"branch"))
            .unwrap_or_default();
        let watcher = &mut self.watchers[index as usize];
        let is_first = !watcher.order.has_begun();
        let before = watcher.order.highest();
        let now_ms = (self.now / MILLISECOND) as u32;
        let arrival = watcher.order.arrived(cseq, hash(branch), now_ms);
        if arrival == Arrival::Retransmission {
            if self.progress.is_measuring() {
                self.tally.received_again += 1;
            }
        } else {
            self.total.notify += 1;
            self.progress.last_notify = self.now;
            if self.progress.is_measuring() {
                self.tally.notifies += 1;
            }
            if is_first {
                self.note_initial(index);
            }
            self.judge_order(index, arrival, cseq, before);
            if matches!(arrival, Arrival::InOrder | Arrival::Skipped) {
                if word.eq_ignore_ascii_case(b"active") && self.progress.is_judging() {
                    self.judge_states(index, cseq, request.body(), is_first);
                }
                if word.eq_ignore_ascii_case(b"terminated") {
                    self.terminated(index, parameter(subscription_state, b"reason"));
                }
                self.watchers[index as usize].learn_target(request);
            }
        }
        self.answer_notify(origin, request, index, arrival == Arrival::Retransmission);
    }

    /// The watcher whose dialog a NOTIFY is in. One that comes before the 2xx makes the dialog.
    fn dialog_of(&mut self, request: &Request) -> Option<u32> {
        let call_id = request.header(HeaderName::CallId)?;
        let (Party::Watcher(index), generation) = self.wire.read_token(call_id)? else {
            return None;
        };
        let watcher = self.watchers.get_mut(index as usize)?;
        if watcher.generation != generation || watcher.usage == Usage::None {
            return None;
        }
        // Our tag is the same token as the Call-ID.
        let ours = parameter(request.header(HeaderName::To)?, b"tag")?;
        let theirs = parameter(request.header(HeaderName::From)?, b"tag")?;
        if ours != call_id {
            return None;
        }
        if watcher.remote_tag.is_empty() {
            watcher.learn(theirs, request, |routes| routes);
        }
        (watcher.remote_tag.as_bytes() == theirs).then_some(index)
    }

    fn note_initial(&mut self, index: u32) {
        let begun = &mut self.watchers[index as usize].begun;
        let (stage, due, is_measured) = *begun;
        // Once, even if another dialog takes the place of this one.
        begun.2 = false;
        if is_measured {
            self.tally
                .initial_notify
                .record(self.now.saturating_sub(due));
        }
        self.progress.note_initial(stage, self.now);
    }

    fn judge_order(&mut self, index: u32, arrival: Arrival, cseq: u32, before: u32) {
        let what = match arrival {
            Arrival::InOrder | Arrival::Retransmission => return,
            Arrival::Skipped if self.plan.workload.gaps_allowed => return,
            Arrival::Skipped => "skips from",
            Arrival::Repeat => {
                self.findings.repeats += 1;
                "is used twice, after"
            }
            Arrival::Late => {
                self.findings.disorder += 1;
                "comes after"
            }
        };
        let name = self.name_of(Party::Watcher(index));
        self.findings
            .tell(|| format!("{name}: CSeq {cseq} {what} {before}"));
    }

    fn judge_states(&mut self, index: u32, cseq: u32, body: &[u8], is_first: bool) {
        let publications = self.plan.workload.publications as usize;
        let presentity = self.watchers[index as usize].presentity;
        let first = presentity as usize / self.plan.workers * publications;
        let ledgers = &self.publications[first..first + publications];
        let states = &mut self.scratch;
        states.clear();
        states.resize(publications, None);
        let mut foreign = None;
        self.bodies.read(body, |state| {
            let place = states.get_mut(state.publication as usize);
            match place {
                Some(place)
                    if state.presentity == presentity
                        && state.number <= ledgers[state.publication as usize].ledger.sent =>
                {
                    // A publication that the server lost and we made anew may be there twice: the newer counts.
                    *place = Some(place.map_or(state.number, |other| other.max(state.number)));
                }
                _ => foreign = Some(state),
            }
        });
        if let Some(state) = foreign {
            self.findings.foreign_state += 1;
            let name = self.name_of(Party::Watcher(index));
            self.findings.tell(|| {
                format!(
                    "{name}: CSeq {cseq} shows state {} of publication {} of presentity {}, which is not what was published here",
                    state.number, state.publication, state.presentity
                )
            });
        }
        let now = self.now;
        for number in 0..publications {
            let publication = &self.publications[first + number];
            let state = self.scratch[number].unwrap_or(publication.ledger.absent());
            match self.shown[index as usize * publications + number].show(state) {
                // What was there before the subscription is not news.
                Change::Newer { .. } if is_first => {}
                Change::Newer { after } => {
                    for newer in after + 1..=state {
                        let Some(due) = publication.times.get(newer) else {
                            continue;
                        };
                        let latency = now.saturating_sub(due);
                        self.tally.state.record(latency);
                        if newer == state {
                            self.tally.state_shown.record(latency);
                        }
                    }
                }
                Change::Same => {}
                Change::Backwards { newest } => {
                    self.findings.backwards += 1;
                    let name = self.name_of(Party::Watcher(index));
                    self.findings.tell(|| {
                        format!(
                            "{name}: CSeq {cseq} goes back from state {newest} of publication {number} to {state}"
                        )
                    });
                }
            }
        }
    }

    /// The server says that the subscription is over (RFC 6665 section 4.1.3).
    fn terminated(&mut self, index: u32, reason: Option<&[u8]>) {
        let watcher = &mut self.watchers[index as usize];
        if watcher.usage == Usage::Ended {
            self.progress.farewells += 1;
            return;
        }
        if self.progress.is_measuring() {
            self.tally.terminated += 1;
        }
        if matches!(reason, Some(b"rejected" | b"noresource" | b"invariant")) {
            watcher.usage = Usage::Ended;
            return;
        }
        // A new subscription is welcome. What is under way will be answered 481, and make one.
        if watcher.flight.step.is_none() && watcher.manner != Manner::Dead {
            watcher.usage = Usage::None;
            watcher.lifetime.renew_at = self.now + SECOND / 2;
            watcher.lifetime.has_alarm = true;
            let party = Party::Watcher(index);
            self.timers
                .set(watcher.lifetime.renew_at, Alarm::KeepAlive { party });
        }
    }

    fn answer_notify(&mut self, origin: Origin, request: &Request, index: u32, is_again: bool) {
        let watcher = &mut self.watchers[index as usize];
        match watcher.manner {
            Manner::Lively => self.answer(origin, request, StatusCode::OK),
            Manner::Dead => {}
            Manner::Slow if is_again => {
                // Still thinking: the retransmission is absorbed (RFC 3261 section 17.2.2).
                if self.now >= watcher.answers_at {
                    self.answer(origin, request, StatusCode::OK);
                }
            }
            Manner::Slow => {
                let at = self.now + self.plan.workload.slow_ms * MILLISECOND;
                watcher.answers_at = at;
                let answer = (
                    origin,
                    Reply::new(request, StatusCode::OK).encode(origin.address()),
                );
                let place = match self.free_answers.pop() {
                    Some(place) => {
                        self.answers[place as usize] = Some(answer);
                        place
                    }
                    None => {
                        self.answers.push(Some(answer));
                        self.answers.len() as u32 - 1
                    }
                };
                self.timers.set(at, Alarm::Answer { index: place });
            }
        }
    }
}
