//! `pgpresence run`, `watch` and `publish`: what a newcomer sees in the first minute, and what becomes of
//! the processes afterwards.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use system_tests::phone::Phone;
use system_tests::process::{Process, Sandbox, pgpresence, run};
use system_tests::system::{self, STARTUP, addresses, is_ready};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const BOB: &str = "sip:bob@example.org";

struct Running {
    process: Process,
    udp: SocketAddr,
    tcp: SocketAddr,
    psql: String,
    sandbox: Arc<Sandbox>,
}

fn start(arguments: &[&str]) -> Running {
    let sandbox = Sandbox::new();
    start_in(sandbox, arguments)
}

fn start_in(sandbox: Arc<Sandbox>, arguments: &[&str]) -> Running {
    let mut command = Command::new(pgpresence());
    command.args([
        "run",
        "--listen",
        "udp:127.0.0.1:0",
        "--listen",
        "tcp:127.0.0.1:0",
        "--data-dir",
    ]);
    command
        .arg(sandbox.directory().join("data"))
        .args(arguments)
        .current_dir(sandbox.directory());
    let mut process = Process::start(&sandbox, "run", &mut command);
    if let Err(output) = process.line(STARTUP, is_ready) {
        panic!("{output}");
    }
    let lines = process.lines();
    let listen: Vec<_> = lines.iter().flat_map(|line| addresses(line)).collect();
    let of = |wanted: &str| {
        listen
            .iter()
            .find(|(transport, _)| transport == wanted)
            .expect(wanted)
            .1
    };
    let psql = lines
        .iter()
        .find_map(|line| line.find("psql ").map(|at| line[at..].to_string()))
        .expect("a psql line");
    Running {
        udp: of("udp"),
        tcp: of("tcp"),
        psql,
        process,
        sandbox,
    }
}

impl Running {
    fn psql(&self, sql: &str) -> String {
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            &format!("{} -X -A -t -c \"$1\"", self.psql),
            "sh",
            sql,
        ]);
        let (status, out, err) = run(&mut command, STARTUP);
        assert!(status.success(), "{}: {sql}\n{out}{err}", self.psql);
        out.trim().to_string()
    }

    fn until(&self, sql: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let found = self.psql(sql);
            if wanted(&found) {
                return found;
            }
            assert!(begin.elapsed() < STARTUP, "{sql}: {found}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(pgpresence());
        command
            .args([verb, BOB, "--server", &self.udp.to_string()])
            .args(arguments);
        command
    }
}

/// `watch` shows what `publish` publishes within a second, then its removal; `psql` shows the rows.
#[test]
fn the_first_minute() {
    let running = start(&[]);
    let mut watch = Process::start(
        &running.sandbox,
        "watch",
        &mut running.command("watch", &[]),
    );
    watch.line(STARTUP, |line| line.contains("closed")).unwrap();
    let mut command = running.command("publish", &["--basic", "open", "--note", "hello"]);
    let mut publish = Process::start(&running.sandbox, "publish", &mut command);
    publish.line(STARTUP, |line| line.contains(BOB)).unwrap();
    let begin = Instant::now();
    watch
        .line(STARTUP, |line| line.contains("open \"hello\""))
        .unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        running.psql("SELECT presentity_uri FROM presentity WHERE NOT removed"),
        BOB
    );
    assert_eq!(
        running.psql("SELECT presentity_uri FROM active_watchers"),
        BOB
    );

    publish.signal(Signal::INT);
    let status = publish.wait(Duration::from_secs(10)).unwrap();
    assert!(status.success(), "Ctrl-C is its regular end: {status}");
    let seen = watch.lines().len();
    let begin = Instant::now();
    // waitn_time is 5 s: a second change so soon after the first may have to wait for it.
    while !watch.lines()[seen.min(2)..]
        .iter()
        .any(|line| line.contains("closed"))
    {
        assert!(
            begin.elapsed() < Duration::from_secs(8),
            "{:?}",
            watch.lines()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    watch.signal(Signal::INT);
    assert!(watch.wait(Duration::from_secs(10)).unwrap().success());
    assert!(
        watch
            .lines()
            .last()
            .is_some_and(|line| line.contains("terminated")),
        "{:?}",
        watch.lines()
    );
}

/// `--once`, `--json`, `--transport`, for scripts; and a refusal is an exit code.
#[test]
fn scripts() {
    let running = start(&[]);
    let (status, out, err) = run(
        &mut running.command(
            "publish",
            &["--basic", "open", "--note", "it's \"me\" <&>", "--once"],
        ),
        STARTUP,
    );
    assert!(status.success(), "{out}{err}");
    let (status, out, err) = run(&mut running.command("watch", &["--once"]), STARTUP);
    assert!(status.success() && out.lines().count() == 1, "{out}{err}");
    assert!(out.contains("open") && out.contains("<&>"), "{out}");
    let (status, out, _) = run(
        &mut running.command("watch", &["--once", "--json"]),
        STARTUP,
    );
    assert!(status.success());
    let json: serde_json::Value = serde_json::from_str(out.trim()).expect("one JSON object");
    assert_eq!(json["presentity"], BOB);
    assert_eq!(json["basic"], "open");
    let mut tcp = Command::new(pgpresence());
    tcp.args([
        "watch",
        BOB,
        "--once",
        "--transport",
        "tcp",
        "--server",
        &running.tcp.to_string(),
    ]);
    let (status, out, err) = run(&mut tcp, STARTUP);
    assert!(status.success() && out.contains("open"), "{out}{err}");
    let (status, out, err) = run(
        &mut running.command("watch", &["--once", "--event", "weather"]),
        STARTUP,
    );
    assert!(!status.success(), "{out}{err}");
    assert!(err.contains("489"), "{err}");
    let mut nobody = Command::new(pgpresence());
    nobody.args(["watch", "no-uri-at-all", "--once"]);
    assert!(!run(&mut nobody, STARTUP).0.success());
}

/// A way to a server that can be cut: each connection to it becomes one of its own.
struct Relay {
    address: SocketAddr,
    connections: tokio::sync::mpsc::UnboundedReceiver<JoinHandle<()>>,
}

impl Relay {
    async fn to(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (taken, connections) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut one, _)) = listener.accept().await {
                let mut other = TcpStream::connect(server).await.expect("the server");
                let both = async move {
                    let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
                };
                if taken.send(tokio::spawn(both)).is_err() {
                    return;
                }
            }
        });
        Relay {
            address,
            connections,
        }
    }

    /// Waits for the next connection, if it is not there yet.
    async fn connection(&mut self) -> JoinHandle<()> {
        let next = tokio::time::timeout(STARTUP, self.connections.recv()).await;
        next.expect("a connection in time").expect("a connection")
    }
}

/// `watch` asks again with the server's minimum (423), and goes on in the same dialog when its connection dies.
#[tokio::test(flavor = "multi_thread")]
async fn watch_outlives_its_connection() {
    let system = system::setup().set("presence.min_expires", 90).start();
    let mut relay = Relay::to(system.tcp(0)).await;
    let mut command = Command::new(pgpresence());
    command.args(["watch", BOB, "--transport", "tcp", "--expires", "10"]);
    command.args(["--server", &relay.address.to_string()]);
    let mut watch = Process::start(system.sandbox(), "watch", &mut command);
    let mut sees = |text: &str| {
        tokio::task::block_in_place(|| watch.line(STARTUP, |line| line.contains(text)))
            .unwrap_or_else(|fault| panic!("{text}: {fault}"))
    };
    sees("closed");
    let granted =
        "SELECT count(*) FROM active_watchers WHERE expires > extract(epoch FROM now()) + 60";
    assert_eq!(system.count(granted).await, 1);
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "before").await;
    sees("open \"before\"");

    relay.connection().await.abort();
    sees("the connection to the server was lost");
    let _second = relay.connection().await;
    publisher.show(system.udp(0), "open", "after").await;
    sees("open \"after\"");
    let dialogs = "SELECT count(*) FROM active_watchers WHERE status <> 3";
    assert_eq!(system.count(dialogs).await, 1, "the same one");
    watch.signal(Signal::INT);
    let status = tokio::task::block_in_place(|| watch.wait(STARTUP)).unwrap();
    assert!(status.success(), "{status}: {:#?}", watch.lines());
    system.until(STARTUP, dialogs, 0).await;
}

/// Children that die are started again; SIGTERM stops everything; the data is there the next time.
#[test]
fn children_come_back_and_data_stays() {
    let mut running = start(&["--set", "presence.notifier_processes=2"]);
    let pids = running.until(
        "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM node WHERE kind = 'notifier'",
        |text| text.split(' ').count() == 2,
    );
    for pid in pids.split(' ') {
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    let fresh = "SELECT count(*) FROM node WHERE kind = 'notifier' AND heartbeat > now() - interval '5 s' AND pid NOT IN";
    running.until(&format!("{fresh} ({})", pids.replace(' ', ",")), |text| {
        text == "2"
    });
    let server = running.until("SELECT max(pid) FROM node WHERE kind = 'server'", |text| {
        !text.is_empty()
    });
    kill_process(
        Pid::from_raw(server.parse().unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    running.until(
        &format!("SELECT count(*) FROM node WHERE kind = 'server' AND pid <> {server}"),
        |text| text != "0",
    );
    let (status, out, err) = run(
        &mut running.command(
            "publish",
            &[
                "--basic",
                "open",
                "--note",
                "kept",
                "--once",
                "--expires",
                "3600",
            ],
        ),
        STARTUP,
    );
    assert!(
        status.success(),
        "the server came back on its port: {out}{err}"
    );

    let mine = children(running.process.pid());
    let status = running.process.terminate(Duration::from_secs(20)).unwrap();
    assert!(status.success(), "{status}");
    gone(&mine);
    let again = start_in(running.sandbox.clone(), &[]);
    let (status, out, err) = run(&mut again.command("watch", &["--once"]), STARTUP);
    assert!(status.success() && out.contains("kept"), "{out}{err}");
}

/// kill -9 of `run` leaves nothing running: no server, no notifier, no PostgreSQL.
#[test]
fn kill_of_run_leaves_nothing() {
    let running = start(&[]);
    let mine = children(running.process.pid());
    assert!(mine.len() >= 3, "{mine:?}");
    running.process.signal(Signal::KILL);
    gone(&mine);
    // And the next one comes up on what was left behind.
    let again = start_in(running.sandbox.clone(), &[]);
    assert_eq!(again.psql("SELECT count(*) FROM presentity"), "0");
}

/// A database URL instead of the private PostgreSQL; a database that is not there is a clear error.
#[test]
fn clear_errors() {
    for (arguments, word) in [
        (
            &[
                "server",
                "--database-url",
                "postgres://nobody@127.0.0.1:1/none",
                "--listen",
                "udp:nonsense:0",
            ][..],
            "nonsense",
        ),
        (
            &[
                "migrate",
                "--database-url",
                "postgres://nobody@127.0.0.1:1/none",
            ][..],
            "127.0.0.1",
        ),
        (&["server"][..], "db_url"),
        (&["frobnicate"][..], "frobnicate"),
    ] {
        let mut command = Command::new(pgpresence());
        command.args(arguments);
        let (status, out, err) = run(&mut command, STARTUP);
        assert!(!status.success(), "{arguments:?}: {out}{err}");
        assert!(
            err.contains(word),
            "{arguments:?} does not name {word}:\n{out}{err}"
        );
        assert!(!err.contains("panicked"), "{err}");
    }
}

/// All descendants of a process, whatever process groups they made.
fn children(of: u32) -> Vec<u32> {
    let mut found = vec![of];
    let mut at = 0;
    while at < found.len() {
        let pid = found[at];
        at += 1;
        let path = format!("/proc/{pid}/task/{pid}/children");
        let mut text = std::fs::read_to_string(path).unwrap_or_default();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            text.push(' ');
            text.push_str(
                &std::fs::read_to_string(task.path().join("children")).unwrap_or_default(),
            );
        }
        for child in text.split_whitespace().filter_map(|word| word.parse().ok()) {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

fn gone(pids: &[u32]) {
    let begin = Instant::now();
    loop {
        let left: Vec<String> = pids
            .iter()
            .filter(|pid| {
                // A zombie whose parent has not looked yet is gone.
                let stat =
                    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
                stat.is_ok_and(|stat| !stat.contains(") Z "))
            })
            .map(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .unwrap_or_default()
                    .replace('\0', " ")
            })
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(15),
            "still running: {left:#?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
