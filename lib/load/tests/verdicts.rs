//! Proves that the judge finds what is wrong, with servers that do one thing wrong each; and that it finds nothing where
//! nothing is. A judge that finds nothing anywhere proves nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod server;

use load::{Options, Report, RunVerdict, Workload};
use server::{Habit, Server};
use sip::Transport;

/// Two presentities with three watchers each and ten states, small enough to lose no datagram.
const WORKLOAD: &str = "
    description = \"a few of everything\"
    presentities = 2
    watchers = 3
    t1_ms = 100
    t2_ms = 400
    timeout_ms = 800
    drain_s = 2
    [[phase]]
    name = \"publish\"
    publish = { window = 2 }
    [[phase]]
    name = \"subscribe\"
    measure = true
    subscribe = { window = 2 }
    [[phase]]
    name = \"modify\"
    measure = true
    modify = { window = 2, count = 20 }
    resubscribe = { window = 1, count = 6 }
    refresh = { window = 1, count = 2 }
";

fn run(habit: Habit, workers: usize, sets: &[(&str, &str)]) -> Report {
    run_text(habit, WORKLOAD, workers, sets)
}

fn run_text(habit: Habit, text: &str, workers: usize, sets: &[(&str, &str)]) -> Report {
    let server = Server::start(habit);
    let sets: Vec<(String, String)> = sets
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let workload = Workload::parse("small", text, &sets).unwrap();
    let options = Options {
        servers: vec![load::Server {
            transport: Transport::Udp,
            address: server.address,
        }],
        workers,
        seed: 1,
        domain: "example.org".into(),
        password: None,
    };
    load::run(&workload, &options, |_| {}).unwrap()
}

/// The verdict with its words taken out, and its counts reduced to whether there are any.
fn kinds(verdict: &RunVerdict) -> Vec<&'static str> {
    [
        ("gaps", verdict.cseq_gaps),
        ("repeats", verdict.cseq_repeats),
        ("disorder", verdict.cseq_disorder),
        ("backwards", verdict.backwards),
        ("foreign", verdict.foreign_state),
        ("doubled", verdict.doubled_dialogs),
        ("last", verdict.not_last_state),
        ("initial", verdict.missing_initial_notify),
        ("lost", verdict.lost_requests),
        ("failed", verdict.failed_requests),
        ("malformed", verdict.malformed),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, _)| name)
    .collect()
}

#[test]
fn an_honest_server_is_found_honest() {
    for workers in [1, 2, 3] {
        let report = run(Habit::Honest, workers, &[]);
        assert_eq!(
            report.verdict,
            RunVerdict {
                ok: true,
                ..RunVerdict::default()
            },
            "{report}"
        );
        let requests = &report.requests;
        assert_eq!(requests.publish_modify.outcomes["200"], 20, "{report}");
        assert_eq!(requests.publish_refresh.ok, 2, "{report}");
        assert_eq!(requests.subscribe_initial.ok, 6, "{report}");
        assert_eq!(requests.subscribe_refresh.ok, 6, "{report}");
        // Twenty states for three watchers each; every one is shown, for nothing is coalesced here.
        assert_eq!(report.latency_ms.state.count, 60, "{report}");
        assert_eq!(report.latency_ms.state_shown.count, 60, "{report}");
        assert_eq!(report.latency_ms.initial_notify.count, 6, "{report}");
        assert_eq!(report.latency_ms.publish_response.count, 22, "{report}");
        assert_eq!(report.workers, workers);
        assert!(
            report.seconds > 0.0 && report.messages.per_second > 0.0,
            "{report}"
        );
    }
}

#[test]
fn each_fault_is_found() {
    for (habit, expected, per_watcher) in [
        (Habit::ReusesCseq, &["repeats"][..], "is used twice"),
        (Habit::SkipsCseq, &["gaps"], "skips from 3"),
        (Habit::Overtakes, &["disorder"], "comes after 5"),
        // Not a gap: the drain waits for what may still come.
        (Habit::SendsLate, &["disorder"], "comes after"),
        (Habit::GoesBack, &["backwards"], "goes back from state"),
        (Habit::DropsLast, &["last"], "ends on state"),
        (
            Habit::MixesUp,
            &["backwards", "foreign"],
            "which is not what was published here",
        ),
        (Habit::NeverNotifies, &["initial"], "never notified"),
        (Habit::DoublesDialog, &["doubled"], "made two dialogs"),
        (Habit::Refuses, &["failed"], "403 Forbidden"),
        (Habit::IsDeaf, &["lost"], "no final answer"),
    ] {
        let report = run(
            habit,
            1,
            &[
                ("phase.modify.resubscribe.count", "0"),
                ("phase.modify.refresh.count", "0"),
            ],
        );
        assert_eq!(kinds(&report.verdict), expected, "{habit:?}\n{report}");
        assert!(!report.verdict.ok, "{habit:?}");
        assert!(
            report
                .verdict
                .faults
                .iter()
                .any(|fault| fault.contains(per_watcher)),
            "{habit:?}\n{report}"
        );
    }
}

#[test]
fn what_only_looks_like_a_fault_is_none() {
    for habit in [
        Habit::SaysTwice,
        Habit::NotifiesFirst,
        Habit::ForgetsOnce,
        Habit::WantsLonger,
        Habit::IsBusyOnce,
        Habit::LosesDialogOnce,
        Habit::MissesOnce,
        Habit::RefusesButDoes,
    ] {
        let report = run(habit, 1, &[]);
        assert!(report.verdict.ok, "{habit:?}\n{report}");
        let requests = &report.requests;
        let outcome = |status: &str, of: &load::RequestCounts| of.outcomes.get(status).copied();
        match habit {
            // Not to the number: a pair may straddle the end of the measured time.
            Habit::SaysTwice => assert!(report.retransmissions.received_notify > 20, "{report}"),
            Habit::ForgetsOnce => {
                assert_eq!(outcome("412", &requests.publish), Some(2), "{report}")
            }
            Habit::RefusesButDoes => assert_eq!(requests.notify.after_refusal, 6, "{report}"),
            Habit::LosesDialogOnce => {
                assert_eq!(outcome("481", &requests.subscribe), Some(6), "{report}")
            }
            _ => {}
        }
    }
    // What happens in the publishing phase is not measured there, but here.
    let measured = [("phase.publish.measure", "true")];
    let report = run(Habit::IsBusyOnce, 1, &measured);
    assert_eq!(
        report.requests.publish_initial.outcomes["503"], 2,
        "{report}"
    );
    assert_eq!(report.requests.publish_initial.ok, 2, "{report}");
    assert!(
        report.latency_ms.publish_response.max >= 1000.0,
        "waiting counts: {report}"
    );
    let report = run(Habit::WantsLonger, 1, &measured);
    assert_eq!(
        report.requests.publish_initial.outcomes["423"], 2,
        "{report}"
    );
    let report = run(Habit::MissesOnce, 1, &measured);
    assert_eq!(report.retransmissions.sent, 2, "{report}");
}

#[test]
fn gaps_can_be_allowed() {
    let report = run(Habit::SkipsCseq, 1, &[("gaps_allowed", "true")]);
    assert!(report.verdict.ok, "{report}");
}

#[test]
fn dead_watchers_are_not_judged_and_slow_ones_are() {
    let dead = [("dead_share", "1")];
    let report = run(Habit::DropsLast, 1, &dead);
    assert!(report.verdict.ok, "{report}");
    let slow = [("slow_share", "1"), ("slow_ms", "30")];
    let report = run(Habit::DropsLast, 1, &slow);
    assert_eq!(report.verdict.not_last_state, 6, "{report}");
    let report = run(Habit::Honest, 1, &slow);
    assert!(report.verdict.ok, "{report}");
}

/// The open loop counts from the time that a request was due: a server that is silent for a while makes all of them late, not
/// only the one that was under way.
#[test]
fn an_open_loop_does_not_omit_the_wait() {
    // No set-up: the first state of the open loop is the one that gets no answer until it is sent again.
    let text = "[[phase]]\nmeasure = true\nmodify = { rate = 100, count = 20 }\n";
    let report = run_text(Habit::MissesOnce, text, 1, &[("presentities", "1")]);
    assert!(report.verdict.ok, "{report}");
    let latency = report.latency_ms.publish_response;
    assert_eq!(latency.count, 20, "{report}");
    // 500 ms until the retransmission; by then the other 19 are up to 490 ms late. A closed loop would have one late value.
    assert!(latency.max >= 500.0 && latency.p50 >= 300.0, "{report}");
}

#[test]
fn the_report_is_readable_by_machines() {
    let report = run(Habit::Honest, 1, &[]);
    let json = serde_json::to_value(&report).unwrap();
    for pointer in [
        "/workload",
        "/seconds",
        "/requests/publish/per_second",
        "/requests/publish/outcomes/200",
        "/requests/subscribe_initial/ok",
        "/requests/notify/per_second",
        "/latency_ms/state/p50",
        "/latency_ms/state/p999",
        "/latency_ms/initial_notify/max",
        "/latency_ms/publish_response/count",
        "/latency_ms/subscribe_response/p99",
        "/retransmissions/sent",
        "/retransmissions/received_notify",
        "/verdict/ok",
        "/verdict/cseq_gaps",
        "/verdict/cseq_repeats",
        "/verdict/cseq_disorder",
        "/verdict/backwards",
        "/verdict/not_last_state",
        "/verdict/missing_initial_notify",
        "/verdict/lost_requests",
        "/verdict/faults",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer} in {json:#}");
    }
    let back: Report = serde_json::from_value(json).unwrap();
    assert_eq!(back, report);
}
