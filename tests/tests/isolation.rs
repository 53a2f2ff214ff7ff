//! One bad row, one row that somebody holds, ten thousand documents: each harms only itself. What others are told takes as long as before.
//!
//! `HOLD_S=60` holds rows for that long; without it for as long as a few hundred NOTIFYs take.

use std::time::{Duration, Instant};

use system_tests::phone::{Dialog, Phone, Publisher};
use system_tests::process::run;
use system_tests::system::{self, STARTUP, System};
use tokio_postgres::Client;

const BOB: &str = "sip:bob@example.org";
const LIFETIME_S: u32 = 3600;

/// Others, and who watches each of them.
const LANES: usize = 4;
const ROUNDS: usize = 60;

/// What is quick enough whatever the machine does beside.
const QUICK: Duration = Duration::from_millis(100);

const IDLE: &str = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR owner IS NOT NULL";

/// A presentity and a lamp.
struct Lane {
    lamp: Dialog,
    state: Publisher,
    round: usize,
}

/// How long changes took to be seen, shortest first.
#[derive(Debug)]
struct Latencies(Vec<Duration>);

impl Lane {
    async fn new(system: &System, number: usize) -> Lane {
        let presentity = format!("sip:lane{number}@example.org");
        let (watcher, phone) = (Phone::udp("watcher").await, Phone::udp("lane").await);
        let lamp = watcher
            .subscribe(system.udp(0), &presentity, LIFETIME_S)
            .await;
        lamp.notify(1).await;
        let mut state = phone.publisher(&presentity);
        state.show(system.udp(0), "open", "begin").await;
        Lane {
            lamp,
            state,
            round: 0,
        }
    }

    /// Changes it until both so many rounds and the time are over.
    async fn play(
        &mut self,
        server: std::net::SocketAddr,
        rounds: usize,
        until: Instant,
    ) -> Vec<Duration> {
        let mut found = Vec::new();
        while found.len() < rounds || Instant::now() < until {
            self.round += 1;
            let note = format!("round {}", self.round);
            let begin = Instant::now();
            self.state.show(server, "open", &note).await;
            self.lamp
                .until(&note, |notify| notify.note() == Some(note.as_str()))
                .await;
            found.push(begin.elapsed());
        }
        found
    }
}

impl Latencies {
    fn at(&self, share: f64) -> Duration {
        let place = (self.0.len() as f64 * share) as usize;
        self.0[place.min(self.0.len() - 1)]
    }

    /// Nobody notices a difference: no more than twice what it was.
    fn assert_as(&self, calm: &Latencies, what: &str) {
        for share in [0.5, 0.99] {
            let (now, before) = (self.at(share), calm.at(share));
            println!("{what}: {share} in {now:?}, before {before:?}");
            let limit = QUICK.max(before * 2);
            assert!(now < limit, "{what}: {share} in {now:?}, not {limit:?}");
        }
    }
}

async fn lanes(system: &System) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for number in 0..LANES {
        lanes.push(Lane::new(system, number).await);
    }
    lanes
}

async fn play(system: &System, lanes: &mut [Lane], until: Instant) -> Latencies {
    let server = system.udp(0);
    let players = lanes
        .iter_mut()
        .map(|lane| lane.play(server, ROUNDS, until));
    let mut found: Vec<Duration> = futures(players).await.into_iter().flatten().collect();
    found.sort();
    Latencies(found)
}

/// Runs all of them side by side.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Some(Box::pin(one)), None)).collect();
    std::future::poll_fn(move |context| {
        for (running, done) in &mut all {
            if let Some(one) = running
                && let std::task::Poll::Ready(value) = one.as_mut().poll(context)
            {
                (*running, *done) = (None, Some(value));
            }
        }
        match all.iter().all(|(running, _)| running.is_none()) {
            true => {
                std::task::Poll::Ready(all.iter_mut().filter_map(|(_, done)| done.take()).collect())
            }
            false => std::task::Poll::Pending,
        }
    })
    .await
}

fn rule(handling: &str) -> String {
    format!(
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\">\
         <rule id=\"r\"><conditions><identity><many/></identity></conditions>\
         <actions><p:sub-handling>{handling}</p:sub-handling></actions>\
         <transformations><p:provide-services><p:all-services/></p:provide-services>\
         <p:provide-persons><p:all-persons/></p:provide-persons>\
         <p:provide-devices><p:all-devices/></p:provide-devices><p:provide-all-attributes/></transformations></rule></ruleset>"
    )
}

/// Another publication of Bob's, by hand: it changes his state and touches no row that was there before.
fn published(note: &str) -> String {
    format!(
        "INSERT INTO presentity (username, domain, event, expires, received_time, body) VALUES ('bob', 'example.org', 'presence', -1, \
         extract(epoch FROM now())::int, '<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\"><tuple id=\"{note}\">\
         <status><basic>open</basic></status><note>{note}</note></tuple></presence>')"
    )
}

fn hold_s() -> u64 {
    let held = std::env::var("HOLD_S").ok();
    held.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn open(system: &System, sql: &str) -> Client {
    let session = system.sql().await;
    session
        .batch_execute(&format!("BEGIN; {sql}"))
        .await
        .unwrap();
    session
}

/// A row of each table that somebody holds, and a change of that resource meanwhile: the others are told as quickly as before, and when it is
/// let go, so is its own watcher.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_delays_its_own_resource_only() {
    // Each lock waits a second at most, and that is an error in PostgreSQL's log.
    let system = system::setup()
        .set("presence.waitn_time", 0)
        .errors_expected()
        .start();
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '{}', 2, 'e', '/rules/bob')",
        rule("allow")
    ));
    let mut lanes = lanes(&system).await;
    let alice = Phone::udp("alice").await;
    let lamp = alice.subscribe(system.udp(0), BOB, LIFETIME_S).await;
    lamp.notify(1).await;
    let mut bob = Phone::udp("bob").await.publisher(BOB);
    bob.show(system.udp(0), "open", "begin").await;
    system
        .until(STARTUP, "SELECT count(*) FROM watchers", 1)
        .await;
    let calm = play(&system, &mut lanes, Instant::now()).await;

    let blocked = format!("UPDATE xcap SET doc = '{}'", rule("block"));
    for (held, change, is_inside) in [
        (
            format!("SELECT 1 FROM active_watchers WHERE presentity_uri = '{BOB}' FOR UPDATE"),
            published("one"),
            false,
        ),
        (
            format!("SELECT 1 FROM presentity WHERE presentity_uri = '{BOB}' FOR UPDATE"),
            published("two"),
            false,
        ),
        // What queues the change is the slow transaction itself.
        (
            format!("SELECT 1 FROM notify_queue WHERE presentity_uri = '{BOB}' FOR UPDATE"),
            published("three"),
            true,
        ),
        (
            "SELECT 1 FROM watchers FOR UPDATE".to_owned(),
            blocked,
            false,
        ),
    ] {
        let before = lamp.count();
        let session = open(&system, &held).await;
        match is_inside {
            true => session.batch_execute(&change).await.unwrap(),
            false => drop(system.psql(&change)),
        }
        let until = Instant::now() + Duration::from_secs(hold_s());
        let during = play(&system, &mut lanes, until).await;
        session.batch_execute("COMMIT").await.unwrap();
        lamp.notify(before + 1).await;
        during.assert_as(&calm, &held);
        system.until(STARTUP, IDLE, 0).await;
    }
    assert!(
        lamp.last().unwrap().ends(),
        "by the last change, of the rules"
    );
}

/// A row that no statement can take, because a trigger raises; and one that none can read. The others of the same poll are told; so are the other
/// watchers of the same presentity. It is set aside, said to be not well, and tried again when it is let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_is_set_aside() {
    let mut system = system::setup()
        .set("presence.waitn_time", 0)
        .notifiers(2)
        .errors_expected()
        .start();
    let client = system.sql().await;
    let mut lanes = lanes(&system).await;
    let (alice, carol) = (Phone::udp("alice").await, Phone::udp("carol").await);
    let dark = alice.subscribe(system.udp(0), BOB, LIFETIME_S).await;
    let lamp = carol.subscribe(system.udp(0), BOB, LIFETIME_S).await;
    dark.notify(1).await;
    lamp.notify(1).await;
    let unreadable = alice
        .subscribe(system.udp(0), "sip:eve@example.org", LIFETIME_S)
        .await;
    unreadable.notify(1).await;
    let eve = Phone::udp("eve").await;
    let mut eve = eve.publisher("sip:eve@example.org");
    eve.show(system.udp(0), "open", "begin").await;
    unreadable.notify(2).await;
    let calm = play(&system, &mut lanes, Instant::now()).await;

    client
        .batch_execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
             CREATE TRIGGER refused BEFORE UPDATE ON active_watchers FOR EACH ROW
                 WHEN (NEW.callid = '{}' AND NEW.local_cseq > OLD.local_cseq) EXECUTE FUNCTION refuse();
             UPDATE presentity SET modified = '294276-12-31' WHERE username = 'eve';",
            dark.call_id()
        ))
        .await
        .unwrap();
    client.batch_execute(&published("one")).await.unwrap();
    client
        .batch_execute("UPDATE presentity SET priority = 7 WHERE username = 'eve'")
        .await
        .unwrap();
    lamp.until("one", |notify| notify.body().contains("one"))
        .await;
    let during = play(&system, &mut lanes, Instant::now()).await;
    during.assert_as(&calm, "beside what is refused");

    let set_aside = |sqlstate: &str, part: &str| {
        format!(
            "SELECT count(*) FROM quarantine WHERE sqlstate = '{sqlstate}' AND step = 'take' AND dialog {part} 0"
        )
    };
    system.until(STARTUP, &set_aside("P0001", ">"), 1).await;
    system.until(STARTUP, &set_aside("22003", "="), 1).await;
    let (status, out, _) = run(&mut system.command("status"), STARTUP);
    assert_eq!(status.code(), Some(1), "{out}");
    assert!(
        out.contains("set aside: sip:bob@example.org presence, subscription"),
        "{out}"
    );
    let mut explain = system.command("explain");
    let (_, out, _) = run(explain.arg(BOB), STARTUP);
    assert!(out.contains("P0001 not this one"), "{out}");

    // It is tried again by itself, and by whichever notifier is there.
    system.notifiers[0].kill9();
    client
        .batch_execute("DROP TRIGGER refused ON active_watchers; UPDATE presentity SET modified = now() WHERE username = 'eve'")
        .await
        .unwrap();
    let released = "SELECT presence_release('sip:eve@example.org', 'presence')";
    system.psql(released);
    play(&system, &mut lanes, Instant::now()).await;
    unreadable.notify(3).await;
    dark.until("one", |notify| notify.body().contains("one"))
        .await;
    system
        .until(STARTUP, "SELECT count(*) FROM quarantine", 0)
        .await;
    system.until(STARTUP, IDLE, 0).await;
    let (status, out, _) = run(&mut system.command("status"), STARTUP);
    assert_eq!(status.code(), Some(0), "{out}");
}

/// Ten thousand documents of rules in one transaction. Among them one that forbids Bob's watcher what is published right after it.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_decisions_hold_up_nobody() {
    let system = system::setup()
        .set("presence.waitn_time", 0)
        .notifiers(2)
        .start();
    let mut lanes = lanes(&system).await;
    let alice = Phone::udp("alice").await;
    let lamp = alice.subscribe(system.udp(0), BOB, LIFETIME_S).await;
    lamp.notify(1).await;
    let others = Phone::udp("others").await;
    system.psql(&format!(
        "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain, event, \
             to_tag, from_tag, callid, remote_cseq, contact, expires, status, updated, notified_version, view, decided_version, local_cseq, version) \
         SELECT 'sip:u' || n || '@example.org', 'w' || n, 'example.org', 'u' || n, 'example.org', 'w' || n, 'example.org', 'presence', \
             'o' || n, 't' || n, 'call' || n, 1, '{}', extract(epoch FROM now())::bigint + 3600, 1, -1, 9223372036854775807, 'all', 0, 1, 1 \
         FROM generate_series(1, 10000) AS n",
        others.contact()
    ));
    system.until(STARTUP, IDLE, 0).await;
    let calm = play(&system, &mut lanes, Instant::now()).await;

    let begin = Instant::now();
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
         SELECT 'u' || n, 'example.org', '{}'::bytea, 2, 'e', '/rules/u' || n FROM generate_series(1, 10000) AS n \
         UNION ALL SELECT 'bob', 'example.org', '{}'::bytea, 2, 'e', '/rules/bob'",
        rule("allow"),
        rule("block")
    ));
    let stored = begin.elapsed();
    system.psql(&published("secret"));
    let during = play(&system, &mut lanes, Instant::now()).await;
    let last = lamp.notify(2).await;
    assert!(
        last.ends() && !last.body().contains("secret"),
        "{}",
        last.body()
    );
    let undecided = "SELECT count(*) FROM notify_queue WHERE decided_rules < rules_version";
    println!(
        "stored after {stored:?}; {} are undecided after {:?}",
        system.count(undecided).await,
        begin.elapsed()
    );
    system.until(Duration::from_secs(60), undecided, 0).await;
    println!("all decided after {:?}", begin.elapsed());
    during.assert_as(&calm, "beside decisions");
    system.until(STARTUP, IDLE, 0).await;
    assert_eq!(lamp.count(), 2);
}
