//! A call that is over never rings again: `early` and `terminated` of one call, sent to two servers in the same instant, round
//! after round, in every way in which two phones can say so. After each round a mark is published; the NOTIFY that shows it was
//! made after everything of that round was stored, so what it says of the call is the last word.
//!
//! 100,000 rounds: `./dev rounds`; `ROUNDS=n` for another number.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use system_tests::message::Message;
use system_tests::phone::{Dialog, Notify, Phone, Publisher};
use system_tests::system;
use tokio::task::JoinSet;

/// How long a NOTIFY may take on a machine that is busy with all lanes at once.
const PATIENCE: Duration = Duration::from_secs(30);
const LIFETIME_S: u32 = 3600;
/// The phones keep what was said in their transactions, so each lane gets new ones from time to time.
const ROUNDS_OF_A_PHONE: usize = 150;

/// In which way it is said that a call rings, and that it is over.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Two new publications.
    TwoCreated,
    /// Two that were there before.
    TwoModified,
    /// One publication, changed twice in the same instant; who is refused (412) publishes anew, as RFC 3903 section 4.1 says.
    OneModified,
    /// Two new ones; the one that ends the call is removed at once.
    EndRemoved,
    /// Two that were there before; the one that ends the call tells of another call at once.
    EndReplaced,
    /// Two new ones, and the end is removed before it is even answered that the phone rings.
    EndBeforeEarly,
}

const WAYS: [Way; 6] = [
    Way::TwoCreated,
    Way::TwoModified,
    Way::OneModified,
    Way::EndRemoved,
    Way::EndReplaced,
    Way::EndBeforeEarly,
];

/// What the last word must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Terminated,
    Gone,
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_short() {
    rounds(600, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./dev rounds"]
async fn rounds_long() {
    let count = std::env::var("ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    rounds(count, 48).await;
}

async fn rounds(count: usize, lanes: usize) {
    let system = system::setup()
        .servers(2)
        .notifiers(2)
        .set("presence.waitn_time", 0)
        .start();
    let servers = [system.udp(0), system.udp(1)];
    let started = Instant::now();
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let share = count / lanes + usize::from(lane < count % lanes);
        running.spawn(run_lane(lane, share, servers));
    }
    let mut done = 0;
    while let Some(lane) = running.join_next().await {
        done += lane.expect("no lane panics");
        println!("{done} rounds after {:?}", started.elapsed());
    }
    assert_eq!(done, count);
    assert_eq!(
        system.postgres_log("deadlock detected"),
        Vec::<String>::new()
    );
}

async fn run_lane(lane: usize, rounds: usize, servers: [SocketAddr; 2]) -> usize {
    let mut first = 0;
    while first < rounds {
        let until = rounds.min(first + ROUNDS_OF_A_PHONE);
        let mut stage = Stage::new(lane, first, servers).await;
        for round in first..until {
            stage.round(round).await;
        }
        stage.leave().await;
        first = until;
    }
    rounds
}

/// One presentity, its phones, and who watches.
struct Stage {
    presentity: String,
    servers: [SocketAddr; 2],
    phones: [Phone; 2],
    lamp: Dialog,
    /// The publications that last, of each phone.
    lasting: [Publisher; 2],
    mark: Publisher,
}

impl Stage {
    async fn new(lane: usize, first: usize, servers: [SocketAddr; 2]) -> Stage {
        let presentity = format!("sip:lane{lane}x{first}@example.org");
        let watcher = Phone::udp("alice").await;
        watcher.keeps(4);
        let over: Arc<Mutex<HashSet<String>>> = Arc::default();
        // Once a call is shown as terminated, no later NOTIFY may show it otherwise.
        watcher.inspects(Arc::new(move |_, notify| {
            let mut over = over.lock().unwrap_or_else(PoisonError::into_inner);
            for (call, state) in calls(notify) {
                if state == "terminated" {
                    over.insert(call);
                } else if over.contains(&call) {
                    return Err(format!("{call} is {state} after it was terminated"));
                }
            }
            Ok(())
        }));
        let lamp = watcher
            .subscribe_to(servers[lane % 2], &presentity, "dialog", LIFETIME_S)
            .await;
        let phones = [Phone::udp("desk").await, Phone::udp("mobile").await];
        let mut lasting = [
            phones[0].publisher_of(&presentity, "dialog"),
            phones[1].publisher_of(&presentity, "dialog"),
        ];
        for (phone, publisher) in lasting.iter_mut().enumerate() {
            stored(
                &publisher
                    .publish(servers[phone], &dialogs(&[]), LIFETIME_S)
                    .await,
            );
        }
        let mark = phones[0].publisher_of(&presentity, "dialog");
        Stage {
            presentity,
            servers,
            phones,
            lamp,
            lasting,
            mark,
        }
    }

    async fn round(&mut self, round: usize) {
        let way = WAYS[round % WAYS.len()];
        let call = format!("call{round}");
        let (early, over) = (
            dialogs(&[(&call, "early")]),
            dialogs(&[(&call, "terminated")]),
        );
        // Which server is asked first, and which phone sends which, changes from round to round.
        let turn = round / WAYS.len() % 2;
        let (rings_at, ends_at) = (self.servers[turn], self.servers[1 - turn]);
        let mut rings = self.phones[0].publisher_of(&self.presentity, "dialog");
        let mut ends = self.phones[1].publisher_of(&self.presentity, "dialog");
        let last = match way {
            Way::TwoCreated => {
                let (one, two) = tokio::join!(
                    rings.publish(rings_at, &early, LIFETIME_S),
                    ends.publish(ends_at, &over, LIFETIME_S)
                );
                stored(&one);
                stored(&two);
                Last::Terminated
            }
            Way::TwoModified => {
                let [rings, ends] = &mut self.lasting;
                let (one, two) = tokio::join!(
                    rings.publish(rings_at, &early, LIFETIME_S),
                    ends.publish(ends_at, &over, LIFETIME_S)
                );
                stored(&one);
                stored(&two);
                Last::Terminated
            }
            Way::OneModified => {
                stored(&rings.publish(rings_at, &dialogs(&[]), LIFETIME_S).await);
                ends.etag = rings.etag.clone();
                let (one, two) = tokio::join!(
                    rings.publish(rings_at, &early, LIFETIME_S),
                    ends.publish(ends_at, &over, LIFETIME_S)
                );
                for (publisher, answer, body, server) in [
                    (&mut rings, one, &early, rings_at),
                    (&mut ends, two, &over, ends_at),
                ] {
                    if answer.status() == Some(412) {
                        publisher.etag = None;
                        stored(&publisher.publish(server, body, LIFETIME_S).await);
                    } else {
                        stored(&answer);
                    }
                }
                Last::Terminated
            }
            Way::EndRemoved => {
                let (one, ()) = tokio::join!(
                    rings.publish(rings_at, &early, LIFETIME_S),
                    said_and_removed(&mut ends, ends_at, &over)
                );
                stored(&one);
                Last::Gone
            }
            Way::EndReplaced => {
                let next = dialogs(&[(&format!("next{round}"), "terminated")]);
                let [rings, ends] = &mut self.lasting;
                let ends = async {
                    stored(&ends.publish(ends_at, &over, LIFETIME_S).await);
                    stored(&ends.publish(rings_at, &next, LIFETIME_S).await);
                };
                let (one, ()) = tokio::join!(rings.publish(rings_at, &early, LIFETIME_S), ends);
                stored(&one);
                Last::Gone
            }
            Way::EndBeforeEarly => {
                said_and_removed(&mut ends, ends_at, &over).await;
                stored(&rings.publish(rings_at, &early, LIFETIME_S).await);
                Last::Gone
            }
        };
        self.last_word(&format!("m{round}"), &call, last, way).await;
        // The end goes before the ringing does, so that for a moment only the ringing is there; then the lamp must stay dark.
        if matches!(way, Way::TwoCreated | Way::OneModified) {
            stored(&ends.remove(rings_at).await);
            let mark = format!("n{round}");
            self.last_word(&mark, &call, Last::Gone, way).await;
        }
        if !matches!(way, Way::TwoModified | Way::EndReplaced) {
            stored(&rings.remove(ends_at).await);
        }
    }

    /// Publishes a mark, and looks at what the NOTIFY that shows it says of the call.
    async fn last_word(&mut self, mark: &str, call: &str, expected: Last, way: Way) {
        let body = dialogs(&[(mark, "confirmed")]);
        stored(&self.mark.publish(self.servers[0], &body, LIFETIME_S).await);
        let shows_mark = |notify: &Notify| calls(notify).iter().any(|(call, _)| call == mark);
        let notify = self.lamp.until_within(PATIENCE, mark, shows_mark).await;
        let calls = calls(&notify);
        let found = calls.iter().find(|(found, _)| found == call);
        let last = match found.map(|(_, state)| state.as_str()) {
            Some("terminated") => Last::Terminated,
            None => Last::Gone,
            Some(other) => panic!("{way:?}: {call} is {other}: {}", notify.body()),
        };
        assert_eq!(last, expected, "{way:?}: {call}: {}", notify.body());
    }

    async fn leave(mut self) {
        for publisher in self.lasting.iter_mut().chain([&mut self.mark]) {
            stored(&publisher.remove(self.servers[0]).await);
        }
        self.lamp.unsubscribe(self.servers[1]).await;
    }
}

async fn said_and_removed(publisher: &mut Publisher, server: SocketAddr, body: &str) {
    stored(&publisher.publish(server, body, LIFETIME_S).await);
    stored(&publisher.remove(server).await);
}

fn stored(answer: &Message) {
    assert_eq!(answer.status(), Some(200), "{answer}");
}

/// `dialog-info` with these calls and their states.
fn dialogs(calls: &[(&str, &str)]) -> String {
    let inside: String = calls
        .iter()
        .map(|(call, state)| {
            format!(
                "<dialog id=\"{call}\" call-id=\"{call}@192.0.2.7\" local-tag=\"l\" remote-tag=\"r\" direction=\"recipient\">\
                 <state>{state}</state></dialog>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
         entity=\"sip:x@192.0.2.7\">{inside}</dialog-info>"
    )
}

/// Id and state of each call that a NOTIFY shows.
fn calls(notify: &Notify) -> Vec<(String, String)> {
    let Ok(tree) = roxmltree::Document::parse(notify.body()) else {
        return Vec::new();
    };
    tree.descendants()
        .filter(|node| node.tag_name().name() == "dialog")
        .map(|node| {
            let state = node
                .children()
                .find(|child| child.tag_name().name() == "state")
                .and_then(|state| state.text());
            (
                node.attribute("id").unwrap_or_default().to_owned(),
                state.unwrap_or_default().to_owned(),
            )
        })
        .collect()
}
