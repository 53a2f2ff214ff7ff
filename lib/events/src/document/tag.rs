//! Reads the start tag of an element that is known to be well-formed, to learn what it declares *itself*.
//!
//! The parser's tree tells which namespaces are in scope, not where they were declared; declaring one twice in a tag
//! would break the document.

use std::ops::Range;

/// One attribute of a start tag, as written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawAttribute<'a> {
    /// The qualified name, for example `xmlns:dm`.
    pub(crate) name: &'a str,
    /// The value with its quotes, for example `"urn:x"`.
    pub(crate) quoted: &'a str,
}

/// A start tag, as written.
pub(crate) struct StartTag<'a> {
    /// Where the element's name is.
    pub(crate) name: Range<usize>,
    /// All attributes, namespace declarations among them, in order.
    pub(crate) attributes: Vec<RawAttribute<'a>>,
    /// Where the tag's `>` or `/>` begins.
    pub(crate) close: usize,
}

impl<'a> StartTag<'a> {
    /// Reads the tag at the start of `element`, which begins with `<`.
    pub(crate) fn read(element: &'a str) -> Self {
        let bytes = element.as_bytes();
        let name_end = end_of_name(bytes, 1);
        let mut attributes = Vec::new();
        let mut at = name_end;
        loop {
            at = skip_blank(bytes, at);
            let end = end_of_name(bytes, at);
            if end == at {
                break; // '>' or '/', or the end of a text that was not an element after all
            }
            let name = &element[at..end];
            let quote_at = skip_blank(bytes, skip_blank(bytes, end) + 1);
            let Some(quote) = bytes.get(quote_at) else {
                break;
            };
            let Some(length) = memchr::memchr(*quote, &bytes[quote_at + 1..]) else {
                break;
            };
            let value_end = quote_at + length + 2;
            attributes.push(RawAttribute {
                name,
                quoted: &element[quote_at..value_end],
            });
            at = value_end;
        }
        Self {
            name: 1..name_end,
            attributes,
            close: at,
        }
    }

    /// Whether the tag itself has an attribute of that qualified name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes
            .iter()
            .any(|attribute| attribute.name == name)
    }

    /// Whether the tag itself binds the prefix (none: the default namespace).
    pub(crate) fn binds(&self, prefix: Option<&str>) -> bool {
        self.attributes.iter().any(|attribute| match prefix {
            None => attribute.name == "xmlns",
            Some(prefix) => attribute.name.strip_prefix("xmlns:") == Some(prefix),
        })
    }
}

fn end_of_name(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|b| b" \t\r\n=/>".contains(b))
        .unwrap_or(rest.len())
}

fn skip_blank(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|b| !b" \t\r\n".contains(b))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_tag_and_no_more() {
        for (element, name, attributes) in [
            ("<a/>", "a", vec![]),
            ("<a>b='c'</a>", "a", vec![]),
            (
                "<p:a x = 'it\"s >'\n\ty=\"/'\"/>",
                "p:a",
                vec![("x", "'it\"s >'"), ("y", "\"/'\"")],
            ),
            ("<a xmlns=''><b c='d'/></a>", "a", vec![("xmlns", "''")]),
            (
                "<\u{e9} \u{e9}='\u{e9}'/>",
                "\u{e9}",
                vec![("\u{e9}", "'\u{e9}'")],
            ),
        ] {
            let tag = StartTag::read(element);
            assert_eq!(&element[tag.name.clone()], name);
            assert!(element[tag.close..].starts_with(['>', '/']));
            let found: Vec<_> = tag.attributes.iter().map(|a| (a.name, a.quoted)).collect();
            assert_eq!(found, attributes);
        }
    }

    #[test]
    fn knows_what_the_tag_itself_binds() {
        let tag = StartTag::read("<a xmlns:p='u' xmlns = \"v\" q='xmlns:r'/>");
        assert!(tag.binds(None) && tag.binds(Some("p")) && tag.has("q"));
        assert!(!tag.binds(Some("q")) && !tag.binds(Some("r")));
    }
}
