//! Whose subscription it is, and how addresses in rules are compared with it.

use sip::{Aor, Scheme, Uri};

/// The host that stands for nobody (RFC 3323 section 4.1.1.3).
const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// Who watches, as far as it is known for sure (RFC 5025 section 3.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Watcher {
    /// An identity that was authenticated or asserted by a trusted peer: `sip:user@domain` or `tel:number`.
    Identified(Aor),
    /// Somebody who does not say who they are, or asks for privacy (RFC 3323; OMA's anonymous request).
    Anonymous,
}

impl Watcher {
    /// The watcher of an address: nobody, if it is the anonymous one.
    pub fn of(aor: Aor) -> Self {
        if aor.domain == ANONYMOUS_HOST {
            Self::Anonymous
        } else {
            Self::Identified(aor)
        }
    }
}

/// An address in a rules document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// One that a watcher can have.
    Ours(Aor),
    /// One of a scheme that no watcher of ours has, such as mailto.
    Foreign,
}

/// Reads an address; nothing if it is none.
///
/// `pres:` is resolved to `sip:` (RFC 3861), and what looks like an address without scheme is one of SIP.
pub(super) fn read_address(text: &str, fold_case: bool) -> Option<Address> {
    let text = text.trim();
    let with_sip = |rest: &str| Uri::parse(&format!("sip:{rest}")).ok();
    let uri = match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pres") => with_sip(rest)?,
        _ => match Uri::parse(text) {
            Ok(uri) => uri,
            Err(_) if text.contains('@') => with_sip(text)?,
            Err(_) => return None,
        },
    };
    if uri.scheme == Scheme::Other {
        return Some(Address::Foreign);
    }
    Aor::from_uri(&uri, fold_case).ok().map(Address::Ours)
}

/// Reads a domain into the form that [`Aor`] gives it; nothing if it is none.
pub(super) fn read_domain(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text.contains(['@', ';', '?', '/']) {
        return None;
    }
    let uri = Uri::parse(&format!("sip:{text}")).ok()?;
    Aor::from_uri(&uri, false)
        .ok()
        .map(|aor| aor.domain)
        .filter(|domain| !domain.is_empty())
}

/// A URI in a form that compares as RFC 3261 section 19.1.4 says, nearly: scheme and host in lower case, needless escapes
/// gone, parameters in order. Other schemes: scheme in lower case, and of names (RFC 8141 section 3.1) the namespace; the rest as
/// it is.
pub(super) fn canonical_uri(text: &str) -> String {
    let text = text.trim();
    let Ok(uri) = Uri::parse(text) else {
        return text.to_owned();
    };
    if uri.scheme == Scheme::Other {
        return match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("urn") => canonical_urn(rest),
            Some((scheme, rest)) => format!("{}:{rest}", scheme.to_ascii_lowercase()),
            None => text.to_owned(),
        };
    }
    let Ok(aor) = Aor::from_uri(&uri, false) else {
        return text.to_owned();
    };
    let mut canonical = aor.uri();
    if uri.scheme == Scheme::Sips {
        canonical.insert(3, 's');
    }
    if let Some(port) = uri.port {
        canonical.push_str(&format!(":{port}"));
    }
    let mut params: Vec<String> = uri
        .params
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!(";{name}={value}").to_ascii_lowercase(),
            None => format!(";{name}").to_ascii_lowercase(),
        })
        .collect();
    params.sort();
    canonical.push_str(&params.concat());
    canonical
}

/// The digits of a UUID have no case either (RFC 4122 section 3).
fn canonical_urn(name: &str) -> String {
    let (namespace, rest) = name.split_once(':').unwrap_or((name, ""));
    let namespace = namespace.to_ascii_lowercase();
    match &*namespace {
        "uuid" => format!("urn:uuid:{}", rest.to_ascii_lowercase()),
        _ => format!("urn:{namespace}:{rest}"),
    }
}

/// The scheme of a URI in lower case, if it has one.
pub(super) fn scheme_of(uri: &str) -> Option<String> {
    uri.trim()
        .split_once(':')
        .map(|(scheme, _)| scheme.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(text: &str) -> Option<String> {
        match read_address(text, false) {
            Some(Address::Ours(aor)) => Some(aor.uri()),
            _ => None,
        }
    }

    #[test]
    fn addresses_are_read_into_canonical_form() {
        for (text, expected) in [
            ("sip:Bob@Example.COM", Some("sip:Bob@example.com")),
            (" sips:bob@example.com;x=y ", Some("sip:bob@example.com")),
            ("pres:bob@example.com", Some("sip:bob@example.com")),
            ("bob@example.com", Some("sip:bob@example.com")),
            ("bob@example.com:5060", Some("sip:bob@example.com")),
            ("tel:+1-212-555-1234", Some("tel:+12125551234")),
            ("bob", None),
            ("", None),
            ("sip:", None),
            ("sip:a@b@c", None),
        ] {
            assert_eq!(ours(text).as_deref(), expected, "{text}");
        }
        assert_eq!(read_address("mailto:a@b", false), Some(Address::Foreign));
        assert!(
            matches!(read_address("sip:BOB@x", true), Some(Address::Ours(aor)) if aor.username == "bob")
        );
    }

    #[test]
    fn domains_and_uris_compare() {
        for (text, expected) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("[2001:DB8::1]", Some("[2001:db8::1]")),
            ("", None),
            ("bob@example.com", None),
            ("a b", None),
        ] {
            assert_eq!(read_domain(text).as_deref(), expected, "{text}");
        }
        for (one, other, are_equal) in [
            ("sip:bob@EXAMPLE.com", "SIP:bob@example.com", true),
            ("sip:b@h;a=1;c", "sip:b@h;C;A=1", true),
            ("sip:b@h:5060", "sip:b@h", false),
            ("sips:b@h", "sip:b@h", false),
            ("tel:+1-2", "tel:+12", true),
            ("MAILTO:b@h", "mailto:b@h", true),
            ("mailto:B@h", "mailto:b@h", false),
            ("URN:Device:a", "urn:device:a", true),
            ("urn:device:A", "urn:device:a", false),
            ("urn:uuid:F81D4FAE-7dec", "urn:uuid:f81d4fae-7DEC", true),
            ("urn:d", "urn:e", false),
        ] {
            assert_eq!(
                canonical_uri(one) == canonical_uri(other),
                are_equal,
                "{one} {other}"
            );
        }
        assert_eq!(scheme_of(" XMPP:x"), Some("xmpp".to_owned()));
        assert_eq!(scheme_of("x"), None);
    }

    #[test]
    fn the_anonymous_address_is_nobody() {
        let aor = |username: &str, domain: &str| Aor {
            username: username.to_owned(),
            domain: domain.to_owned(),
        };
        assert_eq!(
            Watcher::of(aor("anonymous", "anonymous.invalid")),
            Watcher::Anonymous
        );
        assert_ne!(
            Watcher::of(aor("anonymous", "example.com")),
            Watcher::Anonymous
        );
    }
}
