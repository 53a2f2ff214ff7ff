//! kill -9 of anything, at random instants, under load.
//!
//! Publishers and watchers behave as patient clients do: they retransmit to the other server, and try
//! again after 503. Nothing that was acknowledged may be lost, every watcher must end on the last
//! state, no CSeq may stand for two different NOTIFYs, nothing may be left behind when all has expired,
//! and PostgreSQL may not have found a deadlock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use system_tests::judge::{Ledger, Source, Watch, phones, watches};
use system_tests::phone::{Dialog, Notify, Phone, Tolerance};
use system_tests::system::{self, System};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long subscriptions and publications last without a refresh.
const LIFETIME_S: u32 = 24;
const VICTIMS: [&str; 5] = [
    "server 0",
    "notifier 0",
    "PostgreSQL",
    "server 1",
    "notifier 1",
];

struct Size {
    rounds: usize,
    presentities: usize,
    watchers: usize,
    pause: Duration,
}

/// Each process is killed once, and two more in turn.
#[tokio::test(flavor = "multi_thread")]
async fn chaos_short() {
    chaos(Size {
        rounds: 5,
        presentities: 15,
        watchers: 6,
        pause: Duration::from_millis(150),
    })
    .await;
}

/// Fifty rounds, 1,000 dialogs: `./dev chaos`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./dev chaos"]
async fn chaos_long() {
    chaos(Size {
        rounds: 50,
        presentities: 50,
        watchers: 20,
        pause: Duration::from_millis(250),
    })
    .await;
}

async fn chaos(size: Size) {
    let seed = std::env::var("CHAOS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("CHAOS_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut system = system::setup()
        .servers(2)
        .notifiers(2)
        .set("notifier.lease_s", 3)
        .set("notifier.retry_min_s", 1)
        .errors_expected()
        .start();
    let servers = system.all_udp();
    let presentities: Vec<String> = (0..size.presentities)
        .map(|number| format!("sip:p{number}@example.org"))
        .collect();

    let watchers = phones(8).await;
    for phone in &watchers {
        phone.keeps(2);
        phone.tolerates(Tolerance {
            gaps: true,
            answers: true,
            ..Tolerance::default()
        });
    }
    let to = servers.clone();
    let all = watches(
        &watchers,
        &presentities,
        size.watchers,
        move |phone, presentity, index| {
            let server = to[index % 2];
            async move { phone.subscribe(server, &presentity, LIFETIME_S).await }
        },
    )
    .await;

    let ledger = Ledger::default();
    let (publishing, watching) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicBool::new(true)),
    );
    let mut publishers = JoinSet::new();
    for (number, presentity) in presentities.iter().enumerate() {
        let phone = Phone::udp(&format!("p{number}")).await;
        phone.tolerates(Tolerance {
            answers: true,
            ..Tolerance::default()
        });
        for name in ["s0", "s1"] {
            let source = Source::new(&phone, &ledger, presentity, name);
            publishers.spawn(publish(
                source,
                phone.clone(),
                servers.clone(),
                publishing.clone(),
                size.pause,
            ));
        }
    }
    let mut refreshers = JoinSet::new();
    for (dialog, _) in &all {
        refreshers.spawn(refresh(dialog.clone(), servers.clone(), watching.clone()));
    }

    for round in 0..size.rounds {
        sleep(Duration::from_millis(dice.random_range(200..1500))).await;
        let victim = if round < VICTIMS.len() {
            round
        } else {
            dice.random_range(0..VICTIMS.len())
        };
        let down = Duration::from_millis(dice.random_range(0..1200));
        println!(
            "round {round}: kill -9 of {}, down for {down:?}",
            VICTIMS[victim]
        );
        kill(&mut system, victim, down).await;
    }

    publishing.store(false, Ordering::Relaxed);
    while let Some(done) = publishers.join_next().await {
        done.expect("no publisher panics")
            .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
    ledger
        .reached(&all, false, Duration::from_secs(45))
        .await
        .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    stored(&system, &ledger, &all, &presentities).await;

    watching.store(false, Ordering::Relaxed);
    while let Some(done) = refreshers.join_next().await {
        done.expect("no watcher panics")
            .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
    for (dialog, _) in &all {
        let last = dialog
            .until_within(Duration::from_secs(60), "the end by expiry", Notify::ends)
            .await;
        assert_eq!(last.state.reason.as_deref(), Some("timeout"));
    }
    for table in ["presentity", "active_watchers", "notify_queue"] {
        system
            .until(
                Duration::from_secs(90),
                &format!("SELECT count(*) FROM {table}"),
                0,
            )
            .await;
    }
    assert_eq!(
        system.postgres_log("deadlock detected"),
        Vec::<String>::new()
    );
}

async fn publish(
    mut source: Source,
    phone: Phone,
    servers: Vec<SocketAddr>,
    on: Arc<AtomicBool>,
    pause: Duration,
) -> Result<(), String> {
    while on.load(Ordering::Relaxed) {
        let mut servers = servers.clone();
        servers.rotate_left(usize::from(rand::random::<bool>()));
        source.insist(&phone, &servers, LIFETIME_S).await?;
        sleep(pause).await;
    }
    // One more after the last kill, so that nothing is left to expire while the watchers are looked at.
    source.insist(&phone, &servers, LIFETIME_S).await
}

/// Keeps a subscription alive; a 481 means that an acknowledged subscription was lost.
async fn refresh(
    dialog: Dialog,
    servers: Vec<SocketAddr>,
    on: Arc<AtomicBool>,
) -> Result<(), String> {
    let phone = dialog.phone();
    loop {
        for _ in 0..60 {
            if !on.load(Ordering::Relaxed) {
                return Ok(());
            }
            sleep(Duration::from_millis(80 + rand::random::<u64>() % 40)).await;
        }
        loop {
            let mut servers = servers.clone();
            servers.rotate_left(usize::from(rand::random::<bool>()));
            let request = dialog
                .request("SUBSCRIBE")
                .with("Expires", LIFETIME_S.to_string());
            let response = phone
                .try_send(&request, &servers, Duration::from_secs(32))
                .await?;
            dialog.learn(&response);
            match response.status() {
                Some(200) => break,
                Some(503) => sleep(Duration::from_millis(300)).await,
                _ => return Err(format!("a refresh got\n{response}\nto\n{request}")),
            }
        }
    }
}

async fn kill(system: &mut System, victim: usize, down: Duration) {
    match victim {
        0 => system.servers[0].process.kill9(),
        3 => system.servers[1].process.kill9(),
        1 => system.notifiers[0].kill9(),
        4 => system.notifiers[1].kill9(),
        _ => system.kill9_postgres(),
    }
    sleep(down).await;
    tokio::task::block_in_place(|| match victim {
        0 => system.restart_server(0),
        3 => system.restart_server(1),
        1 => system.restart_notifier(0),
        4 => system.restart_notifier(1),
        _ => system.restart_postgres(),
    });
}

/// Everything that was acknowledged is a row.
async fn stored(system: &System, ledger: &Ledger, all: &[Watch], presentities: &[String]) {
    let client = system.sql().await;
    for (dialog, presentity) in all {
        let rows = client
            .query("SELECT 1 FROM active_watchers WHERE callid = $1 AND presentity_uri = $2 AND status = 1", &[&dialog.call_id(), presentity])
            .await
            .unwrap();
        assert_eq!(
            rows.len(),
            1,
            "the dialog {} of {presentity}",
            dialog.call_id()
        );
    }
    for presentity in presentities {
        for (tuple, number) in ledger.expected(presentity) {
            let wanted = format!("%id=\"{tuple}\"%<note>{number}</note>%");
            let rows = client
                .query(
                    "SELECT 1 FROM presentity WHERE presentity_uri = $1 AND NOT removed AND convert_from(body, 'UTF8') LIKE $2",
                    &[presentity, &wanted],
                )
                .await
                .unwrap();
            assert_eq!(rows.len(), 1, "{presentity}: {tuple} with {number}");
        }
    }
}
