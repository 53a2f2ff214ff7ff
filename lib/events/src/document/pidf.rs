//! Presence documents: PIDF (RFC 3863) with the data model (RFC 4479) and its extensions (RFC 4480 and others).
//!
//! Merging takes every tuple, note, person, device and extension of every publication, octet by octet. Nothing is
//! weighed against anything: which of two tuples counts is the watcher's to decide, and the newest comes first.

use bytes::Bytes;
use roxmltree::Node;

use super::ids::{Occurrence, renamed};
use super::namespaces::{Passage, Root, Scope};
use super::tag::StartTag;
use super::writer::{DECLARATION, push_attribute, push_escaped};
use super::{BodyFault, Document, PublishedBody, xml};

/// The media type of presence documents.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Whether a body is a presence document that watchers can be shown.
///
/// # Errors
/// Says why not.
pub fn check(body: &[u8]) -> Result<(), BodyFault> {
    read(body).map(|_| ())
}

/// The presence document of a presentity, made of its publications, newest first.
///
/// A publication that is no presence document is left out; without any that is one, the presentity is closed. The
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
    Document {
        content_type: CONTENT_TYPE.to_owned(),
        body: Bytes::from(body),
    }
}

/// Parses a body and makes sure of all that merging relies on.
fn read(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    if !root.has_tag_name((PIDF, "presence")) {
        return Err(BodyFault::WrongRoot);
    }
    // Elements that must repeat what their root declared could make the output quadratic: thousands of small ones under a
    // long declaration. What no honest document comes near is refused.
    let text = document.input_text();
    let scope = Scope::of(root);
    let mut budget = 4 * text.len() + 4096;
    for element in root.children().filter(Node::is_element) {
        let cost = scope.cost(&text[element.range()], PIDF);
        budget = budget.checked_sub(cost).ok_or(BodyFault::TooComplex)?;
    }
    Ok(document)
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

/// Where the value of an attribute stands, without its quotes. The parser's own answer is wrong after more than 255 blanks.
fn value_range(text: &str, attribute: &roxmltree::Attribute<'_, '_>) -> std::ops::Range<usize> {
    let range = attribute.range();
    let end = range.end - 1;
    let quote = text.as_bytes()[end];
    let start = memchr::memchr(quote, &text.as_bytes()[range.clone()])
        .map_or(end, |at| range.start + at + 1);
    start..end
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

/// Replacements in the text of a document, by place, in order.
type Edits = Vec<(std::ops::Range<usize>, String)>;

/// Copies an element as it was written, but for what must be declared anew and for identifiers that changed.
fn push_element<'a>(
    out: &mut String,
    passage: &Passage<'_, 'a>,
    element: Node<'a, 'a>,
    edits: &Edits,
) {
    let document = element.document().input_text();
    let range = element.range();
    let text = &document[range.clone()];
    let tag = StartTag::read(text);
    out.push_str(&text[..tag.name.end]);
    out.push_str(&passage.missing_for(text, &tag));
    let mut at = range.start + tag.name.end;
    for (place, replacement) in edits {
        out.push_str(&document[at..place.start]);
        out.push_str(replacement);
        at = place.end;
    }
    out.push_str(&document[at..range.end]);
}

/// The document of a presentity of whom nothing is published.
fn closed(presentity: &str) -> String {
    let mut out = String::from(DECLARATION);
    out.push_str("<presence");
    push_attribute(&mut out, "xmlns", PIDF);
    push_attribute(&mut out, "entity", presentity);
    out.push_str(
        ">\n<tuple id=\"closed\"><status><basic>closed</basic></status></tuple>\n</presence>\n",
    );
    out
}
