//! `pgpresence load`: its exit codes, and what it prints where.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::program::{Directory, output};

const WORKLOAD: &str = "
description = \"a few\"
presentities = 3
[[phase]]
measure = true
publish = { window = 1 }
";

/// A server that answers every request with one status.
struct Server {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(status: &'static str) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let address = format!("udp:{}", socket.local_addr().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let request = std::str::from_utf8(&buffer[..length]).unwrap();
                let mirrored: Vec<&str> = request
                    .split("\r\n")
                    .filter(|line| {
                        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                            .iter()
                            .any(|name| line.starts_with(name))
                    })
                    .collect();
                let answer = format!(
                    "SIP/2.0 {status}\r\n{}\r\nSIP-ETag: x\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n",
                    mirrored.join("\r\n")
                );
                socket.send_to(answer.as_bytes(), from).unwrap();
            }
        });
        Server {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn the_exit_code_tells_the_verdict() {
    let directory = Directory::new();
    let (file, json) = (directory.join("few.toml"), directory.join("report.json"));
    std::fs::write(&file, WORKLOAD).unwrap();
    let (file, json) = (file.to_str().unwrap(), json.to_str().unwrap());

    let good = Server::start("200 OK");
    let (code, said, errors) = output(&["load", file, "--server", &good.address, "--json", json]);
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(said.contains("verdict: good"), "{said}");
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report["workload"], "few");
    assert_eq!(report["requests"]["publish_initial"]["ok"], 3);
    assert_eq!(report["verdict"]["ok"], true);

    let bad = Server::start("403 Forbidden");
    let (code, said, errors) = output(&["load", file, "--server", &bad.address, "--json", "-"]);
    assert_eq!(code, Some(1), "{said}{errors}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["verdict"]["failed_requests"], 3);

    // The same file with another number of presentities.
    let sets = [
        "load",
        file,
        "--server",
        &good.address,
        "--set",
        "presentities=5",
        "--json",
        "-",
    ];
    let (code, said, errors) = output(&sets);
    assert_eq!(code, Some(0), "{said}{errors}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["requests"]["publish"]["ok"], 5);
}

#[test]
fn a_wrong_command_line_is_2_and_a_wrong_server_1() {
    for (arguments, expected, word) in [
        (&["load"][..], 2, "required"),
        (&["load", "nonsense"], 2, "publish-1000"),
        (
            &[
                "load",
                "publish-1000",
                "--set",
                "presentitys=1",
                "--set",
                "watchers=-1",
            ],
            2,
            "presentitys: unknown field",
        ),
        (
            &[
                "load",
                "publish-1000",
                "--set",
                "presentitys=1",
                "--set",
                "watchers=-1",
            ],
            2,
            "watchers: ",
        ),
        (
            &["load", "publish-1000", "--server", "sctp:127.0.0.1:5060"],
            1,
            "is not a server",
        ),
        (
            &["load", "publish-1000", "--server", "tcp:127.0.0.1:1"],
            1,
            "cannot reach the servers",
        ),
    ] {
        let (code, said, errors) = output(arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {said}{errors}");
        assert!(errors.contains(word), "{arguments:?}: {errors}");
        assert_eq!(said, "", "{arguments:?}");
    }
    let (code, said, _) = output(&["load", "--list"]);
    assert_eq!(code, Some(0));
    assert!(
        said.contains("publish-1000") && said.contains("storm-50000"),
        "{said}"
    );
}
