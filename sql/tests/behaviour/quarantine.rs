//! What the database refuses: distinguished from an outage, set aside, tried again later and later; and decisions that stand in nobody's way.

use std::time::{Duration, SystemTime};

use events::NewSubscription;
use sql::*;

use crate::database::*;

const A: i64 = 1;

/// A trigger that raises for the rows of which this is true.
async fn refuse(database: &Database, table: &str, rows: &str) {
    database
        .hand
        .batch_execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF {rows} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refused BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();"
        ))
        .await
        .unwrap();
}

async fn claim(store: &Store) -> Vec<Claimed> {
    let claimed = store.queue().claim(A, &[], 10, LEASE, WAITN).await;
    claimed.unwrap()
}

fn refused(user: &str, part: Part) -> Refused {
    Refused {
        resource: resource(user),
        part,
        sqlstate: "P0001".into(),
        message: "not this one".into(),
    }
}

async fn with_subscriptions(users: &[(&str, &str)]) -> Database {
    let database = Database::new().await;
    let rows: Vec<NewSubscription> = users
        .iter()
        .map(|(user, call_id)| subscription(user, call_id))
        .collect();
    let created = database.store.subscription().create_batch(&rows).await;
    created.unwrap();
    database
}

const DROP_BOUNDS: &str = "
    DO $$
    DECLARE
        bound record;
    BEGIN
        FOR bound IN SELECT contypid::regtype AS domain, conname FROM pg_constraint WHERE conname LIKE '%octets%' LOOP
            EXECUTE format('ALTER DOMAIN %s DROP CONSTRAINT %I', bound.domain, bound.conname);
        END LOOP;
    END $$";

#[tokio::test]
async fn what_data_causes_is_distinguished_from_an_outage_by_its_sqlstate() {
    let database = with_subscriptions(&[("bob", "c1")]).await;
    refuse(&database, "active_watchers", "NEW.callid = 'c1'").await;
    let claimed = claim(&database.store).await;
    let subscriptions = database.store.subscription();
    let error = subscriptions.take(A, &claimed, &[], 10).await.unwrap_err();
    assert!(!error.is_outage(), "{error:?}");
    assert_eq!(error.sqlstate(), "P0001");

    // A key that is too long for an index, and that compression cannot help; the bounds refuse it first.
    let mut random = 1_u64;
    let long: String = (0..9000)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            char::from(b'a' + (random % 26) as u8)
        })
        .collect();
    let row = NewSubscription {
        aor: aor(&long),
        ..subscription("eve", "c2")
    };
    for (sqlstate, has_bounds) in [("23514", true), ("54000", false)] {
        if !has_bounds {
            database.by_hand(DROP_BOUNDS).await;
        }
        let rows = std::slice::from_ref(&row);
        let error = subscriptions.create_batch(rows).await.unwrap_err();
        assert!(!error.is_outage(), "{error:?}");
        assert_eq!(error.sqlstate(), sqlstate);
    }
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_no_outage() {
    let database = with_subscriptions(&[("bob", "c1")]).await;
    database
        .by_hand("UPDATE active_watchers SET decided_version = 0")
        .await;
    let options = StoreOptions {
        lock_timeout: Some(Duration::from_millis(50)),
        ..StoreOptions::default()
    };
    let patient = Store::connect(&database.url, &options).unwrap();
    let lock = database.session().await;
    lock.batch_execute("BEGIN; SELECT 1 FROM active_watchers FOR UPDATE")
        .await
        .unwrap();
    for store in [patient, database.store.with_short_lock_timeout()] {
        let bob = ["sip:bob@example.org"];
        let error = store.watcher().await_decider(&bob).await.unwrap_err();
        assert!(matches!(error, StoreError::Held { .. }), "{error:?}");
        assert!(!error.is_outage());
    }
    lock.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn what_is_set_aside_is_claimed_when_its_time_has_come_later_each_time() {
    let database = with_subscriptions(&[("bob", "c1"), ("eve", "c2")]).await;
    let store = &database.store;
    let (mut at, mut wait) = (0.0, 5.0);
    for tries in 1..=8 {
        let now = store.at(after(at));
        let bob = [refused("bob", Part::Whole)];
        now.quarantine().put("take", &bob).await.unwrap();
        let seen = "SELECT tries FROM quarantine WHERE sqlstate = 'P0001' AND message = 'not this one' AND step = 'take'";
        assert_eq!(database.value::<i32>(seen).await, tries);
        database
            .by_hand("UPDATE notify_queue SET owner = NULL, due = '-infinity'")
            .await;
        let others = claim(&store.at(after(at + wait - 0.5))).await;
        let names: Vec<&str> = others
            .iter()
            .map(|claimed| claimed.resource.presentity_uri.as_str())
            .collect();
        assert_eq!(names, ["sip:eve@example.org"], "after {wait} s");
        assert!(others[0].suspect.is_none());
        at += wait + 0.5;
        let again = claim(&store.at(after(at))).await;
        assert_eq!(again.len(), 1);
        assert!(again[0].suspect.is_some() && again[0].resource == resource("bob"));
        wait = f64::min(wait * 2.0, 300.0);
    }
    // It went well.
    let now = store.at(after(at));
    let bob = [(
        resource("bob"),
        SystemTime::now() + Duration::from_secs(3600),
    )];
    now.quarantine().delete_done(&bob).await.unwrap();
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM quarantine")
            .await,
        0
    );
}

/// The other dialogs of its resource are taken, the resource is settled, and due again when the dialog is to be tried again.
#[tokio::test]
async fn a_dialog_that_is_set_aside_holds_up_no_other() {
    for is_flagged in [true, false] {
        let database = with_subscriptions(&[("bob", "c1"), ("bob", "c2")]).await;
        let store = &database.store;
        let mut claimed = claim(store).await;
        let subscriptions = store.subscription();
        if !is_flagged {
            subscriptions.take(A, &claimed, &[], 10).await.unwrap();
            let publications = store.publication();
            let stored = publications
                .create_batch(&[publication("bob", "t1", "x")])
                .await;
            stored.unwrap();
            let held = [claimed[0].claim];
            let again = store.queue().claim(A, &held, 10, LEASE, WAITN).await;
            claimed = again.unwrap();
        }
        let c1 = database
            .value("SELECT id FROM active_watchers WHERE callid = 'c1'")
            .await;
        let put = [refused("bob", Part::Dialog(c1))];
        store.quarantine().put("take", &put).await.unwrap();
        let taken = subscriptions.take_free(A, &claimed, &[], 10).await.unwrap();
        assert_eq!((taken.dialogs.len(), taken.left_behind.len()), (1, 0));
        let settled = [doubted(&claimed[0])];
        assert_eq!(store.queue().settle(A, &settled).await.unwrap(), [0]);
        assert_eq!(
            database.queue().await,
            ["sip:bob@example.org presence later"]
        );

        let later = store.at(after(5.5));
        let again = claim(&later).await;
        assert_eq!(again.len(), 1);
        assert!(again[0].suspect.is_some() && again[0].state_due);
        let taken = later.subscription().take(A, &again, &[], 10).await.unwrap();
        let calls = taken.iter().map(|dialog| dialog.call_id.as_str());
        assert!(
            calls.clone().any(|call| call == "c1"),
            "{:?}",
            calls.collect::<Vec<_>>()
        );
    }
}

/// A silent phone keeps the resource busy for longer than what was set aside rests: that is due when the resource is handed back.
#[tokio::test]
async fn what_is_set_aside_is_not_forgotten_while_its_resource_is_busy() {
    for (step, decided, due) in [
        ("take", Decided::NotAsked, "state"),
        ("decide", Decided::By(0), "decision"),
    ] {
        let database = with_subscriptions(&[("bob", "c1"), ("bob", "c2")]).await;
        let store = &database.store;
        let claimed = claim(store).await;
        let subscriptions = store.subscription();
        subscriptions.take(A, &claimed, &[], 10).await.unwrap();
        let c1 = database
            .value("SELECT id FROM active_watchers WHERE callid = 'c1'")
            .await;
        let put = [refused("bob", Part::Dialog(c1))];
        store.quarantine().put(step, &put).await.unwrap();
        let busy = store.at(after(40.0));
        let settled = [SettledResource {
            decided,
            ..done(&claimed[0], true)
        }];
        assert_eq!(busy.queue().settle(A, &settled).await.unwrap(), [0]);
        let again = claim(&busy).await;
        assert_eq!(again.len(), 1, "{due} is due");
        assert_eq!(again[0].decide, step == "decide");
        let suspect = again[0].suspect.unwrap();
        // What is set aside once more stays; what was tried under this claim goes.
        let resources = [(again[0].resource.clone(), suspect)];
        busy.quarantine().put(step, &put).await.unwrap();
        busy.quarantine().delete_done(&resources).await.unwrap();
        let count = "SELECT count(*) FROM quarantine";
        assert_eq!(database.value::<i64>(count).await, 1);
        let later = store.at(after(60.0));
        assert_eq!(
            later
                .queue()
                .settle(A, &[done(&again[0], true)])
                .await
                .unwrap(),
            [0]
        );
        let last = claim(&later).await;
        let resources = [(last[0].resource.clone(), last[0].suspect.unwrap())];
        later.quarantine().delete_done(&resources).await.unwrap();
        assert_eq!(database.value::<i64>(count).await, 0);
    }
}

#[tokio::test]
async fn an_operator_lets_go_of_what_is_set_aside() {
    let database = with_subscriptions(&[("bob", "c1")]).await;
    let store = &database.store;
    let claimed = claim(store).await;
    store
        .subscription()
        .take(A, &claimed, &[], 10)
        .await
        .unwrap();
    database.settle_all(A, &claimed).await;
    let put = [refused("bob", Part::Whole), refused("bob", Part::Dialog(7))];
    store.quarantine().put("take", &put).await.unwrap();
    let (listed, total) = store.operator().list_set_aside(None, 1).await.unwrap();
    assert_eq!((listed.len(), total), (1, 2));
    assert_eq!(listed[0].part, Part::Whole);
    let backlog = store.operator().find_backlog(Duration::ZERO).await.unwrap();
    assert_eq!((backlog.late_s, backlog.untold), (None, 0));

    let release = "SELECT presence_release('sips:bob@EXAMPLE.org', 'presence')";
    assert_eq!(database.value::<i64>(release).await, 2);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state due"]
    );
    assert_eq!(database.value::<i64>(release).await, 0);
    let (listed, total) = store.operator().list_set_aside(None, 1).await.unwrap();
    assert_eq!((listed.len(), total), (0, 0));
}

/// What a claim cannot write is left out by name.
#[tokio::test]
async fn a_claim_leaves_out_what_it_is_asked_to() {
    let database = with_subscriptions(&[("bob", "c1"), ("eve", "c2")]).await;
    refuse(
        &database,
        "notify_queue",
        "NEW.presentity_uri = 'sip:bob@example.org'",
    )
    .await;
    let queue = database.store.queue();
    let apart = [resource("bob")];
    let mut claiming = Claiming {
        owner: A,
        held: &[],
        limit: 10,
        decisions: 10,
        apart: &[],
        lease: LEASE,
        waitn: WAITN,
        horizon: Duration::ZERO,
    };
    assert!(queue.claim_all(&claiming).await.is_err());
    assert_eq!(queue.list_due(&claiming).await.unwrap().len(), 2);
    claiming.apart = &apart;
    let (claimed, _) = queue.claim_all(&claiming).await.unwrap();
    assert_eq!(claimed.len(), 1);
}

/// Ten thousand documents at once: a state change that comes after them is claimed before them.
#[tokio::test]
async fn decisions_stand_in_nobodys_way() {
    let database = Database::new().await;
    database
        .by_hand(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri)
             SELECT 'u' || n, 'example.org', 'x', 2, 'e', '/rules/u' || n FROM generate_series(1, 10000) AS n",
        )
        .await;
    let stored = database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "x"), publication("u1", "t2", "x")])
        .await;
    stored.unwrap();
    let claiming = |decisions| Claiming {
        owner: A,
        held: &[],
        limit: 10,
        decisions,
        apart: &[],
        lease: LEASE,
        waitn: WAITN,
        horizon: Duration::ZERO,
    };
    let queue = database.store.queue();
    let (claimed, _) = queue.claim_all(&claiming(3)).await.unwrap();
    let (decisions, others): (Vec<&Claimed>, Vec<&Claimed>) =
        claimed.iter().partition(|claimed| claimed.decide);
    assert_eq!((decisions.len(), others.len()), (3, 1));
    assert_eq!(others[0].resource, resource("bob"));
    // Who has a decision waiting is not shown her state before.
    let waiting = "SELECT count(*) FROM notify_queue WHERE presentity_uri = 'sip:u1@example.org' AND claimed_version > 0 AND decide_at < 'infinity'";
    assert_eq!(database.value::<i64>(waiting).await, 0);
    let (claimed, _) = queue.claim_all(&claiming(0)).await.unwrap();
    assert_eq!(claimed, []);
}
