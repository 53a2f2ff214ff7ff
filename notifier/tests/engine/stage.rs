//! Everything around the phones: a migrated database, engines, and the rows that a server would write.

use crate::phone::Phone;
use bytes::Bytes;
use events::{
    BodyNote, ChangeKind, DecidedBy, NewPublication, NewSubscription, Priority, PublicationChange,
    PublishOutcome, Reach, SubscribeOutcome, SubscriptionRefresh, TagChange,
};
use node::{Config, Shutdown};
use postgres_dev::{Cluster, Saved};
use sip::Aor;
use sql::{Store, StoreOptions};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// One test's database.
pub(crate) struct Stage {
    pub(crate) store: Store,
    url: String,
    /// A cluster that this test may kill.
    own: Option<Cluster>,
}

/// A running engine.
pub(crate) struct Engine {
    shutdown: Shutdown,
    task: JoinHandle<Result<(), notifier::RunError>>,
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        let cluster = tokio::task::spawn_blocking(|| CLUSTER.get_or_init(migrated_cluster))
            .await
            .unwrap();
        let name = format!("test_{}", number());
        cluster.create_from_template(&name, "migrated").unwrap();
        let url = cluster.url(&name);
        let store = Store::connect(&url, &StoreOptions::default()).unwrap();
        Stage {
            store,
            url,
            own: None,
        }
    }

    /// With a cluster that no other test uses.
    pub(crate) async fn with_own_cluster() -> Stage {
        let cluster = tokio::task::spawn_blocking(migrated_cluster).await.unwrap();
        let url = cluster.url("migrated");
        let store = Store::connect(&url, &StoreOptions::default()).unwrap();
        Stage {
            store,
            url,
            own: Some(cluster),
        }
    }

    /// SIGKILL for every process of the database.
    pub(crate) fn kill_database(&self) {
        self.own.as_ref().unwrap().kill9();
    }

    /// Starts it again, and returns when this stage's own connections work.
    pub(crate) async fn restart_database(&mut self) {
        tokio::task::block_in_place(|| self.own.as_mut().unwrap().restart()).unwrap();
        within(20, async { while self.store.ring().await.is_err() {} }).await;
    }

    /// Starts an engine with these settings over the tests' own; returns when it's ready.
    pub(crate) async fn engine(&self, settings: &[(&str, &str)]) -> Engine {
        let mut sets = vec![
            ("presence.db_url", self.url.as_str()),
            ("presence.waitn_time", "1"),
            ("notifier.listen", "udp:127.0.0.1:0"),
        ];
        sets.extend(settings);
        let sets: Vec<_> = sets
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let config = Config::load(None, std::iter::empty(), &sets).unwrap();
        let shutdown = Shutdown::new();
        let (ready_in, ready) = oneshot::channel();
        let task = tokio::spawn(notifier::run(
            config,
            events::Registry::standard(),
            shutdown.clone(),
            move || ready_in.send(()).unwrap(),
        ));
        within(10, ready).await.unwrap();
        Engine { shutdown, task }
    }

    /// What a server does for a SUBSCRIBE without To-tag.
    pub(crate) async fn subscribe(&self, phone: &Phone, user: &str, granted_s: u32) {
        self.subscribe_as(NewSubscription {
            granted_s,
            ..subscription(phone, user)
        })
        .await;
    }

    pub(crate) async fn subscribe_as(&self, row: NewSubscription) {
        self.subscribe_all(&[row]).await;
    }

    pub(crate) async fn subscribe_all(&self, rows: &[NewSubscription]) {
        let outcomes = self.store.subscription().create_batch(rows).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, SubscribeOutcome::Accepted { .. })),
            "{outcomes:?}"
        );
        self.store.ring().await.unwrap();
    }

    /// What a server does for a SUBSCRIBE in the dialog; `granted_s` 0 ends it.
    pub(crate) async fn refresh(
        &self,
        phone: &Phone,
        cseq: u32,
        granted_s: u32,
    ) -> SubscribeOutcome {
        let row = SubscriptionRefresh {
            call_id: phone.call_id.clone(),
            to_tag: "ours".into(),
            from_tag: "theirs".into(),
            event: "presence".into(),
            event_id: String::new(),
            remote_cseq: cseq,
            request: 0,
            contact: Some(phone.contact()),
            granted_s,
            requester: None,
            decided_by: DecidedBy::Nobody,
            feature: None,
            reach: Reach::default(),
        };
        let outcome = self
            .store
            .subscription()
            .refresh_batch(&[row], 0)
            .await
            .unwrap()
            .remove(0);
        self.store.ring().await.unwrap();
        outcome
    }

    /// What a server does for an initial PUBLISH; the note is the state that phones look for.
    pub(crate) async fn publish(&self, user: &str, note: &str, granted_s: u32) -> Publisher {
        let entity_tag = format!("tag{}", number());
        let row = NewPublication {
            aor: aor(user),
            event: "presence".into(),
            entity_tag: entity_tag.clone(),
            granted_s,
            content_type: "application/pidf+xml".into(),
            body: pidf(user, note),
            sender: String::new(),
            priority: Priority::Kept,
            note: BodyNote::default(),
        };
        let outcome = self
            .store
            .publication()
            .create_batch(&[row])
            .await
            .unwrap()
            .remove(0);
        assert!(
            matches!(outcome, PublishOutcome::Stored { .. }),
            "{outcome:?}"
        );
        self.store.ring().await.unwrap();
        Publisher {
            user: user.to_owned(),
            entity_tag,
        }
    }

    /// Changes publications in one batch, each to its note.
    pub(crate) async fn modify_all(&self, publishers: &mut [&mut Publisher], note: &str) {
        let rows: Vec<PublicationChange> = publishers
            .iter_mut()
            .map(|publisher| {
                let if_match =
                    std::mem::replace(&mut publisher.entity_tag, format!("tag{}", number()));
                PublicationChange {
                    aor: aor(&publisher.user),
                    event: "presence".into(),
                    if_match,
                    entity_tag: publisher.entity_tag.clone(),
                    tag_change: TagChange::Renewed,
                    kind: ChangeKind::Modify {
                        content_type: "application/pidf+xml".into(),
                        body: pidf(&publisher.user, note),
                        note: BodyNote::default(),
                    },
                    granted_s: 3600,
                    sender: None,
                    priority: Priority::Kept,
                }
            })
            .collect();
        let outcomes = self.store.publication().change_batch(&rows).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, PublishOutcome::Stored { .. })),
            "{outcomes:?}"
        );
        self.store.ring().await.unwrap();
    }

    pub(crate) async fn modify(&self, publisher: &mut Publisher, note: &str) {
        self.modify_all(&mut [publisher], note).await;
    }
}

impl Engine {
    /// Stops as on SIGTERM.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        within(10, self.task).await.unwrap().unwrap();
    }

    /// Dies as on SIGKILL: nothing is settled, nothing said.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A publication that can be changed.
#[derive(Clone)]
pub(crate) struct Publisher {
    user: String,
    entity_tag: String,
}

/// The row of a phone's subscription, granted for an hour.
pub(crate) fn subscription(phone: &Phone, user: &str) -> NewSubscription {
    NewSubscription {
        aor: aor(user),
        event: "presence".into(),
        event_id: String::new(),
        watcher: aor("alice"),
        to_user: user.into(),
        to_domain: "example.org".into(),
        from_user: "alice".into(),
        from_domain: "example.org".into(),
        from_display: String::new(),
        local_uri: format!("<sip:{user}@example.org>"),
        remote_uri: "\"Alice\" <sip:alice@example.org>".into(),
        to_tag: "ours".into(),
        from_tag: "theirs".into(),
        call_id: phone.call_id.clone(),
        remote_cseq: 1,
        contact: phone.contact(),
        record_route: Vec::new(),
        granted_s: 3600,
        accept: String::new(),
        user_agent: String::new(),
        decided_by: DecidedBy::Nobody,
        feature: None,
        subscriber_key: None,
        reach: Reach {
            local_contact: "sip:presence.example.org".into(),
            ..Reach::default()
        },
    }
}

fn aor(user: &str) -> Aor {
    Aor {
        username: user.into(),
        domain: "example.org".into(),
    }
}

/// Waits for a future, but not for ever.
pub(crate) async fn within<F: IntoFuture>(seconds: u64, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(seconds), future)
        .await
        .expect("it takes too long")
}

pub(crate) fn number() -> u32 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

fn pidf(user: &str, note: &str) -> Bytes {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{user}@example.org\">\
         <tuple id=\"t1\"><status><basic>open</basic></status><note>{note}</note></tuple></presence>"
    )
    .into()
}

fn migrated_cluster() -> Cluster {
    let saved = Saved {
        folder: Path::new(env!("CARGO_TARGET_TMPDIR")),
        name: "notifier",
        inputs: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../schema")),
    };
    Cluster::start_copy(saved, |cluster| {
        cluster.create_database("migrated").unwrap();
        let url = cluster.url("migrated");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(schema::migrate(&url)).unwrap();
    })
    .unwrap()
}
