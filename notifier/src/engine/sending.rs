//! From what was taken to NOTIFYs that are sent, and from their answers to verdicts.

use super::{Engine, Held};
use crate::failure::Ending;
use crate::ledger::Guard;
use crate::render::Rendered;
use crate::send::{Draft, Notify, Prepared};
use crate::step::verdicts::Judged;
use net::Outcome;
use sql::{AfterNotify, DialogVerdict};
use std::time::Instant;
use tokio::task::{Id, JoinError};

impl Engine {
    /// Has the requests of these NOTIFYs made beside the loop.
    pub(crate) fn prepare(&mut self, drafts: Vec<Draft>, rendered: Rendered, works: Vec<Held>) {
        let sender = self.sender.clone();
        let task = self
            .preparing
            .spawn(async move { sender.prepare(drafts, rendered).await });
        self.prepared_for.insert(task.id(), works);
    }

    /// A preparation that panicked leaves NOTIFYs that nobody will ever send: their resources are abandoned and recovered.
    pub(super) fn preparation_done(&mut self, done: Result<(Id, ()), JoinError>) {
        match done {
            Ok((id, ())) => {
                self.prepared_for.remove(&id);
            }
            Err(error) => {
                let works = self.prepared_for.remove(&error.id()).unwrap_or_default();
                tracing::error!(error = %error, resources = works.len(), "building NOTIFYs failed; these resources are abandoned");
                self.abandon(&works);
            }
        }
    }

    /// Sends what may still be sent.
    pub(super) fn send(&mut self, prepared: Vec<Prepared>) {
        let now = Instant::now();
        let mut requests = Vec::with_capacity(prepared.len());
        for (notify, request) in prepared {
            match request {
                Ok(request) => {
                    let may = !self.interrupted
                        && self.ledger.may_send(
                            notify.key,
                            &request.branch,
                            now,
                            self.settings.lease_margin(),
                        );
                    if may {
                        self.witnesses.sent(notify.key);
                        requests.push(request);
                    }
                }
                Err(ending) => self.ended(notify, ending),
            }
        }
        if !requests.is_empty() {
            self.client.send(requests);
        }
    }

    /// Answers came, or it is known that none will.
    pub(super) fn answered(&mut self, outcomes: Vec<(Notify, Outcome)>) {
        for (notify, outcome) in outcomes {
            self.witnesses.answered(notify.key, &outcome);
            self.ended(notify, ending(&outcome));
        }
    }

    /// A NOTIFY is over, one way or another. Late news of an abandoned or replaced one is ignored.
    pub(crate) fn ended(&mut self, notify: Notify, ending: Ending) {
        let Some(guard) = self.ledger.guard(notify.key) else {
            return;
        };
        let ending = self.sender.judge(notify.key.dialog, ending);
        self.witnesses.ended(notify.key, ending);
        let gone = notify.flow.filter(|_| ending.is_flow_gone());
        let policy = &self.settings.failure;
        let verdict = match gone {
            // At once, by another way.
            Some(flow) => {
                self.sender.flow_is_gone(notify.key.dialog, flow);
                Some(AfterNotify::Retry { after_s: 0 })
            }
            None => policy.verdict(ending, notify.standing, rand::random()),
        };
        match verdict {
            None => self.ledger.over(notify.key),
            Some(verdict) => {
                let Guard {
                    target_version,
                    remote_cseq,
                } = guard;
                let verdict = DialogVerdict {
                    id: notify.key.dialog,
                    remote_cseq,
                    target_version,
                    failure: match verdict {
                        AfterNotify::Retry { .. } => ending.in_words(),
                        AfterNotify::Delivered | AfterNotify::More(_) | AfterNotify::Ended => {
                            String::new()
                        }
                    },
                    verdict,
                };
                tracing::debug!(subscription.id = notify.key.dialog, ?ending, verdict = ?verdict.verdict, "NOTIFY judged");
                self.ledger.judged(notify.key);
                self.verdicts
                    .push(Judged::new(notify.key, verdict, Instant::now()));
            }
        }
    }
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Final(response, _) => Ending::Answered {
            status: response.status().code(),
            retry_after_s: response.retry_after().ok().flatten(),
        },
        Outcome::TimedOut => Ending::TimedOut,
        Outcome::Unreachable(reason) => Ending::from(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::Unreachable;

    #[test]
    fn a_full_line_to_a_server_is_no_flow_that_is_gone() {
        for (reason, expected) in [
            (Unreachable::Busy, Ending::Busy),
            (Unreachable::FlowGone, Ending::Unreachable),
            (
                Unreachable::TooLong { octets: 9 },
                Ending::TooLong { octets: 9 },
            ),
        ] {
            assert_eq!(ending(&Outcome::Unreachable(reason)), expected);
        }
    }
}
