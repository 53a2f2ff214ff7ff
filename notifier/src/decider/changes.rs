//! What decisions change: of dialogs and of what is stored about their watchers. Pure, but for writing it down.

use std::collections::{HashMap, HashSet};

use events::authorization::View;
use events::authorization::reevaluation::RulesVerdict;
use events::authorization::watcher_state::{DecisionRow, NO_BODY, Notify, Occasion, Shown, step};
use events::notification::SubscriptionStatus;
use sql::{
    DecidedDialog, DecidedWatcher, Part, Person, Refused, Store, StoreError, StoredDecision,
    Subject,
};

use super::{Decider, Facts, resource};
use crate::isolation::{in_parts, set_aside};

/// What is to be written.
#[derive(Default)]
pub(super) struct Changes {
    dialogs: Vec<(DecidedDialog, WatcherKey)>,
    watchers: HashMap<WatcherKey, DecidedWatcher>,
}

/// Whom a decision is about: presentity, user, domain, event package.
type WatcherKey = (String, String, String, String);

/// What it takes to write.
pub(super) struct Writing<'a> {
    pub(super) store: &'a Store,
    pub(super) owner: i64,
    /// The presentities whose rows of the queue are held.
    pub(super) held: &'a [&'a str],
}

// === impl Changes ===

impl Changes {
    /// Decides about a dialog and its watcher.
    pub(super) fn decide(&mut self, decider: &Decider, facts: &Facts<'_>, subject: &Subject) {
        let Some(status) = SubscriptionStatus::from_code(i32::from(subject.status)) else {
            return;
        };
        let (username, domain) = (&subject.watcher_username, &subject.watcher_domain);
        let verdict = decider.verdict(facts, username, domain);
        let rules_version = facts.stored.rules_version;
        let dialog = decided_dialog(subject, status, &verdict.row, rules_version);
        self.dialogs.extend(dialog.map(|dialog| {
            let presentity = facts.presentity_uri.to_owned();
            let event = subject.event.clone();
            (
                dialog,
                (presentity, username.clone(), domain.clone(), event),
            )
        }));
        if let Some(decision) = decided_watcher(subject, status, &verdict) {
            let new = subject.stored.is_none().then_some(subject.id);
            self.store(facts, username, domain, &subject.event, new, decision);
        }
    }

    /// Decides about a watcher with a stored decision.
    pub(super) fn decide_person(&mut self, decider: &Decider, facts: &Facts<'_>, person: &Person) {
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
                None,
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
        dialog: Option<i64>,
        decision: StoredDecision,
    ) {
        let watcher = DecidedWatcher {
            presentity_uri: facts.presentity_uri.to_owned(),
            username: username.to_owned(),
            domain: domain.to_owned(),
            event: event.to_owned(),
            dialog,
            decision,
            rules_version: facts.stored.rules_version,
        };
        let key = key(&watcher);
        let waits = watcher.decision.status == code(SubscriptionStatus::Waiting);
        if !(waits && self.watchers.contains_key(&key)) {
            self.watchers.insert(key, watcher);
        }
    }

    /// Writes it down; returns how many dialogs changed.
    pub(super) async fn write(self, writing: &Writing<'_>) -> Result<u64, StoreError> {
        let (dialogs, keys): (Vec<DecidedDialog>, Vec<WatcherKey>) =
            self.dialogs.into_iter().unzip();
        let watchers: Vec<DecidedWatcher> = self.watchers.into_values().collect();
        let written = match writing.put(writing.store, &dialogs, &watchers).await {
            Err(StoreError::Conflict { .. } | StoreError::Bug { .. }) => {
                writing.put_in_parts(dialogs, &keys, &watchers).await?
            }
            result => result?,
        };
        // Thousands of evaluations without a pause would hold up what else this thread has to do.
        tokio::task::yield_now().await;
        Ok(written)
    }
}

// === impl Writing ===

impl Writing<'_> {
    async fn put(
        &self,
        store: &Store,
        dialogs: &[DecidedDialog],
        watchers: &[DecidedWatcher],
    ) -> Result<u64, StoreError> {
        store
            .watcher()
            .decide_batch(self.owner, self.held, dialogs, watchers)
            .await
    }

    /// Writes down what the database takes, and sets the rest aside. A dialog is not let in as long as it cannot be stored what was decided
    /// about its watcher.
    async fn put_in_parts(
        &self,
        dialogs: Vec<DecidedDialog>,
        keys: &[WatcherKey],
        watchers: &[DecidedWatcher],
    ) -> Result<u64, StoreError> {
        let mut refused = Vec::new();
        let parts = in_parts(self.store, watchers.len(), |store, part| {
            let watchers = &watchers[part];
            async move { self.put(&store, &[], watchers).await }
        })
        .await;
        let (held, outage) = (parts.held.len(), parts.outage);
        let mut unstored = HashSet::new();
        for (place, error) in &parts.refused {
            let watcher = &watchers[*place];
            let part = watcher.dialog.map_or(Part::Decision, Part::Dialog);
            refused.push(Refused::new(
                &resource(&watcher.presentity_uri),
                part,
                error,
            ));
            unstored.insert(key(watcher));
        }
        let decided = dialogs.into_iter().zip(keys);
        let (dialogs, keys): (Vec<DecidedDialog>, Vec<&WatcherKey>) =
            decided.filter(|(_, key)| !unstored.contains(*key)).unzip();
        let parts = in_parts(self.store, dialogs.len(), |store, part| {
            let dialogs = &dialogs[part];
            async move { self.put(&store, dialogs, &[]).await }
        })
        .await;
        for (place, error) in &parts.refused {
            let (presentity_uri, ..) = keys[*place];
            let part = Part::Dialog(dialogs[*place].id);
            refused.push(Refused::new(&resource(presentity_uri), part, error));
        }
        set_aside(self.store, "decide", &refused).await?;
        match outage.or(parts.outage) {
            Some(outage) => Err(outage),
            None if held + parts.held.len() > 0 => Err(StoreError::Held {
                statement: "watcher.decide_batch",
            }),
            None => Ok(parts.done.iter().map(|(_, written)| written).sum()),
        }
    }
}

fn key(watcher: &DecidedWatcher) -> WatcherKey {
    (
        watcher.presentity_uri.clone(),
        watcher.username.clone(),
        watcher.domain.clone(),
        watcher.event.clone(),
    )
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
        // Its last NOTIFY may still be due, and must show no more than the rules allow by now.
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
            events::authorization::watcher_state::POLITE_BLOCK,
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
    verdict: &RulesVerdict,
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

fn stored_decision(verdict: &RulesVerdict) -> StoredDecision {
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
