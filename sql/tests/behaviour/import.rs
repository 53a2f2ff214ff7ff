//! What comes over from Kamailio: read from its own layout, stored once, changed as long as it is not ours.

use bytes::Bytes;
use events::{ChangeKind, PublishOutcome, SubscribeOutcome};
use sql::ImportOutcome::{Changed, Created, Newer, Same};
use sql::*;
use std::time::SystemTime;

use crate::database::*;

const LAYOUT: &str = include_str!("../kamailio.sql");

fn in_an_hour() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap() + 3600
}

fn imported_publication(source_id: i64, etag: &str) -> ImportedPublication {
    ImportedPublication {
        source_id,
        presentity_uri: "sip:bob@example.org".into(),
        username: "bob".into(),
        domain: "example.org".into(),
        event: "presence".into(),
        etag: etag.into(),
        expires: in_an_hour(),
        received_time: 5,
        body: Bytes::from_static(b"one"),
        ..ImportedPublication::default()
    }
}

fn imported_dialog(call_id: &str) -> ImportedDialog {
    ImportedDialog {
        presentity_uri: "sip:bob@example.org".into(),
        event: "presence".into(),
        watcher_username: "watcher".into(),
        watcher_domain: "example.org".into(),
        to_user: "bob".into(),
        to_domain: "example.org".into(),
        from_user: "watcher".into(),
        from_domain: "example.org".into(),
        local_uri: "<sip:bob@example.org>".into(),
        remote_uri: "<sip:watcher@example.org>".into(),
        to_tag: "ours".into(),
        from_tag: "theirs".into(),
        call_id: call_id.into(),
        local_cseq: 5,
        remote_cseq: 11,
        version: 5,
        contact: "sip:watcher@192.0.2.1:5062".into(),
        record_route: vec!["<sip:a;lr>".into(), "<sip:b;lr>".into()],
        expires: in_an_hour(),
        granted_s: 3600,
        status: 1,
        socket_info: "udp:192.0.2.9:5060".into(),
        ..ImportedDialog::default()
    }
}

/// The four tables of Kamailio's, in a schema of their own in this database.
async fn kamailio(database: &Database) -> Store {
    let layout =
        format!("CREATE SCHEMA kamailio; SET search_path = kamailio; {LAYOUT}; RESET search_path");
    database.hand.batch_execute(&layout).await.unwrap();
    let url = format!("{}&options=-c%20search_path%3Dkamailio", database.url);
    Store::connect_read_only(&url, &StoreOptions::default()).unwrap()
}

#[tokio::test]
async fn kamailios_own_layout_is_read_page_by_page() {
    let database = Database::new().await;
    let source = kamailio(&database).await;
    database
        .hand
        .batch_execute(
            "INSERT INTO kamailio.presentity (username, domain, event, etag, expires, received_time, body, sender)
             SELECT 'u' || n, 'example.org', 'presence', 't' || n, 100 + n, 7, 'body', '' FROM generate_series(1, 5) AS n;
             INSERT INTO kamailio.active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain,
                 to_tag, from_tag, callid, local_cseq, remote_cseq, contact, record_route, expires, socket_info,
                 local_contact, from_user, from_domain, updated, updated_winfo, user_agent)
             SELECT 'sip:bob@example.org', 'w', 'example.org', 'bob', 'example.org', 'to', 'from', 'call' || n, 3, 4,
                 'sip:w@192.0.2.1', '<sip:a;lr>, <sip:b;lr>', 2000000000, 'udp:192.0.2.9:5060', 'sip:192.0.2.9', 'w',
                 'example.org', -1, -1, NULL
             FROM generate_series(1, 3) AS n;
             INSERT INTO kamailio.watchers (presentity_uri, watcher_username, watcher_domain, status, inserted_time)
             VALUES ('sip:bob@example.org', 'w', 'example.org', 1, 99);
             INSERT INTO kamailio.xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)
             VALUES ('bob', 'example.org', '<rules/>', 2, 'e1', 0, '/pres-rules/users/bob/index', 0)",
        )
        .await
        .unwrap();
    let read = source.kamailio();
    let columns = read.columns(&Tables::default()).await.unwrap();
    assert_eq!(columns.len(), 4);
    assert!(columns["xcap"].contains("doc_uri"));
    assert!(!columns["presentity"].contains("presentity_uri"));

    let first = read.publications(i64::MIN, 3).await.unwrap();
    let rest = read.publications(first[2].id, 3).await.unwrap();
    let names: Vec<&str> = first
        .iter()
        .chain(&rest)
        .map(|row| row.username.as_str())
        .collect();
    assert_eq!(names, ["u1", "u2", "u3", "u4", "u5"]);
    assert_eq!((rest[1].expires, rest[1].etag.as_str()), (105, "t5"));
    assert_eq!(&rest[1].body[..], b"body");

    let dialogs = read.dialogs(1, 10).await.unwrap();
    assert_eq!(dialogs.len(), 2);
    assert_eq!(dialogs[0].record_route, ["<sip:a;lr>", "<sip:b;lr>"]);
    assert_eq!((dialogs[0].local_cseq, dialogs[0].status), (3, 2));
    assert_eq!(
        (dialogs[0].user_agent.as_str(), dialogs[0].reason.as_str()),
        ("", "")
    );
    assert_eq!(read.decisions(0, 10).await.unwrap()[0].inserted_time, 99);
    assert_eq!(read.documents(0, 10).await.unwrap()[0].etag, "e1");

    let existing = read.existing_publications(&[2, 77, 4]).await.unwrap();
    assert_eq!(existing.into_iter().collect::<Vec<_>>(), [2, 4]);
    let key = |call: &str, tag: &str| (call.to_owned(), tag.to_owned(), "from".to_owned());
    let keys = [key("call1", "x"), key("call2", "to"), key("none", "to")];
    let existing = read.existing_dialogs(&keys).await.unwrap();
    assert_eq!(existing.into_iter().collect::<Vec<_>>(), [1]);

    // A transaction that sent and was stopped before it wrote.
    assert!(dialogs.iter().all(|row| !row.interrupted));
    database
        .hand
        .batch_execute(
            "BEGIN; SELECT id FROM kamailio.active_watchers FOR UPDATE; UPDATE kamailio.active_watchers SET version = 9; COMMIT;
             BEGIN; SELECT id FROM kamailio.active_watchers WHERE id = 3 FOR UPDATE; ROLLBACK",
        )
        .await
        .unwrap();
    let dialogs = read.dialogs(1, 10).await.unwrap();
    assert_eq!(
        (dialogs[0].interrupted, dialogs[1].interrupted),
        (false, true)
    );

    // Whatever we do there by mistake, it is refused.
    let refused = source
        .import()
        .publications(&[imported_publication(1, "x")], false)
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn publications_come_quietly_and_stay_ours_once_touched() {
    let database = Database::new().await;
    let import = database.store.import();
    let rows = [imported_publication(1, "k1"), imported_publication(2, "k2")];
    assert_eq!(
        import.publications(&rows, true).await.unwrap(),
        [Created, Created]
    );
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM presentity")
            .await,
        0
    );
    assert_eq!(
        import.publications(&rows, false).await.unwrap(),
        [Created, Created]
    );
    assert_eq!(
        import.publications(&rows, false).await.unwrap(),
        [Same, Same]
    );

    // A refresh at Kamailio's moves the entity-tag, not the row.
    let mut refreshed = rows.clone();
    refreshed[0].etag = "k1b".into();
    refreshed[0].expires += 60;
    assert_eq!(
        import.publications(&refreshed, true).await.unwrap(),
        [Changed, Same]
    );
    assert_eq!(
        import.publications(&refreshed, false).await.unwrap(),
        [Changed, Same]
    );
    assert_eq!(
        import.publications(&refreshed, false).await.unwrap(),
        [Same, Same]
    );
    assert!(
        database
            .value::<bool>("SELECT bool_and(sweep_at = expires) FROM presentity")
            .await
    );
    assert_eq!(
        database.queue().await,
        Vec::<String>::new(),
        "nobody is notified"
    );

    // The phone's next refresh comes to us, with the entity-tag that Kamailio gave it.
    let change = change("bob", "k1b", "o1", modify("two"));
    let outcome = database
        .store
        .publication()
        .change_batch(&[change])
        .await
        .unwrap();
    assert!(matches!(outcome[0], PublishOutcome::Stored { .. }));
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state due"]
    );
    assert_eq!(
        import.publications(&refreshed, false).await.unwrap(),
        [Newer, Same]
    );
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM presentity WHERE etag IN ('o1', 'k2')")
            .await,
        2
    );

    // What Kamailio has no more goes, unless it is ours.
    let untouched = import.untouched_publications(0, 10).await.unwrap();
    assert_eq!(untouched.iter().map(|row| row.1).collect::<Vec<_>>(), [2]);
    let all: Vec<i64> = database
        .rows("SELECT id FROM presentity", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(import.forget_publications(&all).await.unwrap(), 1);
    assert_eq!(
        database
            .value::<String>("SELECT etag FROM presentity")
            .await,
        "o1"
    );
}

#[tokio::test]
async fn dialogs_go_on_with_the_next_cseq() {
    let database = Database::new().await;
    let import = database.store.import();
    let mut rows = vec![imported_dialog("a"), imported_dialog("b")];
    assert_eq!(
        import.dialogs(&rows, true).await.unwrap(),
        [Created, Created]
    );
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM active_watchers")
            .await,
        0
    );
    assert_eq!(
        import.dialogs(&rows, false).await.unwrap(),
        [Created, Created]
    );
    assert_eq!(import.dialogs(&rows, false).await.unwrap(), [Same, Same]);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence idle"],
        "nothing is due"
    );

    rows[0].local_cseq += 2;
    rows[0].version += 2;
    rows[0].remote_cseq += 1;
    rows[0].expires += 60;
    rows[0].contact = "sip:watcher@192.0.2.1:7000".into();
    assert_eq!(import.dialogs(&rows, false).await.unwrap(), [Changed, Same]);
    rows[1].owed = true;
    assert_eq!(import.dialogs(&rows, false).await.unwrap(), [Same, Changed]);
    assert_eq!(import.dialogs(&rows, false).await.unwrap(), [Same, Same]);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence flagged due"]
    );

    // The one with a NOTIFY due is taken first; then a change is due for both.
    let store = &database.store;
    let claimed = store.queue().claim(1, &[], 10, LEASE, WAITN).await.unwrap();
    let taken = store
        .subscription()
        .take(1, &claimed, &[], 10)
        .await
        .unwrap();
    let numbers: Vec<_> = taken
        .iter()
        .map(|row| (row.call_id.as_str(), row.cseq, row.version))
        .collect();
    assert_eq!(numbers, [("b", 6, 6)]);
    assert_eq!(taken[0].record_route, ["<sip:a;lr>", "<sip:b;lr>"]);
    database.settle_all(1, &claimed).await;
    store
        .publication()
        .create_batch(&[publication("bob", "t1", "x")])
        .await
        .unwrap();
    let later = store.at(after(10.0));
    let claimed = later.queue().claim(1, &[], 10, LEASE, WAITN).await.unwrap();
    let mut taken = later
        .subscription()
        .take(1, &claimed, &[], 10)
        .await
        .unwrap();
    taken.sort_by(|a, b| a.call_id.cmp(&b.call_id));
    let numbers: Vec<_> = taken
        .iter()
        .map(|row| (row.call_id.as_str(), row.cseq, row.version))
        .collect();
    assert_eq!(numbers, [("a", 8, 8), ("b", 7, 7)]);
    assert_eq!(taken[0].contact, "sip:watcher@192.0.2.1:7000");

    // Now both are ours: no CSeq goes back.
    assert_eq!(import.dialogs(&rows, false).await.unwrap(), [Newer, Newer]);
    assert_eq!(
        database
            .value::<i64>("SELECT max(local_cseq) FROM active_watchers")
            .await,
        8
    );
}

#[tokio::test]
async fn dialogs_that_kamailio_has_no_more_go_unless_they_are_ours() {
    let database = Database::new().await;
    let import = database.store.import();
    let rows = ["a", "b", "c"].map(imported_dialog);
    import.dialogs(&rows, false).await.unwrap();
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "native")])
        .await
        .unwrap();
    let outcome = database
        .store
        .subscription()
        .refresh_batch(&[refresh("b", 12, 600)], 0)
        .await;
    assert!(matches!(
        outcome.unwrap()[0],
        SubscribeOutcome::Accepted { .. }
    ));
    let outcome = database
        .store
        .subscription()
        .refresh_batch(&[refresh("c", 12, 0)], 0)
        .await;
    assert!(matches!(
        outcome.unwrap()[0],
        SubscribeOutcome::Accepted { .. }
    ));
    assert_eq!(
        import.dialogs(&rows, false).await.unwrap(),
        [Same, Newer, Newer]
    );

    let untouched = import.untouched_dialogs(0, 10).await.unwrap();
    let keys: Vec<_> = untouched.iter().map(|(_, key)| key.clone()).collect();
    assert_eq!(
        keys,
        [("a".to_owned(), "ours".to_owned(), "theirs".to_owned())]
    );
    assert_eq!(import.forget_dialogs(&[untouched[0].0]).await.unwrap(), 1);
    let left = "SELECT string_agg(callid, ' ' ORDER BY callid) FROM active_watchers";
    assert_eq!(database.value::<String>(left).await, "b c native");
}

#[tokio::test]
async fn a_refresh_between_the_look_and_the_removal_wins() {
    let database = Database::new().await;
    let import = database.store.import();
    import
        .dialogs(&[imported_dialog("a")], false)
        .await
        .unwrap();
    import
        .publications(&[imported_publication(1, "k1")], false)
        .await
        .unwrap();
    let dialogs = import.untouched_dialogs(0, 10).await.unwrap();
    let publications = import.untouched_publications(0, 10).await.unwrap();
    database
        .store
        .subscription()
        .refresh_batch(&[refresh("a", 12, 7200)], 0)
        .await
        .unwrap();
    database
        .store
        .publication()
        .change_batch(&[change("bob", "k1", "o1", ChangeKind::Refresh)])
        .await
        .unwrap();
    assert_eq!(import.forget_dialogs(&[dialogs[0].0]).await.unwrap(), 0);
    assert_eq!(
        import
            .forget_publications(&[publications[0].0])
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn decisions_and_documents() {
    let database = Database::new().await;
    let import = database.store.import();
    let decision = ImportedDecision {
        presentity_uri: "sip:bob@example.org".into(),
        watcher_username: "alice".into(),
        watcher_domain: "example.org".into(),
        event: "presence".into(),
        status: 1,
        inserted_time: 100,
        ..ImportedDecision::default()
    };
    let elsewhere = ImportedDecision {
        watcher_domain: "example.net".into(),
        ..decision.clone()
    };
    let mut rows = [decision, elsewhere];
    assert_eq!(
        import.decisions(&rows, true).await.unwrap(),
        [Created, Created]
    );
    assert_eq!(
        database.value::<i64>("SELECT count(*) FROM watchers").await,
        0
    );
    assert_eq!(
        import.decisions(&rows, false).await.unwrap(),
        [Created, Created]
    );
    assert_eq!(import.decisions(&rows, false).await.unwrap(), [Same, Same]);
    rows[0].status = 3;
    rows[0].reason = "rejected".into();
    assert_eq!(
        import.decisions(&rows, false).await.unwrap(),
        [Changed, Same]
    );
    database.by_hand("UPDATE watchers SET inserted_time = 200, status = 2 WHERE watcher_domain = 'example.net'").await;
    assert_eq!(import.decisions(&rows, false).await.unwrap(), [Same, Newer]);
    let all = "SELECT string_agg(status || reason, ' ' ORDER BY watcher_domain) FROM watchers";
    assert_eq!(database.value::<String>(all).await, "2 3rejected");

    let mut documents = [ImportedDocument {
        username: "bob".into(),
        domain: "example.org".into(),
        doc: Bytes::from_static(b"<rules/>"),
        doc_type: 2,
        etag: "e1".into(),
        doc_uri: "/pres-rules/users/bob/index".into(),
        ..ImportedDocument::default()
    }];
    assert_eq!(import.documents(&documents, true).await.unwrap(), [Created]);
    assert_eq!(
        import.documents(&documents, false).await.unwrap(),
        [Created]
    );
    assert_eq!(import.documents(&documents, false).await.unwrap(), [Same]);
    documents[0].etag = "e2".into();
    assert_eq!(import.documents(&documents, true).await.unwrap(), [Changed]);
    assert_eq!(
        import.documents(&documents, false).await.unwrap(),
        [Changed]
    );
    assert_eq!(
        database.value::<String>("SELECT etag FROM xcap").await,
        "e2"
    );
}

#[tokio::test]
async fn what_the_tables_forbid_is_refused_as_a_whole() {
    let database = Database::new().await;
    let import = database.store.import();
    let bad = ImportedDialog {
        status: 7,
        ..imported_dialog("bad")
    };
    let refused = import.dialogs(&[imported_dialog("good"), bad], false).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM active_watchers")
            .await,
        0
    );
}
