//! Group commit on a real database: a row locked by a second connection holds the writer, and so decides what collects.

use std::sync::Arc;
use std::time::Duration;

use crate::support::Database;
use events::{NewPublication, PublishOutcome};
use server::Admission;
use server::publish::Create;
use server::write_batch::{DynHash, Lane, Ticket, WriteError, WriteQueue, Writers};
use sql::{Store, StoreError, StoreOptions};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_postgres::Client;

/// The lane of initial PUBLISHes, which tells how many rows each statement has before it runs.
struct Counted(Create, mpsc::UnboundedSender<usize>);

impl Lane for Counted {
    type Row = NewPublication;
    type Outcome = PublishOutcome;

    fn keys(row: &NewPublication, key: &mut dyn FnMut(&dyn DynHash)) {
        Create::keys(row, key);
    }

    fn is_same_request(earlier: &NewPublication, later: &NewPublication) -> bool {
        Create::is_same_request(earlier, later)
    }

    async fn write(&self, rows: &[NewPublication]) -> Result<Vec<PublishOutcome>, StoreError> {
        self.1.send(rows.len()).expect("the test listens");
        self.0.write(rows).await
    }
}

struct Fixture {
    database: Database,
    queue: Arc<WriteQueue<Counted>>,
    sizes: mpsc::UnboundedReceiver<usize>,
    admission: Admission,
}

impl Fixture {
    async fn new(statement_timeout: Duration) -> Self {
        let database = Database::migrated().await;
        let options = StoreOptions {
            statement_timeout,
            ..StoreOptions::default()
        };
        let store = Store::connect(&database.url, &options).expect("a URL");
        let (sender, sizes) = mpsc::unbounded_channel();
        let queue = WriteQueue::new(Counted(Create(store), sender), Writers::new(1), 64);
        Self {
            database,
            queue,
            sizes,
            admission: Admission::new(1000),
        }
    }

    fn submit(&self, user: &str) -> Ticket<PublishOutcome> {
        self.queue
            .submit(publication(user), self.admission.admit().expect("a place"))
    }

    async fn size(&mut self) -> usize {
        self.sizes.recv().await.expect("a statement")
    }
}

fn publication(user: &str) -> NewPublication {
    NewPublication {
        aor: sip::Aor {
            username: user.to_owned(),
            domain: "example.org".to_owned(),
        },
        event: "presence".to_owned(),
        entity_tag: format!("tag-{user}"),
        granted_s: 600,
        content_type: "application/pidf+xml".to_owned(),
        body: crate::support::OPEN.as_bytes().into(),
        sender: String::new(),
        priority: events::Priority::Kept,
        note: events::BodyNote::default(),
    }
}

async fn outcome(mut ticket: Ticket<PublishOutcome>) -> Result<PublishOutcome, WriteError> {
    ticket
        .outcome(Instant::now() + Duration::from_secs(60))
        .await
}

/// Holds the resource of `user`: who changes its state waits until the transaction ends.
async fn lock(database: &Database, user: &str) -> Client {
    let client = database.client().await;
    client
        .batch_execute(&format!(
            "BEGIN; INSERT INTO notify_queue (presentity_uri, event, due) VALUES ('sip:{user}@example.org', 'presence', 'infinity')"
        ))
        .await
        .expect("locked");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn arrivals_collect_while_the_writer_is_held_up() {
    let mut fixture = Fixture::new(Duration::from_secs(60)).await;
    let barrier = lock(&fixture.database, "held").await;
    let held = fixture.submit("held");
    assert_eq!(
        fixture.size().await,
        1,
        "a free writer takes a request at once, alone"
    );
    let rest: Vec<_> = (0..100)
        .map(|n| fixture.submit(&format!("user{n}")))
        .collect();
    assert!(fixture.sizes.try_recv().is_err());
    barrier.batch_execute("ROLLBACK").await.expect("released");
    assert_eq!((fixture.size().await, fixture.size().await), (64, 36));
    for ticket in std::iter::once(held).chain(rest) {
        assert!(matches!(
            outcome(ticket).await,
            Ok(PublishOutcome::Stored { .. })
        ));
    }
    assert_eq!(
        fixture
            .database
            .number("SELECT count(*) FROM presentity")
            .await,
        101
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_harms_only_itself() {
    let mut fixture = Fixture::new(Duration::from_secs(60)).await;
    let barrier = lock(&fixture.database, "held").await;
    let held = fixture.submit("held");
    assert_eq!(fixture.size().await, 1);
    let (before, bad, after) = (
        fixture.submit("before"),
        fixture.submit("a\0b"),
        fixture.submit("after"),
    );
    barrier.batch_execute("ROLLBACK").await.expect("released");
    assert_eq!(fixture.size().await, 3);
    for ticket in [held, before, after] {
        assert!(matches!(
            outcome(ticket).await,
            Ok(PublishOutcome::Stored { .. })
        ));
    }
    assert!(matches!(outcome(bad).await, Err(WriteError::Store(_))));
    assert_eq!(
        fixture
            .database
            .number("SELECT count(*) FROM presentity")
            .await,
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_keeps_locked_holds_up_only_itself() {
    let mut fixture = Fixture::new(Duration::from_millis(500)).await;
    // The first holds the writer until the others have collected; the second is never let go.
    let barrier = lock(&fixture.database, "first").await;
    let _kept = lock(&fixture.database, "locked").await;
    let first = fixture.submit("first");
    assert_eq!(fixture.size().await, 1);
    let (locked, free) = (fixture.submit("locked"), fixture.submit("free"));
    barrier.batch_execute("ROLLBACK").await.expect("released");
    assert!(matches!(
        outcome(first).await,
        Ok(PublishOutcome::Stored { .. })
    ));
    assert_eq!(fixture.size().await, 2);
    assert!(matches!(
        outcome(free).await,
        Ok(PublishOutcome::Stored { .. })
    ));
    assert!(matches!(outcome(locked).await, Err(WriteError::Store(_))));
}
