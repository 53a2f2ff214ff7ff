//! Client transactions in virtual time: timers E and F of RFC 3261 section 17.1.2.2, over networks that lose, delay and
//! reorder. No clock runs and nothing sleeps.

use bytes::Bytes;
use sip::transaction::{ClientAction, ClientEvent, ClientTransactions, Timers};
use sip::{Limits, Message, Method, Response};
use std::collections::{BTreeMap, HashMap};

fn response(status: u16, branch: &str, method: &str) -> Response {
    let text = format!(
        "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nCSeq: 1 {method}\r\n\r\n"
    );
    match sip::parse_datagram(text.into_bytes(), &Limits::default()) {
        Ok(Message::Response(response)) => response,
        other => unreachable!("{other:?}"),
    }
}

fn started(reliable: bool) -> ClientTransactions<u32> {
    let mut transactions = ClientTransactions::new(Timers::default());
    transactions.start(
        0,
        "b1".into(),
        Method::Notify,
        7,
        Bytes::from_static(b"NOTIFY"),
        reliable,
    );
    transactions
}

/// Runs until nothing is due; when what happened.
fn run(transactions: &mut ClientTransactions<u32>) -> Vec<(u64, &'static str)> {
    let mut log = Vec::new();
    while let Some(now_ms) = transactions.next_deadline() {
        let mut actions = Vec::new();
        transactions.on_time(now_ms, &mut actions);
        for action in actions {
            log.push(match action {
                ClientAction::Retransmit { key: 7, bytes } if bytes == "NOTIFY" => (now_ms, "sent"),
                ClientAction::TimedOut { key: 7 } => (now_ms, "timed out"),
                other => unreachable!("{other:?}"),
            });
        }
    }
    log
}

#[test]
fn without_an_answer_it_is_sent_eleven_times_and_given_up() {
    let mut transactions = started(false);
    let sent = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ]
    .map(|now_ms| (now_ms, "sent"));
    assert_eq!(
        run(&mut transactions),
        [&sent[..], &[(32_000, "timed out")]].concat()
    );
    assert!(transactions.is_empty());
}

#[test]
fn reliable_transports_retransmit_themselves() {
    assert_eq!(run(&mut started(true)), [(32_000, "timed out")]);
}

#[test]
fn a_provisional_answer_slows_it_down() {
    let mut transactions = started(false);
    assert_eq!(
        transactions.on_response(&response(100, "b1", "NOTIFY")),
        None
    );
    assert_eq!(transactions.len(), 1);
    let sent =
        [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500].map(|now_ms| (now_ms, "sent"));
    assert_eq!(
        run(&mut transactions),
        [&sent[..], &[(32_000, "timed out")]].concat(),
        "timer F runs on"
    );
}

#[test]
fn the_first_final_answer_ends_it_and_others_are_absorbed() {
    for (status, reliable) in [(200, false), (481, false), (200, true), (603, true)] {
        let mut transactions = started(reliable);
        let answer = response(status, "b1", "NOTIFY");
        let event = transactions.on_response(&answer);
        assert_eq!(
            event,
            Some(ClientEvent::Final {
                key: 7,
                status: answer.status()
            }),
            "{status}"
        );
        assert!(
            transactions.is_empty(),
            "an answered transaction is not open"
        );
        assert_eq!(
            transactions.next_deadline(),
            None,
            "nothing is kept for the sake of timer K: {status} {reliable}"
        );
        assert_eq!(transactions.on_response(&answer), None, "a retransmission");
        assert_eq!(
            transactions.on_response(&response(500, "b1", "NOTIFY")),
            None,
            "another answer"
        );
        assert_eq!(run(&mut transactions), [], "nothing is sent any more");
        assert_eq!(
            transactions.on_response(&answer),
            None,
            "long after timer K"
        );
    }
}

#[test]
fn answers_match_by_branch_and_method() {
    let mut transactions = started(false);
    for (branch, method) in [
        ("b2", "NOTIFY"),
        ("b1", "OPTIONS"),
        ("B1", "NOTIFY"),
        ("b1", "notify"),
    ] {
        assert_eq!(
            transactions.on_response(&response(200, branch, method)),
            None,
            "{branch} {method}"
        );
    }
    assert_eq!(transactions.len(), 1);
    assert!(
        transactions
            .on_response(&response(200, "b1", "NOTIFY"))
            .is_some()
    );
}

#[test]
fn failed_and_cancelled_ones_are_gone() {
    let mut transactions = started(false);
    assert_eq!(transactions.fail("b1"), Some(7));
    assert_eq!(transactions.fail("b1"), None);
    let mut transactions = started(false);
    assert!(transactions.cancel("b1"));
    assert!(!transactions.cancel("b1"));
    assert_eq!(
        (transactions.next_deadline(), transactions.len()),
        (None, 0)
    );
    assert_eq!(
        transactions.on_response(&response(200, "b1", "NOTIFY")),
        None
    );
}

#[test]
fn a_late_call_sends_once() {
    let mut transactions = started(false);
    let mut actions = Vec::new();
    transactions.on_time(20_000, &mut actions);
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert_eq!(transactions.next_deadline(), Some(21_000));
    actions.clear();
    transactions.on_time(99_000, &mut actions);
    assert_eq!(
        actions,
        [ClientAction::TimedOut { key: 7 }],
        "late for both timers: F wins"
    );
}

#[test]
fn a_branch_that_is_used_again_replaces() {
    let mut transactions = started(false);
    transactions.start(10, "b1".into(), Method::Notify, 8, Bytes::new(), true);
    assert_eq!(transactions.len(), 1);
    assert!(matches!(
        transactions.on_response(&response(200, "b1", "NOTIFY")),
        Some(ClientEvent::Final { key: 8, .. })
    ));
    assert_eq!(transactions.next_deadline(), None);
}

/// xorshift; the seeds are in the test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Many transactions against a peer behind a network that loses a part of all packets and delays the rest at random, so
/// that they overtake one another. Each transaction has exactly one outcome, and none outlives 64*T1.
#[test]
fn each_transaction_has_one_outcome_on_a_bad_network() {
    for (seed, loss_percent) in [(1, 0), (2, 30), (3, 60), (4, 90), (5, 100)] {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ seed);
        let mut transactions = ClientTransactions::new(Timers::default());
        let mut network: BTreeMap<(u64, u64), u32> = BTreeMap::new();
        let mut packets = 0;
        let mut outcomes: HashMap<u32, (u64, &'static str)> = HashMap::new();
        // A request that arrives is answered; its answer may be lost too. Both ways are one delay here.
        let mut send = |network: &mut BTreeMap<(u64, u64), u32>, now_ms: u64, key: u32| {
            if dice.roll(100) >= loss_percent && dice.roll(100) >= loss_percent {
                packets += 1;
                network.insert((now_ms + 1 + dice.roll(3_000), packets), key);
            }
        };
        for key in 0..200 {
            transactions.start(
                0,
                format!("b{key}"),
                Method::Notify,
                key,
                Bytes::new(),
                false,
            );
            send(&mut network, 0, key);
        }
        loop {
            let packet = network.first_key_value().map(|((at_ms, _), _)| *at_ms);
            let Some(now_ms) = packet.into_iter().chain(transactions.next_deadline()).min() else {
                break;
            };
            while let Some(entry) = network
                .first_entry()
                .filter(|entry| entry.key().0 <= now_ms)
            {
                let key = entry.remove();
                if let Some(ClientEvent::Final { key, .. }) =
                    transactions.on_response(&response(200, &format!("b{key}"), "NOTIFY"))
                {
                    assert_eq!(
                        outcomes.insert(key, (now_ms, "answered")),
                        None,
                        "one outcome each"
                    );
                }
            }
            let mut actions = Vec::new();
            transactions.on_time(now_ms, &mut actions);
            for action in actions {
                match action {
                    ClientAction::Retransmit { key, .. } => {
                        assert!(
                            !outcomes.contains_key(&key),
                            "nothing is sent after the outcome"
                        );
                        send(&mut network, now_ms, key);
                    }
                    ClientAction::TimedOut { key } => {
                        assert_eq!(outcomes.insert(key, (now_ms, "timed out")), None)
                    }
                }
            }
        }
        assert_eq!(outcomes.len(), 200, "seed {seed}");
        assert!(
            outcomes.values().all(|(at_ms, _)| *at_ms <= 32_000),
            "seed {seed}"
        );
        let answered = outcomes
            .values()
            .filter(|(_, outcome)| *outcome == "answered")
            .count();
        match loss_percent {
            0 => assert_eq!(answered, 200),
            100 => assert_eq!(answered, 0),
            _ => assert!(answered > 0, "seed {seed}"),
        }
    }
}

#[test]
fn twenty_thousand_open_ones_fire_in_order() {
    let mut transactions = ClientTransactions::new(Timers::default());
    for key in 0..20_000_u64 {
        transactions.start(
            key,
            format!("z9hG4bK{key}"),
            Method::Notify,
            key,
            Bytes::new(),
            false,
        );
    }
    let mut actions = Vec::new();
    transactions.on_time(499, &mut actions);
    assert!(actions.is_empty());
    transactions.on_time(500 + 9_999, &mut actions);
    assert_eq!(actions.len(), 10_000);
    let in_order = actions.iter().enumerate().all(|(index, action)| matches!(action, ClientAction::Retransmit { key, .. } if *key == index as u64));
    assert!(in_order);
    for key in 0..20_000 {
        assert!(
            transactions
                .on_response(&response(200, &format!("z9hG4bK{key}"), "NOTIFY"))
                .is_some()
        );
    }
    assert_eq!(
        (transactions.len(), transactions.next_deadline()),
        (0, None)
    );
}
