//! Programs that know nothing of us: sipp as a load of exact scenarios and as a voice mail system, baresip as a watcher and a
//! publisher, Kamailio as the edge proxy in front of two servers.

mod identity;

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use system_tests::message::{addr, split_list};
use system_tests::phone::{Login, Phone};
use system_tests::pidf;
use system_tests::process::{Process, Sandbox, run};
use system_tests::system::{self, STARTUP, System};

const BOB: &str = "sip:bob@example.org";

/// A port that was free a moment ago, for programs that can't be told to take any.
fn free_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
}

// === sipp ===

fn sipp(system: &System, target: SocketAddr, scenario: &str, calls: u32, rate: u32) {
    sipp_with(system, target, scenario, &[], &[], calls, rate);
}

/// `options` of sipp, and `keys`: what the scenario has in square brackets. Gives what it logs.
fn sipp_with(
    system: &System,
    target: SocketAddr,
    scenario: &str,
    options: &[&str],
    keys: &[(&str, &str)],
    calls: u32,
    rate: u32,
) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("sipp")
        .join(scenario);
    let errors = system.sandbox().directory().join("sipp.errors");
    let log = system.sandbox().directory().join("sipp.log");
    let mut command = Command::new("sipp");
    command
        .arg(target.to_string())
        .arg("-sf")
        .arg(file)
        .args([
            "-i",
            "127.0.0.1",
            "-nostdin",
            "-timeout",
            "60s",
            "-timeout_error",
            "-trace_err",
            "-error_file",
        ])
        .arg(&errors)
        .args(["-trace_logs", "-log_file"])
        .arg(&log)
        .args([
            "-m",
            &calls.to_string(),
            "-r",
            &rate.to_string(),
            "-l",
            "500",
        ])
        .current_dir(system.sandbox().directory());
    command.args(options);
    for (key, value) in keys {
        command.args(["-key", key, value]);
    }
    let (status, out, _) = run(&mut command, Duration::from_secs(90));
    let errors = std::fs::read_to_string(&errors).unwrap_or_default();
    let tail: String = out
        .chars()
        .rev()
        .take(3000)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    assert!(status.success(), "sipp: {status}\n{errors}\n{tail}");
    std::fs::read_to_string(&log).unwrap_or_default()
}

/// sipp as the voice mail system of one mail box.
struct VoiceMail<'a> {
    system: &'a System,
    target: SocketAddr,
    mailbox: &'a str,
    /// Of what it has published.
    entity_tag: Option<String>,
}

impl VoiceMail<'_> {
    /// The header by which a PUBLISH names the publication that it changes.
    fn condition(&self) -> String {
        self.entity_tag.as_ref().map_or_else(
            || "Subject: initial".to_owned(),
            |tag| format!("SIP-If-Match: {tag}"),
        )
    }

    /// Publishes or modifies.
    fn publish(&mut self, waiting: &str, voice: &str) {
        let condition = self.condition();
        let keys = [
            ("mailbox", self.mailbox),
            ("condition", &condition),
            ("waiting", waiting),
            ("voice", voice),
        ];
        let log = sipp_with(
            self.system,
            self.target,
            "publish_summary.xml",
            &[],
            &keys,
            1,
            1,
        );
        let tag = log.trim().rsplit_once("entity-tag ");
        let (_, tag) = tag.unwrap_or_else(|| panic!("no entity-tag in {log:?}"));
        self.entity_tag = Some(tag.to_owned());
    }

    fn remove(&mut self) {
        let condition = self.condition();
        let keys = [("mailbox", self.mailbox), ("condition", &condition)];
        sipp_with(
            self.system,
            self.target,
            "remove_summary.xml",
            &[],
            &keys,
            1,
            1,
        );
        self.entity_tag = None;
    }
}

/// 300 publishers: initial, modification, refresh and removal of each.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_publishes() {
    let system = system::start();
    sipp(&system, system.udp(0), "publish.xml", 300, 150);
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        0
    );
}

/// 200 watchers: SUBSCRIBE, NOTIFY, refresh, NOTIFY, unsubscribe, NOTIFY. Behind an edge proxy: sipp sends every answer
/// to the address that it was started with, so requests must come from there too.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_subscribes() {
    let system = system::start();
    let phone = Phone::udp("sipp").await;
    phone
        .publisher("sip:sipp@example.org")
        .show(system.udp(0), "open", "for sipp")
        .await;
    let edge = kamailio(system.sandbox(), &system.all_udp());
    sipp(&system, edge.address, "subscribe.xml", 200, 50);
    system
        .until(
            Duration::from_secs(10),
            "SELECT count(*) FROM active_watchers WHERE status <> 3 OR updated <> -1",
            0,
        )
        .await;
}

// === baresip ===

struct Baresip(Process);

impl Baresip {
    /// `user` behind `proxy`, watching bob.
    fn start(sandbox: &Arc<Sandbox>, user: &str, proxy: SocketAddr) -> Baresip {
        let account = Baresip::account(user, proxy, "regint=0;pubint=60");
        Baresip::start_with(sandbox, user, "presence.so", &account)
    }

    /// `user` behind `proxy`, which is its registrar, too: it asks for its messages as soon as it is registered.
    fn start_with_mail(sandbox: &Arc<Sandbox>, user: &str, proxy: SocketAddr) -> Baresip {
        let mut baresip = Baresip::start_with(sandbox, user, "mwi.so", "");
        // Not from its file: its module walks through all subscriptions once, in the first round of its main loop, and then
        // subscribes without end if there is one. Whoever has answered a command has had a round.
        baresip.0.type_line("/reginfo");
        baresip
            .0
            .line(STARTUP, |line| line.contains("User Agents (0)"))
            .unwrap_or_else(|fault| panic!("{fault}"));
        let account = Baresip::account(user, proxy, "regint=60;mwi=yes");
        baresip.0.type_line(&format!("/uanew {account}"));
        baresip
    }

    fn account(user: &str, proxy: SocketAddr, parameters: &str) -> String {
        format!("<sip:{user}@example.org>;outbound=\"sip:{proxy};transport=udp\";{parameters}")
    }

    fn start_with(sandbox: &Arc<Sandbox>, user: &str, module: &str, account: &str) -> Baresip {
        let folder = sandbox.directory().join(format!("baresip-{user}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:0\naudio_player aubridge,nil\naudio_source aubridge,nil\n\
             audio_alert aubridge,nil\nmodule_path {}\nmodule stdio.so\nmodule account.so\nmodule contact.so\n\
             module {module}\nmodule menu.so\n",
            baresip_modules().display()
        );
        std::fs::write(folder.join("config"), config).expect("its configuration");
        std::fs::write(folder.join("accounts"), format!("{account}\n")).expect("its account");
        std::fs::write(
            folder.join("contacts"),
            "\"Bob\" <sip:bob@example.org>;presence=p2p\n",
        )
        .expect("its contacts");
        let mut command = Command::new("baresip");
        command.args(["-4", "-f"]).arg(&folder).current_dir(&folder);
        let mut process = Process::start(sandbox, &format!("baresip-{user}"), &mut command);
        process
            .line(STARTUP, |line| line.contains("baresip is ready"))
            .unwrap_or_else(|fault| panic!("{fault}"));
        Baresip(process)
    }

    /// Asks for its contact list until bob's lamp is as wanted.
    fn shows(&mut self, wanted: &str) {
        let begin = Instant::now();
        loop {
            let seen = self.0.lines().len();
            self.0.type_line("/contacts");
            std::thread::sleep(Duration::from_millis(300));
            let lines = self.0.lines();
            if lines[seen..]
                .iter()
                .any(|line| line.contains(wanted) && line.contains("Bob"))
            {
                return;
            }
            assert!(
                begin.elapsed() < STARTUP,
                "bob is not {wanted}:\n{}",
                lines.join("\n")
            );
        }
    }

    /// Waits until it has written each of these lines about its messages.
    fn has_messages(&mut self, wanted: &[&str]) {
        for wanted in wanted {
            self.0
                .line(STARTUP, |line| line.trim() == *wanted)
                .unwrap_or_else(|fault| panic!("{wanted:?}: {fault}"));
        }
    }

    fn quit(mut self) {
        self.0.type_line("/quit");
        self.0
            .wait(STARTUP)
            .unwrap_or_else(|fault| panic!("{fault}"));
    }
}

fn baresip_modules() -> PathBuf {
    let known = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
        "/usr/lib64/baresip/modules",
    ];
    let found = known
        .iter()
        .map(PathBuf::from)
        .find(|folder| folder.join("presence.so").exists());
    found.unwrap_or_else(|| panic!("no baresip modules in {known:?}: install baresip-core"))
}

/// baresip sees bob come and go, and is seen itself.
#[tokio::test(flavor = "multi_thread")]
async fn baresip() {
    let system = system::start();
    seen_and_shown(&system, system.udp(0), system.udp(0)).await;
}

/// The envelope of a phone: baresip registers with Kamailio, which is the edge proxy of two servers, and subscribes to
/// message-summary; sipp publishes, modifies and removes as a voice mail system does.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_told_of_messages() {
    let system = system::setup().servers(2).notifiers(2).start();
    let edge = kamailio(system.sandbox(), &system.all_udp());
    let mut voice_mail = VoiceMail {
        system: &system,
        target: system.udp(1),
        mailbox: "alice@example.org",
        entity_tag: None,
    };
    tokio::task::block_in_place(|| {
        let mut baresip = Baresip::start_with_mail(system.sandbox(), "alice", edge.address);
        baresip.has_messages(&[
            "----- MWI for sip:alice@example.org -----",
            "Messages-Waiting: no",
        ]);
        voice_mail.publish("yes", "2/8 (0/2)");
        baresip.has_messages(&[
            "Messages-Waiting: yes",
            "Message-Account: sip:alice@example.org",
            "Voice-Message: 2/8 (0/2)",
        ]);
        voice_mail.publish("yes", "4/8 (1/2)");
        baresip.has_messages(&["Voice-Message: 4/8 (1/2)"]);
        let told = |baresip: &Baresip| {
            let lines = baresip.0.lines();
            lines
                .iter()
                .filter(|line| line.trim() == "Messages-Waiting: no")
                .count()
        };
        let before = told(&baresip);
        voice_mail.remove();
        let begin = Instant::now();
        while told(&baresip) == before {
            assert!(
                begin.elapsed() < STARTUP,
                "{}",
                baresip.0.lines().join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        baresip.quit();
    });
    let left = "SELECT count(*) FROM active_watchers WHERE status <> 3";
    system.until(Duration::from_secs(10), left, 0).await;
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        0
    );
}

/// `edge`: where everybody's requests go. baresip as watcher and as publisher, our phones as the others.
async fn seen_and_shown(system: &System, edge: SocketAddr, ours: SocketAddr) {
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(ours, "open", "here").await;
    let alice = bob.subscribe(ours, "sip:alice@example.org", 600).await;
    let mut baresip = Baresip::start(system.sandbox(), "alice", edge);
    tokio::task::block_in_place(|| baresip.shows("Online"));
    publisher.show(ours, "closed", "gone").await;
    tokio::task::block_in_place(|| baresip.shows("Offline"));
    publisher.show(ours, "open", "back").await;
    tokio::task::block_in_place(|| baresip.shows("Online"));

    // Its keys [ and ] publish its own state.
    baresip.0.type_text("[");
    alice
        .until("alice online", |notify| notify.basic() == "open")
        .await;
    baresip.0.type_text("]");
    alice
        .until("alice offline", |notify| notify.basic() == "closed")
        .await;
    baresip.0.type_text("[");
    alice
        .until("alice online", |notify| notify.basic() == "open")
        .await;

    // It leaves: publication removed, subscription ended.
    tokio::task::block_in_place(|| baresip.quit());
    alice
        .until("alice gone", |notify| {
            notify
                .presence
                .as_ref()
                .is_some_and(|presence| !presence.is_open())
        })
        .await;
    let left = "SELECT count(*) FROM active_watchers WHERE status <> 3 AND from_user = 'alice'";
    system.until(Duration::from_secs(10), left, 0).await;
    alice.unsubscribe(ours).await;
}

// === Kamailio ===

struct Kamailio {
    process: Process,
    address: SocketAddr,
}

fn kamailio(sandbox: &Arc<Sandbox>, servers: &[SocketAddr]) -> Kamailio {
    // Round robin.
    kamailio_choosing(sandbox, servers, "4")
}

/// One that says of each request by P-Asserted-Identity that it is from whom From names.
fn kamailio_asserting(sandbox: &Arc<Sandbox>, servers: &[SocketAddr]) -> Kamailio {
    let assert = "remove_hf(\"P-Asserted-Identity\");\n    append_hf(\"P-Asserted-Identity: <$fu>\\r\\n\");\n    ";
    let ask = "if (!ds_select_dst(\"1\", \"4\"))";
    kamailio_with(sandbox, servers, &[(ask, &format!("{assert}{ask}"))])
}

/// `algorithm` of its dispatcher.
fn kamailio_choosing(sandbox: &Arc<Sandbox>, servers: &[SocketAddr], algorithm: &str) -> Kamailio {
    let chosen = format!("ds_select_dst(\"1\", \"{algorithm}\")");
    kamailio_with(
        sandbox,
        servers,
        &[("ds_select_dst(\"1\", \"4\")", &chosen)],
    )
}

/// One whose configuration has other texts in place of some.
fn kamailio_with(
    sandbox: &Arc<Sandbox>,
    servers: &[SocketAddr],
    changes: &[(&str, &str)],
) -> Kamailio {
    let known = [
        "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
        "/usr/lib/aarch64-linux-gnu/kamailio/modules/",
        "/usr/lib64/kamailio/modules/",
    ];
    let modules = known
        .iter()
        .find(|folder| Path::new(folder).join("tm.so").exists());
    let modules =
        modules.unwrap_or_else(|| panic!("no Kamailio modules in {known:?}: install kamailio"));
    let folder = sandbox.directory().join("kamailio");
    std::fs::create_dir_all(&folder).expect("a folder");
    let list: String = servers
        .iter()
        .map(|server| format!("1 sip:{server}\n"))
        .collect();
    std::fs::write(folder.join("dispatcher.list"), list).expect("the list of servers");
    let mut template = include_str!("../kamailio/edge.cfg").to_owned();
    for (text, other) in changes {
        assert!(template.contains(text), "{text}");
        template = template.replace(text, other);
    }
    // Kamailio can't be told to take any free port; one that was free a moment ago is tried, three times.
    for _ in 0..3 {
        let address = free_port();
        let config = template
            .replace("\nlisten=udp:LISTEN", &format!("\nlisten=udp:{address}"))
            .replace("\"MODULES\"", &format!("\"{modules}\""))
            .replace(
                "\"SERVERS\"",
                &format!("\"{}\"", folder.join("dispatcher.list").display()),
            );
        std::fs::write(folder.join("edge.cfg"), config).expect("its configuration");
        let mut command = Command::new("kamailio");
        command
            .arg("-f")
            .arg(folder.join("edge.cfg"))
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"])
            .arg(&folder);
        let mut process = Process::start(sandbox, "kamailio", command.current_dir(&folder));
        if process
            .line(Duration::from_secs(10), |line| {
                line.contains("udp: 127.0.0.1")
            })
            .is_ok()
            && answers(address)
        {
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
        "INFO sip:edge SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: probe\r\nCSeq: 1 INFO\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
    );
    let mut buffer = [0; 2000];
    (0..100).any(|_| {
        let _ = socket.send_to(probe.as_bytes(), address);
        socket.recv(&mut buffer).is_ok()
    })
}

/// Phones behind Kamailio, which spreads their requests over two servers: also refreshes inside a dialog,
/// which no server regards as its own. NOTIFYs come back through Kamailio, from the notifiers.
#[tokio::test(flavor = "multi_thread")]
async fn kamailio_in_front_of_two_servers() {
    let system = system::setup().servers(2).notifiers(2).start();
    let edge = kamailio(system.sandbox(), &system.all_udp());
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let natted = Phone::natted("nat", "10.255.254.253:5062").await;
    let mut publisher = bob.publisher(BOB);
    let mut dialogs = Vec::new();
    for phone in [&alice, &natted] {
        let (dialog, response) = phone
            .subscribe_with(&phone.subscription(BOB, Some(600)), edge.address)
            .await;
        assert_eq!(response.status(), Some(200), "{response}");
        let routes: Vec<String> = response.all("Record-Route").flat_map(split_list).collect();
        assert_eq!(routes.len(), 1);
        assert!(
            addr(&routes[0]).contains(&edge.address.to_string()),
            "{routes:?}"
        );
        dialogs.push(dialog);
    }
    for (round, note) in ["one", "two", "three", "four"].into_iter().enumerate() {
        publisher.show(edge.address, "open", note).await;
        for dialog in &dialogs {
            let notify = dialog
                .until(note, |notify| notify.note() == Some(note))
                .await;
            assert_eq!(notify.from, edge.address, "down the route set");
            let seen = dialog.count();
            assert_eq!(
                dialog
                    .refresh(edge.address, 600 + u32::try_from(round).unwrap())
                    .await
                    .status(),
                Some(200)
            );
            dialog.notify(seen + 1).await;
        }
    }
    let used = "SELECT count(DISTINCT socket_info) FROM active_watchers";
    assert_eq!(system.count(used).await, 2, "both servers were used");
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE flow <> ''")
            .await,
        0,
        "no flow is needed behind an edge"
    );
    for dialog in &dialogs {
        dialog.unsubscribe(edge.address).await;
    }
    drop(edge.process);
}

/// One of the two servers is killed; behind the edge nobody notices: it asks the other one.
#[tokio::test(flavor = "multi_thread")]
async fn kamailio_and_a_server_that_dies() {
    let mut system = system::setup()
        .servers(2)
        .notifiers(2)
        .errors_expected()
        .start();
    let edge = kamailio(system.sandbox(), &system.all_udp());
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let mut publisher = bob.publisher(BOB);
    let dialog = alice.subscribe(edge.address, BOB, 600).await;
    publisher.show(edge.address, "open", "before").await;
    dialog
        .until("before", |notify| notify.note() == Some("before"))
        .await;
    system.servers[0].process.kill9();
    for note in ["one", "two", "three"] {
        publisher.show(edge.address, "open", note).await;
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
        assert_eq!(dialog.refresh(edge.address, 600).await.status(), Some(200));
    }
    dialog.unsubscribe(edge.address).await;
}

/// The first server has stored the request, and is gone before it answers: Kamailio sends it to the other one, under a branch of its own.
/// That finds the row, and gives the answer that the first would have given.
#[tokio::test(flavor = "multi_thread")]
async fn kamailio_fails_over_between_commit_and_answer() {
    for dies in [false, true] {
        let mut system = system::setup()
            .servers(2)
            .notifiers(0)
            .errors_expected()
            .start();
        // By order: always the first server first.
        let edge = kamailio_choosing(system.sandbox(), &system.all_udp(), "8");
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        let document = system_tests::pidf::document(BOB, "t", "open", "once");
        let publish = bob.publisher(BOB).draft(Some(&document), Some(600));
        let subscribe = alice.subscription(BOB, Some(600));
        // Whoever stores either waits for this row of the queue, with all of its statement sent.
        let hand = system.sql().await;
        hand.batch_execute(
            "INSERT INTO notify_queue (presentity_uri, event, due) VALUES ('sip:bob@example.org', 'presence', 'infinity');
             BEGIN; SELECT FROM notify_queue FOR UPDATE",
        )
        .await
        .unwrap();
        let (published, subscribed, ()) = tokio::join!(
            bob.send(&publish, edge.address),
            alice.send(&subscribe, edge.address),
            async {
                let waiting =
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
                system.until(STARTUP, waiting, 2).await;
                let first = &system.servers[0].process;
                first.signal(rustix::process::Signal::STOP);
                hand.batch_execute("COMMIT").await.unwrap();
                let stored = "SELECT (SELECT count(*) FROM presentity) + (SELECT count(*) FROM active_watchers)";
                system.until(STARTUP, stored, 2).await;
            }
        );
        assert_eq!(published.status(), Some(200), "{published}");
        assert_eq!(subscribed.status(), Some(200), "{subscribed}");
        let tags = [
            published.header("SIP-ETag").unwrap_or_default(),
            subscribed.tag("To").unwrap_or_default(),
        ];
        let rows = "SELECT (SELECT string_agg(etag, ',') FROM presentity) || ' ' || (SELECT string_agg(to_tag, ',') FROM active_watchers)";
        assert_eq!(system.psql(rows), tags.join(" "));
        if dies {
            system.servers[0].process.kill9();
        } else {
            // What it has to say comes late, and is the same: the phones compare.
            system.servers[0]
                .process
                .signal(rustix::process::Signal::CONT);
            let request = alice.request("OPTIONS", BOB);
            assert_eq!(
                alice.send(&request, system.udp(0)).await.status(),
                Some(200)
            );
        }
        assert_eq!(system.psql(rows), tags.join(" "));
    }
}

/// baresip behind Kamailio, in front of two servers.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_behind_kamailio() {
    let system = system::setup().servers(2).notifiers(2).start();
    let edge = kamailio(system.sandbox(), &system.all_udp());
    seen_and_shown(&system, edge.address, system.udp(1)).await;
}
