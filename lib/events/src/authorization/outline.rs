//! The outer elements of a document that is known to be well-formed, found in one pass.
//!
//! A merged document is larger than what one publisher may send, and declares the namespaces of all of them; the parser is
//! quadratic in those. This scan is linear: a stack of names, a stack of declarations per prefix, and nothing else.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::document::tag::StartTag;

/// Elements deeper than this are passed over: root 0, tuple 1, status 2, basic 3.
const MAX_DEPTH: usize = 3;
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// One element, and where it stands in the text.
pub(super) struct Element<'a> {
    depth: usize,
    /// The namespace, unescaped; empty for none.
    pub(super) namespace: Cow<'a, str>,
    /// The local name.
    pub(super) name: &'a str,
    /// The start tag, read.
    pub(super) tag: StartTag<'a>,
    /// Where its `<` is.
    pub(super) start: usize,
    /// Behind its start tag.
    pub(super) open_end: usize,
    /// Where its end tag begins; the end for an element without one.
    pub(super) close_start: usize,
    /// Behind its end tag.
    pub(super) end: usize,
    /// The number of the element behind all that is inside.
    next: usize,
}

impl Element<'_> {
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// The value of an attribute by its name as written, unescaped.
    pub(super) fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        self.tag
            .attributes
            .iter()
            .find(|attribute| attribute.name == name)
            .map(|attribute| unescape(unquoted(attribute.quoted)))
    }
}

/// The elements of a document, in document order; the root is the first.
pub(super) struct Outline<'a> {
    text: &'a str,
    elements: Vec<Element<'a>>,
}

impl<'a> Outline<'a> {
    /// Scans a document; nothing if it is not well-formed as far as the scan can tell, or has a DTD.
    pub(super) fn scan(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut scan = Scan {
            text,
            elements: Vec::new(),
            open: Vec::new(),
            prefixes: HashMap::new(),
        };
        let mut at = 0;
        while let Some(offset) = memchr::memchr(b'<', &bytes[at..]) {
            let start = at + offset;
            let rest = &text[start..];
            at = if rest.starts_with("<!--") {
                start + 4 + memchr::memmem::find(&bytes[start + 4..], b"-->")? + 3
            } else if rest.starts_with("<![CDATA[") && !scan.open.is_empty() {
                start + 9 + memchr::memmem::find(&bytes[start + 9..], b"]]>")? + 3
            } else if rest.starts_with("<?") {
                start + 2 + memchr::memmem::find(&bytes[start + 2..], b"?>")? + 2
            } else if rest.starts_with("<!") {
                return None;
            } else if rest.starts_with("</") {
                scan.close(start)?
            } else {
                scan.open(start)?
            };
        }
        if !scan.open.is_empty() || scan.elements.is_empty() {
            return None;
        }
        Some(Self {
            text,
            elements: scan.elements,
        })
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn element(&self, index: usize) -> &Element<'a> {
        &self.elements[index]
    }

    /// The numbers of the elements directly inside one.
    pub(super) fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        let end = self.elements[index].next;
        let first = Some(index + 1).filter(|first| *first < end);
        std::iter::successors(first, move |child| {
            Some(self.elements[*child].next).filter(|next| *next < end)
        })
    }

    /// Whether there is nothing but plain text in an element: no element, comment, instruction or CDATA.
    pub(super) fn is_plain(&self, index: usize) -> bool {
        let element = &self.elements[index];
        memchr::memchr(
            b'<',
            &self.text.as_bytes()[element.open_end..element.close_start],
        )
        .is_none()
    }

    /// The text of an element without blank margins; nothing if it holds elements.
    pub(super) fn text_of(&self, index: usize) -> Option<String> {
        let element = &self.elements[index];
        let mut rest = &self.text[element.open_end..element.close_start];
        let mut out = String::new();
        while let Some(at) = rest.find('<') {
            out.push_str(&unescape(&rest[..at]));
            rest = &rest[at..];
            rest = if let Some(comment) = rest.strip_prefix("<!--") {
                comment.split_once("-->")?.1
            } else if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let (data, after) = data.split_once("]]>")?;
                out.push_str(data);
                after
            } else if let Some(instruction) = rest.strip_prefix("<?") {
                instruction.split_once("?>")?.1
            } else {
                return None;
            };
        }
        out.push_str(&unescape(rest));
        Some(out.trim().to_owned())
    }
}

/// An element that is open while scanning.
struct Open<'a> {
    qualified: &'a str,
    /// Its number, unless it is too deep to be kept.
    index: Option<usize>,
    /// The prefixes that it declares.
    declared: Vec<&'a str>,
}

struct Scan<'a> {
    text: &'a str,
    elements: Vec<Element<'a>>,
    open: Vec<Open<'a>>,
    /// What each prefix stands for, innermost last. The default namespace has the empty prefix.
    prefixes: HashMap<&'a str, Vec<Cow<'a, str>>>,
}

impl<'a> Scan<'a> {
    /// Reads a start tag; where it ends.
    fn open(&mut self, start: usize) -> Option<usize> {
        let end = tag_end(self.text.as_bytes(), start)?;
        let tag_text = &self.text[start..end];
        let depth = self.open.len();
        if depth == 0 && !self.elements.is_empty() {
            return None; // a second root
        }
        let mut open = Open {
            qualified: name_in(&tag_text[1..]),
            index: None,
            declared: Vec::new(),
        };
        if open.qualified.is_empty() {
            return None;
        }
        if depth <= MAX_DEPTH {
            let tag = StartTag::read(tag_text);
            for attribute in &tag.attributes {
                let prefix = match attribute.name.strip_prefix("xmlns") {
                    Some("") => "",
                    Some(rest) if rest.starts_with(':') => &rest[1..],
                    _ => continue,
                };
                let uri = unescape(unquoted(attribute.quoted));
                self.prefixes.entry(prefix).or_default().push(uri);
                open.declared.push(prefix);
            }
            let (prefix, name) = open
                .qualified
                .split_once(':')
                .unwrap_or(("", open.qualified));
            let namespace = self.resolve(prefix)?;
            open.index = Some(self.elements.len());
            self.elements.push(Element {
                depth,
                namespace,
                name,
                tag,
                start,
                open_end: end,
                close_start: end,
                end,
                next: self.elements.len() + 1,
            });
        }
        self.open.push(open);
        if tag_text.ends_with("/>") {
            self.leave(end, end);
        }
        Some(end)
    }

    /// Reads an end tag; where it ends.
    fn close(&mut self, start: usize) -> Option<usize> {
        let end = start + memchr::memchr(b'>', &self.text.as_bytes()[start..])? + 1;
        let name = self.text[start + 2..end - 1].trim_end_matches([' ', '\t', '\r', '\n']);
        if self.open.last()?.qualified != name {
            return None;
        }
        self.leave(start, end);
        Some(end)
    }

    fn leave(&mut self, close_start: usize, end: usize) {
        let Some(open) = self.open.pop() else { return };
        for prefix in open.declared {
            if let Some(uris) = self.prefixes.get_mut(prefix) {
                uris.pop();
            }
        }
        let next = self.elements.len();
        if let Some(element) = open.index.and_then(|index| self.elements.get_mut(index)) {
            element.close_start = close_start;
            element.end = end;
            element.next = next;
        }
    }

    fn resolve(&self, prefix: &str) -> Option<Cow<'a, str>> {
        match self.prefixes.get(prefix).and_then(|uris| uris.last()) {
            Some(uri) => Some(uri.clone()),
            None if prefix.is_empty() => Some(Cow::Borrowed("")),
            None if prefix == "xml" => Some(Cow::Borrowed(XML)),
            None => None,
        }
    }
}

impl std::fmt::Debug for Outline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.elements.iter().map(|e| (e.depth, e.name)))
            .finish()
    }
}

/// Behind the `>` of the tag that begins at `start`; those in quotes do not count.
fn tag_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let found = at + memchr::memchr3(b'>', b'"', b'\'', bytes.get(at..)?)?;
        if bytes[found] == b'>' {
            return Some(found + 1);
        }
        at = found + 1 + memchr::memchr(bytes[found], &bytes[found + 1..])? + 1;
    }
}

fn name_in(tag: &str) -> &str {
    tag.split([' ', '\t', '\r', '\n', '/', '>', '='])
        .next()
        .unwrap_or("")
}

pub(super) fn unquoted(quoted: &str) -> &str {
    quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
}

/// Resolves the references that XML has without a DTD; what is none stays as it is.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest reference of use is &#x10ffff;
        let semicolon = rest.bytes().take(12).position(|b| b == b';');
        match semicolon.and_then(|end| Some((referenced(&rest[1..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn referenced(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<String>> {
        let outline = Outline::scan(text)?;
        Some(
            outline
                .elements
                .iter()
                .map(|e| format!("{}{{{}}}{}", e.depth, e.namespace, e.name))
                .collect(),
        )
    }

    #[test]
    fn finds_the_outer_elements_with_their_namespaces() {
        let text = "<?xml version='1.0'?><!-- <x> --><a xmlns='u' xmlns:p=\"v&amp;w\">\
            <p:b c='>'/><d xmlns='' xmlns:p='z'><p:e/><f><g><p:h/></g></f></d><![CDATA[<i>]]><p:j>k</p:j ></a>\n";
        assert_eq!(
            names(text).unwrap(),
            [
                "0{u}a", "1{v&w}b", "1{}d", "2{z}e", "2{}f", "3{}g", "1{v&w}j"
            ]
        );
        let outline = Outline::scan(text).unwrap();
        let children: Vec<_> = outline
            .children(0)
            .map(|child| outline.element(child).name)
            .collect();
        assert_eq!(children, ["b", "d", "j"]);
        assert_eq!(outline.children(1).count(), 0);
        let d = outline.element(2);
        assert_eq!(
            &text[d.start..d.end],
            "<d xmlns='' xmlns:p='z'><p:e/><f><g><p:h/></g></f></d>"
        );
        assert_eq!(
            &text[d.open_end..d.close_start],
            "<p:e/><f><g><p:h/></g></f>"
        );
    }

    #[test]
    fn reads_texts_and_values() {
        let outline =
            Outline::scan("<a b='&lt;&#65;&#x42;&c;'> x &amp; <![CDATA[<y>]]><!-- z --> </a>")
                .unwrap();
        assert_eq!(outline.element(0).attribute("b").unwrap(), "<AB&c;");
        assert_eq!(outline.text_of(0).unwrap(), "x & <y>");
        assert_eq!(Outline::scan("<a>x<b/></a>").unwrap().text_of(0), None);
        assert_eq!(unescape("&&#xD800;&amp;amp;&"), "&&#xD800;&amp;&");
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        for text in [
            "",
            "x",
            "<",
            "<a",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a b='>",
            "<p:a/>",
            "<!DOCTYPE a><a/>",
            "<a><!-- </a>",
            "<a><![CDATA[ </a>",
            "<![CDATA[x]]>",
            "< a/>",
            "<a><b></a></b>",
            "<?x",
            "<>",
        ] {
            assert_eq!(names(text), None, "{text}");
        }
    }
}
