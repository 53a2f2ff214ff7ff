//! Namespaces when elements move from one root to another.
//!
//! What a root declares is declared once, by the new root, as long as no two documents disagree about a prefix. Where
//! they do, the newest document wins the prefix and each element of the other declares it again, itself. No prefix is
//! ever renamed, so qualified names in values and text (`xsi:type`) keep their meaning.

use std::collections::HashMap;

use roxmltree::Node;

use super::tag::StartTag;
use super::writer::{escaped_len, push_attribute};

const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// What the root of one document means to the elements below it.
pub(super) struct Scope<'a> {
    /// The default namespace; empty if there is none.
    default: &'a str,
    /// Prefixes and what they stand for, in document order.
    bindings: Vec<(&'a str, &'a str)>,
    /// Where in `bindings` a prefix is.
    places: HashMap<&'a str, usize>,
    /// Attributes that hold for all that is below: `xml:lang` and its kin, as written.
    inherited: Vec<(&'a str, &'a str)>,
}

impl<'a> Scope<'a> {
    /// The scope of what is inside an element, mostly a root.
    pub(super) fn of(root: Node<'a, 'a>) -> Self {
        let mut scope = Self {
            default: "",
            bindings: Vec::new(),
            places: HashMap::new(),
            inherited: Vec::new(),
        };
        for namespace in root.namespaces() {
            match namespace.name() {
                None => scope.default = namespace.uri(),
                Some(_) if namespace.uri() == XML => {}
                Some(prefix) => {
                    scope.places.insert(prefix, scope.bindings.len());
                    scope.bindings.push((prefix, namespace.uri()));
                }
            }
        }
        for node in root.ancestors().filter(Node::is_element) {
            let text = &root.document().input_text()[node.range()];
            for attribute in StartTag::read(text).attributes {
                // The innermost holds; `xml:id` names its own element and nothing below.
                let holds_below = attribute.name.starts_with("xml:") && attribute.name != "xml:id";
                if holds_below && !scope.inherited.iter().any(|(n, _)| *n == attribute.name) {
                    scope.inherited.push((attribute.name, attribute.quoted));
                }
            }
        }
        scope
    }

    /// The bytes that an element needs, at most, to say for itself what its root said, under a root with this default.
    pub(super) fn cost(&self, element: &str, default: &str) -> usize {
        const SYNTAX: usize = " xmlns:=\"\"".len();
        let declared: usize = self
            .used(element)
            .iter()
            .map(|(prefix, uri)| SYNTAX + prefix.len() + escaped_len(uri))
            .sum();
        let inherited: usize = self
            .inherited
            .iter()
            .map(|(name, quoted)| 2 + name.len() + quoted.len())
            .sum();
        let own_default = if self.default == default {
            0
        } else {
            SYNTAX + escaped_len(self.default)
        };
        declared + inherited + own_default
    }

    /// The prefixes of this scope that a text mentions, in declared order: in names, or in what may be a qualified name
    /// in a value. One pass over the text.
    fn used(&self, text: &str) -> Vec<(&'a str, &'a str)> {
        let mut places: Vec<usize> = Vec::new();
        let mut start = 0;
        for (index, byte) in text.bytes().enumerate() {
            match byte {
                b':' => {
                    if let Some(place) = self.places.get(&text[start..index]) {
                        places.push(*place);
                    }
                    start = index + 1;
                }
                b'-' | b'.' | b'_' | 0x80.. => {}
                byte if byte.is_ascii_alphanumeric() => {}
                _ => start = index + 1,
            }
        }
        places.sort_unstable();
        places.dedup();
        places.iter().map(|place| self.bindings[*place]).collect()
    }
}

/// The declarations of the root of a merged document.
pub(super) struct Root<'a> {
    default: &'a str,
    bindings: Vec<(&'a str, &'a str)>,
    uris: HashMap<&'a str, &'a str>,
}

impl<'a> Root<'a> {
    /// A root with this default namespace that declares the prefixes of all scopes; the first to bind a prefix wins.
    pub(super) fn covering<'s>(
        default: &'a str,
        scopes: impl Iterator<Item = &'s Scope<'a>>,
    ) -> Self
    where
        'a: 's,
    {
        let mut root = Self {
            default,
            bindings: Vec::new(),
            uris: HashMap::new(),
        };
        for (prefix, uri) in scopes.flat_map(|scope| &scope.bindings) {
            if !root.uris.contains_key(prefix) {
                root.uris.insert(prefix, uri);
                root.bindings.push((prefix, uri));
            }
        }
        root
    }

    /// Appends the declarations to the root's start tag.
    pub(super) fn push_declarations(&self, out: &mut String) {
        if !self.default.is_empty() {
            push_attribute(out, "xmlns", self.default);
        }
        for (prefix, uri) in &self.bindings {
            push_attribute(out, &format!("xmlns:{prefix}"), uri);
        }
    }

    /// The way of elements from a scope to this root.
    pub(super) fn passage<'p>(&'p self, scope: &'p Scope<'a>) -> Passage<'p, 'a> {
        let clashes = scope
            .bindings
            .iter()
            .any(|(prefix, uri)| self.uris.get(prefix) != Some(uri));
        Passage {
            root: self,
            scope,
            clashes,
        }
    }
}

/// The way of elements from the scope of their own root to another root.
pub(super) struct Passage<'p, 'a> {
    root: &'p Root<'a>,
    scope: &'p Scope<'a>,
    /// Whether the two disagree about any prefix: mostly they do not, and no element need be searched.
    clashes: bool,
}

impl Passage<'_, '_> {
    /// What must be added to the start tag of an element, so that it means under the new root what it meant before.
    pub(super) fn missing_for(&self, element: &str, tag: &StartTag<'_>) -> String {
        let (root, scope) = (self.root, self.scope);
        let mut out = String::new();
        // A document that writes all its names with prefixes has no default to keep.
        let needs_default = !scope.default.is_empty() || has_plain_name(element);
        if scope.default != root.default && needs_default && !tag.binds(None) {
            push_attribute(&mut out, "xmlns", scope.default);
        }
        if self.clashes {
            for (prefix, uri) in scope.used(element) {
                if root.uris.get(prefix) != Some(&uri) && !tag.binds(Some(prefix)) {
                    push_attribute(&mut out, &format!("xmlns:{prefix}"), uri);
                }
            }
        }
        for (name, quoted) in &scope.inherited {
            if !tag.has(name) {
                out.push(' ');
                out.push_str(name);
                out.push('=');
                out.push_str(quoted);
            }
        }
        out
    }
}

/// Whether an element in a text may have a name without prefix. What only looks like one (in CDATA) counts, harmlessly.
fn has_plain_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'<', bytes).any(|at| {
        let rest = &bytes[at + 1..];
        let name_end = rest
            .iter()
            .position(|b| b" \t\r\n/>:".contains(b))
            .unwrap_or(rest.len());
        !matches!(rest.first(), Some(b'/' | b'!' | b'?')) && rest.get(name_end) != Some(&b':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_names_without_prefix() {
        for (text, plain) in [
            ("<p:a/>", false),
            ("<p:a><p:b c=''>d</p:b><!-- e --><?f g?></p:a>", false),
            ("<p:a><b/></p:a>", true),
            ("<a/>", true),
            ("<a b='c:d'/>", true),
            ("<p:a><b\nc='d'/></p:a>", true),
        ] {
            assert_eq!(has_plain_name(text), plain, "{text}");
        }
    }

    #[test]
    fn sees_prefixes_in_names_and_values() {
        let text = "<r xmlns:a='1' xmlns:b='2' xmlns:c-d='3' xmlns:e='4' xmlns:f='5'/>";
        let document = roxmltree::Document::parse(text).unwrap();
        let scope = Scope::of(document.root_element());
        let used = |text| {
            scope
                .used(text)
                .iter()
                .map(|(prefix, _)| *prefix)
                .collect::<Vec<_>>()
        };
        assert_eq!(used("<a:x b:y='c-d:z'>(e:t)</a:x>"), ["a", "b", "c-d", "e"]);
        assert_eq!(used("<x>aa:b xa:b d:b</x>"), [""; 0]);
    }
}
