//! The conditions of a rule: RFC 4745 section 7, and OMA's additions to it.
//!
//! A rule applies if all its conditions hold. One that is not known does not hold (RFC 4745 section 7), and whatever is not
//! understood inside one makes it hold for fewer watchers, never for more.

use std::collections::HashSet;

use roxmltree::Node;
use sip::Aor;

use super::circumstances::Circumstances;
use super::identity::{Address, Watcher, read_address, read_domain};
use super::moment::Moment;
use super::{COMMON_POLICY, OMA_COMMON_POLICY};

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The watcher is one of these (RFC 4745 section 7.1).
    Identity(Identity),
    /// No rule refers to the watcher by identity or list (OMA).
    OtherIdentity,
    /// The watcher does not say who they are (OMA).
    AnonymousRequest,
    /// The watcher is in one of the lists at these addresses (OMA).
    ExternalList(Vec<String>),
    /// The presentity is in one of these spheres (RFC 4745 section 7.3).
    Sphere(Spheres),
    /// It is within one of these times, from the first moment until just before the second (RFC 4745 section 7.4).
    Validity(Vec<(Moment, Moment)>),
    /// A condition that is not known.
    Unknown,
}

/// Who is meant: those named, or many but for exceptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    ones: HashSet<Aor>,
    many: Vec<Many>,
}

/// The value of a sphere condition, in lower case and with single blanks.
///
/// RFC 4745 section 7.3: it "MAY contain more than one token", any of which will do, and "a case-insensitive string comparison MUST
/// be used". A sphere of several words, which RFC 4480 section 3.11 allows, is meant by these words in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spheres(String);

/// All of a domain, or all that are authenticated, but for exceptions (RFC 4745 section 7.1.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Many {
    domain: Option<String>,
    except_ones: HashSet<Aor>,
    except_domains: HashSet<String>,
}

impl Condition {
    /// Reads a child of `conditions`.
    pub(super) fn read(node: Node<'_, '_>, fold_case: bool) -> Self {
        match (node.tag_name().namespace(), node.tag_name().name()) {
            (Some(COMMON_POLICY), "identity") => Self::Identity(Identity::read(node, fold_case)),
            (Some(COMMON_POLICY), "sphere") => {
                let value = node
                    .attribute("value")
                    .map_or_else(|| text(node), str::to_owned);
                Self::Sphere(Spheres::read(&value))
            }
            (Some(COMMON_POLICY), "validity") => Self::Validity(read_validity(node)),
            (Some(OMA_COMMON_POLICY), "other-identity") => Self::OtherIdentity,
            (Some(OMA_COMMON_POLICY), "anonymous-request") => Self::AnonymousRequest,
            (Some(OMA_COMMON_POLICY), "external-list") => Self::ExternalList(read_anchors(node)),
            _ => Self::Unknown,
        }
    }

    /// Whether it holds. `is_referenced` says whether a rule refers to the watcher by identity or list.
    pub(super) fn holds(&self, circumstances: &Circumstances<'_>, is_referenced: bool) -> bool {
        match self {
            Self::Identity(_) | Self::ExternalList(_) => self.names(circumstances) == Some(true),
            Self::OtherIdentity => {
                matches!(circumstances.watcher, Watcher::Identified(_)) && !is_referenced
            }
            Self::AnonymousRequest => *circumstances.watcher == Watcher::Anonymous,
            // An unknown sphere does not match; in Kamailio it matches every sphere.
            Self::Sphere(spheres) => circumstances
                .sphere
                .is_some_and(|sphere| spheres.include(sphere)),
            Self::Validity(times) => times
                .iter()
                .any(|(from, until)| (from..until).contains(&&circumstances.now)),
            Self::Unknown => false,
        }
    }

    /// Whether it refers to the watcher, by identity or list; nothing if that cannot be known, as the list is not stored.
    pub(super) fn names(&self, circumstances: &Circumstances<'_>) -> Option<bool> {
        let Watcher::Identified(watcher) = circumstances.watcher else {
            return Some(false);
        };
        match self {
            Self::Identity(identity) => Some(identity.includes(watcher)),
            Self::ExternalList(anchors) => {
                let mut is_known = true;
                for anchor in anchors {
                    match circumstances.lists.holds(anchor, watcher) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => is_known = false,
                    }
                }
                is_known.then_some(false)
            }
            _ => Some(false),
        }
    }

    /// Whether it names the watcher alone, not as one of many.
    pub(super) fn names_one(&self, watcher: &Watcher) -> bool {
        matches!((self, watcher), (Self::Identity(identity), Watcher::Identified(watcher)) if identity.ones.contains(watcher))
    }
}

impl Spheres {
    fn read(value: &str) -> Self {
        let words: Vec<String> = value.split_whitespace().map(str::to_lowercase).collect();
        Self(words.join(" "))
    }

    fn include(&self, sphere: &str) -> bool {
        let Self(sphere) = Self::read(sphere);
        !sphere.is_empty() && (self.0 == sphere || self.0.split(' ').any(|word| word == sphere))
    }
}

impl Identity {
    fn read(node: Node<'_, '_>, fold_case: bool) -> Self {
        let mut identity = Self::default();
        for child in node.children().filter(Node::is_element) {
            if child.has_tag_name((COMMON_POLICY, "one")) {
                // More conditions on the one are an extension that is not known.
                if has_elements(child) {
                    continue;
                }
                if let Some(Address::Ours(aor)) = child
                    .attribute("id")
                    .and_then(|id| read_address(id, fold_case))
                {
                    identity.ones.insert(aor);
                }
            } else if child.has_tag_name((COMMON_POLICY, "many")) {
                identity.many.extend(Many::read(child, fold_case));
            }
        }
        identity
    }

    fn includes(&self, watcher: &Aor) -> bool {
        self.ones.contains(watcher) || self.many.iter().any(|many| many.includes(watcher))
    }
}

impl Many {
    /// Nothing if any of it is not understood: an exception that cannot be read might be anybody.
    fn read(node: Node<'_, '_>, fold_case: bool) -> Option<Self> {
        let mut many = Self::default();
        if let Some(domain) = node.attribute("domain") {
            many.domain = Some(read_domain(domain)?);
        }
        for child in node.children().filter(Node::is_element) {
            if !child.has_tag_name((COMMON_POLICY, "except")) || has_elements(child) {
                return None;
            }
            let (id, domain) = (child.attribute("id"), child.attribute("domain"));
            if id.is_none() && domain.is_none() {
                return None;
            }
            if let Some(id) = id
                && let Address::Ours(aor) = read_address(id, fold_case)?
            {
                many.except_ones.insert(aor);
            }
            if let Some(domain) = domain {
                many.except_domains.insert(read_domain(domain)?);
            }
        }
        Some(many)
    }

    fn includes(&self, watcher: &Aor) -> bool {
        self.domain
            .as_ref()
            .is_none_or(|domain| *domain == watcher.domain)
            && !self.except_ones.contains(watcher)
            && !self.except_domains.contains(&watcher.domain)
    }
}

/// Pairs of `from` and `until`. A pair that cannot be read is not a time at all.
fn read_validity(node: Node<'_, '_>) -> Vec<(Moment, Moment)> {
    let mut times = Vec::new();
    let mut from = None;
    for child in node.children().filter(Node::is_element) {
        if child.has_tag_name((COMMON_POLICY, "from")) {
            from = Moment::parse(&text(child));
        } else if child.has_tag_name((COMMON_POLICY, "until")) {
            if let (Some(from), Some(until)) = (from.take(), Moment::parse(&text(child)))
                && from < until
            {
                times.push((from, until));
            }
        } else {
            from = None;
        }
    }
    times
}

/// The addresses of lists: `entry` with `anc`, or `anc` itself, as different releases of OMA's schema have it.
fn read_anchors(node: Node<'_, '_>) -> Vec<String> {
    node.children()
        .filter(|child| child.tag_name().namespace() == Some(OMA_COMMON_POLICY))
        .filter_map(|child| match child.tag_name().name() {
            "entry" => child.attribute("anc").map(str::to_owned),
            "anc" => Some(text(child)),
            _ => None,
        })
        .map(|anchor| anchor.trim().to_owned())
        .filter(|anchor| !anchor.is_empty())
        .collect()
}

fn has_elements(node: Node<'_, '_>) -> bool {
    node.children().any(|child| child.is_element())
}

/// All text directly inside an element.
pub(super) fn text<'a>(node: Node<'a, 'a>) -> String {
    node.children()
        .filter(Node::is_text)
        .filter_map(|child| child.text())
        .collect()
}
