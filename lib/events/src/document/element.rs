//! Moves elements from one document to another, octet by octet.

use std::ops::Range;

use roxmltree::Node;

use super::BodyFault;
use super::namespaces::{Passage, Scope};
use super::tag::StartTag;

/// Replacements in the text of a document, by place, in order.
pub(super) type Edits = Vec<(Range<usize>, String)>;

/// Copies an element as it was written, but for what must be declared anew and for identifiers that changed.
pub(super) fn push_element<'a>(
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

/// Where the value of an attribute stands, without its quotes. The parser's own answer is wrong after more than 255 blanks.
pub(super) fn value_range(text: &str, attribute: &roxmltree::Attribute<'_, '_>) -> Range<usize> {
    let range = attribute.range();
    let end = range.end - 1;
    let quote = text.as_bytes()[end];
    let start = memchr::memchr(quote, &text.as_bytes()[range.clone()])
        .map_or(end, |at| range.start + at + 1);
    start..end
}

/// Refuses a document whose elements would have to repeat too much of what `parent` declared.
///
/// Elements that must repeat what was declared above them could make the output quadratic: thousands of small ones under a
/// long declaration. What no honest document comes near is refused.
pub(crate) fn require_affordable<'a>(
    parent: Node<'a, 'a>,
    elements: impl Iterator<Item = Node<'a, 'a>>,
    default: &str,
) -> Result<(), BodyFault> {
    let text = parent.document().input_text();
    let scope = Scope::of(parent);
    let mut budget = 4 * text.len() + 4096;
    for element in elements {
        let cost = scope.cost(&text[element.range()], default);
        budget = budget.checked_sub(cost).ok_or(BodyFault::TooComplex)?;
    }
    Ok(())
}
