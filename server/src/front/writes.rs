//! The way into the database: one line for each kind of row, and the doorbell that is pressed after a commit.

use std::sync::Arc;

use sql::{Ringer, Store};

use crate::write_batch::{Lane, WriteQueue, Writers};
use crate::{publish, subscribe};

/// What writes.
pub(crate) struct Writes {
    pub(crate) creates_publications: Arc<WriteQueue<publish::Create>>,
    pub(crate) changes_publications: Arc<WriteQueue<publish::Change>>,
    pub(crate) creates_subscriptions: Arc<WriteQueue<subscribe::Create>>,
    pub(crate) refreshes_subscriptions: Arc<WriteQueue<subscribe::Refresh>>,
    pub(crate) sets_features: Arc<WriteQueue<subscribe::SetFeature>>,
    /// Is pressed after each commit that makes a NOTIFY due.
    pub(crate) doorbell: Ringer,
    /// The database, for what is not a batch.
    pub(crate) store: Store,
}

impl Writes {
    pub(super) fn new(store: Store, config: &node::Config) -> Writes {
        let writers = Writers::new(config.server.write_connections.usize());
        let batch_size = config.server.batch_size.usize();
        let cseq_offset = config.presence.cseq_offset.get();
        let refresh = subscribe::Refresh {
            store: store.clone(),
            cseq_offset,
        };
        let set_feature = subscribe::SetFeature {
            store: store.clone(),
            cseq_offset,
        };
        Writes {
            creates_publications: line(publish::Create(store.clone()), &writers, batch_size),
            changes_publications: line(publish::Change(store.clone()), &writers, batch_size),
            creates_subscriptions: line(subscribe::Create(store.clone()), &writers, batch_size),
            refreshes_subscriptions: line(refresh, &writers, batch_size),
            // A key that somebody presses now and then: one row a statement.
            sets_features: line(set_feature, &writers, 1),
            doorbell: Ringer::default(),
            store,
        }
    }
}

fn line<L: Lane>(lane: L, writers: &Writers, batch_size: usize) -> Arc<WriteQueue<L>> {
    WriteQueue::new(lane, writers.clone(), batch_size)
}
