//! The functions that are promised to operators: what they write is due for watchers, and what makes no sense changes nothing.

use tokio_postgres::error::SqlState;

use crate::database::*;

const BODY: &str = "'<presence/>'";
const CALL: &str = "'sip:bob@example.org', 'presence'";

async fn quiet_queue(database: &Database) {
    database.by_hand("DELETE FROM notify_queue").await;
}

#[tokio::test]
async fn publish_replaces_what_the_same_source_said() {
    let database = Database::new().await;
    let publish = |body: &str, source: &str| {
        format!("SELECT presence_publish({CALL}, {body}, source => '{source}')")
    };
    let first: String = database.value(&publish(BODY, "door")).await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state due"]
    );
    quiet_queue(&database).await;

    // The same again is a refresh: another tag, nobody is notified, the first tag is remembered.
    let again: String = database.value(&publish(BODY, "door")).await;
    assert_ne!(first, again);
    assert!(database.queue().await.is_empty());
    let past: Vec<String> = database.value("SELECT past_etags FROM presentity").await;
    assert_eq!(past, [first]);

    let _: String = database
        .value(&publish("'<presence>x</presence>'", "door"))
        .await;
    assert_eq!(database.queue().await.len(), 1);
    let _: String = database.value(&publish(BODY, "calendar")).await;
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM presentity")
            .await,
        2
    );
    let listed = database
        .store
        .publication()
        .list(&[resource("bob")])
        .await
        .unwrap();
    assert_eq!(listed.publications.len(), 2);
}

#[tokio::test]
async fn unpublish_ends_it_and_publish_brings_it_back() {
    let database = Database::new().await;
    let _: String = database
        .value(&format!(
            "SELECT presence_publish({CALL}, {BODY}, expires_s => NULL)"
        ))
        .await;
    assert_eq!(
        database
            .value::<i64>("SELECT expires FROM presentity")
            .await,
        -1
    );
    quiet_queue(&database).await;
    assert!(
        !database
            .value::<bool>(&format!(
                "SELECT presence_unpublish({CALL}, source => 'other')"
            ))
            .await
    );
    assert!(database.queue().await.is_empty());
    assert!(
        database
            .value::<bool>(&format!("SELECT presence_unpublish({CALL})"))
            .await
    );
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state due"]
    );
    assert!(
        !database
            .value::<bool>(&format!("SELECT presence_unpublish({CALL})"))
            .await
    );
    assert_eq!(
        database
            .value::<String>("SELECT state FROM presence_publications")
            .await,
        "removed"
    );

    quiet_queue(&database).await;
    let _: String = database
        .value(&format!(
            "SELECT presence_publish({CALL}, {BODY}, expires_s => 60)"
        ))
        .await;
    assert_eq!(database.queue().await.len(), 1);
    assert_eq!(
        database
            .value::<String>("SELECT state FROM presence_publications")
            .await,
        "live"
    );
    // Alive, and swept when its time is up.
    assert!(
        database
            .value::<bool>("SELECT sweep_at = expires AND NOT removed FROM presentity")
            .await
    );
}

/// Two programs that publish for the same source at once make one row, whoever is first.
#[tokio::test]
async fn publishing_at_once_waits_and_replaces() {
    let database = Database::new().await;
    let mut other = database.session().await;
    let transaction = other.transaction().await.unwrap();
    transaction
        .execute(&format!("SELECT presence_publish({CALL}, '<a/>')"), &[])
        .await
        .unwrap();
    let call = format!("SELECT presence_publish({CALL}, '<b/>')");
    let waiting = database.hand.execute(&call, &[]);
    let commit = async {
        // It waits for the uncommitted key: nothing but the lock tells.
        let watcher = database.session().await;
        loop {
            let row = watcher
                .query_one("SELECT count(*) FROM pg_locks WHERE NOT granted", &[])
                .await
                .unwrap();
            if row.get::<_, i64>(0) > 0 {
                break;
            }
        }
        transaction.commit().await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, commit);
    waited.unwrap();
    let bodies = database
        .rows("SELECT convert_from(body, 'UTF8') FROM presentity", &[])
        .await;
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0].get::<_, &str>(0), "<b/>");
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let database = Database::new().await;
    let table = [
        format!("SELECT presence_publish('mailto:bob@example.org', 'presence', {BODY})"),
        format!("SELECT presence_publish('sip:', 'presence', {BODY})"),
        format!("SELECT presence_publish('sip:b ob@example.org', 'presence', {BODY})"),
        format!(
            "SELECT presence_publish('sip:bob@example.org''; DROP TABLE node; --', 'presence', {BODY})"
        ),
        format!("SELECT presence_publish('', 'presence', {BODY})"),
        format!("SELECT presence_publish(NULL, 'presence', {BODY})"),
        format!("SELECT presence_publish({CALL}, {BODY}, expires_s => 0)"),
        format!("SELECT presence_publish({CALL}, {BODY}, expires_s => -1)"),
        "SELECT presence_refresh_watchers('bob', 'presence')".to_owned(),
        "SELECT presence_refresh_watchers('sip:bob@example.org', '')".to_owned(),
        format!("SELECT presence_refresh_watchers({CALL}, 3)"),
        format!("SELECT presence_refresh_watchers({CALL}, 2)"),
        format!("SELECT presence_refresh_watchers({CALL}, 2, 'uri', '')"),
        "SELECT presence_update_watchers('sip:bob@example.org', NULL)".to_owned(),
    ];
    for sql in table {
        let error = database.hand.execute(&sql, &[]).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(&SqlState::INVALID_PARAMETER_VALUE),
            "{sql}: {error:?}"
        );
    }
    for sql in [
        format!("SELECT presence_publish('sip:bob@example.org', '', {BODY})"),
        format!("SELECT presence_publish({CALL}, NULL)"),
    ] {
        let error = database.hand.execute(&sql, &[]).await.unwrap_err();
        assert!(
            error.code().unwrap().code().starts_with("23"),
            "{sql}: {error:?}"
        );
    }
    for table in ["presentity", "active_watchers", "notify_queue", "watchers"] {
        assert_eq!(
            database
                .value::<i64>(&format!("SELECT count(*) FROM {table}"))
                .await,
            0,
            "{table}"
        );
    }
}

#[tokio::test]
async fn uris_become_what_a_publish_makes_of_them() {
    let database = Database::new().await;
    let table = [
        ("sip:bob@Example.ORG", "sip:bob@example.org"),
        (
            "<sips:Bob:secret@example.org:5061;transport=tls?a=b>",
            "sip:Bob@example.org",
        ),
        ("sip:example.org", "sip:example.org"),
        ("sip:bob@[2001:DB8::1]:5060", "sip:bob@[2001:db8::1]"),
        ("tel:+44-20.7946(0123);phone-context=x", "tel:+442079460123"),
    ];
    for (uri, expected) in table {
        let found = database.rows("SELECT presence_uri($1)", &[&uri]).await;
        assert_eq!(found[0].get::<_, &str>(0), expected);
        let aor = sip::Aor::from_uri(
            &sip::Uri::parse(uri.trim_matches(['<', '>'])).unwrap(),
            false,
        )
        .unwrap();
        assert_eq!(aor.uri(), expected, "the other way to the same");
    }
}

#[tokio::test]
async fn refreshing_watchers_owes_each_a_notify() {
    let database = Database::new().await;
    let both = [subscription("bob", "c1"), subscription("bob", "c2")];
    database
        .store
        .subscription()
        .create_batch(&both)
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET updated = -1")
        .await;
    quiet_queue(&database).await;
    database
        .by_hand("INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', 'p', 16, 'e', '/bob/index')")
        .await;
    quiet_queue(&database).await;
    for kind in ["1", "2, '/bob/index', 'bob.xml'"] {
        let notified: i64 = database
            .value(&format!(
                "SELECT presence_refresh_watchers('SIP:bob@EXAMPLE.org;x=y', 'presence', {kind})"
            ))
            .await;
        assert_eq!(notified, 2);
    }
    let claimed = database
        .store
        .queue()
        .claim(1, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].state_due);
}

/// What depends on rules is decided anew by the notifier: due at once, and no state change for all.
#[tokio::test]
async fn changed_rules_are_decided_anew() {
    let database = Database::new().await;
    let call = format!("SELECT presence_refresh_watchers({CALL}, 0)");
    let decide = "SELECT (decide_at <= now()) || ' ' || (due <= now()) || ' ' || version || ' ' || (rules_version > 0) FROM notify_queue";
    database.by_hand(&call).await;
    // No rules: nothing that would be kept for ever.
    assert_eq!(database.value::<String>(decide).await, "true true 0 false");

    database
        .by_hand("INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', 'r', 2, 'e', '/r')")
        .await;
    let before: i64 = database
        .value("SELECT rules_version FROM notify_queue")
        .await;
    for order in [&call, &format!("SELECT presence_update_watchers({CALL})")] {
        database
            .by_hand("UPDATE notify_queue SET decide_at = 'infinity', due = 'infinity', decided_rules = rules_version")
            .await;
        database.by_hand(order).await;
        assert_eq!(database.value::<String>(decide).await, "true true 0 true");
        assert!(
            database
                .value::<bool>("SELECT rules_version > decided_rules FROM notify_queue")
                .await
        );
    }
    assert!(
        database
            .value::<i64>("SELECT rules_version FROM notify_queue")
            .await
            > before
    );
    let answer = database
        .rows(&format!("SELECT presence_update_watchers({CALL})"), &[])
        .await;
    assert_eq!(answer[0].get::<_, Option<i64>>(0), None);
}

#[tokio::test]
async fn status_and_subscribers_are_answered() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    let status =
        "SELECT presence_auth_status('sip:watcher@EXAMPLE.org;x=y', 'sips:bob@example.org')";
    assert_eq!(database.value::<i32>(status).await, 1);
    database
        .by_hand("INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason) VALUES ('sip:bob@example.org', 'watcher', 'example.org', 1, 'polite-block')")
        .await;
    assert_eq!(database.value::<i32>(status).await, 5);
    let has =
        |uri: &str, event: &str| format!("SELECT presence_has_subscribers('{uri}', '{event}')");
    assert!(
        database
            .value::<bool>(&has("sip:bob@EXAMPLE.org:5070", "presence"))
            .await
    );
    assert!(
        !database
            .value::<bool>(&has("sip:bob@example.org", "dialog"))
            .await
    );
    assert!(
        !database
            .value::<bool>(&has("sip:carol@example.org", "presence"))
            .await
    );
    let error = database
        .hand
        .execute("SELECT presence_has_subscribers('bob', 'presence')", &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE));
}

#[tokio::test]
async fn updating_watchers_carries_decisions_over() {
    let database = Database::new().await;
    let mut other = subscription("bob", "c2");
    other.watcher.username = "stranger".into();
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1"), other])
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET updated = -1")
        .await;
    quiet_queue(&database).await;
    let decide = "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status) VALUES ('sip:bob@example.org', $1::text, 'example.org', 'presence', $2::smallint)";
    database.rows(decide, &[&"watcher", &1_i16]).await;
    database.rows(decide, &[&"stranger", &3_i16]).await;
    let update = format!("SELECT presence_update_watchers({CALL})");
    assert_eq!(database.value::<i64>(&update).await, 1);
    let states = database
        .rows("SELECT callid || ' ' || state || ' ' || reason || ' ' || owed || ' ' || shows FROM presence_subscriptions ORDER BY 1", &[])
        .await;
    let states: Vec<&str> = states.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        states,
        [
            "c1 active  nothing all",
            "c2 terminated rejected answer none"
        ]
    );
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence flagged due"]
    );
    // Nothing differs any more.
    assert_eq!(database.value::<i64>(&update).await, 0);
}

#[tokio::test]
async fn cleaning_up_ends_what_expired_and_removes_what_was() {
    let database = Database::new().await;
    let _: String = database
        .value(&format!(
            "SELECT presence_publish({CALL}, {BODY}, expires_s => 60)"
        ))
        .await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET updated = -1")
        .await;
    let cleanup = "SELECT presence_cleanup()";
    assert_eq!(database.value::<i64>(cleanup).await, 0);

    quiet_queue(&database).await;
    let at = |seconds: i64| {
        format!(
            "SELECT set_config('pgpresence.now', (now() + interval '{seconds} s')::text, false)"
        )
    };
    let _: String = database.value(&at(700)).await;
    // One kind of rows in a transaction.
    assert_eq!(database.value::<i64>(cleanup).await, 1);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM presentity WHERE removed")
            .await,
        1
    );
    assert_eq!(database.value::<i64>(cleanup).await, 1);
    assert_eq!(
        database
            .value::<String>(
                "SELECT status || ' ' || reason || ' ' || updated FROM active_watchers"
            )
            .await,
        "3 timeout 0"
    );
    assert_eq!(database.value::<i64>(cleanup).await, 0);
    assert_eq!(
        database
            .value::<i64>(
                "SELECT count(*) FROM notify_queue WHERE version > 0 AND flagged_due < 'infinity'"
            )
            .await,
        1
    );
    database
        .by_hand("UPDATE active_watchers SET updated = -1, ended = true, sweep_at = 1")
        .await;
    let _: String = database.value(&at(800)).await;
    assert_eq!(database.value::<i64>(cleanup).await, 2);
    assert_eq!(database.value::<i64>(cleanup).await, 0);
    for table in ["presentity", "active_watchers"] {
        assert_eq!(
            database
                .value::<i64>(&format!("SELECT count(*) FROM {table}"))
                .await,
            0,
            "{table}"
        );
    }
}

#[tokio::test]
async fn cleaning_up_quietly_tells_nobody_and_goes_in_steps() {
    let database = Database::new().await;
    for user in ["a", "b", "c"] {
        let _: String = database
            .value(&format!("SELECT presence_publish('sip:{user}@example.org', 'presence', {BODY}, expires_s => 60)"))
            .await;
    }
    quiet_queue(&database).await;
    let _: String = database
        .value("SELECT set_config('pgpresence.now', (now() + interval '70 s')::text, false)")
        .await;
    let counts: Vec<i64> = vec![
        database.value("SELECT presence_cleanup(2, true)").await,
        database.value("SELECT presence_cleanup(2, true)").await,
        database.value("SELECT presence_cleanup(2, true)").await,
    ];
    assert_eq!(counts, [2, 1, 0]);
    assert!(database.queue().await.is_empty());
}

#[tokio::test]
async fn views_say_what_is_due_and_who_is_gone() {
    let database = Database::new().await;
    let names = [
        "answer", "again", "state", "nothing", "refused", "lapsed", "left",
    ];
    let rows: Vec<_> = names.iter().map(|name| subscription("bob", name)).collect();
    database
        .store
        .subscription()
        .create_batch(&rows)
        .await
        .unwrap();
    for sql in [
        "UPDATE active_watchers SET updated = -1 WHERE callid IN ('state', 'nothing')",
        "UPDATE active_watchers SET failures = 2, retry_at = extract(epoch FROM now())::bigint + 60 WHERE callid = 'again'",
        "UPDATE active_watchers SET notified_version = 9223372036854775807 WHERE callid = 'nothing'",
        "UPDATE active_watchers SET ended = true, status = 3, updated = -1 WHERE callid = 'refused'",
        "UPDATE active_watchers SET ended = true, status = 3, updated = -1, reason = 'timeout' WHERE callid = 'lapsed'",
        "UPDATE active_watchers SET ended = true, status = 3, updated = -1, reason = 'timeout', granted_s = 0 WHERE callid = 'left'",
        "SELECT presence_refresh_watchers('sip:bob@example.org', 'presence')",
    ] {
        database.by_hand(sql).await;
    }
    let due = database
        .rows(
            "SELECT owed FROM presence_subscriptions WHERE NOT state = 'ended' ORDER BY callid",
            &[],
        )
        .await;
    let due: Vec<&str> = due.iter().map(|row| row.get(0)).collect();
    assert_eq!(due, ["again", "answer", "nothing", "state"]);
    let gone = database.rows("SELECT a.callid || ': ' || why FROM presence_gone_phones JOIN active_watchers AS a USING (id) ORDER BY 1", &[]).await;
    let gone: Vec<&str> = gone.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        gone,
        [
            "again: does not answer",
            "lapsed: did not renew its subscription",
            "refused: refused or left unanswered its last NOTIFY"
        ]
    );
    assert_eq!(
        database
            .value::<String>(
                "SELECT owed || ', ' || state || ', ' || dialogs FROM presence_backlog"
            )
            .await,
        "state and answers, due, 3"
    );
    let claimed = database
        .store
        .queue()
        .claim(7, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        database
            .value::<String>("SELECT state FROM presence_backlog")
            .await,
        "being sent"
    );
    database
        .by_hand("UPDATE notify_queue SET lease_until = now()")
        .await;
    assert_eq!(
        database
            .value::<String>("SELECT state FROM presence_backlog")
            .await,
        "left behind"
    );
}

#[tokio::test]
async fn what_is_no_text_is_shown_all_the_same() {
    let database = Database::new().await;
    database
        .by_hand("INSERT INTO presentity (username, domain, event, expires, body) VALUES ('bob', 'example.org', 'presence', -1, '\\xff00'::bytea)")
        .await;
    let row = &database
        .rows(
            "SELECT document, says, expires = 'infinity' FROM presence_publications",
            &[],
        )
        .await[0];
    assert_eq!(row.get::<_, &str>(0), "\\377\\000");
    assert_eq!(row.get::<_, Option<&str>>(1), None);
    assert!(row.get::<_, bool>(2));
}

/// Each role can do its process's work, and not the others'.
#[tokio::test]
async fn roles_have_their_rights_and_no_more() {
    let database = Database::new().await;
    let allowed = [
        ("pgpresence_server", "SELECT secret FROM cluster"),
        (
            "pgpresence_server",
            "SELECT presence_publish('sip:bob@example.org', 'presence', '<presence/>')",
        ),
        ("pgpresence_server", "SELECT presence_cleanup()"),
        (
            "pgpresence_server",
            "SELECT presence_update_watchers('sip:bob@example.org', 'presence')",
        ),
        (
            "pgpresence_server",
            "SELECT version FROM refinery_schema_history",
        ),
        ("pgpresence_notifier", "SELECT presence_cleanup()"),
        (
            "pgpresence_notifier",
            "UPDATE active_watchers SET version = version + 1",
        ),
        (
            "pgpresence_notifier",
            "SELECT version FROM refinery_schema_history",
        ),
        (
            "pgpresence_reader",
            "SELECT p.document, s.contact, d.*, w.*, b.*, n.*, u.*, g.*
             FROM presence_publications AS p, presence_subscriptions AS s, presence_decisions AS d, presence_watcher_states AS w,
                  presence_backlog AS b, presence_processes AS n, presence_usage AS u, presence_gone_phones AS g",
        ),
    ];
    let denied = [
        ("pgpresence_server", "DROP TABLE node"),
        ("pgpresence_server", "DELETE FROM xcap"),
        ("pgpresence_server", "UPDATE cluster SET secret = ''"),
        ("pgpresence_notifier", "SELECT secret FROM cluster"),
        (
            "pgpresence_notifier",
            "SELECT presence_publish('sip:eve@example.org', 'presence', '<presence/>')",
        ),
        (
            "pgpresence_notifier",
            "INSERT INTO presentity (username, domain, event, expires, body) VALUES ('e', 'x', 'presence', -1, '')",
        ),
        ("pgpresence_reader", "SELECT secret FROM cluster"),
        (
            "pgpresence_reader",
            "SELECT presence_publish('sip:eve@example.org', 'presence', '<presence/>')",
        ),
        (
            "pgpresence_reader",
            "SELECT presence_refresh_watchers('sip:bob@example.org', 'presence')",
        ),
        ("pgpresence_reader", "SELECT presence_cleanup()"),
        ("pgpresence_reader", "DELETE FROM watchers"),
    ];
    let run = async |role: &str, sql: &str| {
        database
            .hand
            .batch_execute(&format!("SET ROLE {role}"))
            .await
            .unwrap();
        let result = database.hand.batch_execute(sql).await;
        database.hand.batch_execute("RESET ROLE").await.unwrap();
        result
    };
    for (role, sql) in allowed {
        run(role, sql)
            .await
            .unwrap_or_else(|error| panic!("{role}: {sql}: {error:?}"));
    }
    for (role, sql) in denied {
        let error = run(role, sql).await.expect_err(sql);
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{role}: {sql}: {error:?}"
        );
    }
}

/// The statements of each process, with nothing but its role's rights.
#[tokio::test]
async fn each_process_can_work_with_its_role_alone() {
    let database = Database::new().await;
    let login = "sip_frontend_and_notifier_";
    let number: i64 = database.value("SELECT count(*) FROM pg_database").await;
    let (front, engine) = (format!("{login}f{number}"), format!("{login}n{number}"));
    for (name, role) in [
        (&front, "pgpresence_server"),
        (&engine, "pgpresence_notifier"),
    ] {
        database
            .by_hand(&format!(
                "CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE {role}"
            ))
            .await;
    }
    let store = |name: &str| {
        let url = database
            .url
            .replace("user=postgres", &format!("user={name}"));
        assert_ne!(url, database.url);
        sql::Store::connect(&url, &sql::StoreOptions::default()).unwrap()
    };
    let server = store(&front);
    server
        .publication()
        .create_batch(&[publication("bob", "t1", "<a/>")])
        .await
        .unwrap();
    server
        .publication()
        .change_batch(&[change("bob", "t1", "t2", modify("<b/>"))])
        .await
        .unwrap();
    server
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    server
        .subscription()
        .refresh_batch(&[refresh("c1", 2, 600)], 0)
        .await
        .unwrap();
    server.node().cluster_secret().await.unwrap();
    let node = sql::NewNode {
        kind: "server".into(),
        host: "h".into(),
        pid: 1,
        address: String::new(),
        version: String::new(),
        believes: String::new(),
        default_policy: String::new(),
        events: vec!["presence".into()],
    };
    let id = server.node().register(&node).await.unwrap().unwrap();
    assert!(server.node().heartbeat(id).await.unwrap());

    let notifier = store(&engine);
    let owner = notifier.node().register(&node).await.unwrap().unwrap();
    let claimed = notifier
        .queue()
        .claim(owner, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    let resources: Vec<sql::Resource> = claimed.iter().map(|one| one.resource.clone()).collect();
    let taken = notifier
        .subscription()
        .take(owner, &claimed, &[], 10)
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    notifier.publication().list(&resources).await.unwrap();
    notifier
        .subscription()
        .settle_batch(&[verdict(&taken[0], sql::AfterNotify::Delivered)])
        .await
        .unwrap();
    let settled: Vec<_> = claimed.iter().map(|one| done(one, true)).collect();
    assert_eq!(notifier.queue().settle(owner, &settled).await.unwrap(), [0]);
    let later = notifier.at(after(4000.0));
    sweep_publications(&later, 10, false).await;
    sweep_dialogs(&later, 10).await;
    later.maintenance().delete_idle_resources(10).await.unwrap();
    later.maintenance().delete_dead_nodes().await.unwrap();
    let watchers = later.watcher();
    watchers.give_up(10, LEASE).await.unwrap();
    watchers.delete_waiting(10).await.unwrap();
}

/// Large tables are read by parallel workers, in which no error can be caught.
#[tokio::test]
async fn views_of_documents_can_be_read_by_plans_with_workers() {
    let database = Database::new().await;
    let _: String = database
        .value(&format!("SELECT presence_publish({CALL}, {BODY})"))
        .await;
    database.by_hand("SET force_parallel_mode = on").await;
    let shown: String = database
        .value("SELECT document FROM presence_publications WHERE says IS NULL")
        .await;
    assert_eq!(shown, "<presence/>");
}
