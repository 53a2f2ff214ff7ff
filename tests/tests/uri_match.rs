//! `sip_uri_match` and escapes: whatever way a name comes in, it means the same person (RFC 3261 section 19.1.4).

use system_tests::http;
use system_tests::phone::{Notify, Phone};
use system_tests::pidf;
use system_tests::process::run;
use system_tests::system::{self, STARTUP, System};

const DORA: &str = "sip:dora@example.org";
/// Dora with a needless escape: she in every setting.
const ESCAPED: &str = "sip:%64or%61@Example.ORG";
/// Dora where case does not matter, else somebody else.
const LOUD: &str = "sip:DORA@example.org";

fn publish_by_hand(system: &System, username: &str, note: &str) {
    system.psql(&format!(
        "INSERT INTO presentity (username, domain, event, expires, body) VALUES ('{username}', 'example.org', 'presence', -1, '{}')",
        pidf::document(DORA, note, "open", note)
    ));
}

fn shows(notify: &Notify, note: &str) -> bool {
    String::from_utf8_lossy(&notify.message.body).contains(&format!(">{note}<"))
}

/// Exit code and standard error of a command.
fn refused(system: &System, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = system.command(arguments[0]);
    command.args(&arguments[1..]);
    let (status, _, err) = run(&mut command, STARTUP);
    (status.code(), err)
}

/// A blocking document stored for DORA keeps Eve from dora, if DORA is dora; Eve is written otherwise in it, too.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_of_whom_they_are_stored_for() {
    for (value, owner, is_blocked) in [(0, "DORA", false), (0, "d%6fra", true), (1, "D%4fRA", true)]
    {
        let system = system::setup().set("presence.sip_uri_match", value).start();
        let eve_in_rules = if value == 0 {
            "sip:%65ve@EXAMPLE.org"
        } else {
            "sips:E%76E@example.org:5061"
        };
        system.psql(&format!(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('{owner}', 'Example.org', \
             '<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\">\
             <rule id=\"r\"><conditions><identity><one id=\"{eve_in_rules}\"/></identity></conditions>\
             <actions><p:sub-handling>block</p:sub-handling></actions></rule></ruleset>', 2, 'e', 'u')"
        ));
        let eve = Phone::udp("eve").await;
        let dialog = eve.subscribe(system.udp(0), DORA, 600).await;
        let wanted = if is_blocked {
            "terminated;reason=rejected"
        } else {
            "active"
        };
        dialog
            .until(wanted, |notify| {
                notify
                    .message
                    .header("Subscription-State")
                    .is_some_and(|state| state.starts_with(wanted))
            })
            .await;
    }
}

/// What is written by hand, ordered by RPC and asked by commands is about the same people as what phones say.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_means_the_same_people() {
    for value in [0, 1] {
        let system = system::setup()
            .set("presence.sip_uri_match", value)
            .set("http.listen", "127.0.0.1:0")
            .start();
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), DORA, 600).await;
        dialog.notify(1).await;
        publish_by_hand(&system, "%64ora", "escaped");
        dialog
            .until("escaped", |notify| shows(notify, "escaped"))
            .await;
        publish_by_hand(&system, "DORA", "loud");
        if value == 1 {
            dialog.until("loud", |notify| shows(notify, "loud")).await;
        }
        let here = if value == 1 {
            "sip:dora@example.org"
        } else {
            "sip:DORA@example.org"
        };
        assert_eq!(
            system.psql("SELECT presentity_uri FROM presentity WHERE username = 'DORA'"),
            here
        );

        // By HTTP, where the escape is escaped.
        let server = http::address(&system, 0);
        for (uri, note) in [("sip:%2564ora@EXAMPLE.org", "escaped"), (LOUD, "loud")] {
            let path = format!("/v1/presentities/{uri}/presence");
            let answer = http::send(server, "GET", &path, &[], b"").await;
            assert_eq!(answer.status, 200, "{uri}: {}", answer.text());
            // One document of both publications, or one each.
            for other in ["escaped", "loud"] {
                let shows = answer.text().contains(&format!(">{other}<"));
                assert_eq!(
                    shows,
                    value == 1 || other == note,
                    "{uri}: {}",
                    answer.text()
                );
            }
        }

        // By RPC.
        for (uri, finds) in [(ESCAPED, true), (LOUD, value == 1)] {
            let list = system.cli(&["rpc", "presence.watcher_list", "basic", uri]);
            let list: serde_json::Value = serde_json::from_str(&list).unwrap();
            assert_eq!(
                list.as_array().map(Vec::len),
                Some(usize::from(finds)),
                "{uri}"
            );
        }
        let before = dialog
            .last()
            .and_then(|notify| notify.message.cseq())
            .unwrap();
        system.cli(&[
            "rpc",
            "presence.refreshWatchers",
            if value == 1 { LOUD } else { ESCAPED },
            "presence",
            "1",
        ]);
        dialog
            .until("a refresh", |notify| {
                notify.message.cseq().is_some_and(|cseq| cseq > before)
            })
            .await;

        // By the command that explains.
        for (uri, is_watched) in [(ESCAPED, true), (LOUD, value == 1)] {
            let explained = system.cli(&["explain", uri]);
            assert_eq!(
                explained.contains("watched by sip:alice@example.org"),
                is_watched,
                "{explained}"
            );
        }
    }
}

/// Who is configured otherwise than the database does not start, and says what to do; the order does it.
#[tokio::test(flavor = "multi_thread")]
async fn who_matches_otherwise_does_not_start() {
    let system = system::setup()
        .servers(0)
        .notifiers(0)
        .errors_expected()
        .start();
    let other = "presence.sip_uri_match=1";
    for verb in [
        &["server"][..],
        &["notifier"],
        &["migrate"],
        &["explain", DORA],
        &["rpc", "presence.cleanup"],
    ] {
        let arguments = [verb, &["--set", other]].concat();
        let (code, error) = refused(&system, &arguments);
        let line = error.lines().find(|line| line.starts_with("error: "));
        assert_eq!(code, Some(2), "{verb:?}: {error}");
        assert!(
            line.is_some_and(|line| line.contains("presence.sip_uri_match")
                && line.contains("pgpresence migrate --uri-match 1")),
            "{verb:?}: {error}"
        );
    }
    publish_by_hand(&system, "DORA", "x");
    system.psql("INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('DORA', 'h', '', 2, 'e', 'u'), ('dora', 'h', '', 2, 'e', 'v')");
    let (code, error) = refused(&system, &["migrate", "--uri-match", "1"]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("sip:DORA@h and sip:dora@h have documents of type 2"),
        "{error}"
    );
    assert_eq!(system.psql("SELECT presentity_uri FROM presentity"), LOUD);
    system.psql("DELETE FROM xcap");
    assert_eq!(
        system.cli(&["migrate", "--uri-match", "1"]).trim(),
        "sip_uri_match of the database is 1, 1 rows were changed"
    );
    assert_eq!(system.psql("SELECT presentity_uri FROM presentity"), DORA);
    system.cli(&["explain", LOUD, "--set", other]);
    system.cli(&["migrate", "--set", other]);
}
