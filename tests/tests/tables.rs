//! `presentity_table`, `active_watchers_table`, `watchers_table`: the whole system on tables with other names, two of them in a schema of
//! their own; and what becomes of a database whose tables are called otherwise.

use std::time::Duration;

use system_tests::phone::Phone;
use system_tests::process::run;
use system_tests::system::{self, STARTUP, Setup, System};

const BOB: &str = "sip:bob@example.org";
const KAMAILIO: &str = include_str!("../../sql/tests/kamailio.sql");

fn renamed() -> Setup {
    system::setup()
        .set("presence.presentity_table", "presence_data.presentity_x")
        .set("presence.active_watchers_table", "presence_data.user")
        .set("presence.watchers_table", "watchers_x")
}

/// Exit code, standard output, standard error.
fn command(system: &System, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = system.command(arguments[0]);
    command.args(&arguments[1..]);
    let (status, out, err) = run(&mut command, STARTUP);
    (status.code(), out, err)
}

/// PUBLISH, SUBSCRIBE and NOTIFY, expiry, rules, superseding, SQL as an interface, and the operator's commands.
#[tokio::test(flavor = "multi_thread")]
async fn everything_works_under_other_names() {
    let system = renamed()
        .set("presence.waitn_time", 0)
        .set("presence.delete_same_subs", 2)
        .start();
    assert_eq!(
        system.psql("SELECT concat(to_regclass('presentity'), to_regclass('active_watchers'), to_regclass('watchers'))"),
        ""
    );
    let (alice, bob, eve) = (
        Phone::udp("alice").await,
        Phone::udp("bob").await,
        Phone::udp("eve").await,
    );
    let server = system.udp(0);
    let old = alice.subscribe(server, BOB, 600).await;
    old.notify(1).await;
    let dialog = alice.subscribe(server, BOB, 600).await;
    old.until("the end", |notify| notify.ends()).await;
    let mut publisher = bob.publisher(BOB);
    for note in ["one", "two"] {
        publisher.show(server, "open", note).await;
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
    }
    let lamp = eve.subscribe(server, BOB, 600).await;
    lamp.until("open", |notify| notify.basic() == "open").await;
    assert_eq!(lamp.refresh(server, 600).await.status(), Some(200));
    publisher.remove(server).await;
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;

    // Rules, written by somebody else, decide anew: of Eve and, once there is a document, of nobody that it does not name.
    let rule = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\"><rule id=\"a\">\
        <conditions><identity><one id=\"sip:alice@example.org\"/></identity></conditions>\
        <actions><p:sub-handling>allow</p:sub-handling></actions><transformations><p:provide-services><p:all-services/></p:provide-services>\
        <p:provide-all-attributes/></transformations></rule></ruleset>";
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '{rule}', 2, 'e', '/x')"
    ));
    lamp.until("the end", |notify| notify.ends()).await;
    assert_eq!(
        system.psql("SELECT presence_auth_status('sip:eve@example.org', 'sip:bob@example.org')"),
        "3"
    );
    assert_eq!(
        system
            .count("SELECT count(*) FROM watchers_x WHERE watcher_username = 'eve' AND status = 3")
            .await,
        1
    );

    // SQL as an interface, and a publication that expires.
    let document = system_tests::pidf::document(BOB, "t", "open", "by hand");
    system.psql(&format!(
        "SELECT presence_publish('{BOB}', 'presence', '{document}', 'application/pidf+xml', 2)"
    ));
    dialog
        .until("by hand", |notify| notify.note() == Some("by hand"))
        .await;
    assert_eq!(
        system.psql("SELECT says FROM presence_publications WHERE state = 'live'"),
        "open"
    );
    dialog
        .until_within(Duration::from_secs(6), "the expiry", |notify| {
            notify.basic() == "closed"
        })
        .await;
    assert_eq!(
        system.psql("SELECT watcher, state FROM presence_subscriptions WHERE state = 'active'"),
        "sip:alice@example.org|active"
    );
    for view in ["decisions", "backlog", "usage", "gone_phones"] {
        system.psql(&format!("SELECT count(*) FROM presence_{view}"));
    }
    system.psql("SELECT presence_unpublish('sip:x@example.org', 'presence'), presence_cleanup(), presence_has_subscribers('sip:bob@example.org', 'presence'), presence_update_watchers('sip:al@example.org', 'presence'), presence_refresh_watchers('sip:al@example.org', 'presence')");
    assert_eq!(
        system.psql("SELECT bool_and(has_schema_privilege(rolname, 'presence_data', 'USAGE')) FROM pg_roles WHERE rolname LIKE 'pgpresence\\_%'"),
        "t"
    );

    // The operator's commands.
    let (code, out, err) = command(&system, &["explain", BOB]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("alice@example.org"), "{out}");
    let (code, out, err) = command(&system, &["rpc", "presence.watcher_list", "basic", BOB]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("alice"), "{out}");
    for order in [
        &["rpc", "presence.cleanup"][..],
        &["rpc", "presence.presentity_list", "full"],
        &["rpc", "presence.refreshWatchers", BOB, "presence", "1"],
        &["rpc", "presence.updateWatchers", BOB, "presence"],
        &["status"],
        &["migrate"],
    ] {
        let (code, out, err) = command(&system, order);
        assert_eq!(code, Some(0), "{order:?}: {out}{err}");
    }
    dialog.unsubscribe(server).await;
    system
        .until(
            STARTUP,
            "SELECT count(*) FROM presence_data.\"user\" WHERE status <> 3",
            0,
        )
        .await;
}

/// What a row of Kamailio's becomes; from tables with the usual names, and from tables that are called as ours are.
#[tokio::test(flavor = "multi_thread")]
async fn import_uses_the_names() {
    let system = renamed().servers(0).notifiers(0).start();
    let rows = "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender) \
                VALUES ('u', 'example.org', 'presence', 'a.1.2.3.0', 2147480000, 7, \
                    convert_to('<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:u@example.org\"><tuple id=\"t\"><status><basic>open</basic></status></tuple></presence>', 'UTF8'), ''); \
                INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, event, to_tag, from_tag, \
                    callid, local_cseq, remote_cseq, contact, record_route, expires, status, version, socket_info, local_contact, from_user, \
                    from_domain, updated, updated_winfo) \
                VALUES ('sip:u@example.org', 'w', 'example.org', 'u', 'example.org', 'presence', 'a', 'b', 'c', 1, 1, 'sip:w@192.0.2.1', '', \
                    2147480000, 1, 1, 'udp:192.0.2.9:5060', 'sip:192.0.2.9', 'w', 'example.org', -1, -1); \
                INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, inserted_time) \
                VALUES ('sip:u@example.org', 'w', 'example.org', 1, 99);";
    let rename = "CREATE SCHEMA presence_data; ALTER TABLE presentity SET SCHEMA presence_data; \
                  ALTER TABLE presence_data.presentity RENAME TO presentity_x; ALTER TABLE watchers RENAME TO watchers_x;";
    for (name, statements) in [("usual", ""), ("renamed", rename)] {
        system.cluster().create_database(name).expect("a database");
        let url = system.cluster().url(name);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .expect("a connection");
        tokio::spawn(connection);
        for sql in [KAMAILIO, rows, statements] {
            client.batch_execute(sql).await.unwrap();
        }
        let (code, out, err) = command(&system, &["import", "--from", &url]);
        assert_eq!(code, Some(0), "{out}{err}");
        let what = if name == "usual" {
            "1 new, 0 changed, 0 as before"
        } else {
            "0 new, 0 changed, 1 as before"
        };
        for table in ["presentity", "active_watchers", "watchers"] {
            assert!(
                out.contains(&format!("{table}: 1 read: {what}")),
                "{name}:\n{out}{err}"
            );
        }
    }
    assert_eq!(
        system.psql("SELECT (SELECT count(*) FROM presence_data.presentity_x), (SELECT count(*) FROM presence_data.\"user\"), (SELECT count(*) FROM watchers_x)"),
        "1|1|1"
    );
}

/// A database that was migrated under other names is refused, by whoever comes, in one sentence; nothing is done to it.
#[tokio::test(flavor = "multi_thread")]
async fn other_names_are_refused() {
    for (made, configured, sentence) in [
        (
            system::setup(),
            "presence.watchers_table=pres_watchers",
            "presence.watchers_table is pres_watchers, but the migrations of this database were made with watchers: \
             set it to that, or use another database",
        ),
        (
            renamed(),
            "presence.presentity_table=presentity",
            "presence.presentity_table is presentity, but the migrations of this database were made with presence_data.presentity_x: \
             set it to that, or use another database",
        ),
    ] {
        let system = made.servers(0).notifiers(0).start();
        for task in ["migrate", "server", "notifier", "run", "status"] {
            let (code, out, err) = command(&system, &[task, "--set", configured]);
            assert_eq!(code, Some(1), "{task}: {out}{err}");
            assert!(err.contains(sentence), "{task}: {err}");
        }
        let (code, out, err) = command(&system, &["migrate"]);
        assert_eq!(code, Some(0), "{out}{err}");
        assert!(out.contains("0 migrations were applied"), "{out}");
    }
}

/// What cannot be a name, or would be two tables' at once, is a mistake in the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_checked() {
    for (key, value, part) in [
        (
            "presentity_table",
            "x; DROP TABLE node",
            "is not a name of a table",
        ),
        ("presentity_table", "Presentity", "is not a name of a table"),
        ("watchers_table", "a.b.c", "is not a name of a table"),
        ("watchers_table", "", "is not a name of a table"),
        (
            "watchers_table",
            "presentity",
            "must differ from presence.presentity_table",
        ),
        (
            "active_watchers_table",
            "notify_queue",
            "there is such a table already",
        ),
    ] {
        let mut command = std::process::Command::new(system_tests::process::pgpresence());
        command.args([
            "config",
            "check",
            "--set",
            &format!("presence.{key}={value}"),
        ]);
        let (status, _, err) = run(&mut command, STARTUP);
        assert_eq!(status.code(), Some(2), "{key}={value}: {err}");
        assert!(
            err.contains(&format!("presence.{key}: ")) && err.contains(part),
            "{key}={value}: {err}"
        );
    }
}
