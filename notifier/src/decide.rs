//! Decides about watchers: who is let in, and what is shown to whom (RFC 4745, RFC 5025).
//!
//! What a decision is, `events::authorization` says; what it is made from, [`sql::Judge`] fetches; this module writes down what
//! changes. It works for presentities whose row of the queue (presentity, `presence`) this notifier holds, so that one at a time
//! decides; what is written when the lease is over by the database's clock is void.
//!
//! Undecided dialogs are looked at each time. All dialogs are, when the rules have changed since all were decided about, or time has
//! changed a decision; of those, only the ones that differ are written and told: a document that concerns 10 of 10,000 watchers
//! costs 10,000 evaluations, 10 rows, and 10 NOTIFYs.

mod changes;

use events::Registry;
use events::authorization::reevaluation::Verdict;
use events::authorization::ruleset::SubHandling;
use events::authorization::{AuthorizationPolicy, Rules, Watcher};
use events::package::{Authorization, EventPackage};
use sip::Aor;
use sql::{Grounds, Judge, LargeDocuments, Presentity, Resource, Store, StoreError};

use changes::Changes;

/// Dialogs or watchers that are read, decided about and written together.
const TOGETHER: u32 = 2000;

/// The package whose row of the queue stands for all decisions about a presentity.
const PRESENCE: &str = "presence";

/// A presentity about whose watchers is to be decided.
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
            judge: judge(config, registry),
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
        let mut all = Vec::with_capacity(uris.len());
        for (uri, stored) in uris.iter().zip(store.watcher().rules(&uris).await?) {
            all.push(self.facts(store, uri, stored).await?);
        }
        self.decide_undecided(store, owner, &uris, &all).await?;
        for facts in all.iter().filter(|facts| self.concerns_all(facts)) {
            self.decide_persons(store, owner, facts).await?;
            self.decide_dialogs(store, owner, facts).await?;
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
        presentity_uri: &'a str,
        mut stored: Presentity,
    ) -> Result<Facts<'a>, StoreError> {
        let documents = std::mem::take(&mut stored.documents);
        let grounds = self
            .judge
            .grounds(store, presentity_uri, documents, stored.now_us)
            .await?;
        if let Rules::Broken(fault) = &grounds.rules {
            tracing::warn!(presentity.aor = presentity_uri, reason = %fault, "rules cannot be read; the watchers are pending");
        }
        Ok(Facts {
            presentity_uri,
            stored,
            grounds,
        })
    }

    // --- whom they are about ---

    async fn decide_undecided(
        &self,
        store: &Store,
        owner: i64,
        uris: &[&str],
        all: &[Facts<'_>],
    ) -> Result<(), StoreError> {
        loop {
            let subjects = store.watcher().undecided(uris, TOGETHER).await?;
            let mut changes = Changes::default();
            for subject in &subjects {
                if let Some(facts) = all.get(subject.presentity_index) {
                    changes.decide(self, facts, subject);
                }
            }
            let written = changes.write(store, owner, uris).await?;
            // What could not be written has changed meanwhile, and made its presentity due again.
            if subjects.len() < TOGETHER as usize || written == 0 {
                return Ok(());
            }
        }
    }

    /// Decides anew about those of whom something is stored, whether they have a dialog or not.
    async fn decide_persons(
        &self,
        store: &Store,
        owner: i64,
        facts: &Facts<'_>,
    ) -> Result<(), StoreError> {
        let uri = facts.presentity_uri;
        let mut after = None;
        loop {
            let persons = store
                .watcher()
                .persons(uri, after.as_ref(), TOGETHER)
                .await?;
            let mut changes = Changes::default();
            for person in &persons {
                changes.decide_person(self, facts, person);
            }
            changes.write(store, owner, &[uri]).await?;
            if persons.len() < TOGETHER as usize {
                return Ok(());
            }
            after = persons.into_iter().next_back();
        }
    }

    async fn decide_dialogs(
        &self,
        store: &Store,
        owner: i64,
        facts: &Facts<'_>,
    ) -> Result<(), StoreError> {
        let uri = facts.presentity_uri;
        for event in &self.packages {
            let mut after = 0;
            loop {
                let subjects = store.watcher().dialogs(uri, event, after, TOGETHER).await?;
                let mut changes = Changes::default();
                for subject in &subjects {
                    changes.decide(self, facts, subject);
                }
                changes.write(store, owner, &[uri]).await?;
                match subjects.last() {
                    Some(last) if subjects.len() == TOGETHER as usize => after = last.id,
                    _ => break,
                }
            }
        }
        Ok(())
    }

    fn verdict(&self, facts: &Facts<'_>, username: &str, domain: &str) -> Verdict {
        let watcher = Watcher::of(Aor {
            username: username.to_owned(),
            domain: domain.to_owned(),
        });
        self.judge.ground(&facts.grounds).decide(&watcher)
    }
}

/// Judges by what the operator says.
fn judge(config: &node::PresenceConfig, registry: Registry) -> Judge {
    Judge {
        registry,
        policy: AuthorizationPolicy {
            default_handling: SubHandling::read(config.default_policy.as_str()),
            force_active: config.force_active,
        },
        removed_reason: config.xcapauth_userdel_reason.clone(),
        sphere_check: config.enable_sphere_check,
        fold_case: config.sip_uri_match.folds_case(),
        large: LargeDocuments::default(),
    }
}
