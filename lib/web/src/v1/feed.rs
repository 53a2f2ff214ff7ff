//! What the streams of this process are about, looked at for all of them together.
//!
//! One look is one statement for all resources (`publication.list_marks`), and one more for those of them whose rows have changed.
//! It is made when the doorbell of the notifiers rings, and once a second, because what is written by hand rings no bell; never
//! more often than the database can bear. While nobody streams, nothing is asked, and nothing listened to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::events::Registry;
use sql::{Mark, MarkOf, Resource, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::document::{self, Shown};

/// A look is made at least this often,
const LOOKS_WITHIN: Duration = Duration::from_secs(1);
/// and at most this often,
const REST: Duration = Duration::from_millis(100);
/// or after a rest of this many times what the last one took.
const REST_FACTOR: u32 = 5;
/// Resources of one statement that reads marks, and of one that reads documents.
const MARKED_TOGETHER: usize = 256;
const READ_TOGETHER: usize = 32;

/// All resources that somebody streams.
#[derive(Debug)]
pub(crate) struct Feed {
    store: Store,
    registry: Registry,
    state: Mutex<State>,
    wanted: Notify,
    /// The number of the last look that has ended.
    looked: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    watched: HashMap<Resource, Watched>,
    /// The number of the last look that has begun.
    begun: u64,
}

#[derive(Debug)]
struct Watched {
    /// The latest; whoever is slow misses what was in between. `None` before the first look.
    shown: watch::Sender<Option<Arc<Shown>>>,
    mark: Option<String>,
}

/// One stream's view of a resource.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) shown: watch::Receiver<Option<Arc<Shown>>>,
    looked: watch::Receiver<u64>,
    /// The first look that has seen all that was committed before.
    fresh: u64,
}

// === impl Subscribed ===

impl Subscribed {
    /// Returns when what is shown is no older than this subscription.
    pub(super) async fn is_fresh(&mut self) {
        let fresh = self.fresh;
        // The sender lives as long as the process.
        let _ = self.looked.wait_for(|looked| *looked >= fresh).await;
    }
}

// === impl Feed ===

impl Feed {
    pub(crate) fn new(store: Store, registry: Registry) -> Arc<Feed> {
        Arc::new(Feed {
            store,
            registry,
            state: Mutex::new(State::default()),
            wanted: Notify::new(),
            looked: watch::Sender::new(0),
        })
    }

    /// Looks at this resource too, beginning at once, until what is returned is dropped.
    pub(super) fn subscribe(&self, resource: Resource) -> Subscribed {
        let mut state = self.locked();
        let fresh = state.begun + 1;
        let watched = state.watched.entry(resource).or_insert_with(|| Watched {
            shown: watch::Sender::new(None),
            mark: None,
        });
        let shown = watched.shown.subscribe();
        drop(state);
        self.wanted.notify_one();
        Subscribed {
            shown,
            looked: self.looked.subscribe(),
            fresh,
        }
    }

    /// Looks for ever.
    pub(crate) async fn look_for_ever(self: Arc<Self>) {
        let mut doorbell = None;
        loop {
            if self.locked().is_idle() {
                doorbell = None;
                self.wanted.notified().await;
            } else {
                let bell = doorbell.get_or_insert_with(|| self.store.listen());
                tokio::select! {
                    () = bell.rung() => {}
                    () = self.wanted.notified() => {}
                    () = sleep(LOOKS_WITHIN) => {}
                }
            }
            let began = Instant::now();
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "streams get no events while the database does not answer");
            }
            let rest = (began.elapsed() * REST_FACTOR).clamp(REST, LOOKS_WITHIN);
            sleep_until(Instant::now() + rest).await;
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let (number, resources) = self.locked().begin();
        for resources in resources.chunks(MARKED_TOGETHER) {
            let wanted: Vec<MarkOf> = resources.iter().map(|r| self.mark_of(r)).collect();
            let marks = self.store.publication().list_marks(&wanted).await?;
            let changed: Vec<(Resource, Mark)> = {
                let state = self.locked();
                let found = resources.iter().cloned().zip(marks);
                found
                    .filter(|(r, mark)| state.is_changed(r, mark))
                    .collect()
            };
            // Documents after marks: what changes in between is found again by the next look, and is not news then.
            for changed in changed.chunks(READ_TOGETHER) {
                let named: Vec<Resource> = changed.iter().map(|(r, _)| r.clone()).collect();
                let shown = document::look(&self.store, &self.registry, &named).await?;
                let mut state = self.locked();
                for ((resource, mark), shown) in changed.iter().zip(shown) {
                    state.put(resource, mark, shown);
                }
            }
        }
        self.looked.send_replace(number);
        Ok(())
    }

    fn mark_of(&self, resource: &Resource) -> MarkOf {
        let package = self.registry.find_name(&resource.event);
        match package.and_then(|package| package.watched_package()) {
            Some(event) => MarkOf::Watchers(Resource {
                presentity_uri: resource.presentity_uri.clone(),
                event,
            }),
            None => MarkOf::Publications(resource.clone()),
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Forgets what nobody streams any more.
    fn is_idle(&mut self) -> bool {
        self.watched
            .retain(|_, watched| watched.shown.receiver_count() > 0);
        self.watched.is_empty()
    }

    fn begin(&mut self) -> (u64, Vec<Resource>) {
        self.is_idle();
        self.begun += 1;
        (self.begun, self.watched.keys().cloned().collect())
    }

    fn is_changed(&self, resource: &Resource, mark: &Mark) -> bool {
        self.watched.get(resource).is_some_and(|watched| {
            let shown = watched.shown.borrow();
            let next_change = shown.as_ref().and_then(|shown| shown.next_change);
            watched.mark.as_ref() != Some(&mark.text)
                || next_change.is_some_and(|at| at <= mark.now)
        })
    }

    fn put(&mut self, resource: &Resource, mark: &Mark, shown: Shown) {
        let Some(watched) = self.watched.get_mut(resource) else {
            return;
        };
        watched.mark = Some(mark.text.clone());
        watched.shown.send_if_modified(|present| {
            let is_news = present
                .as_ref()
                .is_none_or(|present| present.version != shown.version);
            // Its time of change may be another one.
            *present = Some(Arc::new(shown));
            is_news
        });
    }
}
