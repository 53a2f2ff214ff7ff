//! Presence documents (RFC 3863) as the phones write and read them.

use std::collections::HashSet;

/// The namespace of PIDF.
pub const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";
/// The media type of PIDF.
pub const TYPE: &str = "application/pidf+xml";

/// What a phone shows of a presence document.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Presence {
    /// Whose presence it is.
    pub entity: String,
    /// The tuples, in order.
    pub tuples: Vec<Tuple>,
    /// Notes of the whole presentity.
    pub notes: Vec<String>,
    /// Names of all other children of the root, in order (persons, devices, ...).
    pub others: Vec<String>,
}

/// One tuple: one way of reaching the presentity.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tuple {
    /// Its id, unique in the document.
    pub id: String,
    /// open or closed.
    pub basic: Option<String>,
    /// Its note.
    pub note: Option<String>,
}

/// A document with one tuple.
pub fn document(entity: &str, tuple: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"{NAMESPACE}\" entity=\"{entity}\">\
         <tuple id=\"{tuple}\"><status><basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )
}

/// Reads a document as a strict phone would.
///
/// # Errors
/// A sentence that names the first fault: not well-formed, wrong root, no entity, an id used twice.
pub fn read(body: &[u8]) -> Result<Presence, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
    let tree = roxmltree::Document::parse(text)
        .map_err(|fault| format!("the body is not well-formed: {fault}: {text}"))?;
    let root = tree.root_element();
    if !root.has_tag_name((NAMESPACE, "presence")) {
        return Err(format!("the root is {:?}", root.tag_name()));
    }
    let mut presence = Presence {
        entity: root
            .attribute("entity")
            .ok_or("no entity attribute")?
            .to_string(),
        ..Presence::default()
    };
    let mut ids = HashSet::new();
    for child in root.children().filter(roxmltree::Node::is_element) {
        if let Some(id) = child.attribute("id")
            && !ids.insert(id.to_string())
        {
            return Err(format!("id {id:?} is used twice: {text}"));
        }
        match (child.tag_name().namespace(), child.tag_name().name()) {
            (Some(NAMESPACE), "tuple") => {
                let inner = |name: &str| {
                    child
                        .descendants()
                        .find(|node| node.has_tag_name((NAMESPACE, name)))
                        .map(|node| node.text().unwrap_or_default().to_string())
                };
                let id = child
                    .attribute("id")
                    .ok_or("a tuple without an id")?
                    .to_string();
                presence.tuples.push(Tuple {
                    id,
                    basic: inner("basic"),
                    note: inner("note"),
                });
            }
            (Some(NAMESPACE), "note") => presence
                .notes
                .push(child.text().unwrap_or_default().to_string()),
            (_, name) => presence.others.push(name.to_string()),
        }
    }
    Ok(presence)
}

// === impl Presence ===

impl Presence {
    /// The first tuple's state, as a lamp would show it; `closed` when there is no tuple.
    pub fn basic(&self) -> &str {
        self.tuples
            .first()
            .and_then(|tuple| tuple.basic.as_deref())
            .unwrap_or("closed")
    }

    /// The first tuple's note.
    pub fn note(&self) -> Option<&str> {
        self.tuples.first().and_then(|tuple| tuple.note.as_deref())
    }

    /// Whether any tuple is open.
    pub fn is_open(&self) -> bool {
        self.tuples
            .iter()
            .any(|tuple| tuple.basic.as_deref() == Some("open"))
    }
}
