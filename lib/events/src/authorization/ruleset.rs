//! Rules documents: RFC 4745 with RFC 5025, and OMA's variant of it.

use roxmltree::Node;

use super::condition::{Condition, text};
use super::transformation;
use super::view::View;
use super::{COMMON_POLICY, PRES_RULES};
use crate::document::{BodyFault, xml};

/// The rules of a presentity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    pub(super) rules: Vec<Rule>,
}

/// One rule: whom and when it is for, and what it permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) handling: SubHandling,
    pub(super) view: View,
}

/// How a subscription is handled, in rising order (RFC 5025 section 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubHandling {
    /// Refused. What no rule permits more than this.
    Block,
    /// Left pending until the presentity decides.
    Confirm,
    /// Accepted for show: the watcher sees an unavailable presentity.
    PoliteBlock,
    /// Accepted.
    Allow,
}

impl SubHandling {
    /// The handling of that name; what is none permits nothing.
    pub fn read(text: &str) -> Self {
        match text.trim() {
            "allow" => Self::Allow,
            "polite-block" => Self::PoliteBlock,
            "confirm" => Self::Confirm,
            _ => Self::Block,
        }
    }

    /// The name in rules documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Confirm => "confirm",
            Self::PoliteBlock => "polite-block",
            Self::Allow => "allow",
        }
    }
}

/// Why a rules document cannot be used. Its watchers are left pending: never allowed by accident, never refused for good
/// because of a slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RulesFault {
    /// Not XML, or more of it than any honest document has. Whoever stores it must send another one.
    #[error("rules document: {0}")]
    Body(#[from] BodyFault),
    /// Well-formed, but not a ruleset of RFC 4745. Most likely a document of another type (column `xcap.doc_type`).
    #[error("rules document: not a ruleset")]
    NotRules,
}

impl RuleSet {
    /// Reads a document. `fold_case` compares the user part of addresses without regard to case (`sip_uri_match` = 1).
    ///
    /// # Errors
    /// Says why it cannot be read; rules that are odd in themselves are no error, they permit less.
    pub fn parse(document: &[u8], fold_case: bool) -> Result<Self, RulesFault> {
        let document = xml::parse(document)?;
        let root = document.root_element();
        if !root.has_tag_name((COMMON_POLICY, "ruleset")) {
            return Err(RulesFault::NotRules);
        }
        let rules = children(root, COMMON_POLICY, "rule")
            .map(|rule| Rule::read(rule, fold_case))
            .collect();
        Ok(Self { rules })
    }

    /// The addresses of the lists that the rules refer to, to be read before they are evaluated.
    pub fn anchors(&self) -> impl Iterator<Item = &str> {
        self.conditions().flat_map(|condition| match condition {
            Condition::ExternalList(anchors) => anchors.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        })
    }

    /// Whether a rule asks for the presentity's sphere, so that a publication may change who sees what.
    pub fn depends_on_sphere(&self) -> bool {
        self.conditions()
            .any(|condition| matches!(condition, Condition::Sphere(_)))
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.rules.iter().flat_map(|rule| &rule.conditions)
    }
}

impl Rule {
    fn read(rule: Node<'_, '_>, fold_case: bool) -> Self {
        let conditions = children(rule, COMMON_POLICY, "conditions")
            .flat_map(|conditions| conditions.children().filter(Node::is_element))
            .map(|condition| Condition::read(condition, fold_case))
            .collect();
        let handling = children(rule, COMMON_POLICY, "actions")
            .flat_map(|actions| children(actions, PRES_RULES, "sub-handling"))
            .map(|node| SubHandling::read(&text(node)))
            .max()
            .unwrap_or(SubHandling::Block);
        let mut view = View::nothing();
        for transformations in children(rule, COMMON_POLICY, "transformations") {
            view.join(&transformation::read(transformations));
        }
        Self {
            conditions,
            handling,
            view,
        }
    }
}

fn children<'a>(
    parent: Node<'a, 'a>,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'a>> {
    parent
        .children()
        .filter(move |node| node.has_tag_name((namespace, name)))
}
