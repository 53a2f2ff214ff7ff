//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, Record-Route, P-Asserted-Identity
//! (RFC 3261 sections 20.10, 20.20, 25.1).

use super::Params;
use super::text::{has_controls, trim, unquote};
use crate::{ParseError, Uri};
use std::ops::Range;

/// An address with an optional display name and header parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name, unquoted.
    pub display: Option<String>,
    /// The address itself.
    pub uri: Uri,
    /// Header parameters (those after `>`).
    pub params: Params,
    /// The whole text as received.
    pub raw: String,
    addr: Range<usize>,
}

impl NameAddr {
    /// Reads one address.
    ///
    /// # Errors
    /// The display name, the URI or a parameter is malformed.
    pub fn parse(text: &str) -> Result<NameAddr, ParseError> {
        let text = trim(text);
        let (display, open) =
            display_name(text).ok_or_else(|| ParseError::new("Bad display name"))?;
        let Some(open) = open else {
            return addr_spec(text);
        };
        let close = text[open..]
            .find('>')
            .map(|index| open + index)
            .ok_or_else(|| ParseError::new("Bad address").at(open))?;
        // Spaces inside of the brackets are wrong, and harmless (RFC 4475 section 3.1.2.15).
        let uri = Uri::parse(trim(&text[open + 1..close]))?;
        let params = Params::parse(&text[close + 1..])?;
        // A display name may hold control characters by quoted pairs; what we store and send on does without such a name.
        let start = if has_controls(&text[..open]) { open } else { 0 };
        Ok(NameAddr {
            display,
            uri,
            params,
            raw: text.to_owned(),
            addr: start..close + 1,
        })
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }

    /// The value of a header parameter; `Some("")` for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.find(name).map(Option::unwrap_or_default)
    }

    /// The address as written, without header parameters, and without a display name that has control characters.
    pub fn raw_addr(&self) -> &str {
        &self.raw[self.addr.clone()]
    }
}

/// The URI that somebody has written down for a person: what stands in angle brackets, whatever is around them, or else all of it.
/// Unlike in a header ([`NameAddr::parse`]), parameters without brackets are the URI's own.
pub fn enclosed_uri(text: &str) -> &str {
    let inside = text
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(text, |(uri, _)| uri).trim()
}

/// The display name, and where `<` is; `None` inside: no brackets. `None`: malformed.
fn display_name(text: &str) -> Option<(Option<String>, Option<usize>)> {
    if text.starts_with('"') {
        let (name, rest) = unquote(text)?;
        let rest = trim(rest);
        return rest
            .starts_with('<')
            .then(|| (Some(name), Some(text.len() - rest.len())));
    }
    crate::work::note(text.len());
    let Some(open) = text.find('<') else {
        return Some((None, None));
    };
    // A semicolon before any bracket ends an address without brackets: what follows are its header parameters, and a
    // quoted one may hold brackets (`sip:a@b;+sip.instance="<urn:uuid:1>"`).
    if text[..open].contains(';') {
        return Some((None, None));
    }
    let name = trim(&text[..open]);
    // `*(token LWS)`, and more: what is not ASCII, and punctuation that separates nothing.
    let is_name = !name
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t' || matches!(byte, b'"' | b',' | b'>'));
    is_name.then(|| ((!name.is_empty()).then(|| name.to_owned()), Some(open)))
}

/// "If the URI is not enclosed in angle brackets, any semicolon-delimited parameters are header-parameters, not URI
/// parameters" (section 20), and a URI with a comma, question mark or semicolon must be enclosed.
fn addr_spec(text: &str) -> Result<NameAddr, ParseError> {
    let end = text.find(';').unwrap_or(text.len());
    let addr = trim(&text[..end]);
    if let Some(at) = addr.find(['?', ',']) {
        return Err(ParseError::new("Address needs angle brackets").at(at));
    }
    let uri = Uri::parse(addr)?;
    Ok(NameAddr {
        display: None,
        uri,
        params: Params::parse(&text[end..])?,
        raw: text.to_owned(),
        addr: 0..addr.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, display, uri, tag, raw_addr) in [
            ("<sip:a@b>", None, "sip:a@b", None, "<sip:a@b>"),
            ("sip:a@b;tag=1", None, "sip:a@b", Some("1"), "sip:a@b"),
            ("sip:a@b ; tag = 1", None, "sip:a@b", Some("1"), "sip:a@b"),
            (
                "sip:a@b:5062;+sip.instance=\"<urn:uuid:0>\";tag=1",
                None,
                "sip:a@b:5062",
                Some("1"),
                "sip:a@b:5062",
            ),
            (
                "tel:+1-555;tag=1",
                None,
                "tel:+1-555",
                Some("1"),
                "tel:+1-555",
            ),
            (
                "<tel:+1555;phone-context=x>;tag=2",
                None,
                "tel:+1555;phone-context=x",
                Some("2"),
                "<tel:+1555;phone-context=x>",
            ),
            (
                "caller<sip:a@b>;tag=323",
                Some("caller"),
                "sip:a@b",
                Some("323"),
                "caller<sip:a@b>",
            ),
            (
                r#""A, <B> \"C\"" <sip:a@b;lr>;x;tag=t"#,
                Some(r#"A, <B> "C""#),
                "sip:a@b;lr",
                Some("t"),
                r#""A, <B> \"C\"" <sip:a@b;lr>"#,
            ),
            (
                r#""" <sip:a@b>"#,
                Some(""),
                "sip:a@b",
                None,
                r#""" <sip:a@b>"#,
            ),
            (
                "J. Rosenberg <sip:a@b>",
                Some("J. Rosenberg"),
                "sip:a@b",
                None,
                "J. Rosenberg <sip:a@b>",
            ),
            (
                "Müller <sip:a@b>",
                Some("Müller"),
                "sip:a@b",
                None,
                "Müller <sip:a@b>",
            ),
            ("< sip:a@b >", None, "sip:a@b", None, "< sip:a@b >"),
            (
                "\"NUL:\\\0\" <sip:a@b>",
                Some("NUL:\u{FFFD}"),
                "sip:a@b",
                None,
                "<sip:a@b>",
            ),
            (
                "<sip:alice.smith;x=%40y@[2001:db8::1]:5070?a=b>",
                None,
                "sip:alice.smith;x=%40y@[2001:db8::1]:5070?a=b",
                None,
                "<sip:alice.smith;x=%40y@[2001:db8::1]:5070?a=b>",
            ),
        ] {
            let parsed = NameAddr::parse(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
            assert_eq!(parsed.display.as_deref(), display, "{text:?}");
            assert_eq!(parsed.uri.raw, uri, "{text:?}");
            assert_eq!(parsed.tag(), tag, "{text:?}");
            assert_eq!(parsed.raw_addr(), raw_addr, "{text:?}");
        }
        let contact = NameAddr::parse(r#"<sip:a@b>;+sip.instance="<urn:uuid:1>";isfocus"#)
            .expect("well-formed");
        assert_eq!(
            (
                contact.param("+SIP.instance"),
                contact.param("isfocus"),
                contact.param("q")
            ),
            (Some("<urn:uuid:1>"), Some(""), None)
        );
    }

    #[test]
    fn faults() {
        for text in [
            "",
            "*",
            "<>",
            "<sip:a@b",
            "sip:a@b>",
            "\"open <sip:a@b>",
            "\"a\" sip:a@b",
            "Bell, A <sip:a@b>",
            "Bell; A <sip:a@b>",
            "sip:a@b;x <sip:c@d>",
            "sip:a@b;x=<sip:c@d>",
            "sip:a@b?Route=x",
            "sip:a@b,c",
            "<sip:a@b>x",
            "<sip:a@b>;;;;",
            "<sip:a@b>, <sip:c@d>",
            "a b c",
            "\"a\" \"b\" <sip:a@b>",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text:?}");
        }
    }
}
