//! What scripts ask, and the priorities that they give.

use script::{Ask, Attribute, DialogKey, Subscription, Told};
use sql::{ChangeKind, NewPublication, Priority, PublicationChange};

use crate::database::*;

async fn tell(database: &Database, ask: Ask) -> Told {
    database.store.script().tell(ask).await
}

fn own(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn codes_are_those_of_the_guide() {
    let database = Database::new().await;
    let has = || Ask::HasSubscribers {
        presentity_uri: own("SIP:bob@EXAMPLE.org"),
        event: own("presence"),
    };
    let status = || Ask::AuthStatus {
        watcher_uri: own("sip:watcher@example.org"),
        presentity_uri: own("sip:bob@example.org"),
    };
    assert_eq!(tell(&database, has()).await, Told::Code(-1));
    assert_eq!(tell(&database, status()).await, Told::Code(-1));
    let row = subscription("bob", "c1");
    database
        .store
        .subscription()
        .create_batch(&[row])
        .await
        .unwrap();
    assert_eq!(tell(&database, has()).await, Told::Code(1));
    assert_eq!(tell(&database, status()).await, Told::Code(1));
    for (ask, code) in [
        (
            Ask::RefreshWatchers {
                uri: own("sip:bob@example.org"),
                event: own("presence"),
                kind: 1,
                file: None,
            },
            1,
        ),
        (
            Ask::RefreshWatchers {
                uri: own("sip:bob@example.org"),
                event: own("presence"),
                kind: 2,
                file: None,
            },
            -1,
        ),
        (
            Ask::UpdateWatchers {
                uri: own("sip:bob@example.org"),
                event: own("presence"),
            },
            1,
        ),
        (
            Ask::UpdateWatchers {
                uri: own("no uri'; DROP TABLE presentity; --"),
                event: own("presence"),
            },
            -1,
        ),
    ] {
        assert_eq!(
            tell(&database, ask.clone()).await,
            Told::Code(code),
            "{ask:?}"
        );
    }
    for ask in [
        Ask::HandlePublish {
            sender_uri: None,
            priority: None,
        },
        Ask::DefaultRoute { priority: None },
    ] {
        assert!(matches!(tell(&database, ask).await, Told::Wrong(_)));
    }
}

#[tokio::test]
async fn a_subscription_is_read_by_its_dialog() {
    let database = Database::new().await;
    let row = subscription("bob", "c1");
    let key = DialogKey {
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
    // What is known stays as it is; all else is the row's.
    let mut known = Subscription::of(key);
    known.set_number(Attribute::Expires, 7);
    let told = tell(&database, Ask::ReadSubscription(Box::new(known))).await;
    let Told::Subscription(read) = told else {
        panic!("{told:?}");
    };
    for (attribute, text) in [
        (Attribute::Uri, "sip:bob@example.org"),
        (Attribute::PresUri, "sip:bob@example.org"),
        (Attribute::ToUser, "bob"),
        (Attribute::FromUser, "watcher"),
        (Attribute::WatcherUsername, "watcher"),
        (Attribute::Event, "presence"),
        (Attribute::CallId, "c1"),
        (Attribute::Reason, ""),
    ] {
        assert_eq!(read.text(attribute), Some(text), "{attribute:?}");
    }
    for (attribute, number) in [
        (Attribute::Expires, 7),
        (Attribute::Status, 1),
        (Attribute::LocalCSeq, 0),
        (Attribute::Version, 0),
        (Attribute::Flags, 0),
    ] {
        assert_eq!(read.number(attribute), Some(number), "{attribute:?}");
    }
    let all = Attribute::ALL
        .iter()
        .filter(|(_, known)| read.text(*known).is_none() && read.number(*known).is_none());
    assert_eq!(all.count(), 0, "an attribute that nobody knows");
    let unknown = Subscription::of(DialogKey::default());
    assert_eq!(
        tell(&database, Ask::ReadSubscription(Box::new(unknown.clone()))).await,
        Told::Subscription(Box::new(unknown.completed(None)))
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
        note: sql::BodyNote::default(),
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
