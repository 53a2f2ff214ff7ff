//! The batch writer's promises, one by one, with a lane whose database is the test itself: nothing here depends on timing.

use std::sync::Arc;
use std::time::Duration;

use server::Admission;
use server::write_batch::{DynHash, Lane, Ticket, WriteError, WriteQueue, Writers};
use sql::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// An operation on one or two keys.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    keys: Vec<&'static str>,
    request: u32,
}

fn row(key: &'static str, request: u32) -> Row {
    Row {
        keys: vec![key],
        request,
    }
}

/// A statement that the lane was asked to run, and the way to tell its result.
struct Statement {
    requests: Vec<u32>,
    result: oneshot::Sender<Result<(), StoreError>>,
}

impl Statement {
    /// The statement succeeds. The outcome of each row is its request's number.
    fn succeed(self) {
        self.result.send(Ok(())).expect("the writer waits");
    }

    fn fail(self, error: StoreError) {
        self.result.send(Err(error)).expect("the writer waits");
    }
}

struct Scripted(mpsc::UnboundedSender<Statement>);

impl Lane for Scripted {
    type Row = Row;
    type Outcome = u32;

    fn keys(row: &Row, key: &mut dyn FnMut(&dyn DynHash)) {
        for name in &row.keys {
            key(name);
        }
    }

    fn is_same_request(earlier: &Row, later: &Row) -> bool {
        earlier == later
    }

    async fn write(&self, rows: &[Row]) -> Result<Vec<u32>, StoreError> {
        let requests: Vec<u32> = rows.iter().map(|row| row.request).collect();
        let (result, told) = oneshot::channel();
        self.0
            .send(Statement {
                requests: requests.clone(),
                result,
            })
            .expect("the test listens");
        told.await.expect("the test tells the result")?;
        Ok(requests)
    }
}

struct Fixture {
    queue: Arc<WriteQueue<Scripted>>,
    statements: mpsc::UnboundedReceiver<Statement>,
    admission: Admission,
}

impl Fixture {
    fn new(writers: usize, batch_size: usize) -> Self {
        let (sender, statements) = mpsc::unbounded_channel();
        let queue = WriteQueue::new(Scripted(sender), Writers::new(writers), batch_size);
        Self {
            queue,
            statements,
            admission: Admission::new(1000),
        }
    }

    fn submit(&self, row: Row) -> Ticket<u32> {
        self.queue
            .submit(row, self.admission.admit().expect("a place"))
    }

    async fn next(&mut self) -> Statement {
        self.statements.recv().await.expect("a statement")
    }

    fn is_idle(&mut self) -> bool {
        self.statements.try_recv().is_err()
    }
}

async fn outcome(mut ticket: Ticket<u32>) -> Result<u32, WriteError> {
    ticket
        .outcome(Instant::now() + Duration::from_secs(60))
        .await
}

#[tokio::test]
async fn a_lone_request_goes_at_once_and_arrivals_collect_behind_it() {
    let mut fixture = Fixture::new(1, 3);
    let first = fixture.submit(row("a", 0));
    let rest: Vec<_> = ["b", "c", "d", "e"]
        .into_iter()
        .zip(1..)
        .map(|(key, n)| fixture.submit(row(key, n)))
        .collect();
    let alone = fixture.next().await;
    assert_eq!(alone.requests, [0]);
    assert!(fixture.is_idle(), "one writer, one statement");
    alone.succeed();
    assert_eq!(outcome(first).await.unwrap(), 0);
    let full = fixture.next().await;
    assert_eq!(full.requests, [1, 2, 3], "as many as a statement may have");
    full.succeed();
    let last = fixture.next().await;
    assert_eq!(last.requests, [4]);
    last.succeed();
    for (ticket, n) in rest.into_iter().zip(1..) {
        assert_eq!(outcome(ticket).await.unwrap(), n);
    }
}

#[tokio::test]
async fn a_second_writer_is_taken_by_a_full_batch_only() {
    let mut fixture = Fixture::new(2, 3);
    let mut tickets: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .zip(0..)
        .map(|(key, n)| fixture.submit(row(key, n)))
        .collect();
    let first = fixture.next().await;
    assert_eq!(first.requests, [0]);
    assert!(fixture.is_idle(), "two wait behind the first");
    tickets.push(fixture.submit(row("d", 3)));
    let full = fixture.next().await;
    assert_eq!(full.requests, [1, 2, 3]);
    tickets.push(fixture.submit(row("e", 4)));
    full.succeed();
    assert_eq!(outcome(tickets.remove(3)).await.unwrap(), 3);
    assert!(fixture.is_idle(), "the first is still in flight");
    first.succeed();
    let last = fixture.next().await;
    assert_eq!(last.requests, [4]);
    last.succeed();
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_takes_long_keeps_nobody_waiting() {
    let mut fixture = Fixture::new(2, 64);
    let stuck = fixture.submit(row("a", 0));
    let statement = fixture.next().await;
    let next = fixture.submit(row("b", 1));
    // Time passes by itself when nothing else can happen.
    fixture.next().await.succeed();
    assert_eq!(outcome(next).await.unwrap(), 1);
    let later = fixture.submit(row("c", 2));
    fixture.next().await.succeed();
    assert_eq!(outcome(later).await.unwrap(), 2);
    statement.succeed();
    assert_eq!(outcome(stuck).await.unwrap(), 0);
}

#[tokio::test]
async fn operations_on_one_key_follow_one_another() {
    let mut fixture = Fixture::new(4, 1);
    let _tickets: Vec<_> = (0..3).map(|n| fixture.submit(row("a", n))).collect();
    for n in 0..3 {
        let statement = fixture.next().await;
        assert_eq!(statement.requests, [n]);
        assert!(
            fixture.is_idle(),
            "three writers are free, and still the next operation waits"
        );
        statement.succeed();
    }
}

#[tokio::test]
async fn an_operation_waits_for_each_of_its_keys() {
    // Each operation is a batch by itself and has a writer.
    let mut fixture = Fixture::new(4, 1);
    let names = |keys: &[&'static str], request| Row {
        keys: keys.to_vec(),
        request,
    };
    let _tickets = [
        fixture.submit(names(&["e1", "e2"], 0)),
        fixture.submit(names(&["x1", "x2"], 1)),
        fixture.submit(names(&["e2", "x2"], 2)),
        fixture.submit(names(&["x2", "x3"], 3)),
    ];
    let (left, right) = (fixture.next().await, fixture.next().await);
    assert_eq!(
        (&left.requests[..], &right.requests[..]),
        (&[0][..], &[1][..])
    );
    right.succeed();
    left.succeed();
    let joined = fixture.next().await;
    assert_eq!(joined.requests, [2]);
    joined.succeed();
    let last = fixture.next().await;
    assert_eq!(last.requests, [3]);
    last.succeed();
}

#[tokio::test]
async fn a_retransmission_shares_the_outcome_whether_it_waits_or_is_being_written() {
    let mut fixture = Fixture::new(1, 64);
    let written = fixture.submit(row("a", 7));
    let statement = fixture.next().await;
    let again = fixture.submit(row("a", 7));
    let waiting = fixture.submit(row("a", 8));
    let waiting_again = fixture.submit(row("a", 8));
    statement.succeed();
    assert_eq!(
        (
            outcome(written).await.unwrap(),
            outcome(again).await.unwrap()
        ),
        (7, 7)
    );
    let next = fixture.next().await;
    assert_eq!(next.requests, [8], "once");
    next.succeed();
    assert_eq!(
        (
            outcome(waiting).await.unwrap(),
            outcome(waiting_again).await.unwrap()
        ),
        (8, 8)
    );
    assert!(fixture.is_idle());
}

#[tokio::test]
async fn a_bad_row_harms_only_itself() {
    let mut fixture = Fixture::new(1, 64);
    let opener = fixture.submit(row("opener", 0));
    let good = fixture.submit(row("a", 1));
    let bad = fixture.submit(row("b", 2));
    let fine = fixture.submit(row("c", 3));
    fixture.next().await.succeed();
    outcome(opener).await.unwrap();
    let batch = fixture.next().await;
    assert_eq!(batch.requests, [1, 2, 3]);
    batch.fail(bug());
    for _ in 0..3 {
        let single = fixture.next().await;
        assert_eq!(single.requests.len(), 1);
        if single.requests == [2] {
            single.fail(bug())
        } else {
            single.succeed()
        }
    }
    assert_eq!(
        (outcome(good).await.unwrap(), outcome(fine).await.unwrap()),
        (1, 3)
    );
    assert!(matches!(outcome(bad).await, Err(WriteError::Store(_))));
    // The writer is free again.
    let after = fixture.submit(row("b", 4));
    fixture.next().await.succeed();
    assert_eq!(outcome(after).await.unwrap(), 4);
}

#[tokio::test]
async fn a_missing_database_is_tried_once_more_and_then_told_to_all() {
    let mut fixture = Fixture::new(1, 64);
    let ticket = fixture.submit(row("a", 0));
    fixture.next().await.fail(unavailable());
    fixture.next().await.succeed();
    assert_eq!(
        outcome(ticket).await.unwrap(),
        0,
        "the second connection was good"
    );

    let first = fixture.submit(row("a", 1));
    let statement = fixture.next().await;
    let rest = [fixture.submit(row("b", 2)), fixture.submit(row("c", 3))];
    statement.succeed();
    outcome(first).await.unwrap();
    for _ in 0..2 {
        let statement = fixture.next().await;
        assert_eq!(
            statement.requests,
            [2, 3],
            "not row by row: the rows are not to blame"
        );
        statement.fail(unavailable());
    }
    for ticket in rest {
        assert!(matches!(outcome(ticket).await, Err(WriteError::Store(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_written() {
    let mut fixture = Fixture::new(1, 64);
    let first = fixture.submit(row("a", 0));
    let statement = fixture.next().await;
    let mut late = fixture.submit(row("b", 1));
    let patient = fixture.submit(row("c", 2));
    let deadline = Instant::now() + Duration::from_secs(8);
    assert!(matches!(
        late.outcome(deadline).await,
        Err(WriteError::Deadline)
    ));
    drop(late);
    statement.succeed();
    outcome(first).await.unwrap();
    let next = fixture.next().await;
    assert_eq!(next.requests, [2]);
    next.succeed();
    outcome(patient).await.unwrap();
}

#[tokio::test]
async fn a_writer_that_panics_ends_its_requests_and_no_others() {
    let mut fixture = Fixture::new(1, 64);
    let doomed = fixture.submit(row("a", 0));
    // The scripted lane panics when nobody tells it a result.
    drop(fixture.next().await);
    assert!(matches!(outcome(doomed).await, Err(WriteError::Aborted)));
    let next = fixture.submit(row("a", 1));
    fixture.next().await.succeed();
    assert_eq!(outcome(next).await.unwrap(), 1);
}

#[tokio::test]
async fn lanes_take_turns_at_the_writers() {
    let writers = Writers::new(1);
    let admission = Admission::new(1000);
    let (sender, mut statements) = mpsc::unbounded_channel();
    let lane = || WriteQueue::new(Scripted(sender.clone()), writers.clone(), 1);
    let (left, right) = (lane(), lane());
    let submit =
        |lane: &Arc<WriteQueue<Scripted>>, row| lane.submit(row, admission.admit().unwrap());
    let _tickets = [
        submit(&left, row("a", 0)),
        submit(&left, row("b", 1)),
        submit(&left, row("c", 2)),
        submit(&right, row("a", 10)),
        submit(&right, row("b", 11)),
    ];
    let mut order = Vec::new();
    for _ in 0..5 {
        let statement = statements.recv().await.unwrap();
        order.extend_from_slice(&statement.requests);
        statement.succeed();
    }
    assert_eq!(order, [0, 1, 10, 2, 11]);
}

#[tokio::test]
async fn a_place_in_the_backlog_is_free_after_the_outcome() {
    let mut fixture = Fixture::new(1, 64);
    fixture.admission = Admission::new(2);
    let first = fixture.submit(row("a", 0));
    let second = fixture.submit(row("b", 1));
    assert!(fixture.admission.admit().is_none());
    fixture.next().await.succeed();
    outcome(first).await.unwrap();
    assert!(fixture.admission.admit().is_some());
    fixture.next().await.succeed();
    outcome(second).await.unwrap();
}

#[tokio::test]
async fn a_request_is_pending_until_its_outcome() {
    let mut fixture = Fixture::new(1, 64);
    assert!(!fixture.queue.is_pending(&row("a", 0)));
    let ticket = fixture.submit(row("a", 0));
    let statement = fixture.next().await;
    assert!(
        fixture.queue.is_pending(&row("a", 0)),
        "while it is written"
    );
    assert!(!fixture.queue.is_pending(&row("a", 1)), "another request");
    assert!(!fixture.queue.is_pending(&row("b", 0)), "another key");
    statement.succeed();
    outcome(ticket).await.unwrap();
    assert!(!fixture.queue.is_pending(&row("a", 0)));

    let ticket = fixture.submit(row("a", 2));
    let _under_way = fixture.next().await;
    drop(ticket);
    assert!(
        !fixture.queue.is_pending(&row("a", 2)),
        "nobody will answer it"
    );
}

fn bug() -> StoreError {
    StoreError::Bug {
        sqlstate: String::new(),
        statement: "scripted",
        reason: "a bad row".to_owned(),
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        statement: "scripted",
        reason: "no database".to_owned(),
    }
}
