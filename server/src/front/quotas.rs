//! How much a sender may send (`[limits]`): who is counted, and what becomes of what is too much.
//!
//! A request is judged before anything is done for it but parsing. A stranger is his address, with two buckets: one for requests, and a smaller one for those
//! that were refused, which is full soon for whoever guesses or probes. Whoever is known has one bucket, wherever he sends from. What is too much is
//! answered 503, by which a phone knows when to come back; and not at all when a stranger brings more than even these answers are worth, or when it
//! is a copy of a request that was let in.
//!
//! A stranger has his buckets twice: once for what has shown that it comes from that address, by a connection or by an answer to a challenge; and once for
//! datagrams that only say so. Forged ones take nothing from whoever is really there.
//!
//! Buckets are those of this process: with n servers a sender has up to n times as much. None of it is state: a server that forgets it is
//! generous for a moment.

mod tally;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use events::Proof;
use node::{Anonymous, Believed, LimitsConfig};
use sip::{HeaderName, Method, Request};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::tally::{Sender, Tally};
use super::Arrival;
use crate::throttle::{Copies, Limit, Source, Throttle};

/// Log lines about what was refused are at least so far apart.
const LOG_INTERVAL: Duration = Duration::from_secs(1);
/// So many times as many 503s as requests leave for one address before there is silence.
const ANSWERS_PER_REQUEST: u32 = 2;

/// Judges how much is too much.
pub(crate) struct Quotas {
    believed: Believed,
    /// Whoever brings no password is asked for one, and nothing else is done for him.
    challenges: bool,
    /// `None`: nobody is limited.
    buckets: Option<Mutex<Buckets>>,
    hasher: RandomState,
    start: Instant,
    tally: Mutex<Tally>,
    /// There is something to tell the operator.
    refused: Notify,
}

/// The buckets of each kind; `None`: there is no limit.
struct Buckets {
    requests: Option<Throttle>,
    refusals: Option<Throttle>,
    /// Of 503s that say that there were too many.
    answers: Option<Throttle>,
    identities: Option<Throttle>,
    copies: Copies,
}

/// Whom requests of strangers are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Stranger {
    source: Source,
    has_shown_address: bool,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is handled.
    Admitted,
    /// It is answered that there are too many.
    Refused,
    /// It gets no answer.
    Ignored,
}

/// Of which bucket a request is a copy of one that was let in.
#[derive(Hash)]
enum Stage {
    Source,
    Identity,
}

impl Quotas {
    pub(super) fn new(believed: Believed, config: &node::Config) -> Quotas {
        let buckets = config.sender_limits().map(Buckets::new);
        let identity = &config.identity;
        Quotas {
            challenges: identity.digest && identity.anonymous == Anonymous::Refuse,
            believed,
            buckets: buckets.map(Mutex::new),
            hasher: RandomState::new(),
            start: Instant::now(),
            tally: Mutex::default(),
            refused: Notify::new(),
        }
    }

    /// Whether a stranger may send this request too. For each request once; not for those that are relayed.
    pub(crate) fn of_source(&self, arrival: &Arrival) -> Verdict {
        let request = &arrival.request;
        // RFC 3261 section 17: there is no response to an ACK, and nothing is done for it.
        if *request.method() == Method::Ack {
            return Verdict::Admitted;
        }
        let (Some(stranger), Some(mut buckets)) = (self.stranger(arrival), self.buckets()) else {
            return Verdict::Admitted;
        };
        let (now_us, copy) = (self.now_us(), self.copy(Stage::Source, request));
        if (self.is_challenged(request) || buckets.has_room_for_refusal(&stranger, now_us))
            && buckets.takes_request(&stranger, now_us)
        {
            buckets.copies.note(copy, now_us);
            return Verdict::Admitted;
        }
        let verdict = buckets.refuse(copy, Some(stranger), now_us);
        drop(buckets);
        self.note(Sender::Source(stranger.source), verdict);
        verdict
    }

    /// Whether whoever is known may send this PUBLISH or SUBSCRIBE too. Of a peer that names nobody, and of whoever says that he is nobody, nothing
    /// is counted here.
    pub(crate) fn of_identity(&self, arrival: &Arrival) -> Verdict {
        let requester = &arrival.requester;
        let is_known = matches!(requester.proof, Proof::Digest | Proof::Asserted);
        let identity = requester.identity.as_ref().filter(|_| is_known);
        let (Some(identity), Some(mut buckets)) = (identity, self.buckets()) else {
            return Verdict::Admitted;
        };
        let now_us = self.now_us();
        let copy = self.copy(Stage::Identity, &arrival.request);
        let Some(identities) = &mut buckets.identities else {
            return Verdict::Admitted;
        };
        if identities.take(identity, now_us) {
            buckets.copies.note(copy, now_us);
            return Verdict::Admitted;
        }
        // A trusted peer always gets its answer: silence would look to it like a server that is gone.
        let verdict = buckets.refuse(copy, self.stranger(arrival), now_us);
        drop(buckets);
        self.note(Sender::Identity(identity.clone()), verdict);
        verdict
    }

    /// Counts an answer that refuses something to a stranger.
    pub(super) fn refused(&self, arrival: &Arrival) {
        if let (Some(stranger), Some(mut buckets)) = (self.stranger(arrival), self.buckets())
            && let Some(refusals) = &mut buckets.refusals
        {
            refusals.charge(&stranger, self.now_us());
        }
    }

    /// Tells the operator for ever who sends too much: one line a second at most.
    pub(crate) async fn report(&self) {
        loop {
            self.refused.notified().await;
            sleep(LOG_INTERVAL).await;
            let summary = locked(&self.tally).summary();
            if let Some(summary) = summary {
                tracing::warn!(
                    requests = summary.counts.refused,
                    unanswered = summary.counts.ignored,
                    senders = summary.senders,
                    busiest = %summary.busiest,
                    "{summary}"
                );
            }
        }
    }

    fn note(&self, sender: Sender, verdict: Verdict) {
        locked(&self.tally).note(sender, verdict == Verdict::Ignored);
        self.refused.notify_one();
    }

    /// Whom a request is counted for, if it does not come from a trusted peer.
    fn stranger(&self, arrival: &Arrival) -> Option<Stranger> {
        let address = arrival.flow.remote.ip();
        (!self.believed.includes(address)).then(|| Stranger {
            source: address.into(),
            has_shown_address: arrival.has_shown_address,
        })
    }

    /// Whether it can only be asked for a password, or be found to make no sense. By that a phone shows where it is, so it does not wait until
    /// others' refusals are made up for.
    fn is_challenged(&self, request: &Request) -> bool {
        self.challenges
            && matches!(request.method(), Method::Publish | Method::Subscribe)
            && request.header(HeaderName::Authorization).is_none()
    }

    fn buckets(&self) -> Option<MutexGuard<'_, Buckets>> {
        self.buckets.as_ref().map(locked)
    }

    /// What makes a request a copy of another one, as far as that can be told before it is understood.
    fn copy(&self, stage: Stage, request: &Request) -> u64 {
        let line = |name| request.header(name).unwrap_or_default();
        let lines = [HeaderName::CallId, HeaderName::Via, HeaderName::CSeq].map(line);
        self.hasher.hash_one((stage, lines))
    }

    fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

impl Buckets {
    fn new(config: &LimitsConfig) -> Buckets {
        let requests = (
            config.requests_per_source_s.get(),
            config.requests_per_source_burst.get(),
        );
        let refusals = (
            config.refusals_per_source_s.get(),
            config.refusals_per_source_burst.get(),
        );
        let identities = (
            config.requests_per_identity_s.get(),
            config.requests_per_identity_burst.get(),
        );
        let bucket = |(rate_s, burst)| Limit::new(rate_s, burst).map(Throttle::new);
        Buckets {
            requests: bucket(requests),
            refusals: bucket(refusals),
            answers: bucket(answers([requests, refusals])),
            identities: bucket(identities),
            copies: Copies::default(),
        }
    }

    fn has_room_for_refusal(&mut self, stranger: &Stranger, now_us: u64) -> bool {
        let refusals = self.refusals.as_mut();
        refusals.is_none_or(|refusals| refusals.has_room(stranger, now_us))
    }

    fn takes_request(&mut self, stranger: &Stranger, now_us: u64) -> bool {
        let requests = self.requests.as_mut();
        requests.is_none_or(|requests| requests.take(stranger, now_us))
    }

    /// How a request that is too much is refused. `stranger`: for whom answers are counted.
    fn refuse(&mut self, copy: u64, stranger: Option<Stranger>, now_us: u64) -> Verdict {
        let mut is_worth_an_answer = || match (stranger, self.answers.as_mut()) {
            (Some(stranger), Some(answers)) => answers.take(&stranger, now_us),
            _ => true,
        };
        match !self.copies.has(copy) && is_worth_an_answer() {
            true => Verdict::Refused,
            false => Verdict::Ignored,
        }
    }
}

/// How many 503s leave for one address, a second and at once: a multiple of the larger of its limits that are in force.
fn answers(limits: [(u32, u32); 2]) -> (u32, u32) {
    let in_force = limits
        .into_iter()
        .filter(|(rate_s, burst)| Limit::new(*rate_s, *burst).is_some());
    in_force.fold((0, 0), |most, (rate_s, burst)| {
        (
            most.0.max(ANSWERS_PER_REQUEST * rate_s),
            most.1.max(ANSWERS_PER_REQUEST * burst),
        )
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use events::Requester;
    use net::FlowKey;
    use sip::{Aor, Limits, Message, Transport};

    use super::*;

    fn quotas(sets: &[(&str, u32)]) -> Quotas {
        let peers = ("identity.trusted_peers".to_owned(), "10.0.0.0/8".to_owned());
        let sets = sets
            .iter()
            .map(|(key, value)| (format!("limits.{key}"), value.to_string()));
        let sets: Vec<_> = std::iter::once(peers).chain(sets).collect();
        let config = node::Config::load(None, std::iter::empty(), &sets).unwrap();
        let believed = config.identity.believed(&config.server).unwrap();
        Quotas::new(believed, &config)
    }

    /// A request with this number from an address.
    fn arrival(method: &str, number: u32, address: &str) -> Arrival {
        let text = format!(
            "{method} sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{number}\r\n\
             From: <sip:alice@example.org>;tag=a\r\nTo: <sip:bob@example.org>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let Ok(Message::Request(request)) =
            sip::parse_datagram(text.into_bytes(), &Limits::default())
        else {
            panic!("not a request")
        };
        Arrival {
            request,
            flow: FlowKey {
                transport: Transport::Udp,
                local: ([127, 0, 0, 1], 5060).into(),
                remote: (address.parse::<std::net::IpAddr>().unwrap(), 5060).into(),
                connection: 0,
            },
            deadline: Instant::now(),
            has_shown_address: false,
            requester: Requester::default(),
            call: None,
        }
    }

    fn known(arrival: Arrival, username: &str, proof: Proof) -> Arrival {
        let identity = Aor {
            username: username.to_owned(),
            domain: "example.org".to_owned(),
        };
        let requester = Requester {
            identity: Some(identity),
            proof,
            ..Requester::default()
        };
        Arrival {
            requester,
            ..arrival
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_throttled_is_answered_and_then_ignored() {
        let quotas = quotas(&[
            ("requests_per_source_s", 1),
            ("requests_per_source_burst", 2),
            ("refusals_per_source_s", 0),
        ]);
        let judged = |method, number, address| quotas.of_source(&arrival(method, number, address));
        let here = "192.0.2.1";
        let verdicts: Vec<_> = (0..8)
            .map(|number| judged("PUBLISH", number, here))
            .collect();
        assert_eq!(verdicts[..2], [Verdict::Admitted; 2]);
        assert_eq!(verdicts[2..6], [Verdict::Refused; 4]);
        assert_eq!(verdicts[6..], [Verdict::Ignored; 2]);
        assert_eq!(judged("ACK", 9, here), Verdict::Admitted);
        for other in ["192.0.2.2", "10.0.0.1", "2001:db8::1"] {
            assert_eq!(judged("OPTIONS", 9, other), Verdict::Admitted, "{other}");
        }
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(judged("PUBLISH", 1, here), Verdict::Ignored, "a copy");
        assert_eq!(
            judged("PUBLISH", 7, here),
            Verdict::Refused,
            "a copy of what was not let in"
        );
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(
            judged("PUBLISH", 1, here),
            Verdict::Admitted,
            "a copy has its answer again"
        );
        for _ in 0..100 {
            assert_eq!(judged("PUBLISH", 9, "10.0.0.1"), Verdict::Admitted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_throttled_by_what_was_refused_to_him() {
        let quotas = quotas(&[
            ("refusals_per_source_s", 1),
            ("refusals_per_source_burst", 2),
        ]);
        let judged = |number, address| quotas.of_source(&arrival("PUBLISH", number, address));
        let (here, there) = ("2001:db8::1", "2001:db8::2");
        for number in 0..3 {
            assert_eq!(judged(number, here), Verdict::Admitted);
        }
        for number in 0..3 {
            quotas.refused(&arrival("PUBLISH", number, here));
        }
        assert_eq!(judged(4, there), Verdict::Refused, "one /64");
        assert_eq!(judged(0, here), Verdict::Ignored, "a copy");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(judged(5, here), Verdict::Admitted);
    }

    /// Datagrams that only say where they come from take nothing from those who are there, and keep no phone from being challenged.
    #[tokio::test(start_paused = true)]
    async fn forged_datagrams_are_throttled_alone() {
        let quotas = quotas(&[
            ("refusals_per_source_s", 1),
            ("refusals_per_source_burst", 2),
        ]);
        let quotas = Quotas {
            challenges: true,
            ..quotas
        };
        let judged = |method, number, has_shown_address| {
            let arrival = arrival(method, number, "192.0.2.1");
            quotas.of_source(&Arrival {
                has_shown_address,
                ..arrival
            })
        };
        for number in 0..10 {
            quotas.refused(&arrival("REGISTER", number, "192.0.2.1"));
        }
        assert_eq!(judged("REGISTER", 10, false), Verdict::Refused);
        assert_eq!(judged("PUBLISH", 11, false), Verdict::Admitted);
        assert_eq!(judged("PUBLISH", 12, true), Verdict::Admitted);
        let is_admitted = |number: &u32| judged("PUBLISH", *number, false) == Verdict::Admitted;
        let challenged = (13..4000).filter(is_admitted).count();
        assert_eq!(challenged, 1999, "requests are counted all the same");
        assert_eq!(judged("PUBLISH", 4000, true), Verdict::Admitted);
    }

    #[tokio::test(start_paused = true)]
    async fn an_identity_is_throttled_wherever_it_is() {
        let quotas = quotas(&[
            ("requests_per_identity_s", 1),
            ("requests_per_identity_burst", 2),
        ]);
        let judged = |number, address, username, proof| {
            let arrival = arrival("SUBSCRIBE", number, address);
            quotas.of_identity(&known(arrival, username, proof))
        };
        let (edge, phone) = ("10.0.0.1", "192.0.2.1");
        assert_eq!(judged(1, edge, "alice", Proof::Asserted), Verdict::Admitted);
        assert_eq!(judged(2, phone, "alice", Proof::Digest), Verdict::Admitted);
        for number in 3..2000 {
            assert_eq!(
                judged(number, edge, "alice", Proof::Asserted),
                Verdict::Refused
            );
        }
        assert_eq!(
            judged(1, edge, "alice", Proof::Asserted),
            Verdict::Ignored,
            "a copy"
        );
        assert_eq!(judged(2000, phone, "bob", Proof::Digest), Verdict::Admitted);
        for number in 0..10 {
            assert_eq!(
                judged(number, phone, "x", Proof::Anonymous),
                Verdict::Admitted
            );
            let unnamed = arrival("SUBSCRIBE", number, edge);
            assert_eq!(quotas.of_identity(&unnamed), Verdict::Admitted);
        }
    }
}
