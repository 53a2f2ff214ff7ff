//! Header parameters: `;name=value`, `;name="quoted value"`, `;flag` (RFC 3261 section 25.1, `generic-param`).

use super::list::split_text;
use super::text::{is_token, trim, unquote};
use crate::{ParseError, work};

/// Parameters in wire order. Names compare without case; quoted values are kept unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Reads what follows a value: nothing, or parameters that each begin with a semicolon.
    pub(crate) fn parse(text: &str) -> Result<Params, ParseError> {
        let text = trim(text);
        if text.is_empty() {
            return Ok(Params::default());
        }
        let fault = || ParseError::new("Bad parameter");
        let text = text.strip_prefix(';').ok_or_else(fault)?;
        split_text(text, b';')
            .map(|piece| param(piece).ok_or_else(fault))
            .collect::<Result<_, _>>()
            .map(Params)
    }

    /// The value of the first parameter of that name; `Some(None)` for a flag.
    pub fn find(&self, name: &str) -> Option<Option<&str>> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_deref())
    }

    /// The value of the first parameter of that name, if it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name).flatten()
    }

    /// All parameters, in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn param(piece: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match piece.split_once('=') {
        Some((name, value)) => (trim(name), Some(trim(value))),
        None => (piece, None),
    };
    if !is_token(name.as_bytes()) {
        return None;
    }
    let value = match value {
        None => None,
        Some(quoted) if quoted.starts_with('"') => {
            let (content, rest) = unquote(quoted)?;
            trim(rest).is_empty().then_some(Some(content))?
        }
        Some(plain) => is_plain_value(plain).then(|| Some(plain.to_owned()))?,
    };
    Some((name.to_owned(), value))
}

/// More than `token / host`: peers leave quotes away around URNs and IPv6 addresses, and the meaning is clear.
fn is_plain_value(text: &str) -> bool {
    work::note(text.len());
    !text.bytes().any(|byte| {
        byte <= b' ' || byte == 0x7F || matches!(byte, b'"' | b'<' | b'>' | b',' | b';')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_parameters() {
        let params = Params::parse(
            r#" ; tag = 98asjd8 ;lr; Q=0.33;+sip.instance="<urn:uuid:f81d;4f>";gr=urn:uuid:1;received=2001:db8::1;e="#,
        );
        let params = params.expect("these are well-formed");
        for (name, expected) in [
            ("TAG", Some(Some("98asjd8"))),
            ("lr", Some(None)),
            ("q", Some(Some("0.33"))),
            ("+sip.instance", Some(Some("<urn:uuid:f81d;4f>"))),
            ("gr", Some(Some("urn:uuid:1"))),
            ("received", Some(Some("2001:db8::1"))),
            ("e", Some(Some(""))),
            ("none", None),
        ] {
            assert_eq!(params.find(name), expected, "{name}");
        }
        assert_eq!(params.iter().count(), 7);
    }

    #[test]
    fn bad_parameters() {
        for text in [
            "x",
            ";",
            ";;",
            ";a;;b",
            ";a=\"open",
            ";a=\"b\"c",
            ";=b",
            ";a b",
            ";a=b c",
            ";a=<b>",
            ";a=b\0",
        ] {
            assert!(Params::parse(text).is_err(), "{text:?}");
        }
        assert!(Params::parse("  ").is_ok_and(|params| params.is_empty()));
    }
}
