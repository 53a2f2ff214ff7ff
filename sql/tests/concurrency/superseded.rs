//! A phone that subscribes anew, at several servers (`delete_same_subs`).

use super::*;

// === delete_same_subs ===

fn of_the_phone(call_id: &str) -> NewSubscription {
    NewSubscription {
        subscriber_key: Some("instance:urn:uuid:1".into()),
        ..subscription("bob", call_id)
    }
}

/// A phone that has just started sends two SUBSCRIBEs, to two servers. Whatever the order of their statements, one dialog lives: the newest.
#[tokio::test]
async fn of_two_dialogs_of_a_phone_the_newest_lives() {
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Create(&'static str),
        Supersede(&'static str),
    }
    use Step::{Create, Supersede};
    const ORDERS: [[Step; 4]; 6] = [
        [Create("a"), Supersede("a"), Create("b"), Supersede("b")],
        [Create("a"), Create("b"), Supersede("a"), Supersede("b")],
        [Create("a"), Create("b"), Supersede("b"), Supersede("a")],
        [Create("b"), Create("a"), Supersede("a"), Supersede("b")],
        [Create("b"), Create("a"), Supersede("b"), Supersede("a")],
        [Create("b"), Supersede("b"), Create("a"), Supersede("a")],
    ];
    for order in ORDERS {
        let database = Database::new().await;
        let subscriptions = database.store.subscription();
        let mut newest = "";
        for step in order {
            match step {
                Create(call_id) => {
                    let rows = [of_the_phone(call_id)];
                    subscriptions.create_batch(&rows).await.unwrap();
                    newest = call_id;
                }
                Supersede(call_id) => {
                    let rows = [of_the_phone(call_id)];
                    subscriptions.supersede_batch(&rows).await.unwrap();
                }
            }
        }
        let living = "SELECT string_agg(callid, ' ') FROM active_watchers WHERE status <> 3";
        assert_eq!(database.value::<String>(living).await, newest, "{order:?}");
    }
}

/// The same with both servers at it: one holds the older row when the other comes; and a row that was begun first and
/// committed last.
#[tokio::test]
async fn two_servers_supersede_at_once() {
    let database = Database::new().await;
    let store = database.store.clone();
    let rows = [of_the_phone("a"), of_the_phone("b"), of_the_phone("c")];
    store.subscription().create_batch(&rows).await.unwrap();
    let lock = open(
        &database,
        "SELECT 1 FROM active_watchers WHERE callid = 'a' FOR UPDATE",
    )
    .await;
    let (one, two) = (store.clone(), store.clone());
    let first = blocked(&database, 0, async move {
        let rows = [of_the_phone("b")];
        one.subscription().supersede_batch(&rows).await.unwrap()
    })
    .await;
    let second = blocked(&database, 1, async move {
        let rows = [of_the_phone("c")];
        two.subscription().supersede_batch(&rows).await.unwrap()
    })
    .await;
    commit(&lock).await;
    assert_eq!(first.await.unwrap() + second.await.unwrap(), 2);
    let living = "SELECT string_agg(callid, ' ') FROM active_watchers WHERE status <> 3";
    assert_eq!(database.value::<String>(living).await, "c");

    // d has the lower id, and its transaction is still open when e comes, which waits for it at the row of the queue.
    let begun = open(
        &database,
        "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain, \
             event, to_tag, from_tag, callid, remote_cseq, contact, expires, status, subscriber_key) \
         VALUES ('sip:bob@example.org', 'watcher', 'example.org', 'bob', 'example.org', 'watcher', 'example.org', \
             'presence', 'ours', 'theirs', 'd', 1, 'sip:w@192.0.2.1', 4102444800, 1, 'instance:urn:uuid:1')",
    )
    .await;
    let later = store.clone();
    let e = blocked(&database, 0, async move {
        let rows = [of_the_phone("e")];
        later.subscription().create_batch(&rows).await.unwrap();
        later.subscription().supersede_batch(&rows).await.unwrap()
    })
    .await;
    commit(&begun).await;
    assert_eq!(e.await.unwrap(), 2, "c and d");
    let rows = [of_the_phone("d")];
    assert_eq!(
        store.subscription().supersede_batch(&rows).await.unwrap(),
        0
    );
    assert_eq!(database.value::<String>(living).await, "e");
    assert_eq!(store.races_lost(), 0);
}

/// Many phones, each at many servers at once, while their state changes: no deadlock, and one dialog of each is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_that_all_start_at_once() {
    let database = Database::new().await;
    let store = database.store.clone();
    let mut servers = Vec::new();
    for server in 0..6 {
        let store = store.clone();
        servers.push(tokio::spawn(async move {
            for round in 0..10 {
                // Each server has them in another order.
                let rows: Vec<NewSubscription> = (0..12)
                    .map(|number| (number * (server + 1) * 5 + round) % 12)
                    .map(|number| NewSubscription {
                        aor: aor(&format!("u{}", number / 4)),
                        subscriber_key: Some(format!("phone {number}")),
                        ..subscription("u", &format!("{server} {round} {number}"))
                    })
                    .collect();
                store.subscription().create_batch(&rows).await.unwrap();
                store.subscription().supersede_batch(&rows).await.unwrap();
            }
        }));
    }
    for server in servers {
        server.await.unwrap();
    }
    let phones = "SELECT count(*) FROM (SELECT 1 FROM active_watchers WHERE status <> 3 GROUP BY subscriber_key HAVING count(*) = 1) AS p";
    assert_eq!(database.value::<i64>(phones).await, 12);
    let newest = "SELECT bool_and(a.status = 3 OR a.id = (SELECT max(b.id) FROM active_watchers AS b WHERE b.subscriber_key = a.subscriber_key)) FROM active_watchers AS a";
    assert!(database.value::<bool>(newest).await);
    assert_eq!(store.races_lost(), 0);
}
