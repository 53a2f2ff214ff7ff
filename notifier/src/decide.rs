//! Decides about watchers: who is let in, and what is shown to whom (RFC 4745, RFC 5025).
//!
//! What a decision is, `events::authorization` says; this module fetches what it is made from and writes down what changes. It works
//! for presentities whose row of the queue (presentity, `presence`) this notifier holds, so that one at a time decides; what is
//! written when the lease is over by the database's clock is void.
//!
//! Undecided dialogs are looked at each time. All dialogs are, when the rules have changed since all were decided about, or time has
//! changed a decision; of those, only the ones that differ are written and told: a document that concerns 10 of 10,000 watchers
//! costs 10,000 evaluations, 10 rows, and 10 NOTIFYs.

use std::collections::{BTreeSet, HashMap};

use events::authorization::lists::document_path;
use events::authorization::reevaluation::{Ground, Verdict};
use events::authorization::ruleset::SubHandling;
use events::authorization::sphere::sphere_of;
use events::authorization::watcher_state::{DecisionRow, NO_BODY, Notify, Occasion, Shown, step};
use events::authorization::{AuthorizationPolicy, Lists, Moment, Rules, View, Watcher};
use events::notification::SubscriptionStatus;
use events::package::{Authorization, EventPackage};
use events::{MergeInput, Registry};
use sip::Aor;
use sql::{
    DecidedDialog, DecidedWatcher, Person, Presentity, Resource, Store, StoreError, StoredDecision,
    Subject,
};

use crate::render::merge_row;

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
            fold_case: config.sip_uri_match == node::UriMatch::CaseInsensitive,
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
            documents.extend(
                found
                    .into_iter()
                    .filter_map(|(address, document)| Some((document_path(&address)?, document))),
            );
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
        let publications: Vec<_> = rows.iter().map(merge_row).collect();
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

/// What is to be written.
#[derive(Default)]
struct Changes {
    dialogs: Vec<DecidedDialog>,
    watchers: HashMap<(String, String, String, String), DecidedWatcher>,
}

// === impl Changes ===

impl Changes {
    /// Decides about a dialog and its watcher.
    fn decide(&mut self, decider: &Decider, facts: &Facts<'_>, subject: &Subject) {
        let Some(status) = SubscriptionStatus::from_code(i32::from(subject.status)) else {
            return;
        };
        let (username, domain) = (&subject.watcher_username, &subject.watcher_domain);
        let verdict = decider.verdict(facts, username, domain);
        let rules_version = facts.stored.rules_version;
        self.dialogs
            .extend(decided_dialog(subject, status, &verdict.row, rules_version));
        if let Some(decision) = decided_watcher(subject, status, &verdict) {
            self.store(facts, username, domain, &subject.event, decision);
        }
    }

    /// Decides about a watcher of whom something is stored.
    fn decide_person(&mut self, decider: &Decider, facts: &Facts<'_>, person: &Person) {
        let stored = &person.stored;
        let is_by_rules = decider.packages.contains(&person.event);
        let verdict = match is_by_rules {
            true => Some(decider.verdict(facts, &person.username, &person.domain)),
            // A package that is no longer under rules: nothing is to be looked at again.
            false => None,
        };
        let decision = match verdict {
            None => StoredDecision {
                recheck_at: None,
                ..stored.clone()
            },
            // Who waits goes on waiting.
            Some(verdict)
                if stored.status == code(SubscriptionStatus::Waiting)
                    && verdict.row.status == SubscriptionStatus::Pending =>
            {
                StoredDecision {
                    recheck_at: verdict.recheck_at_s,
                    ..stored.clone()
                }
            }
            Some(verdict) => stored_decision(&verdict),
        };
        if decision != *stored {
            self.store(
                facts,
                &person.username,
                &person.domain,
                &person.event,
                decision,
            );
        }
    }

    /// One decision for each watcher, however many dialogs it has: one that is pending is not waiting.
    fn store(
        &mut self,
        facts: &Facts<'_>,
        username: &str,
        domain: &str,
        event: &str,
        decision: StoredDecision,
    ) {
        let watcher = DecidedWatcher {
            presentity_uri: facts.presentity_uri.to_owned(),
            username: username.to_owned(),
            domain: domain.to_owned(),
            event: event.to_owned(),
            decision,
            rules_version: facts.stored.rules_version,
        };
        let key = (
            watcher.presentity_uri.clone(),
            watcher.username.clone(),
            watcher.domain.clone(),
            watcher.event.clone(),
        );
        let waits = watcher.decision.status == code(SubscriptionStatus::Waiting);
        if !(waits && self.watchers.contains_key(&key)) {
            self.watchers.insert(key, watcher);
        }
    }

    async fn write(self, store: &Store, owner: i64, held: &[&str]) -> Result<u64, StoreError> {
        let watchers: Vec<DecidedWatcher> = self.watchers.into_values().collect();
        let written = store
            .watcher()
            .decide_batch(owner, held, &self.dialogs, &watchers)
            .await?;
        // Thousands of evaluations without a pause would hold up what else this thread has to do.
        tokio::task::yield_now().await;
        Ok(written)
    }
}

/// What becomes of a dialog; nothing, if its watcher notices no difference.
fn decided_dialog(
    subject: &Subject,
    status: SubscriptionStatus,
    after: &DecisionRow,
    rules_version: i64,
) -> Option<DecidedDialog> {
    let view = after.shown().encode();
    let is_over = status == SubscriptionStatus::Terminated;
    let decided = |status: SubscriptionStatus, reason, tell| DecidedDialog {
        id: subject.id,
        status_before: subject.status,
        status: code(status),
        reason,
        view: view.clone(),
        tell,
        rules_version,
    };
    if subject.undecided {
        // A fetch, or a subscription that was over before anybody looked at it.
        let transition = match is_over {
            true => step(None, Occasion::Fetch(after)),
            false => step(Some(status), Occasion::Subscribe(after)),
        };
        return Some(decided(transition.status, Some(transition.reason), true));
    }
    if is_over {
        // Its last NOTIFY may still be owed, and must show no more than the rules allow by now.
        return (subject.view != NO_BODY && subject.view != view)
            .then(|| decided(status, None, false));
    }
    let before = row_before(status, &subject.view);
    let occasion = Occasion::Decide {
        before: &before,
        after,
    };
    let transition = step(Some(status), occasion);
    let tell = transition.notify == Notify::Owed;
    (tell || transition.status != status)
        .then(|| decided(transition.status, Some(transition.reason), tell))
}

/// The decision that a dialog shows.
fn row_before(status: SubscriptionStatus, view: &str) -> DecisionRow {
    let (reason, view) = match Shown::decode(view) {
        Shown::Unavailable => (
            events::authorization::auth_status::POLITE_BLOCK,
            View::nothing().encode(),
        ),
        Shown::NoBody => ("", View::nothing().encode()),
        Shown::Part(_) => ("", view.to_owned()),
    };
    DecisionRow {
        status,
        reason: reason.to_owned(),
        view,
    }
}

/// What is to be stored of the watcher of a dialog; nothing, if it stands already. Somebody who is let in without any rule saying
/// so needs no row.
fn decided_watcher(
    subject: &Subject,
    status: SubscriptionStatus,
    verdict: &Verdict,
) -> Option<StoredDecision> {
    let decision = stored_decision(verdict);
    let is_over = status == SubscriptionStatus::Terminated;
    let is_pending = verdict.row.status == SubscriptionStatus::Pending;
    match &subject.stored {
        // RFC 3857 section 4.7.1: who goes before it was decided waits for the presentity to decide.
        None if is_over && is_pending => subject.undecided.then(|| StoredDecision {
            status: code(SubscriptionStatus::Waiting),
            reason: "timeout".to_owned(),
            ..decision
        }),
        None if subject.undecided => Some(decision),
        None => (!is_over && !is_plain(&decision)).then_some(decision),
        // It is pending by another dialog, or waits already.
        Some(_) if is_over && is_pending => None,
        Some(stored) => (*stored != decision).then_some(decision),
    }
}

fn is_plain(decision: &StoredDecision) -> bool {
    decision.status == code(SubscriptionStatus::Active)
        && decision.reason.is_empty()
        && decision.recheck_at.is_none()
        && decision.view.as_deref() == Some(View::everything().encode().as_str())
}

fn stored_decision(verdict: &Verdict) -> StoredDecision {
    StoredDecision {
        status: code(verdict.row.status),
        reason: verdict.row.reason.clone(),
        view: Some(verdict.row.shown().encode()),
        recheck_at: verdict.recheck_at_s,
    }
}

/// The number in the database.
fn code(status: SubscriptionStatus) -> i16 {
    status as i16
}

fn depends_on_sphere(rules: &Rules) -> bool {
    matches!(rules, Rules::Stored(rules) if rules.depends_on_sphere())
}

/// Whose document a path of [`Lists::missing`] is of. Global lists have no owner, and are not found.
fn owner_of(path: &str) -> Option<String> {
    let owner = path
        .strip_prefix("resource-lists/users/")?
        .split_once('/')?
        .0;
    let uri = match owner.contains(':') {
        true => sip::Uri::parse(owner),
        false => sip::Uri::parse(&format!("sip:{owner}")),
    };
    Aor::from_uri(&uri.ok()?, false).ok().map(|aor| aor.uri())
}
