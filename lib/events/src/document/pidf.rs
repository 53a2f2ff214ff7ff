//! Presence documents: PIDF (RFC 3863) with the data model (RFC 4479) and its extensions (RFC 4480 and others).
//!
//! Merging takes every tuple, note, person, device and extension of every publication, octet by octet. Nothing is
//! weighed against anything: which of two tuples counts is the watcher's to decide, and the newest comes first.

use roxmltree::Node;

use super::element::{Edits, push_element, require_affordable, value_range};
use super::ids::{Occurrence, renamed};
use super::namespaces::{Root, Scope};
use super::writer::{DECLARATION, push_attribute, push_escaped};
use super::{BodyFault, Document, PublishedBody, xml};

/// The media type of presence documents.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Whether a body is a presence document that watchers can be shown: each tuple has an id, each basic status is open or closed.
///
/// # Errors
/// Says why not.
pub fn check(body: &[u8]) -> Result<(), BodyFault> {
    read(body).map(|_| ())
}

/// The presence document of a presentity, made of its publications, newest first.
///
/// A publication that is not a presence document is left out; without any that is one, the presentity is closed. The
/// result is at most some five times as long as the publications together, and 4 kB more for each.
pub fn merge(presentity: &str, bodies: &[PublishedBody<'_>]) -> Document {
    let documents: Vec<(i64, roxmltree::Document<'_>)> = bodies
        .iter()
        .filter_map(|body| Some((body.id, read(body.body).ok()?)))
        .collect();
    let sources: Vec<Source<'_>> = documents
        .iter()
        .enumerate()
        .map(|(position, (id, document))| Source::new(*id, position, document))
        .collect();
    let body = if sources.is_empty() {
        closed(presentity)
    } else {
        merged(presentity, &sources)
    };
    Document::new(CONTENT_TYPE, body)
}

/// The document of a presentity without publications, for phones that must see somebody there
/// (`force_dummy_presence`): open, and "Available".
pub fn dummy(presentity: &str) -> Document {
    let tuple = "<tuple id=\"available\"><status><basic>open</basic></status><note>Available</note></tuple>";
    Document::new(CONTENT_TYPE, with_one_tuple(presentity, tuple))
}

/// The texts of the elements with this local name, wherever they stand, without blank margins. A body that cannot be read has none.
pub fn texts(body: &[u8], name: &str) -> Vec<String> {
    let Ok(document) = read(body) else {
        return Vec::new();
    };
    document
        .descendants()
        .filter(|node| node.is_element() && node.tag_name().name() == name)
        .filter_map(|node| node.text())
        .map(|text| text.trim().to_owned())
        .collect()
}

/// Parses a body and makes sure of all that merging relies on.
fn read(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    if !root.has_tag_name((PIDF, "presence")) {
        return Err(BodyFault::WrongRoot);
    }
    let elements = root.children().filter(Node::is_element);
    require_affordable(root, elements, PIDF)?;
    for tuple in root
        .children()
        .filter(|node| node.has_tag_name((PIDF, "tuple")))
    {
        require_sound(tuple)?;
    }
    Ok(document)
}

/// What RFC 3863 says of a tuple without leaving a choice, and watchers rely on.
///
/// A tuple may be without `<basic>` (section 4.1.4). Persons and devices may be without id here, although RFC 4479 wants one: Cisco's
/// phones publish such a person, and nothing is done by that id.
fn require_sound(tuple: Node<'_, '_>) -> Result<(), BodyFault> {
    // Section 4.1.2: "The <tuple> element MUST contain an 'id' attribute".
    if tuple.attribute("id").is_none_or(|id| id.trim().is_empty()) {
        return Err(BodyFault::TupleWithoutId);
    }
    let basics = tuple
        .children()
        .filter(|node| node.has_tag_name((PIDF, "status")))
        .flat_map(|status| status.children())
        .filter(|node| node.has_tag_name((PIDF, "basic")));
    for basic in basics {
        // Section 4.1.4: "The value of <basic> element … is either 'open' or 'closed'". Line breaks around it are harmless.
        let texts = basic.children().filter(roxmltree::Node::is_text);
        let text: String = texts.filter_map(|text| text.text()).collect();
        if !["open", "closed"].contains(&text.trim()) {
            return Err(BodyFault::UnknownBasicStatus);
        }
    }
    Ok(())
}

/// One publication's part in the merge.
struct Source<'a> {
    scope: Scope<'a>,
    elements: Vec<Node<'a, 'a>>,
    /// The attributes that are identifiers: which element of ours they are in, where their value stands.
    identifiers: Vec<(usize, std::ops::Range<usize>)>,
    occurrences: Vec<Occurrence>,
}

impl<'a> Source<'a> {
    fn new(id: i64, position: usize, document: &'a roxmltree::Document<'a>) -> Self {
        let root = document.root_element();
        let elements: Vec<_> = root.children().filter(Node::is_element).collect();
        let mut identifiers = Vec::new();
        let mut occurrences = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            for node in element.descendants() {
                for attribute in node
                    .attributes()
                    .filter(|attribute| is_identifier(node, attribute))
                {
                    identifiers.push((index, value_range(document.input_text(), &attribute)));
                    occurrences.push(Occurrence {
                        publication: id,
                        position,
                        value: attribute.value().to_owned(),
                    });
                }
            }
        }
        Self {
            scope: Scope::of(root),
            elements,
            identifiers,
            occurrences,
        }
    }
}

/// Whether an attribute is an xs:ID by the schemas that we know. Others may have other rules, and stay as they are.
fn is_identifier(node: Node<'_, '_>, attribute: &roxmltree::Attribute<'_, '_>) -> bool {
    attribute.name() == "id"
        && match attribute.namespace() {
            Some(namespace) => namespace == XML,
            None => matches!(node.tag_name().namespace(), Some(PIDF | DATA_MODEL | RPID)),
        }
}

fn merged(presentity: &str, sources: &[Source<'_>]) -> String {
    let mut out = String::from(DECLARATION);
    let root = Root::covering(PIDF, sources.iter().map(|source| &source.scope));
    out.push_str("<presence");
    root.push_declarations(&mut out);
    push_attribute(&mut out, "entity", presentity);
    out.push_str(">\n");

    let occurrences: Vec<Occurrence> = sources
        .iter()
        .flat_map(|source| source.occurrences.iter().cloned())
        .collect();
    let mut names = renamed(&occurrences).into_iter();
    let mut edits: Vec<Vec<Edits>> = Vec::with_capacity(sources.len());
    for source in sources {
        let mut of_source: Vec<Edits> = source.elements.iter().map(|_| Edits::new()).collect();
        for ((element, range), name) in source.identifiers.iter().zip(names.by_ref()) {
            if let Some(name) = name {
                let mut value = String::new();
                push_escaped(&mut value, &name);
                of_source[*element].push((range.clone(), value));
            }
        }
        edits.push(of_source);
    }

    // The schema's order: tuples, notes, then all else (RFC 3863 section 4.4).
    for group in [Group::Tuple, Group::Note, Group::Other] {
        for (source, edits) in sources.iter().zip(&edits) {
            let passage = root.passage(&source.scope);
            for (element, edits) in source.elements.iter().zip(edits) {
                if Group::of(*element) == group {
                    push_element(&mut out, &passage, *element, edits);
                    out.push('\n');
                }
            }
        }
    }
    out.push_str("</presence>\n");
    out
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Group {
    Tuple,
    Note,
    Other,
}

impl Group {
    fn of(element: Node<'_, '_>) -> Self {
        if element.has_tag_name((PIDF, "tuple")) {
            Self::Tuple
        } else if element.has_tag_name((PIDF, "note")) {
            Self::Note
        } else {
            Self::Other
        }
    }
}

/// The document of a presentity without publications, or not any more. It has no tuple of those that ended: nobody
/// says what they are now.
fn closed(presentity: &str) -> String {
    with_one_tuple(
        presentity,
        "<tuple id=\"closed\"><status><basic>closed</basic></status></tuple>",
    )
}

fn with_one_tuple(presentity: &str, tuple: &str) -> String {
    let mut out = String::from(DECLARATION);
    out.push_str("<presence");
    push_attribute(&mut out, "xmlns", PIDF);
    push_attribute(&mut out, "entity", presentity);
    out.push_str(">\n");
    out.push_str(tuple);
    out.push_str("\n</presence>\n");
    out
}
