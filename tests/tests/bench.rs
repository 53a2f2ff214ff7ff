//! The benchmark in small: that it runs, and that its judge finds nothing. No figure is looked at but for being there.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use system_tests::process::run;

#[test]
fn a_small_benchmark_is_judged_right() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("bench.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command
        .args([
            "--smoke",
            "--only",
            "publish-10,latency-50,notify-direct,subscribe,refresh",
        ])
        .arg("--json")
        .arg(&json);
    let (status, out, err) = run(&mut command, Duration::from_secs(110));
    assert!(status.success(), "{status}\n{out}\n{err}");
    let results: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rows = results["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(row["judge"], "right", "{row:#}");
        for goal in row["goals"].as_array().unwrap() {
            assert!(goal["median"].as_f64().unwrap() > 0.0, "{row:#}");
        }
        let report = &row["runs"][0]["report"];
        assert_eq!(report["verdict"]["ok"], true, "{report:#}");
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for words in [&["--runs", "0"][..], &["--only", "nothing"], &["--what"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        let (status, _, err) = run(command.args(words), Duration::from_secs(10));
        assert_eq!(status.code(), Some(2), "{words:?}: {err}");
        assert!(err.starts_with("bench: "), "{err}");
    }
}
