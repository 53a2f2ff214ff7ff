//! Each configuration key of `[presence]`, by its effect on the wire or in the tables. (Those of
//! expiry are in `rfc3903` and `rfc6665`; `timeout_rm_subs` is in `rfc6665::failures`.)

use std::time::Duration;

use system_tests::phone::{Answer, Notify, Phone};
use system_tests::process::run;
use system_tests::system;
use system_tests::{message, pidf};

const BOB: &str = "sip:bob@example.org";

/// `waitn_time`: the first change after quiet goes out at once; further ones within that time coalesce
/// into one that goes out no later than `waitn_time` after.
#[tokio::test(flavor = "multi_thread")]
async fn waitn_time() {
    let system = system::setup().set("presence.waitn_time", 3).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "first").await;
    let first = dialog
        .until_within(Duration::from_secs(1), "first", |notify| {
            notify.note() == Some("first")
        })
        .await;
    for note in ["second", "third", "fourth"] {
        publisher.show(system.udp(0), "open", note).await;
    }
    let changed = tokio::time::Instant::now();
    let last = dialog
        .until("fourth", |notify| notify.note() == Some("fourth"))
        .await;
    assert_eq!(dialog.count(), 3, "three changes, one NOTIFY");
    let apart = last.at - first.at;
    assert!(apart > Duration::from_millis(2500), "paced: {apart:?}");
    assert!(
        changed.elapsed() < Duration::from_millis(3800),
        "no later than that: {:?}",
        changed.elapsed()
    );
    // A SUBSCRIBE meanwhile is answered at once, and pulls nobody else's NOTIFY forward.
    publisher.show(system.udp(0), "open", "fifth").await;
    let other = alice.subscribe(system.udp(0), BOB, 600).await;
    let at_once = other
        .until_within(Duration::from_secs(1), "the first NOTIFY", |_| true)
        .await;
    assert_eq!(at_once.note(), Some("fifth"));
    let fifth = dialog
        .until("fifth", |notify| notify.note() == Some("fifth"))
        .await;
    assert!(
        fifth.at - last.at > Duration::from_millis(2500),
        "{:?}",
        fifth.at - last.at
    );
}

/// `notifier_processes = 0`: the server process sends NOTIFYs itself, at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_notifier_processes() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.notifier_processes", 0)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let natted = Phone::natted("nat", "10.255.254.253:5062").await;
    let tcp = Phone::tcp("tcp", system.tcp(0)).await;
    let dialogs = [
        alice.subscribe(system.udp(0), BOB, 600).await,
        natted.subscribe(system.udp(0), BOB, 600).await,
        tcp.subscribe(system.tcp(0), BOB, 600).await,
    ];
    let mut publisher = bob.publisher(BOB);
    for note in ["one", "two", "three"] {
        publisher.show(system.udp(0), "open", note).await;
        for dialog in &dialogs {
            dialog
                .until_within(Duration::from_secs(2), note, |notify| {
                    notify.note() == Some(note)
                })
                .await;
        }
    }
}

/// `force_delete`: expired publications go without a word to the watchers.
#[tokio::test(flavor = "multi_thread")]
async fn force_delete() {
    let system = system::setup().set("presence.force_delete", 1).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    bob.publisher(BOB)
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "short"), 2)
        .await;
    dialog
        .until("open", |notify| notify.basic() == "open")
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM presentity WHERE NOT removed",
            0,
        )
        .await;
    assert_eq!(
        system
            .count("SELECT count(*) FROM notify_queue WHERE due <> 'infinity'")
            .await,
        0
    );
    // An explicit removal is told, as ever.
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "x").await;
    dialog.until("x", |notify| notify.note() == Some("x")).await;
    assert_eq!(dialog.count(), 3, "nothing between: the expiry was silent");
    publisher.remove(system.udp(0)).await;
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
}

/// `expires_offset`: subtracted from the Expires of the answer to PUBLISH, not from what is stored; half is told at least.
#[tokio::test(flavor = "multi_thread")]
async fn expires_offset() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.expires_offset", 20)
        .start();
    let bob = Phone::udp("bob").await;
    let document = pidf::document(BOB, "t", "open", "x");
    // Where less than half would be left, half is told: nobody refreshes each second, or takes his publication for ended.
    for (asked, shown) in [
        (100, "80"),
        (40, "20"),
        (30, "15"),
        (21, "11"),
        (20, "10"),
        (1, "1"),
    ] {
        let response = bob
            .publisher(BOB)
            .publish(system.udp(0), &document, asked)
            .await;
        assert_eq!(response.status(), Some(200));
        assert_eq!(response.header("Expires"), Some(shown), "asked for {asked}");
    }
    // Stored times are rounded up to a second, so now is as well.
    let stored = system
        .count("SELECT max(expires) - ceil(extract(epoch FROM now()))::bigint FROM presentity")
        .await;
    assert!((98..=100).contains(&stored), "{stored}");
}

/// `min_expires_action = 2`: too short is made longer instead of refused.
#[tokio::test(flavor = "multi_thread")]
async fn min_expires_action() {
    let system = system::setup()
        .set("presence.min_expires", 60)
        .set("presence.min_expires_action", 2)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let response = bob
        .publisher(BOB)
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "x"), 5)
        .await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("60")),
        "{response}"
    );
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(5)), system.udp(0))
        .await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("60")),
        "{response}"
    );
    dialog.unsubscribe(system.udp(0)).await;
}

/// `cseq_offset`: how far a refresh may be behind and still be taken: by 3 with 3, by 4 not.
#[tokio::test(flavor = "multi_thread")]
async fn cseq_offset() {
    let system = system::setup().set("presence.cseq_offset", 3).start();
    let alice = Phone::udp("alice").await;
    let request = alice
        .subscription(BOB, Some(600))
        .set("CSeq", "100 SUBSCRIBE");
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    for (cseq, status) in [
        (98, 200),
        (97, 200),
        (96, 500),
        (150, 200),
        (147, 200),
        (146, 500),
    ] {
        let request = dialog
            .request("SUBSCRIBE")
            .with("Expires", "300")
            .set("CSeq", format!("{cseq} SUBSCRIBE"));
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "CSeq {cseq}: {response}");
    }
}

/// `server_address`: the Contact of answers to SUBSCRIBE and PUBLISH and of NOTIFYs, as it is written: also for a phone that comes by
/// TCP. That this phone is sent to a UDP address is worth a word, in the log and from `config check`.
#[tokio::test(flavor = "multi_thread")]
async fn server_address_is_used_as_it_is_written() {
    const ADDRESS: &str = "sip:presence.example.org:5070";
    let system = system::setup()
        .set("presence.server_address", ADDRESS)
        .start();
    for (phone, server) in [
        (Phone::udp("alice").await, system.udp(0)),
        (Phone::tcp("tcp", system.tcp(0)).await, system.tcp(0)),
    ] {
        let (dialog, response) = phone
            .subscribe_with(&phone.subscription(BOB, Some(60)), server)
            .await;
        let contact = response.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS);
        let notify = dialog.notify(1).await;
        let contact = notify.message.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS);
        let refreshed = dialog.refresh(server, 60).await;
        let contact = refreshed.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS);
        let published = phone
            .publisher(BOB)
            .publish(server, &pidf::document(BOB, "t", "open", "x"), 60)
            .await;
        let contact = published.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS, "{published}");
    }
    let stored = "SELECT count(*) FROM active_watchers WHERE local_contact = 'sip:presence.example.org:5070'";
    assert_eq!(system.count(stored).await, 2);
    let sentence = "presence.server_address: names no transport, so phones that come to tcp:";
    let log = system.servers[0].process.lines().join("\n");
    assert!(log.contains(sentence), "{log}");
    let check = |sets: &[&str]| {
        let mut command = std::process::Command::new(system_tests::process::pgpresence());
        command.args(["config", "check"]);
        for set in sets {
            command.args(["--set", set]);
        }
        let (status, _, err) = run(&mut command, system::STARTUP);
        assert_eq!(status.code(), Some(0), "{err}");
        err
    };
    let address = format!("presence.server_address={ADDRESS}");
    assert!(check(&[&address]).contains(sentence));
    for silent in [
        &[&*format!("{address};transport=tcp")][..],
        &[&address, "server.listen=udp:127.0.0.1:5060"],
        &[
            &address,
            "server.listen=udp:127.0.0.1:5060, tcp:127.0.0.1:5060 advertise sip:192.0.2.1",
        ],
    ] {
        assert_eq!(check(silent), "", "{silent:?}");
    }
}

/// Without it, the answer to PUBLISH has no Contact.
#[tokio::test(flavor = "multi_thread")]
async fn server_address() {
    let system = system::setup()
        .set(
            "presence.server_address",
            "sip:presence.example.org:5070;transport=udp",
        )
        .start();
    let alice = Phone::udp("alice").await;
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(60)), system.udp(0))
        .await;
    let contact = response.header("Contact").unwrap_or_default();
    assert_eq!(
        message::addr(contact),
        "sip:presence.example.org:5070;transport=udp"
    );
    let notify = dialog.notify(1).await;
    let contact = notify.message.header("Contact").unwrap_or_default();
    assert_eq!(
        message::addr(contact),
        "sip:presence.example.org:5070;transport=udp"
    );
    let none = system::setup().notifiers(0).start();
    let published = alice
        .publisher(BOB)
        .publish(none.udp(0), &pidf::document(BOB, "t", "open", "x"), 60)
        .await;
    assert_eq!(
        (published.status(), published.header("Contact")),
        (Some(200), None),
        "{published}"
    );
}

/// A listener that is called otherwise where phones are goes before it.
#[tokio::test(flavor = "multi_thread")]
async fn server_address_of_a_listener() {
    let system = system::setup()
        .listen("udp:127.0.0.1:0 advertise sip:192.0.2.7:5062")
        .listen("tcp:0.0.0.0:0 advertise sip:192.0.2.8")
        .set("presence.server_address", "sip:presence.example.org")
        .start();
    let of = |transport: &str| {
        let listeners = system.servers[0].listen.iter();
        listeners
            .filter(|(name, _)| name == transport)
            .map(|(_, addr)| *addr)
            .collect::<Vec<_>>()
    };
    let (udp, tcp) = (of("udp"), of("tcp"));
    let everywhere = (std::net::Ipv4Addr::LOCALHOST, tcp[1].port()).into();
    let alice = Phone::udp("alice").await;
    for (phone, server, shown) in [
        (&alice, udp[0], "sip:presence.example.org"),
        (&alice, udp[1], "sip:192.0.2.7:5062"),
        (
            &Phone::tcp("tcp", tcp[0]).await,
            tcp[0],
            "sip:presence.example.org",
        ),
        (
            &Phone::tcp("tcp", everywhere).await,
            everywhere,
            "sip:192.0.2.8;transport=tcp",
        ),
    ] {
        let (dialog, response) = phone
            .subscribe_with(&phone.subscription(BOB, Some(60)), server)
            .await;
        let contact = response.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), shown);
        let notify = dialog.notify(1).await;
        let contact = notify.message.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), shown);
    }
}

/// Without `server_address`, the Contact is the address at which the SUBSCRIBE came in.
#[tokio::test(flavor = "multi_thread")]
async fn no_server_address() {
    let system = system::start();
    let (alice, tcp) = (
        Phone::udp("alice").await,
        Phone::tcp("tcp", system.tcp(0)).await,
    );
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(60)), system.udp(0))
        .await;
    let shown = message::addr(response.header("Contact").unwrap_or_default()).to_string();
    assert!(shown.contains(&system.udp(0).to_string()), "{shown}");
    let notify = dialog.notify(1).await;
    assert_eq!(
        message::addr(notify.message.header("Contact").unwrap_or_default()),
        shown
    );
    let (dialog, response) = tcp
        .subscribe_with(&tcp.subscription(BOB, Some(60)), system.tcp(0))
        .await;
    let shown = message::addr(response.header("Contact").unwrap_or_default()).to_string();
    assert!(
        shown.contains(&system.tcp(0).to_string()) && shown.contains("transport=tcp"),
        "{shown}"
    );
    dialog.notify(1).await;
}

/// `fetch_rows`: how much is taken in one step; it changes nothing but the number of steps.
#[tokio::test(flavor = "multi_thread")]
async fn fetch_rows() {
    let system = system::setup()
        .set("presence.fetch_rows", 1)
        .notifiers(2)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let mut dialogs = Vec::new();
    for number in 0..10 {
        let presentity = format!("sip:u{number}@example.org");
        dialogs.push((
            alice.subscribe(system.udp(0), &presentity, 600).await,
            presentity,
        ));
    }
    for (dialog, presentity) in &dialogs {
        bob.publisher(presentity)
            .publish(
                system.udp(0),
                &pidf::document(presentity, "t", "open", "x"),
                2,
            )
            .await;
        dialog
            .until("open", |notify| notify.basic() == "open")
            .await;
    }
    for (dialog, _) in &dialogs {
        dialog
            .until("closed", |notify| notify.basic() == "closed")
            .await;
    }
}

/// `sip_uri_match = 1`: Bob and bob are one; with 0 they are two.
#[tokio::test(flavor = "multi_thread")]
async fn sip_uri_match() {
    for (value, rows) in [(0, 2), (1, 1)] {
        let system = system::setup().set("presence.sip_uri_match", value).start();
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        for uri in ["sip:BOB@example.org", BOB] {
            bob.publisher(uri).show(system.udp(0), "open", "x").await;
        }
        dialog
            .until("open", |notify| notify.basic() == "open")
            .await;
        assert_eq!(
            system
                .count("SELECT count(DISTINCT presentity_uri) FROM presentity")
                .await,
            rows
        );
    }
}

/// `send_fast_notify = 0`: nothing is sent while nothing is published, in no package, because some phones choke on an empty document.
/// What is published is sent, and its end; a NOTIFY that ends a subscription always goes, then without a document.
#[tokio::test(flavor = "multi_thread")]
async fn send_fast_notify() {
    let system = system::setup().set("presence.send_fast_notify", 0).start();
    let server = system.udp(0);
    let idle = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR owner IS NOT NULL";
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    for event in [
        "presence",
        "dialog",
        "dialog;sla",
        "message-summary",
        "conference",
        "reg",
        "ua-profile",
    ] {
        let dialog = alice.subscribe_to(server, BOB, event, 600).await;
        system.until(system::STARTUP, idle, 0).await;
        assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
        system.until(system::STARTUP, idle, 0).await;
        assert_eq!(dialog.count(), 0, "{event}");
        let last = dialog.unsubscribe(server).await;
        assert_eq!((last.cseq, last.body()), (1, ""), "{event}");
    }

    let dialog = alice.subscribe(server, BOB, 600).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(server, "open", "something").await;
    let notify = dialog
        .until("something", |notify| notify.note() == Some("something"))
        .await;
    assert_eq!(notify.cseq, 1);
    publisher.remove(server).await;
    let notify = dialog
        .until("the end of it", |notify| notify.basic() == "closed")
        .await;
    assert_eq!(notify.cseq, 2);
    system.until(system::STARTUP, idle, 0).await;
    // It knows that there is nothing.
    assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
    system.until(system::STARTUP, idle, 0).await;
    assert_eq!(dialog.count(), 2);
    publisher.etag = None;
    publisher.show(server, "open", "more").await;
    let notify = dialog
        .until("more", |notify| notify.note() == Some("more"))
        .await;
    assert_eq!(notify.cseq, 3);
    assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
    assert_eq!(dialog.notify(4).await.note(), Some("more"));
    dialog.unsubscribe(server).await;

    // Who is refused is told so, whatever is published.
    system.psql(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('carol', 'example.org', \
         '<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>', 2, 'e1', '/pres-rules/users/carol/index')",
    );
    let refused = alice.subscribe(server, "sip:carol@example.org", 600).await;
    assert!(refused.notify(1).await.ends());
}

/// `clean_period` is about the dead, not about expiry: that is noticed at once.
#[tokio::test(flavor = "multi_thread")]
async fn clean_period() {
    let system = system::setup().unset("presence.clean_period").start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 2).await;
    dialog
        .until_within(Duration::from_secs(5), "the end by expiry", Notify::ends)
        .await;
}

/// `notifier_poll_rate`: without a doorbell that rings (rows typed by hand ring none) the poll finds
/// the work, so the rate bounds the delay.
#[tokio::test(flavor = "multi_thread")]
async fn notifier_poll_rate() {
    for (rate, within) in [(1, 1700), (20, 700)] {
        let system = system::setup()
            .set("presence.notifier_poll_rate", rate)
            .start();
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        let sql = system.sql().await;
        let begin = tokio::time::Instant::now();
        sql.execute(
            "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender) \
             VALUES ('bob', 'example.org', 'presence', 'x', -1, 0, $1, '')",
            &[&pidf::document(BOB, "t", "open", "x").as_bytes()],
        )
        .await
        .unwrap();
        let notify = dialog
            .until("open", |notify| notify.basic() == "open")
            .await;
        let took = notify.at - begin;
        assert!(
            took < Duration::from_millis(within),
            "rate {rate}: {took:?}"
        );
    }
}

/// `local_log_level`, `local_log_facility`: a line for each NOTIFY that is sent and for its answer, to the system's log by facility and
/// level; here the test is that log.
#[tokio::test(flavor = "multi_thread")]
async fn local_log_facility() {
    let folder = system_tests::process::Sandbox::new();
    let path = folder.directory().join("log");
    let log = tokio::net::UnixDatagram::bind(&path).unwrap();
    let system = system::setup()
        .set("presence.local_log_level", 1)
        .set("presence.local_log_facility", "LOG_LOCAL3")
        .set("log.syslog", path.display())
        // It is not the log's level that counts.
        .set("log.level", "error")
        .start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let first = dialog.notify(1).await;
    let call_id = first.message.header("Call-ID").unwrap_or_default();
    let about = |cseq| {
        format!(
            "{} on behalf of {BOB} for event presence: {call_id} CSeq {cseq}",
            alice.contact()
        )
    };
    // 19 * 8 + 5, by RFC 3164 section 4.1.1.
    let head = format!("<157>pgpresence[{}]: NOTIFY ", system.notifiers[0].pid());
    let line = async || {
        let mut buffer = [0; 2048];
        let read = tokio::time::timeout(system::STARTUP, log.recv(&mut buffer)).await;
        let length = read.expect("a line in time").unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(line().await, format!("{head}sent to {}", about(1)));
    assert_eq!(line().await, format!("{head}answered 200 by {}", about(1)));
    dialog.answers(Answer::Status(481, vec![]));
    Phone::udp("bob")
        .await
        .publisher(BOB)
        .show(system.udp(0), "open", "x")
        .await;
    assert_eq!(line().await, format!("{head}sent to {}", about(2)));
    assert_eq!(line().await, format!("{head}answered 481 by {}", about(2)));
    assert!(
        !system.notifiers[0]
            .lines()
            .join("\n")
            .contains("NOTIFY sent"),
        "not in the log as well"
    );
}

/// Without a facility they are lines of the log, at that level. The default is Kamailio's, 2, which is not seen at `log.level = "info"`, as
/// in Kamailio, whose own level lies below it unless it is set; at `debug` it is.
#[tokio::test(flavor = "multi_thread")]
async fn local_log_level() {
    for (level, log_level, word) in [
        (None, None, None),
        (Some(2), None, None),
        (None, Some("info,notifier::notify=debug"), Some("DEBUG")),
        (Some(1), None, Some("INFO")),
        (Some(-1), None, Some("ERROR")),
        (Some(0), Some("error"), None),
    ] {
        let mut setup = system::setup();
        if let Some(level) = level {
            setup = setup.set("presence.local_log_level", level);
        }
        if let Some(level) = log_level {
            setup = setup.set("log.level", level);
        }
        let mut system = setup.start();
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        dialog.unsubscribe(system.udp(0)).await;
        if let Some(word) = word {
            let is_line = |line: &str| {
                line.contains(word) && line.contains("NOTIFY answered 200 by sip:alice@")
            };
            let found = system.notifiers[0].line(system::STARTUP, is_line);
            assert!(found.is_ok(), "{found:?}");
        }
        system.notifiers[0].terminate(system::STARTUP).unwrap();
        let lines = system.notifiers[0].lines().join("\n");
        assert_eq!(
            lines.contains("NOTIFY"),
            word.is_some(),
            "{level:?} {log_level:?}: {lines}"
        );
    }
}

/// systemd says by JOURNAL_STREAM which file is the journal's.
#[tokio::test(flavor = "multi_thread")]
async fn lines_for_the_journal_have_priorities() {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    let system = system::setup().servers(0).notifiers(0).start();
    for is_journal in [true, false] {
        let (mut read, write) = std::io::pipe().unwrap();
        let write = std::fs::File::from(std::os::fd::OwnedFd::from(write));
        let metadata = write.metadata().unwrap();
        let inode = metadata.ino() + u64::from(!is_journal);
        let mut command = system.command("migrate");
        command
            .args(["--set", "log.level=debug"])
            .env("JOURNAL_STREAM", format!("{}:{inode}", metadata.dev()))
            .stdout(std::process::Stdio::null())
            .stderr(write);
        let mut child = command.spawn().unwrap();
        // The command holds the other end of the pipe.
        drop(command);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        assert!(text.lines().count() > 0, "nothing was logged");
        for line in text.lines() {
            let has_priority = ["<3>", "<4>", "<6>", "<7>"]
                .iter()
                .any(|priority| line.starts_with(priority));
            assert_eq!(has_priority, is_journal, "{line}");
        }
    }
}

/// Wrong values are all reported, with their paths, and the exit code is 2.
#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_reported() {
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check"]);
    for mistake in [
        "presence.max_expires=never",
        "presence.min_expires_action=3",
        "presence.no_such_key=1",
        "no_such_section.key=1",
        "server.listen=[\"udp:nowhere\"]",
        "presence.sip_uri_match=7",
    ] {
        command.args(["--set", mistake]);
    }
    let (status, out, err) = run(&mut command, system::STARTUP);
    assert_eq!(status.code(), Some(2), "{out}{err}");
    for path in [
        "max_expires",
        "min_expires_action",
        "no_such_key",
        "no_such_section",
        "listen",
        "sip_uri_match",
    ] {
        assert!(err.contains(path), "{path} is not reported:\n{err}");
    }
}

/// Environment and file set the same keys; the command line wins over the environment, that over the file.
#[tokio::test(flavor = "multi_thread")]
async fn file_environment_command_line() {
    let system = system::setup().servers(0).notifiers(0).start();
    let file = system.sandbox().directory().join("pgpresence.toml");
    std::fs::write(
        &file,
        "[presence]\nmax_expires = 100\nmin_expires = 10\nwaitn_time = 7\n",
    )
    .unwrap();
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command
        .args(["config", "show", "--config"])
        .arg(&file)
        .args(["--set", "presence.waitn_time=9"])
        .env("PGPRESENCE_PRESENCE__WAITN_TIME", "8")
        .env("PGPRESENCE_PRESENCE__MIN_EXPIRES", "20");
    let (status, out, err) = run(&mut command, system::STARTUP);
    assert!(status.success(), "{out}{err}");
    for line in ["max_expires = 100", "min_expires = 20", "waitn_time = 9"] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
}

/// What steers a table in memory, a timer or a replication is no mistake: one sentence says what does that job here, from
/// `config check` and in the log of each process. What asks for that which happens anyway is not worth a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_steers_nothing_here_is_answered() {
    let keys = [
        ("subs_db_mode", "1", "subscriptions are in the database"),
        ("publ_cache", "2", "publications are in the database"),
        ("subs_htable_size", "9", "no table in memory"),
        ("pres_htable_size", "9", "no table in memory"),
        ("db_update_period", "100", "stored before it is answered"),
        ("timer_mode", "1", "no timer processes"),
        ("db_table_lock_type", "0", "rows are locked, never tables"),
        ("enable_dmq", "1", "nothing to replicate"),
        ("startup_mode", "0", "what has expired is never shown"),
        ("subs_remove_match", "0", "by its Call-ID and both tags"),
    ];
    let mut setup = system::setup();
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check"]);
    for (key, value, _) in keys {
        setup = setup.set(&format!("presence.{key}"), value);
        command.args(["--set", &format!("presence.{key}={value}")]);
    }
    let (status, out, err) = run(&mut command, system::STARTUP);
    assert_eq!(
        (status.code(), out.trim()),
        (Some(0), "the configuration is valid")
    );
    assert_eq!(err.lines().count(), keys.len(), "{err}");
    let system = setup.start();
    let logs = [
        system.servers[0].process.lines().join("\n"),
        system.notifiers[0].lines().join("\n"),
    ];
    for (key, _, sentence) in keys {
        for text in [&err, &logs[0], &logs[1]] {
            let line = text
                .lines()
                .find(|line| line.contains(&format!("presence.{key}: ")));
            let line = line.unwrap_or_else(|| panic!("{key} is not answered:\n{text}"));
            assert!(
                line.contains("has no meaning here") && line.contains(sentence),
                "{line}"
            );
        }
    }

    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check"]);
    for anyway in [
        "subs_db_mode=3",
        "publ_cache=0",
        "enable_dmq=0",
        "startup_mode=1",
        "subs_remove_match=1",
    ] {
        command.args(["--set", &format!("presence.{anyway}")]);
    }
    let (status, _, err) = run(&mut command, system::STARTUP);
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check", "--set", "presence.timer_mode=often"]);
    let (status, _, err) = run(&mut command, system::STARTUP);
    assert!(
        status.code() == Some(2) && err.contains("presence.timer_mode: must be a whole number"),
        "{err}"
    );
}
