//! The way into the database: one line for each kind of row, and what the configuration adds to rows.

use std::sync::Arc;

use events::Registry;
use sql::{Authorization, Priority, Ringer, Store};

use super::Arrival;
use crate::write_batch::{Lane, WriteQueue, Writers};
use crate::{publish, subscribe};

/// What writes.
pub(crate) struct Writes {
    pub(crate) creates_publications: Arc<WriteQueue<publish::Create>>,
    pub(crate) changes_publications: Arc<WriteQueue<publish::Change>>,
    pub(crate) creates_subscriptions: Arc<WriteQueue<subscribe::Create>>,
    pub(crate) refreshes_subscriptions: Arc<WriteQueue<subscribe::Refresh>>,
    pub(crate) sets_features: Arc<WriteQueue<subscribe::SetFeature>>,
    /// Is pressed after each commit that somebody is to be told of.
    pub(crate) doorbell: Ringer,
    /// The database, for what is no batch.
    pub(crate) store: Store,
    /// `cseq_offset`.
    pub(crate) cseq_offset: u32,
    /// Publications without a priority have one by their age (`xavp_cfg`).
    priority_by_age: bool,
    /// Who decides about subscriptions to packages that are under rules.
    by_rules: Authorization,
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
        Writes {
            creates_publications: line(publish::Create(store.clone()), &writers, batch_size),
            changes_publications: line(publish::Change(store.clone()), &writers, batch_size),
            creates_subscriptions: line(subscribe::Create(store.clone()), &writers, batch_size),
            refreshes_subscriptions: line(refresh, &writers, batch_size),
            // A key that somebody presses now and then: one row a statement.
            sets_features: line(subscribe::SetFeature(store.clone()), &writers, 1),
            doorbell: Ringer::default(),
            store,
            cseq_offset,
            priority_by_age: !config.presence.xavp_cfg.is_empty(),
            by_rules: by_rules(&config.presence),
        }
    }

    /// Who decides about subscriptions to this package.
    pub(crate) fn authorization(&self, registry: &Registry, event: &str) -> Authorization {
        match registry.find_name(event) {
            Some(package) if package.authorization == events::package::Authorization::Rules => {
                self.by_rules
            }
            _ => Authorization::Open,
        }
    }

    /// Which of several publications is to come first, as far as this one says so.
    pub(crate) fn priority(&self, arrival: &Arrival) -> Priority {
        let given = arrival.call.as_ref().and_then(|call| call.priority);
        match given {
            Some(number) => Priority::Given(number),
            None if self.priority_by_age => Priority::ByAge,
            None => Priority::Kept,
        }
    }
}

fn line<L: Lane>(lane: L, writers: &Writers, batch_size: usize) -> Arc<WriteQueue<L>> {
    WriteQueue::new(lane, writers.clone(), batch_size)
}

fn by_rules(config: &node::PresenceConfig) -> Authorization {
    match config.default_policy {
        _ if config.force_active => Authorization::Open,
        node::DefaultPolicy::Allow => Authorization::RulesOrAllowed,
        node::DefaultPolicy::Confirm | node::DefaultPolicy::Block => Authorization::Rules,
    }
}
