//! Coming from Kamailio: a running one is moved over while phones stay subscribed.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use system_tests::phone::{Dialog, Phone};
use system_tests::process::{Process, run};
use system_tests::system::{self, STARTUP, System};

const BOB: &str = "sip:bob@example.org";
const LAYOUT: &str = include_str!("../../sql/tests/kamailio.sql");

/// The URL of Kamailio's database, made now.
async fn kamailio_database(system: &System) -> String {
    system
        .cluster()
        .create_database("kamailio")
        .expect("a database");
    let url = system.cluster().url("kamailio");
    sql(&url, LAYOUT).await;
    url
}

async fn sql(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    client
        .batch_execute(statements)
        .await
        .unwrap_or_else(|fault| panic!("{statements}: {fault:?}"));
}

/// Runs `import`; standard output and error.
fn import(system: &System, url: &str, options: &[&str]) -> (String, String) {
    let mut command = system.command("import");
    command.args(["--from", url]).args(options);
    let (status, out, errors) = run(&mut command, STARTUP);
    assert!(status.success(), "{status}\n{out}\n{errors}");
    (out, errors)
}

// === rows ===

const ROWS: &str = "
    INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender)
    SELECT v.username, 'Example.org', v.event, v.etag, extract(epoch FROM now())::int + v.left_s, 7,
           convert_to('<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\"><tuple id=\"t\"><status><basic>open</basic></status></tuple></presence>', 'UTF8'), ''
    FROM (VALUES ('bob', 'presence', 'a.1.2.3.0', 600), ('bob', 'presence', '*#-OFFLINE-#*', -1),
                 ('bob', 'call-info', 'a.1.2.4.0', 600)) AS v (username, event, etag, left_s);
    INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, event, to_tag, from_tag,
        callid, local_cseq, remote_cseq, contact, record_route, expires, status, version, socket_info, local_contact, from_user,
        from_domain, updated, updated_winfo)
    SELECT 'sip:bob@Example.org', 'w' || n, 'example.org', 'bob', 'example.org', 'presence', 'to' || n, 'from' || n, 'call' || n,
        n % 5, 3, CASE WHEN n = 7 THEN 'broken' ELSE 'sip:w@192.0.2.1' END, '<sip:a;lr>,<sip:b;lr>',
        extract(epoch FROM now())::int + CASE WHEN n = 8 THEN -5 ELSE 600 END, CASE WHEN n = 9 THEN 3 ELSE 1 END, n % 5 + 1,
        'udp:192.0.2.9:5060', 'sip:192.0.2.9:5060', 'w' || n, 'example.org', CASE WHEN n = 10 THEN 3 ELSE -1 END, -1
    FROM generate_series(1, 1200) AS n;
    INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, inserted_time)
    VALUES ('sip:bob@example.org', 'w1', 'example.org', 1, 99), ('sip:bob@EXAMPLE.org', 'w1', 'example.org', 2, 100),
           ('sip:bob@example.org', 'w2', 'example.org', 9, 99);
    INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)
    VALUES ('bob', 'example.org', '<rules/>', 2, 'e1', 0, '/pres-rules/users/bob/index', 0);";

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_over_once_and_what_cannot_is_named() {
    let system = system::setup().servers(0).notifiers(0).start();
    let url = kamailio_database(&system).await;
    sql(&url, ROWS).await;

    let expected = [
        "presentity: 3 read: 1 new, 0 changed, 0 as before, 0 newer here, 2 skipped; 0 gone since",
        "active_watchers: 1200 read: 1197 new, 0 changed, 0 as before, 0 newer here, 3 skipped; 0 gone since",
        "1 of these dialogs get a NOTIFY as soon as a notifier runs",
        "watchers: 3 read: 1 new, 0 changed, 0 as before, 0 newer here, 1 skipped; 0 gone since",
        "xcap: 1 read: 1 new, 0 changed, 0 as before, 0 newer here, 0 skipped; 0 gone since",
    ];
    let (out, errors) = import(&system, &url, &["--dry-run"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..5], expected);
    assert_eq!(lines[5..], ["nothing was written: --dry-run"]);
    let named = [
        "skipped: presentity 2: it expired 1 s ago",
        "skipped: presentity 3: the event package call-info is not served here",
        "skipped: active_watchers 7: its contact is not a SIP URI",
        "skipped: active_watchers 8: it expired 5 s ago",
        "skipped: active_watchers 9: it has ended",
        "skipped: watchers 3: there is no status 9",
    ];
    for line in named {
        // A second may pass.
        let stem = line
            .split(" s ago")
            .next()
            .unwrap()
            .trim_end_matches(char::is_numeric);
        assert!(errors.contains(stem), "{line} is missing:\n{errors}");
    }
    assert_eq!(errors.lines().count(), named.len(), "{errors}");
    let rows = "(SELECT count(*) FROM presentity) + (SELECT count(*) FROM active_watchers) \
                + (SELECT count(*) FROM watchers) + (SELECT count(*) FROM xcap)";
    assert_eq!(system.count(&format!("SELECT {rows}")).await, 0);

    assert_eq!(
        import(&system, &url, &[]).0.lines().collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        system.count(&format!("SELECT {rows}")).await,
        1 + 1197 + 1 + 1
    );
    let (out, _) = import(&system, &url, &[]);
    assert!(
        out.contains("active_watchers: 1200 read: 0 new, 0 changed, 1197 as before"),
        "{out}"
    );
    assert!(
        out.contains("presentity: 3 read: 0 new, 0 changed, 1 as before"),
        "{out}"
    );
    assert!(out.contains("\n0 of these dialogs get a NOTIFY"), "{out}");
    let next = "SELECT count(*) FROM active_watchers WHERE local_cseq = substr(callid, 5)::int % 5 + 1 \
                AND record_route = '<sip:a;lr>,<sip:b;lr>' AND presentity_uri = 'sip:bob@example.org'";
    assert_eq!(system.count(next).await, 1197);
    assert_eq!(system.count("SELECT count(*) FROM notify_queue").await, 1);
    assert_eq!(
        system.psql("SELECT status FROM watchers"),
        "2",
        "the later of two that are one"
    );

    // Kamailio goes on: one dialog moves, one ends, one publication is taken back.
    sql(
        &url,
        "UPDATE active_watchers SET local_cseq = local_cseq + 1, version = version + 1 WHERE id = 1;
         DELETE FROM active_watchers WHERE id = 2;
         DELETE FROM presentity WHERE id = 1;
         UPDATE xcap SET etag = 'e2'",
    )
    .await;
    let (out, errors) = import(&system, &url, &["--notify"]);
    assert!(
        out.contains(
            "presentity: 2 read: 0 new, 0 changed, 0 as before, 0 newer here, 2 skipped; 1 gone"
        ),
        "{out}"
    );
    assert!(
        out.contains("active_watchers: 1199 read: 0 new, 1195 changed, 1 as before"),
        "{out}"
    );
    assert!(
        out.contains("3 skipped; 1 gone since\n1195 of these dialogs get a NOTIFY"),
        "{out}"
    );
    assert!(
        errors.contains("replaced: xcap 1: /pres-rules/users/bob/index"),
        "{errors}"
    );
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE updated <> -1")
            .await,
        1196
    );
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
    assert_eq!(
        system
            .count("SELECT local_cseq FROM active_watchers WHERE callid = 'call1'")
            .await,
        3
    );
}

/// Kamailio's columns may have been made wider than our tables take.
const WIDE: &str = "
    ALTER TABLE presentity ALTER username TYPE text, ALTER etag TYPE text, ALTER sender TYPE text, ALTER event TYPE text;
    ALTER TABLE active_watchers ALTER callid TYPE text, ALTER contact TYPE text, ALTER user_agent TYPE text, ALTER watcher_username TYPE text,
        ALTER to_user TYPE text;
    ALTER TABLE watchers ALTER presentity_uri TYPE text, ALTER watcher_domain TYPE text;
    ALTER TABLE xcap ALTER doc_uri TYPE text;
    INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender)
    SELECT CASE WHEN n = 2 THEN repeat('u', 256) ELSE 'bob' END, 'example.org', CASE WHEN n = 5 THEN 'call-info' ELSE 'presence' END,
           CASE WHEN n = 3 THEN repeat('e', 256) ELSE 'e' || n END, -1, 7,
           convert_to(CASE WHEN n = 5 THEN 'appearance' ELSE '<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\"/>' END, 'UTF8'),
           CASE WHEN n = 4 THEN 'sip:' || repeat('s', 1024) ELSE '' END
    FROM generate_series(1, 5) AS n;
    INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, event, to_tag, from_tag,
        callid, local_cseq, remote_cseq, contact, expires, status, socket_info, local_contact, from_user, from_domain, updated, updated_winfo,
        user_agent)
    SELECT 'sip:bob@example.org', CASE WHEN n = 2 THEN repeat('w', 256) ELSE 'w' END, 'example.org',
        CASE WHEN n = 3 THEN repeat('t', 256) ELSE 'bob' END, 'example.org', CASE WHEN n = 7 THEN 'call-info' ELSE 'presence' END, 'to' || n, 'from' || n,
        CASE WHEN n = 4 THEN repeat('c', 256) ELSE 'call' || n END, 1, 3,
        CASE WHEN n = 5 THEN 'sip:' || repeat('w', 1024) || '@192.0.2.1' ELSE 'sip:w@192.0.2.1' END,
        extract(epoch FROM now())::int + 600, 1, '', '', 'w', 'example.org', -1, -1, CASE WHEN n = 6 THEN repeat('a', 1025) ELSE 'phone' END
    FROM generate_series(1, 7) AS n;
    INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, inserted_time)
    VALUES ('sip:bob@example.org', 'w1', 'example.org', 1, 99), ('sip:' || repeat('b', 256) || '@example.org', 'w1', 'example.org', 1, 99),
           ('sip:bob@example.org', 'w1', repeat('d', 256), 1, 99);
    INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)
    VALUES ('bob', 'example.org', '<rules/>', 2, 'e1', 0, '/rules', 0), ('bob', 'example.org', '<rules/>', 2, 'e1', 0, repeat('/', 2049), 0);";

/// The packages are those of the configuration; what is longer than a bound is named with it, and all else comes over.
#[tokio::test(flavor = "multi_thread")]
async fn declared_packages_come_over_and_what_is_too_long_is_named() {
    let declared = "[{ name = \"call-info\", content_types = [\"application/x-call-info\"] }]";
    let system = system::setup()
        .set("packages.declared", declared)
        .set("reginfo.disable", 1)
        .servers(0)
        .notifiers(0)
        .start();
    let url = kamailio_database(&system).await;
    sql(&url, WIDE).await;
    sql(
        &url,
        "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender)
         VALUES ('bob', 'example.org', 'reg', 'e', -1, 7, '<reginfo/>', '')",
    )
    .await;
    let (out, errors) = import(&system, &url, &[]);
    for line in [
        "presentity: 6 read: 2 new, 0 changed, 0 as before, 0 newer here, 4 skipped",
        "active_watchers: 7 read: 2 new, 0 changed, 0 as before, 0 newer here, 5 skipped",
        "watchers: 3 read: 1 new, 0 changed, 0 as before, 0 newer here, 2 skipped",
        "xcap: 2 read: 1 new, 0 changed, 0 as before, 0 newer here, 1 skipped",
    ] {
        assert!(out.contains(line), "{line} is missing:\n{out}\n{errors}");
    }
    for line in [
        "skipped: presentity 2: User Of URI Longer Than 255 Octets",
        "skipped: presentity 3: SIP-If-Match Longer Than 255 Octets",
        "skipped: presentity 4: Sender Longer Than 1024 Octets",
        "skipped: presentity 6: the event package reg is not served here",
        "skipped: active_watchers 2: User Of Watcher Longer Than 255 Octets",
        "skipped: active_watchers 3: User Of To Longer Than 255 Octets",
        "skipped: active_watchers 4: Call-ID Longer Than 255 Octets",
        "skipped: active_watchers 5: Contact Longer Than 1024 Octets",
        "skipped: active_watchers 6: User-Agent Longer Than 1024 Octets",
        "skipped: watchers 2: User Of URI Longer Than 255 Octets",
        "skipped: watchers 3: Domain Of Watcher Longer Than 255 Octets",
        "skipped: xcap 2: Address Of Document Longer Than 2048 Octets",
    ] {
        assert!(errors.contains(line), "{line} is missing:\n{errors}");
    }
    assert_eq!(errors.lines().count(), 12, "{errors}");
    let served = "SELECT string_agg(event, ' ' ORDER BY event) FROM (SELECT event FROM presentity UNION ALL SELECT event FROM active_watchers) AS r";
    assert_eq!(system.psql(served), "call-info call-info presence presence");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_kamailio_database_is_told() {
    let system = system::setup().servers(0).notifiers(0).start();
    let ours = system.url();
    system
        .cluster()
        .create_database("empty")
        .expect("a database");
    let empty = system.cluster().url("empty");
    let table = [
        (
            ours.as_str(),
            1,
            "a database of pgpresence, not of Kamailio",
        ),
        (empty.as_str(), 1, "presentity, active_watchers missing"),
        ("mysql://u:secret@h/d", 2, "is not a PostgreSQL URL"),
        (
            "postgresql://127.0.0.1:1/d?connect_timeout=1",
            1,
            "cannot read postgresql://127.0.0.1:1/d",
        ),
    ];
    for (url, code, words) in table {
        let mut command = system.command("import");
        command.args(["--from", url]);
        let (status, _, errors) = run(&mut command, STARTUP);
        assert_eq!(status.code(), Some(code), "{url}: {errors}");
        assert!(errors.contains(words), "{url}: {errors}");
    }
}

/// docs/FROM-KAMAILIO.md gives it to operators.
#[test]
fn the_edge_configuration_is_one_for_kamailio() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kamailio-edge.cfg");
    let mut command = Command::new("kamailio");
    command.args(["-c", "-f"]).arg(file);
    let (status, out, errors) = run(&mut command, STARTUP);
    assert!(status.success(), "{status}\n{out}\n{errors}");
}

// === a real Kamailio ===

struct Kamailio {
    process: Process,
    address: SocketAddr,
}

/// How it keeps subscriptions, and who sends its NOTIFYs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// In the database, by notifier processes.
    Notifiers,
    /// In the database, by whoever handles the request.
    Workers,
    /// In memory, written to the database now and then.
    WrittenBack,
}

fn kamailio(system: &System, mode: Mode) -> Kamailio {
    let known = [
        "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
        "/usr/lib/aarch64-linux-gnu/kamailio/modules/",
        "/usr/lib64/kamailio/modules/",
    ];
    let modules = known
        .iter()
        .find(|folder| Path::new(folder).join("db_postgres.so").exists());
    let modules = modules.unwrap_or_else(|| {
        panic!("no db_postgres.so in {known:?}: install kamailio-postgres-modules")
    });
    let settings = match mode {
        Mode::Notifiers => {
            "modparam(\"presence\", \"subs_db_mode\", 3)\nmodparam(\"presence\", \"notifier_processes\", 1)\n\
             modparam(\"presence\", \"send_fast_notify\", 0)\nmodparam(\"presence\", \"waitn_time\", 1)"
        }
        Mode::Workers => {
            "modparam(\"presence\", \"subs_db_mode\", 3)\nmodparam(\"presence\", \"notifier_processes\", 0)"
        }
        Mode::WrittenBack => "modparam(\"presence\", \"subs_db_mode\", 2)",
    };
    let folder = system.sandbox().directory().join("presence-kamailio");
    std::fs::create_dir_all(&folder).expect("a folder");
    let socket_folder = system.psql("SHOW unix_socket_directories");
    // Kamailio can't be told to take any free port; one that was free a moment ago is tried, three times.
    for _ in 0..3 {
        let address = UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port");
        let config = include_str!("../kamailio/moved_from.cfg")
            .replace("\nlisten=udp:LISTEN", &format!("\nlisten=udp:{address}"))
            .replace("\"sip:LISTEN\"", &format!("\"sip:{address}\""))
            .replace("\"MODULES\"", &format!("\"{modules}\""))
            .replace("\nMODE", &format!("\n{settings}"));
        std::fs::write(folder.join("presence.cfg"), config).expect("its configuration");
        let mut command = Command::new("kamailio");
        command
            .arg("-f")
            .arg(folder.join("presence.cfg"))
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(&folder)
            .env("PGHOST", &socket_folder)
            .env("PGPORT", "5432")
            .current_dir(&folder);
        let mut process = Process::start(system.sandbox(), "kamailio", &mut command);
        let listens = |line: &str| line.contains("udp: 127.0.0.1");
        if process.line(Duration::from_secs(10), listens).is_ok() && answers(address) {
            return Kamailio { process, address };
        }
        eprintln!("{}", process.lines().join("\n"));
    }
    panic!("Kamailio does not come up");
}

/// Whether something that speaks SIP is there: a request that it refuses by itself.
fn answers(address: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a time limit");
    let local = socket.local_addr().expect("its address");
    let probe = format!(
        "INFO sip:x SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: probe\r\nCSeq: 1 INFO\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
    );
    let mut buffer = [0; 2000];
    (0..100).any(|_| {
        let _ = socket.send_to(probe.as_bytes(), address);
        socket.recv(&mut buffer).is_ok()
    })
}

/// Subscribes at Kamailio's, moves, and goes on at ours, at the same address. The phones hold every NOTIFY to the CSeq
/// that is next, and tolerate no gap.
async fn moves(mode: Mode, phones: usize, dialogs_each: usize) {
    // Kamailio leaves PostgreSQL without a goodbye, and PostgreSQL's log says so.
    let mut system = system::setup()
        .servers(0)
        .notifiers(0)
        .errors_expected()
        .start();
    let url = kamailio_database(&system).await;
    let mut kamailio = kamailio(&system, mode);
    let address = kamailio.address;

    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    let mut dialogs: Vec<Dialog> = Vec::new();
    for number in 0..phones {
        let phone = Phone::udp(&format!("w{number}")).await;
        for _ in 0..dialogs_each {
            dialogs.push(phone.subscribe(address, BOB, 600).await);
        }
    }
    for dialog in &dialogs {
        dialog.notify(1).await;
    }
    settled(&url).await;
    publisher.show(address, "open", "one").await;
    seen(&dialogs, "one").await;

    // While it is live; then it goes on: a change, refreshes, one that leaves, one that comes.
    import(&system, &url, &[]);
    settled(&url).await;
    publisher.show(address, "open", "two").await;
    seen(&dialogs, "two").await;
    settled(&url).await;
    for dialog in dialogs.iter().take(3) {
        let before = dialog.count();
        assert_eq!(dialog.refresh(address, 600).await.status(), Some(200));
        dialog.notify(before + 1).await;
    }
    let leaving = dialogs.pop().expect("many");
    leaving.unsubscribe(address).await;
    let late = leaving.phone().subscribe(address, BOB, 600).await;
    late.notify(1).await;
    dialogs.push(late);

    let stopped = kamailio.process.terminate(STARTUP);
    assert!(stopped.is_ok(), "{stopped:?}");
    let (out, errors) = import(&system, &url, &[]);
    let count = i64::try_from(dialogs.len()).unwrap();
    let live = "SELECT count(*) FROM active_watchers WHERE status = 1";
    assert_eq!(system.count(live).await, count, "{out}\n{errors}");

    let ours = system.add_server_at(&format!("udp:{address}"));
    system.add_notifier();
    assert_eq!(system.udp(ours), address);
    // With the entity-tag that Kamailio gave it.
    publisher.show(address, "closed", "three").await;
    seen(&dialogs, "three").await;
    for dialog in &dialogs {
        let before = dialog.count();
        assert_eq!(dialog.refresh(address, 600).await.status(), Some(200));
        dialog.notify(before + 1).await;
    }
    publisher.show(address, "open", "four").await;
    seen(&dialogs, "four").await;
    for dialog in &dialogs {
        dialog.unsubscribe(address).await;
    }
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        1
    );
}

/// Until Kamailio's notifier has written down what it sent: a change or a refresh that meets it may be forgotten there.
async fn settled(url: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    let owing = "SELECT count(*) FROM active_watchers WHERE updated <> -1";
    let end = tokio::time::Instant::now() + STARTUP;
    while client
        .query_one(owing, &[])
        .await
        .expect("a count")
        .get::<_, i64>(0)
        > 0
    {
        assert!(
            tokio::time::Instant::now() < end,
            "Kamailio still owes NOTIFYs"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn seen(dialogs: &[Dialog], note: &str) {
    for dialog in dialogs {
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_notifier_processes() {
    moves(Mode::Notifiers, 4, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_workers() {
    moves(Mode::Workers, 2, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_memory_that_is_written_back() {
    moves(Mode::WrittenBack, 2, 5).await;
}
