//! The canonical form of a presentity's address and of a watcher's. Two URIs that mean the same person become the same text here
//! and in SQL, where `presence_uri()` and the triggers of the tables make it (RFC 3261 section 19.1.4, RFC 3966 section 4). A test of
//! crate `sql` compares both.

use crate::bound::{self, AddressBound};
use crate::uri::{hex, is_unreserved};
use crate::{Host, ParseError, Scheme, StatusCode, Uri, enclosed_uri};
use std::borrow::Cow;
use std::fmt;

/// A canonical presentity: what `presentity_uri` is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aor {
    /// The user, needless escapes decoded and needed ones made; empty for `sip:domain`. For `tel:` the number without visual
    /// separators, a local one with its context.
    pub username: String,
    /// The domain in lower case, without port and the root's dot; empty for `tel:`.
    pub domain: String,
}

impl Aor {
    /// Canonicalises; `fold_case` lower-cases the user too (`sip_uri_match` = 1). Port, parameters, password and headers
    /// go; sips becomes sip.
    ///
    /// # Errors
    /// 416 for a scheme that is none of sip, sips, tel; 400 for a host that is the root of all domains, and for a user or a domain that
    /// is too long to be stored.
    pub fn from_uri(uri: &Uri, fold_case: bool) -> Result<Aor, ParseError> {
        Aor::within(&bound::URI, uri, fold_case)
    }

    /// The same of a text.
    ///
    /// # Errors
    /// As [`Aor::from_uri`]; 400 for what is no URI.
    pub fn parse(text: &str, fold_case: bool) -> Result<Aor, ParseError> {
        Aor::from_uri(&Uri::parse(text)?, fold_case)
    }

    /// The same for a URI that stands in a place with a name, which is in the reason if it is too long.
    ///
    /// # Errors
    /// As [`Aor::from_uri`]; 414 for a Request-URI that is too long.
    pub fn within(bound: &AddressBound, uri: &Uri, fold_case: bool) -> Result<Aor, ParseError> {
        let aor = match uri.scheme {
            Scheme::Sip | Scheme::Sips => Aor {
                username: escaped(uri.user.as_deref().unwrap_or_default(), fold_case).into_owned(),
                domain: domain(&uri.host)?,
            },
            Scheme::Tel => Aor {
                username: number(uri),
                domain: String::new(),
            },
            Scheme::Other => {
                return Err(ParseError::new("Unsupported URI Scheme")
                    .status(StatusCode::UNSUPPORTED_URI_SCHEME));
            }
        };
        bound.check(&aor.username, &aor.domain)?;
        Ok(aor)
    }

    /// The address of a user as an account names it, not as a URI writes it: whatever may not stand in a URI is escaped, and so is what looks like
    /// an escape. Else the account `%61lice` would be alice.
    ///
    /// # Errors
    /// The domain is none, or one of both is too long to be stored.
    pub fn of_account(username: &str, domain: &str, fold_case: bool) -> Result<Aor, ParseError> {
        let mut uri = Uri::parse(&format!("sip:{domain}"))?;
        uri.user = Some(username.replace('%', "%25"));
        Aor::from_uri(&uri, fold_case)
    }

    /// `sip:user@domain`, `sip:domain` or `tel:number`.
    pub fn uri(&self) -> String {
        self.to_string()
    }
}

/// Refuses the URI of a person with a user or a domain that is too long. What is no such URI at all is for others to judge.
///
/// # Errors
/// A reason phrase.
pub fn check_uri(text: &str) -> Result<(), &'static str> {
    match Uri::parse(enclosed_uri(text)).and_then(|uri| Aor::from_uri(&uri, false)) {
        Err(fault) if bound::URI.is_exceeded(&fault) => Err(fault.reason),
        _ => Ok(()),
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.username.as_str(), self.domain.as_str()) {
            (number, "") => write!(f, "tel:{number}"),
            ("", domain) => write!(f, "sip:{domain}"),
            (user, domain) => write!(f, "sip:{user}@{domain}"),
        }
    }
}

/// A user in canonical form. RFC 3261 section 19.1.4: "Characters other than those in the reserved set are equivalent to their %HH
/// encoding". So escapes of unreserved characters are decoded, what may not stand in a user is escaped, and the digits of escapes
/// are in upper case.
fn escaped(user: &str, fold_case: bool) -> Cow<'_, str> {
    let stays = |byte: u8| may_stand(byte) && !(fold_case && byte.is_ascii_uppercase());
    if user.bytes().all(stays) {
        return Cow::Borrowed(user);
    }
    let folded = |byte: u8| match fold_case {
        true => char::from(byte.to_ascii_lowercase()),
        false => char::from(byte),
    };
    let bytes = user.as_bytes();
    let mut out = String::with_capacity(user.len() + 8);
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let decoded = (*byte == b'%')
            .then(|| bytes.get(index + 1..index + 3).and_then(hex))
            .flatten();
        match decoded {
            Some(decoded) if is_unreserved(decoded) => out.push(folded(decoded)),
            Some(decoded) => out.push_str(&format!("%{decoded:02X}")),
            None if may_stand(*byte) => out.push(folded(*byte)),
            None => out.push_str(&format!("%{byte:02X}")),
        }
        index += if decoded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

/// What may stand in a user as it is (RFC 3261 section 25.1: unreserved, user-unreserved).
fn may_stand(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

fn domain(host: &Host) -> Result<String, ParseError> {
    match host {
        // The root's dot means nothing here; and alone it is nobody's domain, least of all the empty one of a number.
        Host::Domain(name) => match name.trim_end_matches('.') {
            "" => Err(ParseError::new("Bad Host In URI")),
            name => Ok(name.to_ascii_lowercase()),
        },
        numeric => Ok(numeric.to_string()),
    }
}

/// A local number means nothing without its context, a domain or the begin of a global number (RFC 3966 section 5.1.5).
fn number(uri: &Uri) -> String {
    let mut number =
        without_separators(uri.user.as_deref().unwrap_or_default()).to_ascii_lowercase();
    if let Some(context) = uri
        .param("phone-context")
        .filter(|_| !number.starts_with('+'))
    {
        let context = escaped(context, true);
        number.push_str(";phone-context=");
        match context.starts_with('+') {
            true => number.push_str(&without_separators(&context)),
            false => number.push_str(context.trim_end_matches('.')),
        }
    }
    number
}

fn without_separators(number: &str) -> String {
    number.replace(['-', '.', '(', ')'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_no_uri() {
        for (username, expected) in [
            ("alice", "sip:alice@example.org"),
            ("%61lice", "sip:%2561lice@example.org"),
            ("a@b", "sip:a%40b@example.org"),
            ("J\"ö", "sip:J%22%C3%B6@example.org"),
        ] {
            let aor = Aor::of_account(username, "Example.ORG", false).unwrap();
            assert_eq!(aor.uri(), expected, "{username}");
        }
    }

    #[test]
    fn equal_presentities_are_equal_text() {
        for (text, fold_case, expected) in [
            (
                "sip:Alice.Smith@Example.COM:5060;transport=tcp?a=b",
                false,
                "sip:Alice.Smith@example.com",
            ),
            (
                "sip:Alice.Smith@Example.COM",
                true,
                "sip:alice.smith@example.com",
            ),
            ("sips:bob:secret@example.com.", false, "sip:bob@example.com"),
            ("sip:%62%6fb%40x@h", false, "sip:bob%40x@h"),
            ("sip:A%2fB%c3%a9@h", true, "sip:a%2Fb%C3%A9@h"),
            ("sip:é@h", false, "sip:%C3%A9@h"),
            ("sip:*21#5%2b+@h", false, "sip:*21%235%2B+@h"),
            ("sip:A{%7bA%41@h..", true, "sip:a%7B%7Baa@h"),
            (
                "tel:1;Phone%2Dcontext=+1-(2);x",
                false,
                "tel:1;phone-context=+12",
            ),
            (
                "tel:1;x;phone-context=ex%41mple.com.",
                false,
                "tel:1;phone-context=example.com",
            ),
            ("sip:+1555@h;user=phone", false, "sip:+1555@h"),
            ("sip:a;b=c@h", false, "sip:a;b=c@h"),
            ("sip:Example.com", false, "sip:example.com"),
            ("sip:a@[2001:DB8:0::1]:5060", false, "sip:a@[2001:db8::1]"),
            ("tel:+1-(555).0100;ext=1", false, "tel:+15550100"),
            (
                "tel:7042;phone-context=Example.com",
                false,
                "tel:7042;phone-context=example.com",
            ),
        ] {
            let uri = Uri::parse(text).expect("well-formed");
            let aor = Aor::from_uri(&uri, fold_case).expect("a scheme of ours");
            assert_eq!(aor.uri(), expected, "{text}");
            let again = Aor::from_uri(
                &Uri::parse(&aor.uri()).expect("canonical text is a URI"),
                fold_case,
            );
            assert_eq!(again, Ok(aor), "{text}: canonical text stays as it is");
        }
    }

    /// `sip:+1555@.` would be read as the number +1555.
    #[test]
    fn the_root_is_nobody() {
        for text in ["sip:+1555@.", "sip:..", "sip:+1555@..:5060"] {
            let uri = Uri::parse(text).expect("a URI");
            assert_eq!(
                Aor::from_uri(&uri, false).map_err(|fault| fault.status),
                Err(StatusCode::BAD_REQUEST),
                "{text}"
            );
        }
    }

    #[test]
    fn other_schemes_are_416() {
        let uri = Uri::parse("urn:service:sos").expect("a URI");
        assert_eq!(
            Aor::from_uri(&uri, false).map_err(|fault| fault.status),
            Err(StatusCode::UNSUPPORTED_URI_SCHEME)
        );
    }
}
