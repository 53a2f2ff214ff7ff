//! Namespaces when elements move from one root to another.
//!
//! What a root declares is declared once, by the new root, as long as no two documents disagree about a prefix. Where
//! they do, the newest document wins the prefix and each element of the other declares it again, itself. No prefix is
//! ever renamed, so qualified names in values and text (`xsi:type`) keep their meaning.

use std::collections::HashMap;

use roxmltree::Node;

use super::tag::StartTag;
use super::writer::{push_attribute, push_escaped};

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
        let mut scope =
            Self { default: "", prefixes: HashMap::new(), ordered: Vec::new(), inherited: Vec::new() };
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

    /// The bytes that an element may need, at most, to say for itself what its root said.
    pub(super) fn cost(&self, element: &str) -> usize {
        const SYNTAX: usize = " xmlns:=\"\"".len();
        // A character of a name may need six to be written down: &quot;
        let declared: usize =
            self.used(element).iter().map(|(prefix, uri)| SYNTAX + prefix.len() + 6 * uri.len()).sum();
        let inherited: usize = self.inherited.iter().map(|(name, quoted)| 2 + name.len() + quoted.len()).sum();
        declared + inherited + SYNTAX + 6 * self.default.len()
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
            .filter_map(|prefix| self.prefixes.get_key_value(*prefix).map(|(prefix, uri)| (*prefix, *uri)))
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
    pub(super) fn covering<'s>(default: &'a str, scopes: impl Iterator<Item = &'s Scope<'a>>) -> Self
    where
        'a: 's,
    {
        let mut root = Self { default, prefixes: HashMap::new(), ordered: Vec::new() };
        for scope in scopes {
            for prefix in &scope.ordered {
                let Some(uri) = scope.prefixes.get(prefix) else { continue };
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
    pub(super) fn missing_for(&self, scope: &Scope<'a>, element: &str, tag: &StartTag<'_>) -> String {
        let mut out = String::new();
        if scope.default != self.default && !tag.binds(None) {
            push_attribute(&mut out, "xmlns", scope.default);
        }
        if scope.ordered.iter().any(|prefix| self.prefixes.get(prefix) != scope.prefixes.get(prefix)) {
            for (prefix, uri) in scope.used(element) {
                if self.prefixes.get(prefix) != Some(&uri) && !tag.binds(Some(prefix)) {
                    out.push_str(" xmlns:");
                    out.push_str(prefix);
                    out.push_str("=\"");
                    push_escaped(&mut out, uri);
                    out.push('"');
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
