//! What scripts ask, and the priorities that they give.

use events::Registry;
use events::authorization::AuthorizationPolicy;
use events::authorization::ruleset::SubHandling;
use events::{
    ChangeKind, DialogId, Finding, Inquiry, NewPublication, Priority, PublicationChange,
    StoredSubscription,
};
use sql::{Judge, LargeDocuments, NewNode};

use crate::database::*;

pub(crate) async fn answer(database: &Database, inquiry: Inquiry) -> Finding {
    let judge = judge(SubHandling::Confirm, false);
    database.store.script().answer(inquiry, &judge).await
}

fn judge(default_handling: SubHandling, fold_case: bool) -> Judge {
    Judge {
        registry: Registry::standard(),
        policy: AuthorizationPolicy {
            default_handling,
            force_active: false,
        },
        removed_reason: "probation".to_owned(),
        sphere_check: true,
        fold_case,
        large: LargeDocuments::default(),
    }
}

fn own(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn codes_are_those_of_the_guide() {
    let database = Database::new().await;
    let has = || Inquiry::HasSubscribers {
        presentity_uri: own("SIP:bob@EXAMPLE.org"),
        event: own("presence"),
    };
    let status = || Inquiry::AuthStatus {
        watcher_uri: own("sip:watcher@example.org"),
        presentity_uri: own("sip:bob@example.org"),
    };
    assert_eq!(answer(&database, has()).await, Finding::Code(-1));
    // She has no rules, and nobody subscribed.
    assert_eq!(answer(&database, status()).await, Finding::Code(2));
    let row = subscription("bob", "c1");
    database
        .store
        .subscription()
        .create_batch(&[row])
        .await
        .unwrap();
    assert_eq!(answer(&database, has()).await, Finding::Code(1));
    assert_eq!(answer(&database, status()).await, Finding::Code(2));
    for (inquiry, code) in [
        (
            Inquiry::RefreshWatchers {
                uri: own("sip:bob@example.org"),
                event: own("presence"),
                kind: 1,
                file: None,
            },
            1,
        ),
        (
            Inquiry::RefreshWatchers {
                uri: own("sip:bob@example.org"),
                event: own("presence"),
                kind: 2,
                file: None,
            },
            -1,
        ),
        (
            Inquiry::UpdateWatchers {
                uri: own("sip:bob@example.org"),
                event: own("presence"),
            },
            1,
        ),
        (
            Inquiry::UpdateWatchers {
                uri: own("no uri'; DROP TABLE presentity; --"),
                event: own("presence"),
            },
            -1,
        ),
    ] {
        assert_eq!(
            answer(&database, inquiry.clone()).await,
            Finding::Code(code),
            "{inquiry:?}"
        );
    }
}

/// A rules document with this handling for one, in this condition besides.
fn rules(user: &str, handling: &str, condition: &str) -> String {
    format!(
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\"><rule id=\"a\">\
         <conditions><identity><one id=\"sip:{user}@example.org\"/></identity>{condition}</conditions>\
         <actions><p:sub-handling>{handling}</p:sub-handling></actions></rule></ruleset>"
    )
}

async fn store_rules(database: &Database, document: &str) {
    database
        .by_hand(&format!(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri)
             VALUES ('bob', 'example.org', '{document}', 2, 'e', 'rules ' || (SELECT count(*) FROM xcap))"
        ))
        .await;
}

#[tokio::test]
async fn it_is_judged_at_once_by_documents_watchers_and_the_default() {
    let database = Database::new().await;
    let judged = async |user: &str, default| {
        let judge = judge(default, false);
        let watcher = format!("sip:{user}@example.org");
        let status = judge.auth_status(&database.store, &watcher, "sip:bob@example.org");
        status.await.unwrap()
    };
    let (allow, confirm, block) = (SubHandling::Allow, SubHandling::Confirm, SubHandling::Block);
    for (default, expected) in [(allow, 1), (confirm, 2), (block, 3)] {
        assert_eq!(judged("w", default).await, expected);
    }
    // Written by hand, without rules.
    database
        .by_hand("INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason) VALUES ('sip:bob@example.org', 'w', 'example.org', 3, 'rejected'), ('sip:bob@example.org', 'p', 'example.org', 1, 'polite-block')")
        .await;
    assert_eq!(judged("w", allow).await, 3);
    assert_eq!(judged("p", allow).await, 5);
    // Rules decide as soon as there are any, all documents together.
    store_rules(&database, &rules("w", "allow", "")).await;
    store_rules(&database, &rules("c", "confirm", "")).await;
    for (user, expected) in [("w", 1), ("p", 3), ("c", 2), ("x", 3)] {
        assert_eq!(judged(user, allow).await, expected, "{user}");
    }
    // Who waits goes on waiting.
    database
        .by_hand("INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason) VALUES ('sip:bob@example.org', 'c', 'example.org', 4, 'timeout')")
        .await;
    assert_eq!(judged("c", allow).await, 4);
    // What was decided by rules that are gone does not outlive them.
    database
        .by_hand("UPDATE watchers SET rules_version = (SELECT rules_version FROM notify_queue WHERE event = 'presence') WHERE watcher_username = 'w'")
        .await;
    database.by_hand("DELETE FROM xcap").await;
    assert_eq!(judged("w", allow).await, 1);
    assert_eq!(judged("p", allow).await, 5, "by hand");
}

#[tokio::test]
async fn sphere_and_time_count_and_case_if_it_is_so_configured() {
    let database = Database::new().await;
    let status = async |database: &sql::Store, user: &str, fold_case| {
        let judge = judge(SubHandling::Allow, fold_case);
        let watcher = format!("sip:{user}@example.org");
        let status = judge.auth_status(database, &watcher, "sip:bob@example.org");
        status.await.unwrap()
    };
    store_rules(&database, &rules("w", "allow", "<sphere value=\"work\"/>")).await;
    assert_eq!(status(&database.store, "w", false).await, 3);
    let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
                xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:bob@example.org\"><dm:person id=\"p\"><r:sphere>work</r:sphere></dm:person></presence>";
    let row = publication("bob", "tag", body);
    database
        .store
        .publication()
        .create_batch(&[row])
        .await
        .unwrap();
    assert_eq!(status(&database.store, "w", false).await, 1);
    assert_eq!(status(&database.store, "W", false).await, 3);
    assert_eq!(status(&database.store, "W", true).await, 1);
    // A time of validity that has not begun, and then has.
    database.by_hand("DELETE FROM xcap").await;
    let times =
        "<validity><from>2100-01-01T00:00:00Z</from><until>2101-01-01T00:00:00Z</until></validity>";
    store_rules(&database, &rules("w", "allow", times)).await;
    assert_eq!(status(&database.store, "w", false).await, 3);
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800 + 3600);
    assert_eq!(status(&database.store.at(at), "w", false).await, 1);
}

#[tokio::test]
async fn sql_tells_what_it_knows() {
    let database = Database::new().await;
    let asked = async |user: &str| -> i32 {
        let call =
            format!("SELECT presence_auth_status('sip:{user}@example.org', 'sip:bob@EXAMPLE.org')");
        database.value(&call).await
    };
    // Nobody says what the default is.
    assert_eq!(asked("w").await, -1);
    let node = |default_policy: &str| NewNode {
        kind: "server".to_owned(),
        host: String::new(),
        pid: 1,
        address: String::new(),
        version: String::new(),
        believes: String::new(),
        default_policy: default_policy.to_owned(),
        events: Vec::new(),
    };
    let nodes = database.store.node();
    for (policy, expected) in [
        ("", -1),
        ("force_active", 1),
        // The strictest, while they differ.
        ("allow", 1),
        ("confirm", 2),
        ("block", 3),
        ("allow", 3),
    ] {
        nodes.register(&node(policy)).await.unwrap();
        assert_eq!(asked("w").await, expected, "{policy}");
    }
    database
        .by_hand("UPDATE node SET heartbeat = now() - interval '1 min'")
        .await;
    assert_eq!(asked("w").await, -1, "none of them lives");
    database.by_hand("DELETE FROM node").await;
    nodes.register(&node("allow")).await.unwrap();
    let by_hand = "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason, rules_version) VALUES ('sip:bob@example.org', 'w', 'example.org', 3, 'rejected', null), ('sip:bob@example.org', 'p', 'example.org', 1, 'polite-block', 0)";
    database.by_hand(by_hand).await;
    assert_eq!((asked("w").await, asked("p").await), (3, 5));

    // Rules: only what was decided by them.
    store_rules(&database, &rules("w", "allow", "")).await;
    for user in ["w", "p", "x"] {
        assert_eq!(asked(user).await, -1, "{user}");
    }
    let current = "(SELECT rules_version FROM notify_queue WHERE event = 'presence')";
    database
        .by_hand(&format!("UPDATE watchers SET status = 1, reason = '', rules_version = {current} WHERE watcher_username = 'w'"))
        .await;
    assert_eq!((asked("w").await, asked("p").await), (1, -1));
    // All are decided about: what was not written anew is so by these rules too.
    let all = "UPDATE notify_queue SET decided_rules = rules_version WHERE event = 'presence'";
    database.by_hand(all).await;
    assert_eq!(
        (asked("w").await, asked("p").await, asked("x").await),
        (1, 5, -1)
    );
    // Time has changed it, and another document.
    database
        .by_hand("UPDATE watchers SET recheck_at = 1 WHERE watcher_username = 'p'")
        .await;
    assert_eq!((asked("w").await, asked("p").await), (1, -1));
    store_rules(&database, &rules("x", "allow", "")).await;
    assert_eq!((asked("w").await, asked("x").await), (-1, -1));
    database
        .by_hand("UPDATE node SET default_policy = 'force_active'")
        .await;
    assert_eq!(asked("x").await, 1);
    database
        .by_hand("UPDATE node SET default_policy = 'confirm'")
        .await;
    // Without rules again, none of that counts any more.
    database.by_hand("DELETE FROM xcap").await;
    assert_eq!((asked("w").await, asked("x").await), (2, 2));
    let refused =
        "INSERT INTO node (kind, host, pid, default_policy) VALUES ('server', '', 1, 'maybe')";
    assert!(database.hand.execute(refused, &[]).await.is_err());
}

/// A reader may not read documents; it may know whether there are any.
#[tokio::test]
async fn a_reader_is_answered_as_well() {
    let database = Database::new().await;
    store_rules(&database, &rules("w", "allow", "")).await;
    database.by_hand("SET ROLE pgpresence_reader").await;
    assert!(
        database
            .hand
            .execute("SELECT doc FROM xcap", &[])
            .await
            .is_err()
    );
    let asked = "SELECT pres_auth_status('sip:w@example.org', 'sip:bob@example.org')";
    assert_eq!(database.value::<i32>(asked).await, -1);
    let rules = "SELECT presence_has_rules('sip:bob@example.org')";
    assert!(database.value::<bool>(rules).await);
    database.by_hand("RESET ROLE").await;
}

#[tokio::test]
async fn a_subscription_is_read_by_its_dialog() {
    let database = Database::new().await;
    let row = subscription("bob", "c1");
    let dialog = DialogId {
        call_id: row.call_id.clone(),
        to_tag: row.to_tag.clone(),
        from_tag: row.from_tag.clone(),
    };
    database
        .store
        .subscription()
        .create_batch(&[row])
        .await
        .unwrap();
    let found = answer(&database, Inquiry::Subscription(dialog)).await;
    let Finding::Subscription(Some(stored)) = found else {
        panic!("{found:?}");
    };
    let expected = StoredSubscription {
        presentity_uri: own("sip:bob@example.org"),
        to_user: own("bob"),
        to_domain: own("example.org"),
        from_user: own("watcher"),
        from_domain: own("example.org"),
        watcher_username: own("watcher"),
        watcher_domain: own("example.org"),
        event: own("presence"),
        contact: own("sip:watcher@192.0.2.1:5062"),
        local_contact: own("sip:presence@192.0.2.9"),
        record_route: own("<sip:edge.example.org;lr>,\"a, b\" <sip:b.example.org;lr>"),
        remote_cseq: 1,
        expires_s: stored.expires_s,
        status: 1,
        ..StoredSubscription::default()
    };
    assert_eq!(*stored, expected);
    assert!((590..=600).contains(&stored.expires_s), "{stored:?}");
    let unknown = Inquiry::Subscription(DialogId::default());
    assert_eq!(
        answer(&database, unknown).await,
        Finding::Subscription(None)
    );
}

#[tokio::test]
async fn priorities_are_given_kept_or_of_age() {
    let database = Database::new().await;
    let store = &database.store;
    let new = |user: &str, priority| NewPublication {
        priority,
        ..publication(user, &format!("{user}-1"), "one")
    };
    let rows = [
        new("a", Priority::Kept),
        new("b", Priority::Given(-5)),
        new("c", Priority::Given(i64::MAX)),
    ];
    store.publication().create_batch(&rows).await.unwrap();
    let rows = [new("d", Priority::ByAge), new("e", Priority::Given(3))];
    store.publication().create_batch(&rows).await.unwrap();
    let priority = async |user: &str| -> i64 {
        database
            .value(&format!(
                "SELECT priority FROM presentity WHERE username = '{user}'"
            ))
            .await
    };
    assert_eq!(priority("a").await, 0);
    assert_eq!(priority("b").await, -5);
    assert_eq!(priority("c").await, i64::MAX);
    assert_eq!(priority("e").await, 3);
    let age = "SELECT extract(epoch FROM presence_now())::bigint - 1420070400 - priority FROM presentity WHERE username = 'd'";
    let off: i64 = database.value(age).await;
    assert!(off.abs() < 60, "{off}");

    let modify = || ChangeKind::Modify {
        content_type: own("application/pidf+xml"),
        body: bytes::Bytes::from_static(b"two"),
        note: events::BodyNote::default(),
    };
    let step = |user: &str, from: u32, kind, priority| PublicationChange {
        priority,
        ..change(
            user,
            &format!("{user}-{from}"),
            &format!("{user}-{}", from + 1),
            kind,
        )
    };
    let rows = [
        step("a", 1, modify(), Priority::Given(9)),
        step("b", 1, ChangeKind::Refresh, Priority::Kept),
        step("e", 1, modify(), Priority::Kept),
    ];
    store.publication().change_batch(&rows).await.unwrap();
    assert_eq!(priority("a").await, 9);
    assert_eq!(priority("b").await, -5);
    assert_eq!(priority("e").await, 3);
    let rows = [
        step("a", 2, ChangeKind::Refresh, Priority::ByAge),
        step("b", 2, modify(), Priority::ByAge),
        step("e", 2, ChangeKind::Refresh, Priority::Given(4)),
    ];
    store.publication().change_batch(&rows).await.unwrap();
    assert_eq!(priority("a").await, 9, "a refresh makes nothing newer");
    assert!(priority("b").await > 300_000_000);
    assert_eq!(priority("e").await, 4);
}
