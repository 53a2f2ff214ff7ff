//! What the answer to a NOTIFY means for its subscription: the failure policy.
//!
//! Pure. The engine stores the verdicts in batches before it settles their resource, so that a dialog that is tried again
//! is flagged while this notifier still holds the resource. A 2xx needs no writing: taking the dialog was the record of it.
//!
//! RFC 6665 section 4.2.2: "If the NOTIFY request fails due to an error response, and the subscription was installed using
//! a soft-state mechanism, the notifier SHOULD remove the corresponding subscription" unless the response has Retry-After.
//! RFC 5057 section 5.1 says which responses end the usage and which only the transaction; the table follows it. A server
//! error or an unreachable proxy says nothing about the phone, so the subscription outlives it and is tried again.
//!
//! While `xavp_cfg` is set the operator's script decides about refusals (`delete_subscription`), as Kamailio's documentation says: without it,
//! only what that documentation names ends a subscription (404, 481; 408 and silence by `timeout_rm_subs`). All the rest is tried again, for
//! as long as the subscription lives. docs/OPERATIONS.md has the table for operators.

use net::Unreachable;
use sql::{AfterNotify, Rest};
use std::net::IpAddr;
use std::time::Duration;

/// How a NOTIFY ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A final response.
    Answered {
        status: u16,
        retry_after_s: Option<u32>,
    },
    /// Timer F.
    TimedOut,
    /// The next hop's name can't be resolved, no connection can be made, the kernel knows no way.
    Unreachable,
    /// It is longer than a datagram, and the phone takes no other transport; or longer than any server takes. It says nothing about the phone.
    TooLong { octets: usize },
    /// Too much waits to be sent to the server of its flow. It says nothing about the flow.
    Busy,
    /// The destination policy refuses the only addresses that it could go to, this one first. Nothing was sent.
    Refused { address: IpAddr },
    /// Its Contact, Route or addresses can't be made into a request. It never will be.
    Unsendable,
    /// Needed no NOTIFY.
    Skipped,
    /// The notifier stops without knowing the answer.
    Interrupted,
}

impl Ending {
    /// Whether a NOTIFY that went down a flow never reached the phone: the server that held it says so (430), or is gone itself.
    pub(crate) fn is_flow_gone(self) -> bool {
        matches!(
            self,
            Ending::Unreachable | Ending::Answered { status: 430, .. }
        )
    }
}

impl From<&Unreachable> for Ending {
    fn from(reason: &Unreachable) -> Ending {
        match reason {
            Unreachable::TooLong { octets } => Ending::TooLong { octets: *octets },
            Unreachable::Busy => Ending::Busy,
            Unreachable::Refused(address) => Ending::Refused { address: *address },
            Unreachable::Io(_) | Unreachable::FlowGone | Unreachable::NoSocket => {
                Ending::Unreachable
            }
        }
    }
}

impl Ending {
    /// The failure in words, for operators.
    pub(crate) fn in_words(self) -> String {
        match self {
            // The server that was to send it on said so, or the phone.
            Ending::Answered { status: 513, .. } => "message too long: answered 513".to_owned(),
            Ending::Answered { status: 430, .. } => "the flow is gone: answered 430".to_owned(),
            Ending::Answered { status, .. } => format!("answered {status}"),
            Ending::TimedOut => "no answer".to_owned(),
            Ending::Unreachable => "could not be reached".to_owned(),
            Ending::TooLong { octets } => {
                format!("message too long: {} octets", grouped(octets))
            }
            Ending::Busy => "too much waited to be sent to its server".to_owned(),
            Ending::Refused { address } => Unreachable::Refused(address).to_string(),
            Ending::Unsendable => "cannot be made".to_owned(),
            Ending::Skipped => String::new(),
            Ending::Interrupted => "the notifier stopped".to_owned(),
        }
    }
}

/// A number with a comma between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What must be known of the dialog to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The NOTIFY said `terminated`.
    pub(crate) terminated: bool,
    /// Failures in a row before this NOTIFY.
    pub(crate) failures: u32,
    /// What is to be sent after this NOTIFY.
    pub(crate) rest: Option<Rest>,
}

/// The configured part of the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailurePolicy {
    /// `timeout_rm_subs`: whether silence ends a subscription.
    pub(crate) timeout_ends: bool,
    /// `xavp_cfg` is set: the script decides about refusals.
    pub(crate) script_decides: bool,
    pub(crate) retry_min: Duration,
    pub(crate) retry_max: Duration,
    /// How many refusals of an unclear kind in a row end a subscription.
    pub(crate) give_up: u32,
}

// === impl FailurePolicy ===

impl FailurePolicy {
    /// The verdict to store for this ending, if any. `jitter` is a random number from 0 to 1.
    pub(crate) fn verdict(
        &self,
        ending: Ending,
        standing: Standing,
        jitter: f64,
    ) -> Option<AfterNotify> {
        if ending == Ending::Interrupted {
            // Owed again, at once: whoever holds the resource next sends it with the next CSeq.
            return Some(AfterNotify::Retry { after_s: 0 });
        }
        // The last NOTIFY of a subscription: any answer or none, there is nobody left to tell.
        if standing.terminated {
            return Some(AfterNotify::Ended);
        }
        let retry = |floor_s: u32| {
            Some(AfterNotify::Retry {
                after_s: self.back_off_s(standing.failures, floor_s, jitter),
            })
        };
        match ending {
            Ending::Skipped | Ending::Interrupted => None,
            Ending::Unsendable => Some(AfterNotify::Ended),
            Ending::TimedOut if self.timeout_ends => Some(AfterNotify::Ended),
            // Not bounded by a count: an edge proxy that is away for ten minutes must not cost every phone behind it its
            // subscription. The subscription's own expiry bounds these.
            Ending::TimedOut | Ending::Unreachable | Ending::TooLong { .. } | Ending::Busy => {
                retry(0)
            }
            // Only another configuration, or another address behind the name, changes that.
            Ending::Refused { .. } => {
                retry(u32::try_from(self.retry_max.as_secs()).unwrap_or(u32::MAX))
            }
            Ending::Answered {
                status,
                retry_after_s,
            } => match status {
                200..=299 => match standing.rest {
                    Some(rest) => Some(AfterNotify::More(rest)),
                    None => (standing.failures > 0).then_some(AfterNotify::Delivered),
                },
                404 | 481 => Some(AfterNotify::Ended),
                408 if self.timeout_ends => Some(AfterNotify::Ended),
                _ if self.script_decides => retry(retry_after_s.unwrap_or(0)),
                // RFC 6665 section 4.2.2: what has Retry-After is not a failure. RFC 5057 section 5.1 says so of 480 expressly.
                480 if retry_after_s.is_some() => retry(retry_after_s.unwrap_or(0)),
                405 | 410 | 416 | 480..=485 | 489 | 501 | 604 => Some(AfterNotify::Ended),
                408 | 430 | 500..=599 => retry(retry_after_s.unwrap_or(0)),
                _ if standing.failures + 1 >= self.give_up => Some(AfterNotify::Ended),
                _ => retry(retry_after_s.unwrap_or(0)),
            },
        }
    }

    /// Seconds until the next attempt: doubling, between the configured bounds, not below `floor_s`; up to a quarter more,
    /// so that thousands of phones that failed together don't come back together.
    fn back_off_s(&self, failures: u32, floor_s: u32, jitter: f64) -> u32 {
        let doubled = self
            .retry_min
            .as_secs()
            .saturating_mul(1 << failures.min(16))
            .min(self.retry_max.as_secs())
            .max(1);
        // A Retry-After of days would outlive any subscription; an hour is enough to be obedient.
        let base = doubled.max(u64::from(floor_s.min(3600)));
        let spread = (base as f64 * 0.25 * jitter.clamp(0.0, 1.0)).round() as u64;
        u32::try_from(base + spread).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: FailurePolicy = FailurePolicy {
        timeout_ends: true,
        script_decides: false,
        retry_min: Duration::from_secs(2),
        retry_max: Duration::from_secs(60),
        give_up: 10,
    };

    const REFUSED: Ending = Ending::Refused {
        address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    };

    fn answered(status: u16) -> Ending {
        Ending::Answered {
            status,
            retry_after_s: None,
        }
    }

    #[test]
    fn judges_each_ending() {
        let retry = |after_s| Some(AfterNotify::Retry { after_s });
        let patient = FailurePolicy {
            timeout_ends: false,
            ..POLICY
        };
        let scripted = FailurePolicy {
            script_decides: true,
            ..POLICY
        };
        let later = |status, after_s| Ending::Answered {
            status,
            retry_after_s: Some(after_s),
        };
        for (policy, ending, failures, expected) in [
            (POLICY, answered(200), 0, None),
            (POLICY, answered(202), 0, None),
            (POLICY, answered(200), 3, Some(AfterNotify::Delivered)),
            (POLICY, answered(404), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(405), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(480), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(481), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(485), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(489), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(501), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(604), 0, Some(AfterNotify::Ended)),
            (POLICY, answered(408), 0, Some(AfterNotify::Ended)),
            (patient, answered(408), 0, retry(2)),
            (POLICY, Ending::TimedOut, 0, Some(AfterNotify::Ended)),
            (patient, Ending::TimedOut, 1, retry(4)),
            (POLICY, Ending::Unreachable, 0, retry(2)),
            (POLICY, Ending::Unreachable, 30, retry(60)),
            (POLICY, Ending::TooLong { octets: 70_000 }, 0, retry(2)),
            (POLICY, Ending::TooLong { octets: 70_000 }, 30, retry(60)),
            (POLICY, answered(513), 30, retry(60)),
            (POLICY, Ending::Busy, 0, retry(2)),
            (POLICY, Ending::Busy, 30, retry(60)),
            (POLICY, REFUSED, 0, retry(60)),
            (POLICY, REFUSED, 30, retry(60)),
            (POLICY, Ending::Unsendable, 0, Some(AfterNotify::Ended)),
            (POLICY, Ending::Skipped, 0, None),
            (POLICY, Ending::Interrupted, 0, retry(0)),
            (POLICY, answered(430), 2, retry(8)),
            (POLICY, answered(500), 0, retry(2)),
            (POLICY, answered(503), 20, retry(60)),
            (
                POLICY,
                Ending::Answered {
                    status: 503,
                    retry_after_s: Some(120),
                },
                0,
                retry(120),
            ),
            (
                POLICY,
                Ending::Answered {
                    status: 503,
                    retry_after_s: Some(1),
                },
                3,
                retry(16),
            ),
            (
                POLICY,
                Ending::Answered {
                    status: 503,
                    retry_after_s: Some(u32::MAX),
                },
                0,
                retry(3600),
            ),
            (POLICY, answered(401), 0, retry(2)),
            (POLICY, answered(403), 8, retry(60)),
            (POLICY, answered(403), 9, Some(AfterNotify::Ended)),
            (POLICY, answered(302), 9, Some(AfterNotify::Ended)),
            (POLICY, answered(603), 0, retry(2)),
            (POLICY, later(480, 90), 0, retry(90)),
            (POLICY, later(481, 90), 0, Some(AfterNotify::Ended)),
            (scripted, answered(200), 3, Some(AfterNotify::Delivered)),
            (scripted, answered(404), 0, Some(AfterNotify::Ended)),
            (scripted, answered(481), 0, Some(AfterNotify::Ended)),
            (scripted, answered(408), 0, Some(AfterNotify::Ended)),
            (scripted, Ending::TimedOut, 0, Some(AfterNotify::Ended)),
            (scripted, answered(480), 0, retry(2)),
            (scripted, later(480, 90), 0, retry(90)),
            (scripted, answered(405), 0, retry(2)),
            (scripted, answered(489), 1, retry(4)),
            (scripted, answered(501), 0, retry(2)),
            (scripted, answered(604), 0, retry(2)),
            (scripted, answered(403), 99, retry(60)),
            (scripted, Ending::Unsendable, 0, Some(AfterNotify::Ended)),
        ] {
            let standing = Standing {
                failures,
                ..Standing::default()
            };
            assert_eq!(
                policy.verdict(ending, standing, 0.0),
                expected,
                "{ending:?} after {failures}"
            );
        }
    }

    #[test]
    fn the_last_notify_ends_the_dialog_whatever_comes_back() {
        let standing = Standing {
            terminated: true,
            ..Standing::default()
        };
        for ending in [
            answered(200),
            answered(481),
            answered(503),
            Ending::TimedOut,
            Ending::Unreachable,
            Ending::Unsendable,
        ] {
            assert_eq!(
                POLICY.verdict(ending, standing, 0.5),
                Some(AfterNotify::Ended),
                "{ending:?}"
            );
        }
        assert_eq!(
            POLICY.verdict(Ending::Interrupted, standing, 0.5),
            Some(AfterNotify::Retry { after_s: 0 }),
            "nobody knows whether it arrived"
        );
    }

    #[test]
    fn what_did_not_tell_all_is_followed_by_the_rest_if_it_arrives() {
        let rest = Rest {
            told_to: Some(7),
            after_s: 0,
        };
        let standing = Standing {
            rest: Some(rest),
            ..Standing::default()
        };
        for (ending, expected) in [
            (answered(200), Some(AfterNotify::More(rest))),
            // It begins anew.
            (answered(503), Some(AfterNotify::Retry { after_s: 2 })),
            (answered(481), Some(AfterNotify::Ended)),
        ] {
            assert_eq!(POLICY.verdict(ending, standing, 0.0), expected);
        }
    }

    #[test]
    fn only_what_says_so_is_a_flow_that_is_gone() {
        for (ending, expected) in [
            (Ending::Unreachable, true),
            (answered(430), true),
            (answered(480), false),
            (Ending::TimedOut, false),
            (Ending::TooLong { octets: 70_000 }, false),
            (Ending::Busy, false),
            (REFUSED, false),
        ] {
            assert_eq!(ending.is_flow_gone(), expected, "{ending:?}");
        }
    }

    #[test]
    fn failures_have_words() {
        let too_long = |octets| Ending::TooLong { octets }.in_words();
        for (found, expected) in [
            (too_long(70_000), "message too long: 70,000 octets"),
            (too_long(1_234_567), "message too long: 1,234,567 octets"),
            (answered(503).in_words(), "answered 503"),
            (answered(513).in_words(), "message too long: answered 513"),
            (Ending::TimedOut.in_words(), "no answer"),
            (
                REFUSED.in_words(),
                "the destination policy refuses 127.0.0.1",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_quarter_at_most() {
        let after = |jitter| {
            POLICY.verdict(
                answered(500),
                Standing {
                    failures: 9,
                    ..Standing::default()
                },
                jitter,
            )
        };
        assert_eq!(after(0.0), Some(AfterNotify::Retry { after_s: 60 }));
        assert_eq!(after(1.0), Some(AfterNotify::Retry { after_s: 75 }));
    }
}
