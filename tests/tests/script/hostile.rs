//! Scripts that mean harm, in the real program: their request is answered 500, and the next one as if nothing had been.

use system_tests::process::run;

use super::*;

/// Does the harm that the request names, else what is usual.
fn harmful(harms: &[&str]) -> String {
    let branches: String = harms
        .iter()
        .enumerate()
        .map(|(at, harm)| format!("if harm == '{at}' then\n{harm}\nend\n"))
        .collect();
    format!(
        "function route(request)\nlocal harm = request:header('Subject')\n{branches}\ndefault_route()\nend"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_answered_500_and_harms_nothing() {
    let harms = [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "xpcall(error, function() while true do pcall(function() while true do end end) end end)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = {} end",
        "('x'):rep(1 << 40)",
        "('a'):rep(10000):find(('a-'):rep(20) .. 'b')",
        "table.move({}, 1, math.maxinteger - 1, 2)",
        "local function f() return 1 + f() end f()",
        "error('on purpose')",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "handle_subscribe({})",
        "pres_auth_status({}, {})",
        "request:reply('x')",
        "undefined()",
        "os.exit(1)",
        "io.open('/etc/passwd')",
        "load('x = 1')",
        "coroutine.wrap(function() while true do end end)()",
        "setmetatable({}, {__gc = function() while true do end end})",
        "handle_subscribe()",
        "while true do pcall(handle_subscribe, {}) end",
    ];
    let script = Script::new(&harmful(&harms));
    let mut system = script.setup().start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    for (at, harm) in harms.iter().enumerate() {
        let request = bob
            .request("PUBLISH", BOB)
            .with("Event", "presence")
            .with("Subject", at.to_string());
        let response = bob.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(500), "{harm}: {response}");
        let note = format!("after {at}");
        publisher.show(system.udp(0), "open", &note).await;
    }
    let last = format!("after {}", harms.len() - 1);
    dialog
        .until(&last, |notify| notify.note() == Some(&last))
        .await;
    assert!(system.servers[0].process.is_running());
    let failures = count(&system.servers[0].process, "a call of the script failed");
    assert!(failures > 0, "nothing of it is in the log");
    // What failed left no row.
    assert_eq!(system.psql("SELECT count(*) FROM presentity"), "1");
}

/// A value that the script sets and that cannot be used is an error of the script, in the log with its place. The PUBLISH is stored as
/// if it had not been set.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_costs_nobody_his_publish() {
    let mistakes = [
        ("xavp.pres.priority = 'abc'", "xavp.pres.priority must be"),
        ("xavp.pres.priority = 1.5", "xavp.pres.priority must be"),
        ("xavp.pres.priority = 1e300", "xavp.pres.priority must be"),
        ("xavp.pres.priority = {}", "xavp.pres.priority must be"),
        ("xavp.pres.priority = route", "xavp.pres.priority must be"),
        (
            "xavp.pres = {priority = 'abc'}",
            "xavp.pres.priority must be",
        ),
        ("xavp.pres = 7", "xavp.pres must be a table"),
        ("sender = {}", "sender_uri must be a text"),
        ("sender = 42", "sender_uri must be a text"),
    ];
    for (mistake, told) in mistakes {
        let script = Script::new(&format!(
            "function route(request)\nlocal sender\n{mistake}\nif request.method == 'PUBLISH' then handle_publish(sender) else default_route() end\nend"
        ));
        let mut system = script.setup().errors_expected().notifiers(0).start();
        let bob = Phone::udp("bob").await;
        // The phone judges the answer: 200 with an entity-tag.
        bob.publisher(BOB)
            .show(system.udp(0), "open", "there")
            .await;
        let stored = system.psql(
            "SELECT sender || '|' || (abs(priority - (extract(epoch FROM now()) - 1420070400)) < 60) FROM presentity",
        );
        assert_eq!(stored, "|true", "{mistake}");
        let line = logged(&mut system.servers[0].process, told).await;
        assert!(
            line.contains("a call of the script failed"),
            "{mistake}: {line}"
        );
        assert!(line.contains("route.lua:"), "{mistake}: {line}");
    }
}

/// The second of two workers goes on, or the first when it is free again: nobody waits longer than deadlines add up to.
#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_while_a_script_runs_wild() {
    let script = Script::new(&harmful(&["while true do end"]));
    let system = script.setup().notifiers(0).start();
    let (wild, bob) = (Phone::udp("wild").await, Phone::udp("bob").await);
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (wild, server) = (wild.clone(), system.udp(0));
        tasks.push(tokio::spawn(async move {
            let request = wild.request("PUBLISH", BOB).with("Subject", "0");
            wild.send(&request, server).await.status()
        }));
    }
    for number in 0..10 {
        bob.publisher(BOB)
            .show(system.udp(0), "open", &number.to_string())
            .await;
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Some(500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_does_not_load_stops_the_start() {
    let script = Script::new("function route(request");
    let missing = "/nonexistent/route.lua".to_owned();
    let system = system::setup().servers(0).notifiers(0).start();
    for (file, wanted) in [
        (script.file.display().to_string(), "route.lua:1"),
        (missing, "/nonexistent/route.lua"),
    ] {
        for verb in ["server", "notifier", "config"] {
            let mut command = system.command(verb);
            if verb == "config" {
                command = std::process::Command::new(system_tests::process::pgpresence());
                command.args(["config", "check"]);
            }
            command.args(["--set", &format!("script.file={file}")]);
            let (status, _, err) = run(&mut command, system::STARTUP);
            assert!(!status.success(), "{verb}");
            assert!(
                err.contains("script.file") && err.contains(wanted),
                "{verb}: {err}"
            );
        }
    }
}
