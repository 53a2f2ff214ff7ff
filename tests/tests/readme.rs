//! The claims of the README and of the operator's page are each a command that works.
//!
//! Each `console` block's commands run in order, as they stand, but for places: `./dev run` and
//! `target/debug/pgpresence` mean the binary of this build, and addresses and database URLs are those of
//! the test. Each `sql` block goes through the `psql` line that `run` prints.

use std::process::Command;
use std::time::Duration;

use system_tests::process::{Process, Sandbox, pgpresence, run};
use system_tests::system::{STARTUP, addresses, is_ready};

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_string(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

/// The commands of a block, without prompt and comment; lines that end in `\` are joined.
fn commands(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let shown = text.lines().filter_map(|line| line.strip_prefix("$ "));
    shown
        .map(|line| {
            line.split("  #")
                .next()
                .unwrap_or_default()
                .trim()
                .to_string()
        })
        .collect()
}

fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec {line}")]);
    command
}

#[test]
fn every_command_of_the_readme_works() {
    let sandbox = Sandbox::new();
    let program = pgpresence().display().to_string();
    let data = sandbox.directory().join("data").display().to_string();
    let start = format!(
        "{program} run --listen udp:127.0.0.1:0 --listen tcp:127.0.0.1:0 --data-dir {data}"
    );

    // "It prints where it listens, a psql line to paste, and ready."
    let mut running = Process::start(&sandbox, "run", &mut shell(&start));
    running
        .line(STARTUP, is_ready)
        .unwrap_or_else(|fault| panic!("{fault}"));
    let lines = running.lines();
    let listen: Vec<_> = lines.iter().flat_map(|line| addresses(line)).collect();
    let of = |wanted: &str| {
        listen
            .iter()
            .find(|(transport, _)| transport == wanted)
            .expect(wanted)
            .1
    };
    let (udp, tcp) = (of("udp"), of("tcp"));
    let psql = lines
        .iter()
        .find_map(|line| line.find("psql ").map(|at| line[at..].to_string()))
        .expect("a psql line");
    let url = psql
        .trim_start_matches("psql ")
        .trim()
        .trim_matches(['\'', '"'])
        .to_string();

    let mut kept: Vec<Process> = Vec::new();
    let mut tried = 0;
    for (language, text) in blocks(&page("README.md")) {
        if language == "sql" {
            sql(&psql, &text);
            tried += 1;
            continue;
        }
        if language != "console" {
            continue;
        }
        for command in commands(&text) {
            tried += 1;
            if command == "./dev run" {
                continue; // it runs already, see above
            }
            if let Some(rest) = command.strip_prefix("./dev ") {
                let script = page("dev");
                let verb = rest.split(' ').next().unwrap_or_default();
                assert!(script.contains(&format!("{verb})")), "./dev has no {verb}");
                continue; // this test runs inside of `./dev test`
            }
            if command.starts_with("docker") {
                continue; // there is a test of what the compose file runs
            }
            let line = command
                .replace("target/debug/pgpresence", &program)
                .replace("postgres://pgpresence@db/pgpresence", &format!("'{url}'"));
            let line = match line.strip_prefix("pgpresence ") {
                Some(rest) => format!("{program} {rest}"),
                None => line,
            };
            let line = line.replace("192.0.2.10:5060", "127.0.0.1:0");
            let talks = [" watch ", " publish "]
                .iter()
                .any(|verb| line.contains(verb));
            let server = if line.contains("--transport tcp") {
                tcp
            } else {
                udp
            };
            let line = if talks {
                format!("{line} --server {server}")
            } else {
                line
            };

            let ends =
                line.contains("--once") || line.contains(" migrate") || line.contains(" config ");
            if ends {
                let (status, out, err) = run(&mut shell(&line), STARTUP);
                assert!(status.success(), "{command}\n{out}{err}");
                continue;
            }
            let mut process = Process::start(&sandbox, "shown", &mut shell(&line));
            let first = if talks {
                process.line(STARTUP, |line| line.contains("sip:"))
            } else {
                process.line(STARTUP, is_ready)
            };
            first.unwrap_or_else(|fault| panic!("{command}\n{fault}"));
            kept.push(process);
            // "The watcher shows the new state at once."
            if command.contains(" publish ") {
                kept[0]
                    .line(Duration::from_secs(6), |line| line.contains("in a meeting"))
                    .unwrap_or_else(|fault| panic!("{fault}"));
                // "Press Ctrl-C in the third terminal: the publication is removed, and the watcher sees bob close."
                let publish = kept.last_mut().expect("it was just started");
                publish.signal(rustix::process::Signal::INT);
                assert!(
                    publish
                        .wait(STARTUP)
                        .unwrap_or_else(|fault| panic!("{fault}"))
                        .success()
                );
                let seen = kept[0].lines().len().saturating_sub(1);
                let begin = std::time::Instant::now();
                while !kept[0].lines()[seen..]
                    .iter()
                    .any(|line| line.contains("closed"))
                {
                    assert!(
                        begin.elapsed() < Duration::from_secs(10),
                        "{:?}",
                        kept[0].lines()
                    );
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
    assert!(
        tried > 8,
        "the README shows only {tried} commands: is it still read rightly?"
    );
    for mut process in kept {
        process.signal(rustix::process::Signal::INT);
        let _ = process.wait(STARTUP);
    }
    assert!(
        running
            .terminate(STARTUP)
            .unwrap_or_else(|fault| panic!("{fault}"))
            .success()
    );
}

/// The questions of the operator's page and of the data model are answered by the schema as it is.
#[test]
fn the_sql_of_the_documents_works() {
    let system = system_tests::system::setup()
        .servers(0)
        .notifiers(0)
        .start();
    for name in ["docs/OPERATIONS.md", "docs/DATA_MODEL.md"] {
        for (language, text) in blocks(&page(name)) {
            if language == "sql" {
                system.psql(&text);
            }
        }
    }
}

fn sql(psql: &str, text: &str) {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        &format!("{psql} -X -v ON_ERROR_STOP=1 -c \"$1\""),
        "sh",
        text,
    ]);
    let (status, out, err) = run(&mut command, STARTUP);
    assert!(status.success(), "{text}\n{out}{err}");
}
