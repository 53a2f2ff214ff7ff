//! What a request is about: the names in its path, and its query.

use ::events::EventPackage;
use ::events::publication::find_resource;
use sip::{Aor, bound};
use sql::Resource;

use crate::http::Http;
use crate::http::reply::Problem;

/// A presentity and an event package that is served.
#[derive(Debug)]
pub(super) struct Target<'r> {
    pub(super) aor: Aor,
    pub(super) package: &'r EventPackage,
}

/// The parameters of a query, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

// === impl Target ===

impl<'r> Target<'r> {
    /// # Errors
    /// 400 for what is not a URI, 404 for an unknown event package.
    pub(super) fn read(http: &'r Http, segments: &[&str]) -> Result<Target<'r>, Problem> {
        let uri = decoded(segments.first().copied().unwrap_or_default())?;
        let event = decoded(segments.get(1).copied().unwrap_or_default())?;
        let (aor, package) = find_resource(&uri, &event, &http.registry, &http.policy)
            .map_err(|reject| Problem::of_reject(&reject, &http.registry))?;
        Ok(Target { aor, package })
    }

    pub(super) fn resource(&self) -> Resource {
        Resource {
            presentity_uri: self.aor.uri(),
            event: self.package.name.clone().into_owned(),
        }
    }

    /// Where the publication of a source is.
    pub(super) fn location(&self, source: &str) -> String {
        format!(
            "/v1/presentities/{}/{}?source={}",
            encoded(&self.aor.uri(), b"-._~:@!$&'()*+,;="),
            encoded(&self.package.name, b"-._~;"),
            encoded(source, b"-._~"),
        )
    }
}

// === impl Query ===

impl Query {
    /// # Errors
    /// 400 for a parameter that is none of `known`, or is there twice: a typing error should not do something else.
    pub(super) fn read(raw: Option<&str>, known: &[&str]) -> Result<Query, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if !known.contains(&name.as_str()) {
                let detail = match known {
                    [] => "This path has no parameters".to_owned(),
                    known => format!("The parameters of this path are: {}", known.join(", ")),
                };
                return Err(Problem::bad_request(detail));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_request(format!("{name} is given twice")));
            }
            pairs.push((name, decoded(&value.replace('+', " "))?));
        }
        Ok(Query(pairs))
    }

    pub(super) fn find(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// 400 for a name that is empty or too long.
    pub(super) fn source(&self) -> Result<Option<&str>, Problem> {
        match self.find("source") {
            Some("") => Err(Problem::bad_request("source is empty")),
            Some(source) => match bound::SOURCE.check(source) {
                Ok(()) => Ok(Some(source)),
                Err(reason) => Err(Problem::bad_request(reason)),
            },
            None => Ok(None),
        }
    }

    /// # Errors
    /// 400 for what is not a whole number from `least` to `most`.
    pub(super) fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
        self.find(name)
            .map(|text| whole_number(name, text, least, most))
            .transpose()
    }
}

/// # Errors
/// 400
pub(super) fn whole_number(name: &str, text: &str, least: i64, most: i64) -> Result<i64, Problem> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| is_digits && (least..=most).contains(number))
        .ok_or_else(|| {
            Problem::bad_request(format!("{name} is a whole number from {least} to {most}"))
        })
}

/// Percent-decoding, once (RFC 3986 section 2.4).
fn decoded(raw: &str) -> Result<String, Problem> {
    let mut octets = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            octets.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(Problem::bad_request(
                "A % must be followed by two hexadecimal digits; write %25 for a % itself",
            ));
        };
        octets.push((high * 16 + low) as u8);
    }
    let text = String::from_utf8(octets)
        .map_err(|_| Problem::bad_request("A name in the URL is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            "A name in the URL has a control character",
        ));
    }
    Ok(text)
}

/// Percent-encoding of all but letters, digits and `kept`.
fn encoded(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        for (raw, expected) in [
            ("sip:a@b", "sip:a@b"),
            ("sip%3Aa%40b", "sip:a@b"),
            ("sip:a%252Fb@c", "sip:a%2Fb@c"),
            ("%C3%A9+", "é+"),
            ("", ""),
        ] {
            assert_eq!(decoded(raw).unwrap(), expected, "{raw}");
            assert_eq!(decoded(&encoded(expected, b"")).unwrap(), expected);
        }
        for raw in [
            "%", "%4", "%zz", "%+1", "a%0", "%FF", "%C3%28", "%00", "a%0Ab", "%7f",
        ] {
            assert!(decoded(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_query_says_what_is_known_and_once() {
        let known = ["source", "expires"];
        let query = Query::read(Some("source=a+b%26&&expires=60"), &known).unwrap();
        assert_eq!(query.find("source"), Some("a b&"));
        assert_eq!(query.number("expires", 1, 60).unwrap(), Some(60));
        assert_eq!(query.number("limit", 1, 60).unwrap(), None);
        for raw in ["sources=a", "source=a&source=a", "source=%", "%=a", "=a"] {
            assert!(Query::read(Some(raw), &known).is_err(), "{raw}");
        }
        for raw in ["source=", "source"] {
            assert!(Query::read(Some(raw), &known).unwrap().source().is_err());
        }
        for value in [
            "",
            "-1",
            "+1",
            "61",
            "0",
            "1e1",
            " 1",
            "99999999999999999999",
        ] {
            let raw = format!("expires={}", encoded(value, b""));
            let query = Query::read(Some(&raw), &known).unwrap();
            assert!(query.number("expires", 1, 60).is_err(), "{value}");
        }
    }
}
