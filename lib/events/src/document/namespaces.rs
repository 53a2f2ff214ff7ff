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
    /// Prefixes and what they stand for.
    prefixes: HashMap<&'a str, &'a str>,
    /// The same prefixes, in document order.
    ordered: Vec<&'a str>,
    /// Attributes that hold for all that is below: `xml:lang` and its kin, as written.
    inherited: Vec<(&'a str, &'a str)>,
}

impl<'a> Scope<'a> {
    /// The scope of a root element.
    pub(super) fn of(root: Node<'a, 'a>) -> Self {
        let mut scope = Self {
            default: "",
            prefixes: HashMap::new(),
            ordered: Vec::new(),
            inherited: Vec::new(),
        };
        for namespace in root.namespaces() {
            match namespace.name() {
                None => scope.default = namespace.uri(),
                Some(_) if namespace.uri() == XML => {}
                Some(prefix) => {
                    scope.prefixes.insert(prefix, namespace.uri());
                    scope.ordered.push(prefix);
                }
            }
        }
        let text = &root.document().input_text()[root.range()];
        for attribute in StartTag::read(text).attributes {
            if attribute.name.starts_with("xml:") {
                scope.inherited.push((attribute.name, attribute.quoted));
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
        if self.prefixes.is_empty() {
            return Vec::new();
        }
        let mut mentioned: HashMap<&str, ()> = HashMap::new();
        let mut start = 0;
        for (index, byte) in text.bytes().enumerate() {
            match byte {
                b':' => {
                    if let Some((prefix, _)) = self.prefixes.get_key_value(&text[start..index]) {
                        mentioned.insert(prefix, ());
                    }
                    start = index + 1;
                }
                b'-' | b'.' | b'_' | 0x80.. => {}
                byte if byte.is_ascii_alphanumeric() => {}
                _ => start = index + 1,
            }
        }
        if mentioned.is_empty() {
            return Vec::new();
        }
        self.ordered
            .iter()
            .filter(|prefix| mentioned.contains_key(**prefix))
            .filter_map(|prefix| {
                self.prefixes
                    .get_key_value(*prefix)
                    .map(|(prefix, uri)| (*prefix, *uri))
            })
            .collect()
    }
}

/// The declarations of the root of a merged document.
pub(super) struct Root<'a> {
    default: &'a str,
    prefixes: HashMap<&'a str, &'a str>,
    ordered: Vec<(&'a str, &'a str)>,
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
            prefixes: HashMap::new(),
            ordered: Vec::new(),
        };
        for scope in scopes {
            for prefix in &scope.ordered {
                let Some(uri) = scope.prefixes.get(prefix) else {
                    continue;
                };
                if !root.prefixes.contains_key(prefix) {
                    root.prefixes.insert(prefix, uri);
                    root.ordered.push((prefix, uri));
                }
            }
        }
        root
    }

    /// Appends the declarations to the root's start tag.
    pub(super) fn push_declarations(&self, out: &mut String) {
        push_attribute(out, "xmlns", self.default);
        for (prefix, uri) in &self.ordered {
            push_attribute(out, &format!("xmlns:{prefix}"), uri);
        }
    }

    /// What must be added to the start tag of an element that comes from `scope`, so that it means under this root what
    /// it meant under its own.
    pub(super) fn missing_for(
        &self,
        scope: &Scope<'a>,
        element: &str,
        tag: &StartTag<'_>,
    ) -> String {
        let mut out = String::new();
        // A document that writes all its names with prefixes has no default to keep.
        let needs_default = !scope.default.is_empty() || has_plain_name(element);
        if scope.default != self.default && needs_default && !tag.binds(None) {
            push_attribute(&mut out, "xmlns", scope.default);
        }
        if scope
            .ordered
            .iter()
            .any(|prefix| self.prefixes.get(prefix) != scope.prefixes.get(prefix))
        {
            for (prefix, uri) in scope.used(element) {
                if self.prefixes.get(prefix) != Some(&uri) && !tag.binds(Some(prefix)) {
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
