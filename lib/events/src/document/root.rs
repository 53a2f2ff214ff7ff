//! Whole documents again: as they were published but for their root, and several under one root.

use std::collections::HashSet;

use roxmltree::Node;

use super::element::{Edits, push_element};
use super::namespaces::{Root, Scope};
use super::tag::StartTag;
use super::writer::DECLARATION;

/// A document as it was published, with a version of ours. Gives the body and where the version stands.
pub(crate) fn renumbered(document: &roxmltree::Document<'_>) -> (String, usize) {
    let root = document.root_element();
    let text = &document.input_text()[root.range()];
    let tag = StartTag::read(text);
    let mut out = String::with_capacity(DECLARATION.len() + text.len() + 16);
    out.push_str(DECLARATION);
    out.push_str(&text[..tag.name.end]);
    out.push_str(" version=\"");
    let version_at = out.len();
    out.push_str("0\"");
    push_attributes(&mut out, &tag, &["version"]);
    out.push_str(&text[tag.close..]);
    out.push('\n');
    (out, version_at)
}

/// The elements of several documents under the root of the first; all roots have the same name. Of elements that `key` names
/// alike only the first stays.
pub(crate) fn collected<'a>(
    documents: &'a [roxmltree::Document<'a>],
    key: impl Fn(Node<'a, 'a>) -> Option<String>,
) -> Option<String> {
    let first = documents.first()?.root_element();
    let scopes: Vec<Scope<'a>> = documents
        .iter()
        .map(|document| Scope::of(document.root_element()))
        .collect();
    let text = &first.document().input_text()[first.range()];
    let tag = StartTag::read(text);
    let name = &text[tag.name.clone()];
    let default = first.default_namespace().unwrap_or_default();
    let root = Root::covering(default, scopes.iter());
    let mut out = String::from(DECLARATION);
    out.push('<');
    out.push_str(name);
    root.push_declarations(&mut out);
    push_attributes(&mut out, &tag, &[]);
    out.push_str(">\n");
    let mut seen = HashSet::new();
    for (document, scope) in documents.iter().zip(&scopes) {
        let passage = root.passage(scope);
        for element in document.root_element().children().filter(Node::is_element) {
            if key(element).is_none_or(|key| seen.insert(key)) {
                push_element(&mut out, &passage, element, &Edits::new());
                out.push('\n');
            }
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push_str(">\n");
    Some(out)
}

/// Appends the attributes as they were, without those left out; without declarations of namespaces if none is left out,
/// because then they have been written already.
fn push_attributes(out: &mut String, tag: &StartTag<'_>, left_out: &[&str]) {
    for attribute in &tag.attributes {
        let is_declaration = attribute.name == "xmlns" || attribute.name.starts_with("xmlns:");
        let is_inherited = attribute.name.starts_with("xml:");
        let is_written = left_out.is_empty() && (is_declaration || is_inherited);
        if !is_written && !left_out.contains(&attribute.name) {
            out.push(' ');
            out.push_str(attribute.name);
            out.push('=');
            out.push_str(attribute.quoted);
        }
    }
}
