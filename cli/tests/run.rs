//! `run`, `server` and `notifier` as an operator has them: they come up, they survive, they go and leave nothing.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::program::{
    Directory, Killed, Program, children, eventually, is_alive, output, pgpresence, processes, send,
};
use postgres_dev::Cluster;

const SERVER: &str = "pgpresence server --supervised";
const NOTIFIER: &str = "pgpresence notifier --supervised";

fn run(data_dir: &Directory, more: &[&str]) -> Program {
    let data_dir = data_dir.join("data");
    let mut command = pgpresence(&["run", "--data-dir", data_dir.to_str().unwrap()]);
    Program::start(
        command
            .args(["--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0"])
            .args(more),
    )
}

/// What still runs of a `run` that kept its data in `directory`: PostgreSQL has that in its command line.
fn left_of(directory: &Directory) -> Vec<String> {
    let path = directory.path().to_str().unwrap();
    let all = processes().into_iter();
    all.filter(|(_, _, line)| line.contains(path))
        .map(|(pid, _, line)| format!("{pid} {line}"))
        .collect()
}

/// Runs what `run` printed to be pasted, with an SQL command.
fn paste(psql_line: &str, sql: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("{psql_line} -X -A -t -c \"{sql}\"")])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{psql_line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn kept_descendants(program: &Program) -> Vec<u32> {
    [SERVER, NOTIFIER]
        .iter()
        .flat_map(|start| children(program.pid(), start))
        .collect()
}

#[test]
fn run_comes_up_and_stops_and_keeps_its_data() {
    let directory = Directory::new();
    for signal in ["TERM", "INT"] {
        let mut program = run(&directory, &["--set", "presence.notifier_processes=2"]);
        assert!(
            program
                .line("database ")
                .starts_with("postgresql:///pgpresence?")
        );
        let psql = program.line("look at it with: ");
        assert!(!program.line("listening on udp:127.0.0.1:").starts_with('0'));
        assert!(!program.line("listening on tcp:127.0.0.1:").starts_with('0'));
        program.line("ready");
        // What the first run wrote, the second one finds.
        let expected = if signal == "TERM" { "0" } else { "1" };
        assert_eq!(paste(&psql, "SELECT count(*) FROM presentity"), expected);
        if signal == "TERM" {
            let row = "'kept', 'example.org', 'presence', 'kept', -1, 0, '', ''";
            let columns = "username, domain, event, etag, expires, received_time, body, sender";
            paste(
                &psql,
                &format!("INSERT INTO presentity ({columns}) VALUES ({row})"),
            );
        }
        let started = kept_descendants(&program);
        assert_eq!(started.len(), 3);
        program.signal(signal);
        assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
        assert!(started.iter().all(|pid| !is_alive(*pid)));
        assert_eq!(left_of(&directory), [""; 0]);
        assert!(!directory.join("data/postgres/postmaster.pid").exists());
    }
}

/// Nobody has to copy a URL to ask how things are.
#[test]
fn questions_find_the_database_of_a_running_run() {
    let directory = Directory::new();
    let mut program = run(&directory, &[]);
    program.line("ready");
    let data_dir = directory.join("data");
    let data_dir = data_dir.to_str().unwrap();
    let ask = |arguments: &[&str]| output(&[arguments, &["--data-dir", data_dir]].concat());
    eventually("all is well", || ask(&["status"]).0 == Some(0));
    let (code, said, errors) = ask(&["rpc", "presence.presentity_list"]);
    assert_eq!(code, Some(0), "{said}{errors}");
    assert_eq!(ask(&["explain", "sip:alice@example.org"]).0, Some(0));
    let question = ["-X", "-A", "-t", "-c", "SELECT count(*) FROM node"];
    let (code, said, errors) = output(&[&["psql", "--data-dir", data_dir], &question[..]].concat());
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.trim().parse::<u32>().unwrap() >= 2, "{said}");

    program.signal("TERM");
    assert_eq!(program.end(), Some(0));
    let (code, _, errors) = ask(&["status"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("--database-url"), "{errors}");
}

#[test]
fn a_child_that_is_killed_is_started_again_on_the_same_ports() {
    let directory = Directory::new();
    let mut program = run(&directory, &[]);
    let port = program.line("listening on udp:127.0.0.1:");
    program.line("ready");
    for start in [SERVER, NOTIFIER] {
        let first = children(program.pid(), start);
        assert_eq!(first.len(), 1);
        send("KILL", first[0]);
        eventually("another one is there", || {
            let now = children(program.pid(), start);
            now.len() == 1 && now != first
        });
    }
    // The port is taken again: by the new server.
    let port = port.parse().unwrap();
    eventually("the port is taken", || {
        std::net::UdpSocket::bind(("127.0.0.1", port)).is_err()
    });

    let postmaster = || {
        let found = processes()
            .into_iter()
            .find(|(_, parent, line)| *parent == program.pid() && line.contains("-D"));
        found.map(|(pid, ..)| pid)
    };
    let first = postmaster().unwrap();
    send("KILL", first);
    eventually("PostgreSQL is there again", || {
        postmaster().is_some_and(|pid| pid != first)
    });
    program.signal("TERM");
    assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
    assert_eq!(left_of(&directory), [""; 0]);
}

#[test]
fn a_supervisor_that_is_killed_leaves_nothing_running() {
    let directory = Directory::new();
    let mut program = run(&directory, &[]);
    program.line("ready");
    let started = kept_descendants(&program);
    assert_eq!(started.len(), 2);
    program.signal("KILL");
    assert_eq!(program.end(), None);
    eventually("all children are gone", || {
        started.iter().all(|pid| !is_alive(*pid))
    });
    eventually("PostgreSQL is gone", || left_of(&directory).is_empty());
    // And the next one starts on what that left.
    let mut program = run(&directory, &["--set", "presence.notifier_processes=0"]);
    program.line("ready");
    assert_eq!(
        kept_descendants(&program).len(),
        1,
        "with no notifier processes the server does their work"
    );
    program.signal("TERM");
    assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
}

#[test]
fn a_port_that_is_taken_is_one_line_and_exit_1() {
    let directory = Directory::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("udp:{}", taken.local_addr().unwrap());
    let data_dir = directory.join("data");
    let data_dir = data_dir.to_str().unwrap();
    let (code, _, errors) = output(&[
        "run",
        "--data-dir",
        data_dir,
        "--listen",
        &address,
        "--set",
        "log.level=error",
    ]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(
        errors.starts_with("error: ") && errors.contains(&port),
        "{errors}"
    );
    assert_eq!(left_of(&directory), [""; 0]);

    // Nor do two share a data directory.
    let mut first = run(&directory, &[]);
    first.line("ready");
    let (code, _, errors) = output(&["run", "--data-dir", data_dir, "--listen", "udp:127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("in use by another pgpresence") && errors.lines().count() == 1,
        "{errors}"
    );
}

#[test]
fn server_and_notifier_start_without_their_database_and_refuse_an_old_schema() {
    let mut cluster = Cluster::start_throwaway().unwrap();
    cluster.create_database("presence").unwrap();
    let url = cluster.url("presence");
    // There, but not migrated: refused.
    for command in ["server", "notifier"] {
        let (code, said, errors) = output(&[
            command,
            "--database-url",
            &url,
            "--listen",
            "udp:127.0.0.1:0",
        ]);
        assert_eq!((code, said.contains("ready")), (Some(1), false), "{errors}");
        assert!(
            errors.lines().last().unwrap().contains("migrate"),
            "{errors}"
        );
    }
    // Away: started all the same; once it is back the schema counts.
    for migrated in [false, true] {
        for command in ["server", "notifier"] {
            cluster.kill9();
            let mut program = Program::start(&mut pgpresence(&[
                command,
                "--database-url",
                &url,
                "--listen",
                "udp:127.0.0.1:0",
            ]));
            if command == "server" {
                program.line("listening on udp:127.0.0.1:");
            }
            program.line("ready");
            cluster.restart().unwrap();
            if !migrated {
                assert_eq!(program.end(), Some(1), "{:#?}", program.seen);
            } else {
                program.signal("TERM");
                assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
            }
        }
        let (code, said, errors) = output(&["migrate", "--database-url", &url]);
        assert_eq!(code, Some(0), "{errors}");
        assert!(said.starts_with("the schema is at version "), "{said}");
    }
    let (_, said, _) = output(&["migrate", "--database-url", &url]);
    assert!(said.contains(" 0 migrations"), "{said}");
    cluster.kill9();
    let (code, _, errors) = output(&["migrate", "--database-url", &url]);
    assert_eq!((code, errors.lines().count()), (Some(1), 1), "{errors}");
}

#[test]
fn run_uses_a_database_that_is_given() {
    let cluster = Cluster::start_throwaway().unwrap();
    let directory = Directory::new();
    let mut program = run(&directory, &["--database-url", &cluster.url("postgres")]);
    let psql = program.line("look at it with: ");
    program.line("ready");
    assert_eq!(paste(&psql, "SELECT count(*) FROM active_watchers"), "0");
    program.signal("TERM");
    assert_eq!(program.end(), Some(0), "{:#?}", program.seen);
    assert!(
        !directory.join("data").exists(),
        "no data directory is needed then"
    );
    assert!(cluster.is_running(), "it is not ours to stop");
}

#[test]
fn nobody_has_to_read_what_is_printed() {
    let cluster = Cluster::start_throwaway().unwrap();
    let (code, _, errors) = output(&["migrate", "--database-url", &cluster.url("postgres")]);
    assert_eq!(code, Some(0), "{errors}");
    let mut command = pgpresence(&[
        "server",
        "--database-url",
        &cluster.url("postgres"),
        "--listen",
        "udp:127.0.0.1:0",
    ]);
    let mut child = Killed(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    while line != "ready\n" {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    drop((stdout, child.0.stderr.take())); // as `| head` does
    send("TERM", child.0.id());
    let mut status = None;
    eventually("it has stopped", || {
        status = child.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}
