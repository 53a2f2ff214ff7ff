//! A database for one test: a clone of a migrated template in this process's throw-away cluster.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use events::{
    BodyNote, ChangeKind, DecidedBy, NewPublication, NewSubscription, Priority, PublicationChange,
    Reach, SubscriptionRefresh, TagChange,
};
use postgres_dev::{Cluster, Saved};
use sip::Aor;
use sql::*;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

static CLUSTER: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) store: Store,
    /// A session of its own, for what the test itself looks at and changes by hand.
    pub(crate) hand: Client,
}

impl Database {
    pub(crate) async fn new() -> Database {
        let cluster = tokio::task::spawn_blocking(|| CLUSTER.get_or_init(migrated_cluster))
            .await
            .unwrap();
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        if number > 0 {
            cluster.create_from_template(&name, "migrated").unwrap();
        }
        let url = cluster.url(&name);
        let store = Store::connect(&url, &StoreOptions::default()).unwrap();
        let hand = session(&url).await;
        Database { url, store, hand }
    }

    /// The cluster that all databases of this process are in.
    pub(crate) fn cluster(&self) -> &'static Cluster {
        CLUSTER.get().unwrap()
    }

    pub(crate) async fn session(&self) -> Client {
        session(&self.url).await
    }

    pub(crate) async fn by_hand(&self, sql: &str) -> u64 {
        self.hand
            .execute(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// One value of one row.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(
        &self,
        sql: &str,
    ) -> T {
        self.hand
            .query_one(sql, &[])
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
            .get(0)
    }

    pub(crate) async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.hand
            .query(sql, parameters)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The queue as text: `version>0, claimed, flagged, due within a second, held`, one line a row.
    pub(crate) async fn queue(&self) -> Vec<String> {
        self.rows(
            "SELECT presentity_uri || ' ' || event
                 || CASE WHEN version > claimed_version THEN ' state' ELSE '' END
                 || CASE WHEN claimed_version > 0 THEN ' claimed' ELSE '' END
                 || CASE WHEN flagged_due < 'infinity' THEN ' flagged' ELSE '' END
                 || CASE WHEN due = 'infinity' THEN ' idle' WHEN due <= now() THEN ' due' ELSE ' later' END
             FROM notify_queue ORDER BY 1",
            &[],
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect()
    }

    pub(crate) async fn settle_all(&self, owner: i64, claimed: &[Claimed]) -> u64 {
        let settled: Vec<SettledResource> =
            claimed.iter().map(|claimed| done(claimed, true)).collect();
        let places = self.store.queue().settle(owner, &settled).await.unwrap();
        places.len() as u64
    }
}

async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A copy of a cluster with `migrated` and the first test's database in it.
fn migrated_cluster() -> Cluster {
    let saved = Saved {
        folder: Path::new(env!("CARGO_TARGET_TMPDIR")),
        name: "sql",
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
        cluster.create_from_template("test_0", "migrated").unwrap();
    })
    .unwrap()
}

pub(crate) const LEASE: Duration = Duration::from_secs(10);
pub(crate) const WAITN: Duration = Duration::from_secs(5);

/// `now` moved by seconds.
pub(crate) fn after(seconds: f64) -> SystemTime {
    SystemTime::now() + Duration::from_secs_f64(seconds)
}

pub(crate) fn aor(user: &str) -> Aor {
    Aor {
        username: user.into(),
        domain: "example.org".into(),
    }
}

pub(crate) fn resource(user: &str) -> Resource {
    Resource {
        presentity_uri: format!("sip:{user}@example.org"),
        event: "presence".into(),
    }
}

pub(crate) fn publication(user: &str, tag: &str, body: &str) -> NewPublication {
    NewPublication {
        aor: aor(user),
        event: "presence".into(),
        entity_tag: tag.into(),
        granted_s: 3600,
        content_type: "application/pidf+xml".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        sender: String::new(),
        priority: Priority::Kept,
        note: BodyNote::default(),
    }
}

pub(crate) fn change(user: &str, if_match: &str, tag: &str, kind: ChangeKind) -> PublicationChange {
    PublicationChange {
        aor: aor(user),
        event: "presence".into(),
        if_match: if_match.into(),
        entity_tag: tag.into(),
        tag_change: TagChange::Renewed,
        kind,
        granted_s: 3600,
        sender: None,
        priority: Priority::Kept,
    }
}

pub(crate) fn modify(body: &str) -> ChangeKind {
    ChangeKind::Modify {
        content_type: "application/pidf+xml".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        note: BodyNote::default(),
    }
}

/// A body that calls these dialogs terminated.
pub(crate) fn ending(body: &str, ended: &[i64]) -> ChangeKind {
    ChangeKind::Modify {
        content_type: "application/dialog-info+xml".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        note: BodyNote {
            ended: ended.to_vec(),
            has_dialog: false,
        },
    }
}

pub(crate) fn subscription(user: &str, call_id: &str) -> NewSubscription {
    NewSubscription {
        aor: aor(user),
        event: "presence".into(),
        event_id: String::new(),
        watcher: aor("watcher"),
        to_user: user.into(),
        to_domain: "example.org".into(),
        from_user: "watcher".into(),
        from_domain: "example.org".into(),
        from_display: String::new(),
        local_uri: format!("<sip:{user}@example.org>"),
        remote_uri: "\"W\" <sip:watcher@example.org>".into(),
        to_tag: "ours".into(),
        from_tag: "theirs".into(),
        call_id: call_id.into(),
        remote_cseq: 1,
        contact: "sip:watcher@192.0.2.1:5062".into(),
        record_route: vec![
            "<sip:edge.example.org;lr>".into(),
            "\"a, b\" <sip:b.example.org;lr>".into(),
        ],
        granted_s: 600,
        accept: String::new(),
        user_agent: String::new(),
        decided_by: DecidedBy::Nobody,
        feature: None,
        subscriber_key: None,
        reach: Reach {
            local_contact: "sip:presence@192.0.2.9".into(),
            ..Reach::default()
        },
    }
}

pub(crate) fn refresh(call_id: &str, cseq: u32, granted_s: u32) -> SubscriptionRefresh {
    SubscriptionRefresh {
        call_id: call_id.into(),
        to_tag: "ours".into(),
        from_tag: "theirs".into(),
        event: "presence".into(),
        event_id: String::new(),
        remote_cseq: cseq,
        request: 0,
        contact: None,
        granted_s,
        requester: None,
        decided_by: DecidedBy::Nobody,
        feature: None,
        reach: Reach::default(),
    }
}

/// Taking for who need not know what is left behind.
pub(crate) trait Take {
    async fn take<'a, O: Into<Offer<'a>>>(
        &self,
        owner: i64,
        offers: impl IntoIterator<Item = O>,
        in_flight: &[(i64, i32)],
        limit: u32,
    ) -> Result<Vec<TakenDialog>, StoreError>;
}

impl Take for Subscriptions<'_> {
    async fn take<'a, O: Into<Offer<'a>>>(
        &self,
        owner: i64,
        offers: impl IntoIterator<Item = O>,
        in_flight: &[(i64, i32)],
        limit: u32,
    ) -> Result<Vec<TakenDialog>, StoreError> {
        let taken = self.take_free(owner, offers, in_flight, limit).await?;
        Ok(taken.dialogs)
    }
}

pub(crate) fn done(claimed: &Claimed, state_taken: bool) -> SettledResource {
    SettledResource {
        resource: claimed.resource.clone(),
        claim: claimed.claim,
        taken: match state_taken {
            true => TakenState::All,
            false => TakenState::Some,
        },
        next_change: NextChange::Unknown,
        decided: Decided::NotAsked,
        suspect: claimed.suspect,
    }
}

/// Of which a take returned nothing.
pub(crate) fn doubted(claimed: &Claimed) -> SettledResource {
    SettledResource {
        taken: TakenState::Doubted(None),
        ..done(claimed, true)
    }
}

pub(crate) fn verdict(taken: &TakenDialog, verdict: AfterNotify) -> DialogVerdict {
    DialogVerdict {
        id: taken.id,
        remote_cseq: taken.remote_cseq,
        target_version: taken.target_version,
        failure: match verdict {
            AfterNotify::Retry { .. } => "no answer".to_owned(),
            AfterNotify::Delivered | AfterNotify::More(_) | AfterNotify::Ended => String::new(),
        },
        verdict,
    }
}

/// A round of the sweep over publications; how many rows it touched.
pub(crate) async fn sweep_publications(store: &Store, limit: u32, quiet: bool) -> u64 {
    let publications = store.publication();
    let ended = publications.expire_batch(limit, quiet).await.unwrap();
    let postponed = publications.postpone_batch(limit).await.unwrap();
    ended + postponed + publications.forget_batch(limit).await.unwrap()
}

/// A round of the sweep over dialogs; how many rows it touched.
pub(crate) async fn sweep_dialogs(store: &Store, limit: u32) -> u64 {
    let subscriptions = store.subscription();
    let ended = subscriptions.expire_batch(limit).await.unwrap();
    let postponed = subscriptions.postpone_batch(limit).await.unwrap();
    ended + postponed + subscriptions.forget_batch(limit).await.unwrap()
}
