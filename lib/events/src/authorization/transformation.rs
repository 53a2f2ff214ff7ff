//! Reads the transformations of a rule (RFC 5025 section 3.3, and OMA's) into the view that they provide.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::condition::text;
use super::identity::canonical_uri;
use super::view::{Attribute, Attributes, Selection, Selector, UserInput, View, is_known};
use super::{GEOPRIV, OMA_PRES_RULES, OMA_PRESENCE, PRES_RULES};

/// The view that the children of `transformations` provide. What is not known provides nothing.
pub(super) fn read(transformations: Node<'_, '_>) -> View {
    let mut view = View::nothing();
    for node in transformations.children().filter(Node::is_element) {
        match node.tag_name().namespace() {
            Some(PRES_RULES) => read_one(&mut view, node),
            Some(OMA_PRES_RULES) => read_oma(&mut view, node),
            _ => {}
        }
    }
    view
}

fn read_one(view: &mut View, node: Node<'_, '_>) {
    let provided = match node.tag_name().name() {
        "provide-services" => View {
            services: read_selection(node, "all-services"),
            ..View::nothing()
        },
        "provide-persons" => View {
            persons: read_selection(node, "all-persons"),
            ..View::nothing()
        },
        "provide-devices" => View {
            devices: read_selection(node, "all-devices"),
            ..View::nothing()
        },
        "provide-all-attributes" => View {
            attributes: Attributes::All,
            ..View::nothing()
        },
        "provide-user-input" => attributes([], read_level(&text(node)), None),
        "provide-unknown-attribute" => {
            let named = node.attribute("ns").zip(node.attribute("name"));
            match named {
                // RFC 5025 section 3.3.2.14: only what the server does not know otherwise.
                Some((namespace, name)) if is_true(node) && !is_known(namespace, name) => {
                    attributes([], UserInput::False, Some((namespace, name)))
                }
                _ => return,
            }
        }
        name => match name.strip_prefix("provide-").and_then(Attribute::named) {
            Some(attribute) if is_true(node) => attributes([attribute], UserInput::False, None),
            _ => return,
        },
    };
    view.join(&provided);
}

/// OMA's permissions for attributes that RFC 5025 does not know.
fn read_oma(view: &mut View, node: Node<'_, '_>) {
    let name = match node.tag_name().name() {
        // `full` is the level that shows the location as it is; no other is computed here.
        "provide-geopriv" if text(node).trim().eq_ignore_ascii_case("full") => (GEOPRIV, "geopriv"),
        "provide-willingness" if is_true(node) => (OMA_PRESENCE, "willingness"),
        "provide-network-availability" if is_true(node) => (OMA_PRESENCE, "network-availability"),
        "provide-session-participation" if is_true(node) => (OMA_PRESENCE, "session-participation"),
        "provide-registration-state" if is_true(node) => (OMA_PRESENCE, "registration-state"),
        "provide-barring-state" if is_true(node) => (OMA_PRESENCE, "barring-state"),
        _ => return,
    };
    view.join(&attributes([], UserInput::False, Some(name)));
}

fn attributes(
    known: impl Into<BTreeSet<Attribute>>,
    user_input: UserInput,
    unknown: Option<(&str, &str)>,
) -> View {
    View {
        attributes: Attributes::Only {
            known: known.into(),
            user_input,
            unknown: unknown
                .into_iter()
                .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
                .collect(),
        },
        ..View::nothing()
    }
}

/// The services, persons or devices that the children of a permission select. One that is not known selects nothing.
fn read_selection(node: Node<'_, '_>, all: &str) -> Selection {
    let mut selectors = BTreeSet::new();
    for child in node.children().filter(Node::is_element) {
        let value = || text(child).trim().to_owned();
        let selector = match (child.tag_name().namespace(), child.tag_name().name()) {
            (Some(PRES_RULES), name) if name == all => return Selection::All,
            (Some(PRES_RULES), "class") => Selector::Class(value()),
            // Kamailio's releases up to 6.1, and documents written for them, spell it wrong.
            (Some(PRES_RULES), "occurrence-id" | "occurence-id") => Selector::OccurrenceId(value()),
            // "Based on URI equivalence" (RFC 5025 section 3.3.1.1).
            (Some(PRES_RULES), "deviceID") if all == "all-devices" => {
                Selector::DeviceId(canonical_uri(&value()))
            }
            (Some(PRES_RULES), "service-uri") if all == "all-services" => {
                Selector::ServiceUri(canonical_uri(&value()))
            }
            (Some(PRES_RULES), "service-uri-scheme") if all == "all-services" => {
                Selector::ServiceUriScheme(value().trim_end_matches(':').to_ascii_lowercase())
            }
            (Some(OMA_PRES_RULES), "service-id") if all == "all-services" => {
                Selector::ServiceId(value())
            }
            _ => continue,
        };
        selectors.insert(selector);
    }
    Selection::Only(selectors)
}

fn read_level(text: &str) -> UserInput {
    match text.trim().to_ascii_lowercase().as_str() {
        "bare" => UserInput::Bare,
        "thresholds" => UserInput::Thresholds,
        "full" => UserInput::Full,
        _ => UserInput::False,
    }
}

/// An xs:boolean. Kamailio's examples write it in capitals, too.
fn is_true(node: Node<'_, '_>) -> bool {
    let text = text(node);
    let text = text.trim();
    text == "1" || text.eq_ignore_ascii_case("true")
}
