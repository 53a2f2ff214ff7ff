//! What a watcher may see of a presence document: permissions, and their union (RFC 5025 section 3.3).

use std::collections::BTreeSet;

use super::{DATA_MODEL, PIDF, RPID};
use crate::document::{Document, pidf};

/// What a watcher may see. Equal views show the same of every document, so one rendering serves all watchers that have them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    pub(super) services: Selection,
    pub(super) persons: Selection,
    pub(super) devices: Selection,
    pub(super) attributes: Attributes,
}

/// Which services, persons or devices are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Selection {
    /// Those to which any of these apply.
    Only(BTreeSet<Selector>),
    /// All.
    All,
}

/// What selects a service, person or device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Selector {
    /// Its RPID class.
    Class(String),
    /// Its identifier in the document.
    OccurrenceId(String),
    /// The contact of a service, in canonical form.
    ServiceUri(String),
    /// The scheme of that contact, in lower case.
    ServiceUriScheme(String),
    /// OMA's service-id of a service.
    ServiceId(String),
    /// The deviceID of a device.
    DeviceId(String),
}

/// Which presence attributes are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Attributes {
    /// These.
    Only {
        known: BTreeSet<Attribute>,
        user_input: UserInput,
        /// Namespace and name of attributes without a permission of their own.
        unknown: BTreeSet<(String, String)>,
    },
    /// All, known or not.
    All,
}

/// A presence attribute with a permission of its own (RFC 5025 section 3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Attribute {
    Activities,
    Class,
    DeviceId,
    Mood,
    Note,
    PlaceIs,
    PlaceType,
    Privacy,
    Relationship,
    Sphere,
    StatusIcon,
    TimeOffset,
}

/// How much of `user-input` is shown, in rising order (RFC 5025 section 3.3.2.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum UserInput {
    /// Nothing.
    False,
    /// Whether it is active or idle.
    Bare,
    /// With the time after which it counts as idle.
    Thresholds,
    /// With the time of the last input too.
    Full,
}

impl Attribute {
    /// All of them, with the names that they have in documents and, behind `provide-`, in rules.
    pub(super) const NAMES: [(Self, &'static str); 12] = [
        (Self::Activities, "activities"),
        (Self::Class, "class"),
        (Self::DeviceId, "deviceID"),
        (Self::Mood, "mood"),
        (Self::Note, "note"),
        (Self::PlaceIs, "place-is"),
        (Self::PlaceType, "place-type"),
        (Self::Privacy, "privacy"),
        (Self::Relationship, "relationship"),
        (Self::Sphere, "sphere"),
        (Self::StatusIcon, "status-icon"),
        (Self::TimeOffset, "time-offset"),
    ];

    /// The attribute of that name in rules.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(attribute, _)| *attribute)
    }

    /// The attribute that an element of a document is.
    pub(super) fn of(namespace: &str, name: &str) -> Option<Self> {
        let attribute = Self::named(name)?;
        let is_it = match attribute {
            Self::Note => namespace == PIDF || namespace == DATA_MODEL,
            Self::DeviceId => namespace == DATA_MODEL,
            _ => namespace == RPID,
        };
        is_it.then_some(attribute)
    }
}

/// Whether an element has a permission of its own, so that `provide-unknown-attribute` does not reach it.
pub(super) fn is_known(namespace: &str, name: &str) -> bool {
    Attribute::of(namespace, name).is_some()
        || (namespace == RPID && matches!(name, "user-input" | "service-class"))
}

impl Selection {
    pub(super) fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Only(own), Self::Only(others)) => own.extend(others.iter().cloned()),
        }
    }
}

impl View {
    /// The whole document.
    pub fn everything() -> Self {
        Self {
            services: Selection::All,
            persons: Selection::All,
            devices: Selection::All,
            attributes: Attributes::All,
        }
    }

    /// A document without anything in it: what rules without transformations provide.
    pub fn nothing() -> Self {
        Self {
            services: Selection::none(),
            persons: Selection::none(),
            devices: Selection::none(),
            attributes: Attributes::Only {
                known: BTreeSet::new(),
                user_input: UserInput::False,
                unknown: BTreeSet::new(),
            },
        }
    }

    /// Whether it shows the whole document.
    pub fn is_everything(&self) -> bool {
        *self == Self::everything()
    }

    /// Adds what another view shows: RFC 4745 section 10.2, the union of sets, the maximum of levels.
    pub fn join(&mut self, other: &Self) {
        self.services.join(&other.services);
        self.persons.join(&other.persons);
        self.devices.join(&other.devices);
        match (&mut self.attributes, &other.attributes) {
            (Attributes::All, _) => {}
            (_, Attributes::All) => self.attributes = Attributes::All,
            (
                Attributes::Only {
                    known,
                    user_input,
                    unknown,
                },
                Attributes::Only {
                    known: also_known,
                    user_input: level,
                    unknown: also_unknown,
                },
            ) => {
                known.extend(also_known);
                *user_input = (*user_input).max(*level);
                unknown.extend(also_unknown.iter().cloned());
            }
        }
    }
}

/// What a politely blocked watcher is shown: to the octet what one sees of a presentity without publications
/// (RFC 5025 section 3.2.1: "indicating that the presentity is unavailable").
pub fn polite_block(presentity: &str) -> Document {
    pidf::merge(presentity, &[])
}
