//! Decides: the rules, the watcher and the circumstances give how a subscription is handled and what it shows.
//!
//! All rules that apply are combined, permission by permission (RFC 4745 section 10.2): the maximum of handlings and levels, the
//! union of sets. Their order means nothing. Two conditions of OMA look at more than one rule: `other-identity` holds for those
//! to whom no rule refers, and a rule that names the watcher makes those for a list that the watcher is in not apply.

use super::circumstances::Circumstances;
use super::condition::Condition;
use super::identity::Watcher;
use super::moment::Moment;
use super::ruleset::{Rule, RuleSet, RulesFault, SubHandling};
use super::view::View;

/// How many coming moments are tried out for a change; after those, it is looked at again anyway.
const MAX_MOMENTS_TRIED: usize = 64;

/// What the operator says about authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationPolicy {
    /// How watchers are handled whose presentity has no rules document. Allowed ones see the whole document.
    pub default_handling: SubHandling,
    /// Every watcher is active and sees the whole document; no rules are read (`force_active` = 1).
    pub force_active: bool,
}

impl Default for AuthorizationPolicy {
    /// Kamailio's: pending without a document.
    fn default() -> Self {
        Self {
            default_handling: SubHandling::Confirm,
            force_active: false,
        }
    }
}

/// The rules of a presentity, as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// There is no document.
    Absent,
    /// There is one that cannot be read.
    Broken(RulesFault),
    /// All documents, as one.
    Stored(RuleSet),
}

impl Rules {
    /// Reads the documents of a presentity.
    ///
    /// RFC 5025 section 9.7: the agent will "use all documents found". If one of them cannot be read, nobody knows what it was
    /// to refuse or to permit, and none of them counts.
    pub fn read<'a>(documents: impl IntoIterator<Item = &'a [u8]>, fold_case: bool) -> Self {
        let mut all: Option<RuleSet> = None;
        for document in documents {
            match (RuleSet::parse(document, fold_case), &mut all) {
                (Err(fault), _) => return Self::Broken(fault),
                (Ok(rules), Some(all)) => all.rules.extend(rules.rules),
                (Ok(rules), None) => all = Some(rules),
            }
        }
        all.map_or(Self::Absent, Self::Stored)
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// How the subscription is handled.
    pub handling: SubHandling,
    /// What it shows. Nothing, unless it is allowed.
    pub view: View,
    /// What it was decided by.
    pub basis: Basis,
}

/// What a decision was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// `force_active`.
    Forced,
    /// There is no document.
    Default,
    /// The document cannot be read.
    BrokenDocument,
    /// No rule of the document applies.
    NoRule,
    /// The rules that apply.
    Rules,
}

impl Decision {
    fn new(handling: SubHandling, view: View, basis: Basis) -> Self {
        let view = if handling == SubHandling::Allow {
            view
        } else {
            View::nothing()
        };
        Self {
            handling,
            view,
            basis,
        }
    }

    /// Whether the watcher notices no difference between two decisions.
    pub fn shows_the_same_as(&self, other: &Self) -> bool {
        self.handling == other.handling && self.view == other.view
    }
}

/// Decides about one watcher.
///
/// Without a document: the default. With one that cannot be read: pending, since nothing is known of what it was to permit or
/// refuse. With one of which no rule applies: block (RFC 5025 section 3.2.1, "it represents the default value").
pub fn decide(
    policy: &AuthorizationPolicy,
    rules: &Rules,
    circumstances: &Circumstances<'_>,
) -> Decision {
    match rules {
        _ if policy.force_active => {
            Decision::new(SubHandling::Allow, View::everything(), Basis::Forced)
        }
        Rules::Absent => Decision::new(policy.default_handling, View::everything(), Basis::Default),
        Rules::Broken(_) => {
            Decision::new(SubHandling::Confirm, View::nothing(), Basis::BrokenDocument)
        }
        Rules::Stored(rules) => rules.evaluate(circumstances),
    }
}

/// The moment at which a decision must be made again, if nothing else changes until then: nothing else but time was looked at,
/// and the outcome differs from that moment on. Never too late; early only after many moments that changed nothing.
pub fn next_change(
    policy: &AuthorizationPolicy,
    rules: &Rules,
    circumstances: &Circumstances<'_>,
) -> Option<Moment> {
    match rules {
        Rules::Stored(rules) if !policy.force_active => rules.next_change(circumstances),
        _ => None,
    }
}

impl RuleSet {
    /// Combines the rules that apply.
    pub fn evaluate(&self, circumstances: &Circumstances<'_>) -> Decision {
        let is_referenced = self.refers_to(circumstances);
        let applying: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| {
                rule.conditions
                    .iter()
                    .all(|condition| condition.holds(circumstances, is_referenced))
            })
            .collect();
        // OMA: what is said of one by name goes before what is said of a list.
        let is_named = applying
            .iter()
            .any(|rule| rule.names_one(circumstances.watcher));
        let mut combined = applying
            .into_iter()
            .filter(|rule| {
                !is_named || !rule.is_for_list() || rule.names_one(circumstances.watcher)
            })
            .peekable();
        if combined.peek().is_none() {
            return Decision::new(SubHandling::Block, View::nothing(), Basis::NoRule);
        }
        let mut handling = SubHandling::Block;
        let mut view = View::nothing();
        for rule in combined {
            handling = handling.max(rule.handling);
            view.join(&rule.view);
        }
        Decision::new(handling, view, Basis::Rules)
    }

    /// See [`next_change`].
    pub fn next_change(&self, circumstances: &Circumstances<'_>) -> Option<Moment> {
        let mut moments: Vec<Moment> = self
            .rules
            .iter()
            .flat_map(|rule| &rule.conditions)
            .flat_map(|condition| match condition {
                Condition::Validity(times) => times.as_slice(),
                _ => &[],
            })
            .flat_map(|(from, until)| [*from, *until])
            .filter(|moment| *moment > circumstances.now)
            .collect();
        moments.sort_unstable();
        moments.dedup();
        let current = self.evaluate(circumstances);
        for (tried, moment) in moments.into_iter().enumerate() {
            let then = Circumstances {
                now: moment,
                ..*circumstances
            };
            if tried == MAX_MOMENTS_TRIED || !self.evaluate(&then).shows_the_same_as(&current) {
                return Some(moment);
            }
        }
        None
    }

    /// Whether a rule refers to the watcher by identity or list, whatever its other conditions. A list that is not stored might
    /// hold anybody.
    fn refers_to(&self, circumstances: &Circumstances<'_>) -> bool {
        self.rules
            .iter()
            .flat_map(|rule| &rule.conditions)
            .any(|condition| condition.names(circumstances) != Some(false))
    }
}

impl Rule {
    fn names_one(&self, watcher: &Watcher) -> bool {
        self.conditions
            .iter()
            .any(|condition| condition.names_one(watcher))
    }

    fn is_for_list(&self) -> bool {
        self.conditions
            .iter()
            .any(|condition| matches!(condition, Condition::ExternalList(_)))
    }
}
