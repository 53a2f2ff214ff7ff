//! `pgpresence load` against the real system: each workload in the box, made small, finds nothing wrong. Correctness alone:
//! how fast anything was plays no part.

use std::process::Command;
use std::time::Duration;

use system_tests::process::{pgpresence, run};
use system_tests::system::{self, System};

/// Every workload and what makes it small.
const SMALL: &[(&str, &[&str])] = &[
    ("publish-1000", &["presentities=50"]),
    ("publish-2000x1", &["presentities=50"]),
    ("publish-100x10", &["presentities=10"]),
    (
        "latency-100x10",
        &["presentities=20", "phase.measured.modify.rate=20"],
    ),
    (
        "latency-1000x10",
        &[
            "presentities=50",
            "watchers=4",
            "phase.measured.modify.rate=50",
        ],
    ),
    (
        "fanout-2000",
        &["watchers=100", "phase.measured.modify.rate=2"],
    ),
    ("notify-100x100", &["presentities=5", "watchers=40"]),
    ("subscribe", &["presentities=20", "watchers=10"]),
    ("resubscribe", &["presentities=20", "watchers=5"]),
    ("storm-50000", &["presentities=50"]),
    ("publish-initial", &["presentities=200"]),
    ("publish-refresh", &["presentities=50"]),
    ("publish-remove", &["presentities=200"]),
    (
        "office",
        &[
            "presentities=50",
            "watchers=4",
            "slow_share=0.1",
            "dead_share=0.05",
            "slow_ms=700",
            "phase.measured.modify.rate=40",
            "phase.measured.refresh.rate=20",
            "phase.measured.resubscribe.rate=40",
        ],
    ),
];

/// Runs a workload and returns its report; the text of it, when the verdict is bad.
fn load(
    servers: &[String],
    workload: &str,
    sets: &[&str],
    more: &[&str],
) -> Result<serde_json::Value, String> {
    let mut command = Command::new(pgpresence());
    command.args(["load", workload, "--duration", "1", "--json", "-"]);
    for server in servers {
        command.args(["--server", server]);
    }
    for set in sets {
        command.args(["--set", set]);
    }
    command.args(more);
    let (status, out, err) = run(&mut command, Duration::from_secs(120));
    if !status.success() {
        return Err(format!("{command:?}: {status}\n{out}\n{err}"));
    }
    Ok(serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}")))
}

fn addresses(system: &System, transport: &str) -> Vec<String> {
    system
        .servers
        .iter()
        .map(|server| format!("{transport}:{}", server.address(transport)))
        .collect()
}

#[test]
fn every_workload_in_the_box() {
    let system = system::setup().servers(2).notifiers(2).start();
    let servers = addresses(&system, "udp");
    for (workload, sets) in SMALL {
        let mut sets = sets.to_vec();
        let has_warmup = workload_has_warmup(workload);
        if has_warmup {
            sets.push("phase.measured.warmup_s=0.2");
        }
        let report = load(&servers, workload, &sets, &[]).unwrap_or_else(|fault| panic!("{fault}"));
        let requests = &report["requests"];
        let sum = |kind: &str| requests[kind]["ok"].as_u64().unwrap_or_default();
        assert!(
            sum("publish") + sum("subscribe") > 0,
            "{workload}: {report:#}"
        );
        assert_eq!(report["verdict"]["ok"], true, "{workload}: {report:#}");
    }
    let list = run(
        Command::new(pgpresence()).args(["load", "--list"]),
        system::STARTUP,
    )
    .1;
    assert_eq!(
        list.lines().count(),
        SMALL.len(),
        "a workload is left out here:\n{list}"
    );
}

/// Those whose work has an end measure from the beginning.
fn workload_has_warmup(workload: &str) -> bool {
    !matches!(
        workload,
        "subscribe" | "storm-50000" | "publish-initial" | "publish-remove"
    )
}

/// Over TCP the NOTIFYs come down the connections; two workers share the work.
#[test]
fn over_tcp_and_with_two_workers() {
    let system = system::setup().servers(2).start();
    let servers = addresses(&system, "tcp");
    let sets = [
        "presentities=10",
        "publications=2",
        "phase.measured.warmup_s=0.2",
    ];
    for workers in ["1", "2"] {
        let report = load(&servers, "publish-100x10", &sets, &["--workers", workers])
            .unwrap_or_else(|fault| panic!("{fault}"));
        assert!(
            report["requests"]["notify"]["received"].as_u64() > Some(0),
            "{report:#}"
        );
        assert!(
            report["latency_ms"]["state"]["count"].as_u64() > Some(0),
            "{report:#}"
        );
    }
}

/// Whatever the package: each has its own place for the number of a state.
#[test]
fn other_event_packages() {
    let system = system::setup().start();
    let servers = addresses(&system, "udp");
    for event in ["dialog", "message-summary"] {
        let sets = [
            "presentities=10",
            "watchers=3",
            "phase.measured.warmup_s=0",
            &format!("event={event}"),
        ];
        let report =
            load(&servers, "publish-100x10", &sets, &[]).unwrap_or_else(|fault| panic!("{fault}"));
        let shown = &report["latency_ms"]["state_shown"]["count"];
        assert!(shown.as_u64() > Some(0), "{event}: {report:#}");
    }
}

/// After leaving, nothing of the load stays in the tables but what is kept for retransmissions.
#[tokio::test(flavor = "multi_thread")]
async fn it_leaves_as_it_came() {
    let system = system::setup().start();
    let sets = ["presentities=10", "phase.measured.warmup_s=0"];
    load(&addresses(&system, "udp"), "publish-100x10", &sets, &[])
        .unwrap_or_else(|fault| panic!("{fault}"));
    let soon = Duration::from_secs(10);
    system
        .until(soon, "SELECT count(*) FROM presentity WHERE NOT removed", 0)
        .await;
    system
        .until(
            soon,
            "SELECT count(*) FROM active_watchers WHERE NOT ended",
            0,
        )
        .await;
}

/// A bad verdict is exit code 1: here nobody answers.
#[test]
fn a_server_that_is_not_there() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = format!("udp:{}", nobody.local_addr().expect("its address"));
    let sets = [
        "presentities=2",
        "timeout_ms=600",
        "drain_s=1",
        "phase.measured.warmup_s=0",
    ];
    let fault = load(&[address], "publish-1000", &sets, &[]).expect_err("nobody answers");
    assert!(fault.contains("exit status: 1"), "{fault}");
    assert!(fault.contains("\"ok\": false"), "{fault}");
}
