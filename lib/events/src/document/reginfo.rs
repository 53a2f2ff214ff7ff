//! Registration information documents (RFC 3680), of one registrar or several.
//!
//! There is one `<registration>` for an address of record (RFC 3680 section 5.2), so what several registrars publish of it becomes
//! one: with the contacts of all, active if one of them says so.

use std::collections::HashMap;

use roxmltree::Node;

use super::element::{Edits, push_element, require_affordable, value_range};
use super::ids::{Occurrence, renamed};
use super::namespaces::{Root, Scope};
use super::tag::StartTag;
use super::writer::{DECLARATION, push_attribute, push_escaped};
use super::{BodyFault, Document, xml};
use crate::package::MergeInput;

/// The media type of registration information.
pub const CONTENT_TYPE: &str = "application/reginfo+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";

/// Whether a body is registration information that watchers can be shown.
///
/// # Errors
/// Says why not.
pub fn check(body: &[u8]) -> Result<(), BodyFault> {
    read(body).map(|_| ())
}

/// The registrations of all publications, or of the newest only. Without any, the presentity is not registered
/// (`state="init"`, RFC 3680 section 5.3).
pub fn merge(all: bool, input: &MergeInput<'_>) -> Document {
    let documents: Vec<(i64, roxmltree::Document<'_>)> = input
        .publications
        .iter()
        .filter_map(|publication| Some((publication.id, read(publication.body).ok()?)))
        .take(if all { usize::MAX } else { 1 })
        .collect();
    let registrations: Vec<Registration<'_>> = documents
        .iter()
        .enumerate()
        .flat_map(|(position, (id, document))| {
            let elements = document.root_element().children();
            elements
                .filter(|node| node.has_tag_name((NAMESPACE, "registration")))
                .map(move |node| Registration::new(*id, position, node))
        })
        .collect();
    render(input.presentity, &registrations)
}

/// One `<registration>` as it was published.
struct Registration<'a> {
    publication: i64,
    position: usize,
    node: Node<'a, 'a>,
    aor: &'a str,
    id: &'a str,
    is_active: bool,
    /// What is inside, and what that is inside of.
    elements: Vec<Node<'a, 'a>>,
    scope: Scope<'a>,
}

impl<'a> Registration<'a> {
    fn new(publication: i64, position: usize, node: Node<'a, 'a>) -> Self {
        Self {
            publication,
            position,
            node,
            aor: node.attribute("aor").unwrap_or_default(),
            id: node.attribute("id").unwrap_or_default(),
            is_active: node.attribute("state") == Some("active"),
            elements: node.children().filter(Node::is_element).collect(),
            scope: Scope::of(node),
        }
    }
}

/// Parses a body and makes sure of all that merging relies on.
fn read(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "reginfo")) {
        return Err(BodyFault::WrongRoot);
    }
    if root.attribute("state") == Some("partial") {
        return Err(BodyFault::PartialState);
    }
    for registration in root.children().filter(Node::is_element) {
        if !registration.has_tag_name((NAMESPACE, "registration")) {
            continue;
        }
        let states = ["init", "active", "terminated"];
        require(registration, &["aor", "id", "state"], &states)?;
        let elements = || registration.children().filter(Node::is_element);
        for contact in elements().filter(|node| node.has_tag_name((NAMESPACE, "contact"))) {
            require(
                contact,
                &["id", "state", "event"],
                &["active", "terminated"],
            )?;
        }
        require_affordable(registration, elements(), NAMESPACE)?;
    }
    Ok(document)
}

fn require(node: Node<'_, '_>, attributes: &[&str], states: &[&str]) -> Result<(), BodyFault> {
    let has_all = attributes
        .iter()
        .all(|name| node.attribute(*name).is_some());
    let is_state = node
        .attribute("state")
        .is_some_and(|state| states.contains(&state));
    match has_all && is_state {
        true => Ok(()),
        false => Err(BodyFault::Incomplete),
    }
}

fn render(presentity: &str, registrations: &[Registration<'_>]) -> Document {
    let mut out = String::from(DECLARATION);
    out.push_str("<reginfo");
    let root = Root::covering(NAMESPACE, registrations.iter().map(|r| &r.scope));
    root.push_declarations(&mut out);
    out.push_str(" version=\"");
    let version_at = out.len();
    out.push_str("0\" state=\"full\">\n");

    // By address of record, in the order in which they first come.
    let mut groups: Vec<Vec<&Registration<'_>>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for registration in registrations {
        let place = *places.entry(registration.aor).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(registration);
    }
    let heads: Vec<&Registration<'_>> = groups.iter().map(|group| head(group)).collect();
    let mut names = renamed(
        &heads
            .iter()
            .map(|r| occurrence(r, r.id))
            .collect::<Vec<_>>(),
    );
    let contacts: Vec<Vec<Contact<'_, '_>>> = groups.iter().map(|group| contacts(group)).collect();
    let ids: Vec<Occurrence> = contacts
        .iter()
        .flatten()
        .filter_map(|contact| Some(occurrence(contact.registration, contact.id()?)))
        .collect();
    let mut contact_names = renamed(&ids).into_iter();

    for (at, (head, contacts)) in heads.iter().zip(&contacts).enumerate() {
        out.push_str("<registration");
        push_attribute(&mut out, "aor", head.aor);
        let name = names[at].take();
        push_attribute(&mut out, "id", name.as_deref().unwrap_or(head.id));
        push_state(&mut out, head);
        out.push_str(">\n");
        for contact in contacts {
            let mut edits = Edits::new();
            if contact.id().is_some()
                && let Some(Some(name)) = contact_names.next()
            {
                edits.extend(rename(contact.element, &name));
            }
            let passage = root.passage(&contact.registration.scope);
            push_element(&mut out, &passage, contact.element, &edits);
            out.push('\n');
        }
        out.push_str("</registration>\n");
    }
    if registrations.is_empty() {
        out.push_str("<registration");
        push_attribute(&mut out, "aor", presentity);
        out.push_str(" id=\"r0\" state=\"init\"/>\n");
    }
    out.push_str("</reginfo>\n");
    Document::versioned(CONTENT_TYPE, out, version_at)
}

/// The registration whose name and state stand for all of one address: the newest that is active, else the newest.
fn head<'r, 'a>(group: &[&'r Registration<'a>]) -> &'r Registration<'a> {
    group
        .iter()
        .find(|registration| registration.is_active)
        .unwrap_or(&group[0])
}

/// What is inside a registration: a contact, or an extension.
struct Contact<'r, 'a> {
    registration: &'r Registration<'a>,
    element: Node<'a, 'a>,
}

impl<'a> Contact<'_, 'a> {
    fn id(&self) -> Option<&'a str> {
        self.element
            .has_tag_name((NAMESPACE, "contact"))
            .then(|| self.element.attribute("id"))
            .flatten()
    }

    fn uri(&self) -> &'a str {
        self.element
            .children()
            .find(|child| child.has_tag_name((NAMESPACE, "uri")))
            .and_then(|uri| uri.text())
            .unwrap_or_default()
            .trim()
    }
}

/// The contacts of one address; of two with the same id and URI only the newest, because they are the same.
fn contacts<'r, 'a>(group: &[&'r Registration<'a>]) -> Vec<Contact<'r, 'a>> {
    let mut seen = std::collections::HashSet::new();
    group
        .iter()
        .flat_map(|registration| {
            let elements = registration.elements.iter();
            elements.map(move |element| Contact {
                registration,
                element: *element,
            })
        })
        .filter(|contact| {
            contact
                .id()
                .is_none_or(|id| seen.insert((id, contact.uri())))
        })
        .collect()
}

fn occurrence(registration: &Registration<'_>, id: &str) -> Occurrence {
    Occurrence {
        publication: registration.publication,
        position: registration.position,
        value: id.to_owned(),
    }
}

fn push_state(out: &mut String, head: &Registration<'_>) {
    let text = &head.node.document().input_text()[head.node.range()];
    for attribute in StartTag::read(text).attributes {
        let is_ours = ["aor", "id"].contains(&attribute.name) || attribute.name.starts_with("xml");
        // Attributes of extensions would need their prefixes; the schema has no others (RFC 3680 section 5.4).
        if !is_ours && !attribute.name.contains(':') {
            out.push(' ');
            out.push_str(attribute.name);
            out.push('=');
            out.push_str(attribute.quoted);
        }
    }
}

fn rename(element: Node<'_, '_>, name: &str) -> Edits {
    let mut value = String::new();
    push_escaped(&mut value, name);
    element
        .attributes()
        .filter(|attribute| attribute.name() == "id" && attribute.namespace().is_none())
        .map(|attribute| {
            (
                value_range(element.document().input_text(), &attribute),
                value.clone(),
            )
        })
        .collect()
}
