//! Decides about watchers: who is allowed, and what each is shown (RFC 4745, RFC 5025).
//!
//! What a decision is, `events::authorization` says; what it is made from, [`sql::Judge`] fetches; this module writes down what
//! changes. It works for presentities whose row of the queue (presentity, `presence`) this notifier holds, so that one at a time
//! decides; what is written when the lease is over by the database's clock is void.
//!
//! Undecided dialogs are looked at each time. All dialogs are, when the rules have changed since all were decided about, or time has
//! changed a decision; of those, only the ones that differ are written and told: a document that concerns 10 of 10,000 watchers
//! costs 10,000 evaluations, 10 rows, and 10 NOTIFYs. Each statement is for many presentities, so that 10,000 documents are no 10,000
//! round trips.

mod changes;

use events::Registry;
use events::authorization::reevaluation::RulesVerdict;
use events::authorization::{Rules, Watcher};
use events::package::{Authorization, EventPackage};
use sip::Aor;
use sql::{Grounds, Judge, Presentity, Resource, Ruled, Store, StoreError};

use changes::{Changes, Writing};

/// Dialogs or watchers that are read, decided about and written together.
const BATCH: u32 = 2000;

/// The package whose row of the queue stands for all decisions about a presentity.
const PRESENCE: &str = "presence";

/// The resource whose row of the queue stands for all decisions about a presentity.
pub(crate) fn resource(presentity_uri: &str) -> Resource {
    Resource {
        presentity_uri: presentity_uri.to_owned(),
        event: PRESENCE.to_owned(),
    }
}

/// A presentity whose watchers must be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) presentity_uri: String,
    /// An earlier holder may still be writing.
    pub(crate) recovered: bool,
}

/// What the operator says, and the packages.
#[derive(Debug)]
pub(crate) struct Decider {
    judge: Judge,
    /// Names of the packages that are under rules.
    packages: Vec<String>,
}

/// What all watchers of a presentity have in common.
struct Facts<'a> {
    presentity_uri: &'a str,
    stored: Presentity,
    grounds: Grounds,
}

// === impl Decider ===

impl Decider {
    pub(crate) fn new(config: &node::PresenceConfig, registry: Registry) -> Decider {
        let by_rules = |package: &&EventPackage| {
            package.authorization == Authorization::Rules && !config.force_active
        };
        let packages = registry.packages().filter(by_rules);
        let packages = packages.map(|package| package.name.to_string()).collect();
        Decider {
            packages,
            judge: Judge::new(config, registry),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.judge.registry
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Whether a change of this resource's state may change decisions (`enable_sphere_check`).
    pub(crate) fn looks_at_state_of(&self, resource: &Resource) -> bool {
        self.judge.sphere_check && !self.packages.is_empty() && resource.event == PRESENCE
    }

    /// Decides about the watchers of these presentities, and returns the numbers of the rules that it was decided by, in order.
    /// Dialogs and watchers whose decision the database refuses are set aside.
    ///
    /// # Errors
    /// Any [`StoreError`]. Some of it may have been written; the rest must be decided by whoever holds the rows next.
    pub(crate) async fn decide(
        &self,
        store: &Store,
        owner: i64,
        asked: &[Asked],
    ) -> Result<Vec<i64>, StoreError> {
        let uris: Vec<&str> = asked
            .iter()
            .map(|asked| asked.presentity_uri.as_str())
            .collect();
        let recovered = asked.iter().filter(|asked| asked.recovered);
        let recovered: Vec<&str> = recovered
            .map(|asked| asked.presentity_uri.as_str())
            .collect();
        if !recovered.is_empty() {
            store.watcher().await_decider(&recovered).await?;
        }
        let writing = Writing {
            store,
            owner,
            held: &uris,
        };
        let all = self.facts(store, &uris).await?;
        self.decide_undecided(&writing, &all).await?;
        let concerned: Vec<&Facts<'_>> = all
            .iter()
            .filter(|facts| self.concerns_all(facts))
            .collect();
        if !concerned.is_empty() {
            self.decide_persons(&writing, &concerned).await?;
            self.decide_dialogs(&writing, &concerned).await?;
        }
        store.watcher().put_waiting(owner, &uris).await?;
        Ok(all.iter().map(|facts| facts.stored.rules_version).collect())
    }

    fn concerns_all(&self, facts: &Facts<'_>) -> bool {
        let sphere = self.judge.sphere_counts(&facts.grounds.rules);
        facts.stored.rules_version > facts.stored.decided_rules
            || facts.stored.recheck_due
            || sphere
    }

    // --- what decisions are made from ---

    async fn facts<'a>(
        &self,
        store: &Store,
        uris: &[&'a str],
    ) -> Result<Vec<Facts<'a>>, StoreError> {
        let mut all = store.watcher().rules(uris).await?;
        let ruled = uris.iter().zip(&mut all).map(|(uri, stored)| Ruled {
            presentity_uri: uri,
            documents: std::mem::take(&mut stored.documents),
            now_us: stored.now_us,
        });
        let grounds = self.judge.grounds(store, ruled.collect()).await?;
        let facts = uris.iter().zip(all).zip(grounds);
        let facts = facts.map(|((presentity_uri, stored), grounds)| {
            if let Rules::Broken(fault) = &grounds.rules {
                tracing::warn!(presentity.aor = presentity_uri, reason = %fault, "rules cannot be read; the watchers are pending");
            }
            Facts {
                presentity_uri,
                stored,
                grounds,
            }
        });
        Ok(facts.collect())
    }

    // --- whom they are about ---

    async fn decide_undecided(
        &self,
        writing: &Writing<'_>,
        all: &[Facts<'_>],
    ) -> Result<(), StoreError> {
        loop {
            let watchers = writing.store.watcher();
            let subjects = watchers.undecided(writing.held, BATCH).await?;
            let mut changes = Changes::default();
            for subject in &subjects {
                if let Some(facts) = all.get(subject.presentity_index) {
                    changes.decide(self, facts, subject);
                }
            }
            let written = changes.write(writing).await?;
            // What could not be written has changed meanwhile, and made its presentity due again.
            if subjects.len() < BATCH as usize || written == 0 {
                return Ok(());
            }
        }
    }

    /// Decides again about watchers with a stored decision, with or without a dialog.
    async fn decide_persons(
        &self,
        writing: &Writing<'_>,
        concerned: &[&Facts<'_>],
    ) -> Result<(), StoreError> {
        let uris: Vec<&str> = concerned.iter().map(|facts| facts.presentity_uri).collect();
        let (mut first, mut after) = (0, None);
        loop {
            let watchers = writing.store.watcher();
            let persons = watchers
                .persons(&uris[first..], after.as_ref(), BATCH)
                .await?;
            let mut changes = Changes::default();
            for person in &persons {
                if let Some(facts) = concerned.get(first + person.presentity_index) {
                    changes.decide_person(self, facts, person);
                }
            }
            changes.write(writing).await?;
            match persons.into_iter().nth(BATCH as usize - 1) {
                None => return Ok(()),
                Some(last) => {
                    first += last.presentity_index;
                    after = Some(last);
                }
            }
        }
    }

    async fn decide_dialogs(
        &self,
        writing: &Writing<'_>,
        concerned: &[&Facts<'_>],
    ) -> Result<(), StoreError> {
        let (mut about, mut resources) = (Vec::new(), Vec::new());
        for facts in concerned {
            for event in &self.packages {
                about.push(*facts);
                resources.push((facts.presentity_uri, event.as_str()));
            }
        }
        let (mut first, mut after) = (0, 0);
        loop {
            let watchers = writing.store.watcher();
            let subjects = watchers.dialogs(&resources[first..], after, BATCH).await?;
            let mut changes = Changes::default();
            for subject in &subjects {
                if let Some(facts) = about.get(first + subject.presentity_index) {
                    changes.decide(self, facts, subject);
                }
            }
            changes.write(writing).await?;
            match subjects.get(BATCH as usize - 1) {
                None => return Ok(()),
                Some(last) => {
                    first += last.presentity_index;
                    after = last.id;
                }
            }
        }
    }

    fn verdict(&self, facts: &Facts<'_>, username: &str, domain: &str) -> RulesVerdict {
        let watcher = Watcher::of(Aor {
            username: username.to_owned(),
            domain: domain.to_owned(),
        });
        self.judge.ground(&facts.grounds).decide(&watcher)
    }
}
