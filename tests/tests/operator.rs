//! The operator's commands: `rpc`, `status`, `explain`, beside a running system and without one.

use system_tests::phone::{Notify, Phone, State};
use system_tests::process::run;
use system_tests::system::{self, STARTUP, System};

const BOB: &str = "sip:bob@example.org";

/// Exit code, standard output, standard error.
fn command(system: &System, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = system.command(arguments[0]);
    command.args(&arguments[1..]);
    let (status, out, err) = run(&mut command, STARTUP);
    (status.code(), out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn rpc_as_kamctl_does() {
    let system = system::setup().errors_expected().start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    assert_eq!(
        command(&system, &["rpc", "presence.cleanup"]).1.trim(),
        "Reload OK"
    );
    let refresh = ["rpc", "presence.refreshWatchers", BOB, "presence", "1"];
    assert_eq!(
        command(&system, &refresh),
        (Some(0), String::new(), String::new())
    );
    dialog.notify(2).await;
    // Settings may stand behind the parameters.
    let list = [
        "rpc",
        "presence.watcher_list",
        "basic",
        BOB,
        "--set",
        "log.level=warn",
    ];
    let (code, list, _) = command(&system, &list);
    assert_eq!(code, Some(0));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["watcher_user"], "alice");
    for (arguments, part) in [
        (
            &["rpc", "presence.refreshWatchers", BOB][..],
            "500 Not enough parameters",
        ),
        (
            &["rpc", "presence.presentity_list", "half"],
            "500 Unknown output mode",
        ),
        (&["rpc", "presence.clean"], "presence.cleanup"),
        (
            &["rpc", "presence.refreshWatchers", BOB, "presense", "1"],
            "500 Event package 'presense' is not served; these are: ",
        ),
        (
            &["rpc", "presence.updateWatchers", BOB, "presense"],
            "500 Event package 'presense' is not served; these are: ",
        ),
        (
            &["rpc", "presence.updateWatchers", "bob", "presence"],
            "is not the URI of a presentity",
        ),
    ] {
        let (code, out, errors) = command(&system, arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains(part), "{errors}");
    }
}

/// The commands in the examples of Kamailio's documentation, word for word, and what each does.
#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands() {
    let system = system::start();
    let rpc = |line: &str| {
        let words: Vec<&str> = std::iter::once("rpc").chain(line.split(' ')).collect();
        let (code, out, errors) = command(&system, &words);
        assert_eq!(code, Some(0), "{line}: {errors}");
        out
    };
    let (test, alice) = ("sip:test@kamailio.org", "sip:alice@domain.com");
    let phone = Phone::udp("phone").await;
    let dialog = phone.subscribe(system.udp(0), test, 600).await;
    let other = phone.subscribe(system.udp(0), alice, 600).await;
    dialog.notify(1).await;
    other.notify(1).await;
    let mut publisher = phone.publisher(test);
    publisher.show(system.udp(0), "open", "at lunch").await;
    dialog
        .until("at lunch", |notify| notify.note() == Some("at lunch"))
        .await;
    let told = dialog.count();

    assert_eq!(rpc("presence.cleanup").trim(), "Reload OK");
    rpc("presence.refreshWatchers sip:test@kamailio.org presence 1");
    dialog.notify(told + 1).await;
    // What was decided about a watcher, written by hand as programs do that have no rules documents.
    system.psql(
        "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason, inserted_time)
         VALUES ('sip:alice@domain.com', 'phone', 'example.org', 'presence', 3, 'rejected', extract(epoch FROM now())::bigint)
         ON CONFLICT (presentity_uri, watcher_username, watcher_domain, event) DO UPDATE SET status = 3, reason = 'rejected'",
    );
    rpc("presence.updateWatchers sip:alice@domain.com presence");
    other.until("that it is refused", Notify::ends).await;
    let brief: serde_json::Value = serde_json::from_str(&rpc("presence.presentity_list")).unwrap();
    assert_eq!(
        (&brief[0]["user"], &brief[0]["body"]),
        (&"test".into(), &serde_json::Value::Null)
    );
    let full: serde_json::Value =
        serde_json::from_str(&rpc("presence.presentity_list full")).unwrap();
    assert!(
        full[0]["body"].as_str().unwrap().contains("at lunch"),
        "{full}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_whether_all_is_well() {
    let mut system = system::setup().errors_expected().start();
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(0), "{out}");
    for part in [
        "server ",
        "notifier ",
        "alive",
        "due: nothing",
        "failing: no subscription",
        "well",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }

    // A notifier that stops says so; one that is killed is silent.
    drop(system.notifiers.pop());
    system
        .until(STARTUP, "SELECT count(*) FROM node WHERE kind = 'notifier' AND heartbeat > now() - interval '1 minute'", 1)
        .await;
    system.psql("UPDATE node SET heartbeat = now() - interval '40 s' WHERE kind = 'notifier'");
    system.psql(&format!(
        "SELECT presence_publish('{BOB}', 'presence', '<presence/>')"
    ));
    system.psql("UPDATE notify_queue SET due = now() - interval '25 s', owed_since = now() - interval '30 s'");
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(1), "{out}");
    for part in [
        "silent for",
        "due: 1 resources, 1 of them now",
        "not well: no notifier is alive",
        "no notifier takes them",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }
    assert!(!out.lines().any(|line| line == "well"), "{out}");

    system.kill9_postgres();
    let (code, _, errors) = command(&system, &["status"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("database"), "{errors}");
    system.restart_postgres();
}

/// All processes live, a notifier has everything in hand, and somebody is told nothing.
#[tokio::test(flavor = "multi_thread")]
async fn status_is_not_well_while_somebody_is_not_told() {
    let system = system::setup().start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    system
        .until(
            STARTUP,
            "SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL",
            0,
        )
        .await;

    // A forgotten session of psql.
    system.psql("UPDATE active_watchers SET notified_at = now() - interval '6 min'");
    let other = system.sql().await;
    other
        .batch_execute("BEGIN; SELECT id FROM active_watchers FOR UPDATE")
        .await
        .unwrap();
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "at lunch").await;
    system
        .until(
            STARTUP,
            "SELECT count(*) FROM notify_queue WHERE owner IS NOT NULL",
            1,
        )
        .await;
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(0), "that is no time yet: {out}");
    // So does somebody look who was shown the same by every change, while another phone of the resource fails.
    system.psql("UPDATE notify_queue SET owed_since = now() - interval '5 min'");
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(0), "a change that came just now: {out}");
    system.psql("UPDATE notify_queue SET not_before = now() - interval '5 min'");
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(1), "{out}");
    let said = "not well: a NOTIFY of 1 resources has been due for up to 5 min";
    assert!(out.contains(said), "{out}");
    assert!(!out.contains("no notifier takes them"), "{out}");

    other.batch_execute("ROLLBACK").await.unwrap();
    dialog
        .until("at lunch", |notify| notify.note() == Some("at lunch"))
        .await;
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(0), "{out}");
}

/// Phones that are gone: what is owed them is taken up, and fails.
#[tokio::test(flavor = "multi_thread")]
async fn status_is_not_well_while_a_phone_fails_for_long() {
    let system = system::setup().notifiers(1).start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    system.psql("UPDATE active_watchers SET updated = 0, failures = 9, retry_at = extract(epoch FROM now())::bigint + 600");
    let (code, out, _) = command(&system, &["status"]);
    assert_eq!(code, Some(1), "{out}");
    let said = "not well: 1 subscriptions have failed 5 times in a row or more, the worst 9";
    assert!(out.contains(said), "{out}");
    let (code, out, _) = command(&system, &["status", "--tolerate", "1"]);
    assert_eq!(code, Some(0), "{out}");
}

/// Thousands who watch her presence do not hide who watches her calls.
#[tokio::test(flavor = "multi_thread")]
async fn explain_has_a_limit_of_each_event_package() {
    let system = system::setup().servers(0).notifiers(0).start();
    system.psql(&format!(
        "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain, event, \
             to_tag, from_tag, callid, remote_cseq, contact, expires, status) \
         SELECT '{BOB}', 'w' || n, 'example.org', 'bob', 'example.org', 'w' || n, 'example.org', \
             CASE WHEN n > 500 THEN 'presence.winfo' WHEN n > 497 THEN 'reg' ELSE 'presence' END, \
             'o' || n, 't' || n, 'call' || n, 1, 'sip:w@192.0.2.1', extract(epoch FROM now())::bigint + 3600, 1 \
         FROM generate_series(1, 502) AS n"
    ));
    let (code, out, _) = command(&system, &["explain", BOB, "--watchers", "5"]);
    assert_eq!(code, Some(0));
    assert_eq!(out.matches("watched by sip:w").count(), 5 + 3 + 2, "{out}");
    assert_eq!(
        out.matches("only 5 subscriptions are shown").count(),
        1,
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_everything_about_a_presentity() {
    let mut system = system::setup().errors_expected().start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "at lunch").await;
    dialog
        .until("at lunch", |notify| notify.note() == Some("at lunch"))
        .await;
    system
        .until(
            STARTUP,
            "SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL",
            0,
        )
        .await;
    let explain = ["explain", "sips:bob@EXAMPLE.org;transport=tls"];
    let (code, out, errors) = command(&system, &explain);
    assert_eq!(code, Some(0), "{errors}");
    for part in [
        "sip:bob@example.org\n",
        "published by somebody",
        "watchers get (application/pidf+xml):",
        "at lunch",
        "watched by sip:alice@example.org",
        "active",
        "2 NOTIFYs so far (the last",
        " ago), nothing is due",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }

    // Nobody takes the change, and it says so; then it is paced.
    drop(system.notifiers.pop());
    publisher.show(system.udp(0), "closed", "gone").await;
    system.psql("UPDATE notify_queue SET owner = NULL, lease_until = '-infinity', due = now() - interval '30 s'");
    let (_, out, _) = command(&system, &explain);
    for part in [
        "gone",
        "a change is due: it has been due for",
        "no notifier takes it",
    ] {
        assert!(out.contains(part), "{part}:\n{out}");
    }
    system.psql("UPDATE notify_queue SET due = now() + interval '30 s'");
    let (_, out, _) = command(&system, &explain);
    assert!(
        out.contains("waitn_time holds it back for another"),
        "{out}"
    );
    system.psql("UPDATE active_watchers SET updated = 0, failures = 3, retry_at = extract(epoch FROM now())::bigint + 40");
    let (_, out, _) = command(&system, &explain);
    assert!(
        out.contains("the last 3 failed in a row; the next try is in"),
        "{out}"
    );

    // A list that is cut says so, and only then.
    let _other = alice.subscribe(system.udp(0), BOB, 600).await;
    for (most, is_cut) in [("1", true), ("2", false)] {
        let (_, out, _) = command(&system, &["explain", BOB, "--watchers", most]);
        let shown = out.matches("watched by sip:alice@example.org").count();
        assert_eq!(shown.to_string(), most, "{out}");
        assert_eq!(out.contains("subscriptions are shown"), is_cut, "{out}");
    }

    let (code, out, _) = command(&system, &["explain", "sip:nobody@example.org"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("nothing is published, and there are no watchers"),
        "{out}"
    );
    let (code, _, errors) = command(&system, &["explain", "bob"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("is not a URI of a presentity"), "{errors}");
}

/// Everything that a server and a notifier do, with the rights of their roles and no others.
#[tokio::test(flavor = "multi_thread")]
async fn roles_are_enough_for_the_processes() {
    let system = system::setup()
        .by_role()
        .set("presence.min_expires", 0)
        .set("presence.max_expires", 600)
        .start();
    let (alice, carol, bob) = (
        Phone::udp("alice").await,
        Phone::udp("carol").await,
        Phone::udp("bob").await,
    );
    // Watcher information, a watcher with a decision, one who has to wait and gives up.
    let winfo = bob
        .subscribe_to(system.udp(0), BOB, "presence.winfo", 600)
        .await;
    winfo.notify(1).await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    system.psql(
        r#"INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri)
           VALUES ('bob', 'example.org', $$<ruleset xmlns="urn:ietf:params:xml:ns:common-policy"
               xmlns:p="urn:ietf:params:xml:ns:pres-rules"><rule id="a"><conditions/><actions><p:sub-handling>confirm</p:sub-handling></actions>
               <transformations/></rule></ruleset>$$, 2, 'e1', '/pres-rules/users/bob/index')"#,
    );
    dialog.until("that she may not know", Notify::ends).await;
    let first = alice.subscribe(system.udp(0), BOB, 600).await;
    assert_eq!(first.notify(1).await.state.state, State::Pending);
    let second = carol.subscribe(system.udp(0), BOB, 600).await;
    second.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "at lunch").await;
    second.unsubscribe(system.udp(0)).await;
    // A publication that expires, and what is left of it is cleared away.
    system.psql(
        "UPDATE presentity SET expires = extract(epoch FROM now())::bigint - 1, sweep_at = 0",
    );
    system
        .until(
            STARTUP,
            "SELECT count(*) FROM presentity WHERE NOT removed",
            0,
        )
        .await;
    system.psql("UPDATE presentity SET sweep_at = 0");
    system
        .until(STARTUP, "SELECT count(*) FROM presentity", 0)
        .await;
    system.psql("UPDATE active_watchers SET expires = 1, sweep_at = 0 WHERE event = 'presence'");
    system
        .until(STARTUP, "SELECT count(*) FROM watchers WHERE status = 4", 2)
        .await;
}
