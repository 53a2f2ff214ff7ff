//! Publishers (RFC 3903 section 4).

use sip::Response;

use super::Worker;
use crate::document::StateMark;
use crate::people::{Publication, Step};
use crate::timers::{Alarm, Nanos, Party, SECOND};

impl Publication {
    /// Its newest state, as it stands in the body.
    pub(super) fn mark(&self) -> StateMark {
        StateMark {
            presentity: self.presentity,
            publication: self.number,
            number: self.ledger.sent,
        }
    }
}

impl Worker<'_> {
    /// Gives the state that a PUBLISH is about to bring its number.
    pub(super) fn prepare_publish(
        &mut self,
        index: u32,
        step: Step,
        intended: Nanos,
        is_measured: bool,
    ) {
        let publication = &mut self.publications[index as usize];
        let is_removal = step == Step::PublishRemove;
        if !step.has_body() && !is_removal {
            return;
        }
        publication.ledger.next(is_removal);
        // Without watchers nobody will ask for the time.
        if self.plan.workload.watchers > 0 {
            publication.times.push(is_measured.then_some(intended));
            if publication.times.is_long() {
                self.trim_times(index);
            }
        }
    }

    fn trim_times(&mut self, index: u32) {
        let publications = self.plan.workload.publications;
        let watchers = self.plan.workload.watchers as usize;
        let (presentity, number) = (index / publications, index % publications);
        let first = presentity as usize * watchers;
        let seen = (first..first + watchers)
            .filter(|watcher| self.watchers[*watcher].is_judged())
            .map(|watcher| self.shown[watcher * publications as usize + number as usize].newest)
            .min();
        let publication = &mut self.publications[index as usize];
        let seen = seen.unwrap_or(publication.ledger.sent);
        publication.times.trim(seen);
    }

    /// A final answer to a PUBLISH.
    pub(super) fn published(&mut self, index: u32, step: Step, response: &Response) {
        let party = Party::Publication(index);
        let publication = &mut self.publications[index as usize];
        match response.status().code() {
            200..=299 => {
                if step != Step::PublishRefresh {
                    publication.ledger.acknowledged = publication.ledger.sent;
                }
                publication.entity_tag = match step {
                    Step::PublishRemove => None,
                    _ => response.sip_etag().map(str::to_owned),
                };
                if step != Step::PublishRemove && publication.entity_tag.is_none() {
                    self.findings.malformed += 1;
                    let name = self.name_of(party);
                    self.findings
                        .tell(|| format!("{name}: {step:?} answered without SIP-ETag"));
                }
                let granted_s = response.expires().ok().flatten();
                self.renew_publication(index, granted_s);
                self.finish(party);
            }
            // Section 4.1: the server does not know it; publish anew. One that was to be removed is gone.
            412 if step == Step::PublishRemove => {
                publication.ledger.acknowledged = publication.ledger.sent;
                publication.entity_tag = None;
                self.finish(party);
            }
            412 if step != Step::PublishInitial => {
                publication.entity_tag = None;
                self.attempt(party, Step::PublishInitial);
            }
            _ if self.heed(party, step, response) => {}
            _ => self.refused(party, step, response),
        }
    }

    fn renew_publication(&mut self, index: u32, granted_s: Option<u32>) {
        let publication = &mut self.publications[index as usize];
        let granted_s = granted_s.unwrap_or(publication.expires_s);
        let lifetime = &mut publication.lifetime;
        lifetime.renew_at = self.now + Nanos::from(granted_s) * SECOND / 5 * 4;
        if !lifetime.has_alarm {
            lifetime.has_alarm = true;
            let party = Party::Publication(index);
            self.timers
                .set(lifetime.renew_at, Alarm::KeepAlive { party });
        }
    }

    /// Refreshes a publication whose lifetime is nearly over, as any publisher does.
    pub(super) fn keep_publication(&mut self, index: u32) {
        let party = Party::Publication(index);
        let publication = &mut self.publications[index as usize];
        let is_busy = publication.flight.step.is_some();
        if publication.entity_tag.is_none() && !is_busy {
            publication.lifetime.has_alarm = false;
            return;
        }
        if is_busy || self.now < publication.lifetime.renew_at {
            let at = publication.lifetime.renew_at.max(self.now + SECOND);
            self.timers.set(at, Alarm::KeepAlive { party });
            return;
        }
        publication.lifetime.has_alarm = false;
        self.begin(party, Step::PublishRefresh, None, self.now);
    }
}
