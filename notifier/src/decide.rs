//! Decides about watchers: who is let in, and what is shown to whom (RFC 4745, RFC 5025).
//!
//! What a decision is, `events::authorization` says; this module fetches what it is made from and writes down what changes. It works
//! for presentities whose row of the queue (presentity, `presence`) this notifier holds, so that one at a time decides; what is
//! written when the lease is over by the database's clock is void.
//!
//! Undecided dialogs are looked at each time. All dialogs are, when the rules have changed since all were decided about, or time has
//! changed a decision; of those, only the ones that differ are written and told: a document that concerns 10 of 10,000 watchers
//! costs 10,000 evaluations, 10 rows, and 10 NOTIFYs.

mod changes;

use std::collections::{BTreeSet, HashMap};

use events::authorization::lists::document_path;
use events::authorization::reevaluation::{Ground, Verdict};
use events::authorization::ruleset::SubHandling;
use events::authorization::sphere::sphere_of;
use events::authorization::{AuthorizationPolicy, Lists, Moment, Rules, Watcher};
use events::package::{Authorization, EventPackage};
use events::{MergeInput, Registry};
use sip::Aor;
use sql::{Presentity, Resource, Store, StoreError};

use changes::Changes;

/// Dialogs or watchers that are read, decided about and written together.
const TOGETHER: u32 = 2000;

/// How often lists are followed to lists of further owners.
const MOST_ROUNDS: usize = 4;

/// Most owners of lists that are asked for one presentity.
const MOST_OWNERS: usize = 64;

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
    registry: Registry,
    policy: AuthorizationPolicy,
    removed_reason: String,
    sphere_check: bool,
    fold_case: bool,
    /// Names of the packages that are under rules.
    packages: Vec<String>,
}

/// What all watchers of a presentity have in common.
struct Facts<'a> {
    presentity_uri: &'a str,
    stored: Presentity,
    rules: Rules,
    lists: Lists,
    now: Moment,
    sphere: Option<String>,
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
            registry,
            policy: AuthorizationPolicy {
                default_handling: match config.default_policy {
                    node::DefaultPolicy::Allow => SubHandling::Allow,
                    node::DefaultPolicy::Confirm => SubHandling::Confirm,
                    node::DefaultPolicy::Block => SubHandling::Block,
                },
                force_active: config.force_active,
            },
            removed_reason: config.xcapauth_userdel_reason.clone(),
            sphere_check: config.enable_sphere_check,
            fold_case: config.sip_uri_match.folds_case(),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether a change of this resource's state may change decisions (`enable_sphere_check`).
    pub(crate) fn looks_at_state_of(&self, resource: &Resource) -> bool {
        self.sphere_check && !self.packages.is_empty() && resource.event == PRESENCE
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
        let sphere = self.sphere_check && depends_on_sphere(&facts.rules);
        facts.stored.rules_version > facts.stored.decided_rules
            || facts.stored.recheck_due
            || sphere
    }

    // --- what decisions are made from ---

    async fn facts<'a>(
        &self,
        store: &Store,
        presentity_uri: &'a str,
        stored: Presentity,
    ) -> Result<Facts<'a>, StoreError> {
        let documents = stored.documents.iter().map(Vec::as_slice);
        let rules = Rules::read(documents, self.fold_case);
        if let Rules::Broken(fault) = &rules {
            tracing::warn!(presentity.aor = presentity_uri, reason = %fault, "rules cannot be read; the watchers are pending");
        }
        let now = Moment::from_epoch_us(stored.now_us);
        let lists = self.lists(store, &rules).await?;
        let sphere = match self.sphere_check && depends_on_sphere(&rules) {
            true => self.sphere(store, presentity_uri, now).await?,
            false => None,
        };
        Ok(Facts {
            presentity_uri,
            stored,
            rules,
            lists,
            now,
            sphere,
        })
    }

    /// The lists that rules refer to, and those that these refer to, owner by owner.
    async fn lists(&self, store: &Store, rules: &Rules) -> Result<Lists, StoreError> {
        let Rules::Stored(rules) = rules else {
            return Ok(Lists::default());
        };
        let anchors: Vec<&str> = rules.anchors().collect();
        let mut documents = HashMap::new();
        let mut lists = Lists::default();
        let mut asked = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            lists = Lists::gather(anchors.iter().copied(), &documents, self.fold_case);
            let owners: BTreeSet<String> = lists.missing().filter_map(owner_of).collect();
            let new: Vec<String> = owners.difference(&asked).cloned().collect();
            if new.is_empty() || asked.len() + new.len() > MOST_OWNERS {
                break;
            }
            let found = store.watcher().lists(&new).await?;
            documents.extend(found.into_iter().filter_map(|(address, document)| {
                Some((document_path(&address, self.fold_case)?, document))
            }));
            asked.extend(new);
        }
        Ok(lists)
    }

    async fn sphere(
        &self,
        store: &Store,
        presentity_uri: &str,
        now: Moment,
    ) -> Result<Option<String>, StoreError> {
        let Some(package) = self.registry.find_name(PRESENCE) else {
            return Ok(None);
        };
        let resource = Resource {
            presentity_uri: presentity_uri.to_owned(),
            event: PRESENCE.to_owned(),
        };
        let rows = store.publication().list(&[resource]).await?.publications;
        let publications: Vec<_> = rows.iter().map(|row| row.merge_row()).collect();
        let input = MergeInput {
            presentity: presentity_uri,
            publications: &publications,
            now: rows.first().map_or(0, |row| row.now),
            ..MergeInput::default()
        };
        let document = package.merge(&input);
        Ok(document.and_then(|document| sphere_of(&document.body, now)))
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
        let ground = Ground {
            policy: &self.policy,
            removed_reason: &self.removed_reason,
            rules: &facts.rules,
            lists: &facts.lists,
            now: facts.now,
            sphere: facts.sphere.as_deref(),
        };
        ground.decide(&Watcher::of(Aor {
            username: username.to_owned(),
            domain: domain.to_owned(),
        }))
    }
}

fn depends_on_sphere(rules: &Rules) -> bool {
    matches!(rules, Rules::Stored(rules) if rules.depends_on_sphere())
}

/// Whose document a path of [`Lists::missing`] is of, in canonical form as all of it. Global lists have no owner, and are not found.
fn owner_of(path: &str) -> Option<String> {
    let (owner, _) = path
        .strip_prefix("resource-lists/users/")?
        .split_once('/')?;
    Some(owner.to_owned())
}
