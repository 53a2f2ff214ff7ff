//! The canonical form of a presentity's address. Two URIs that mean the same presentity become the same text here and
//! in the generated column `presentity_uri` (RFC 3261 section 19.1.4, RFC 3966 section 4).

use crate::uri::unescape;
use crate::{Host, ParseError, Scheme, StatusCode, Uri};
use std::fmt;

/// A canonical presentity: what `presentity_uri` is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aor {
    /// The user, needless escapes decoded; empty for `sip:domain`. For `tel:` the number without visual separators.
    pub username: String,
    /// The domain in lower case, without port; empty for `tel:`.
    pub domain: String,
}

impl Aor {
    /// Canonicalises; `fold_case` lower-cases the user too (`sip_uri_match` = 1). Port, parameters, password and headers
    /// go; sips becomes sip.
    ///
    /// # Errors
    /// 416 for a scheme that is none of sip, sips, tel.
    pub fn from_uri(uri: &Uri, fold_case: bool) -> Result<Aor, ParseError> {
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => {
                let user = unescape(uri.user.as_deref().unwrap_or_default());
                let username = if fold_case {
                    fold(&user)
                } else {
                    user.into_owned()
                };
                Ok(Aor {
                    username,
                    domain: domain(&uri.host),
                })
            }
            Scheme::Tel => Ok(Aor {
                username: number(uri),
                domain: String::new(),
            }),
            Scheme::Other => Err(ParseError::new("Unsupported URI Scheme")
                .status(StatusCode::UNSUPPORTED_URI_SCHEME)),
        }
    }

    /// `sip:user@domain`, `sip:domain` or `tel:number`.
    pub fn uri(&self) -> String {
        self.to_string()
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

/// Lower-case, but for the digits of the escapes that are left.
fn fold(user: &str) -> String {
    let mut digits_left = 0;
    user.chars()
        .map(|character| {
            let is_digit = digits_left > 0;
            digits_left = if character == '%' {
                2
            } else {
                digits_left.max(1) - 1
            };
            if is_digit {
                character
            } else {
                character.to_ascii_lowercase()
            }
        })
        .collect()
}

fn domain(host: &Host) -> String {
    match host {
        // The root's dot means nothing here.
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        numeric => numeric.to_string(),
    }
}

/// A local number means nothing without its context (RFC 3966 section 5.1.5).
fn number(uri: &Uri) -> String {
    let mut number = uri
        .user
        .as_deref()
        .unwrap_or_default()
        .replace(['-', '.', '(', ')'], "")
        .to_ascii_lowercase();
    if let Some(context) = uri
        .param("phone-context")
        .filter(|_| !number.starts_with('+'))
    {
        number.push_str(";phone-context=");
        number.push_str(&context.to_ascii_lowercase());
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn other_schemes_are_416() {
        let uri = Uri::parse("urn:service:sos").expect("a URI");
        assert_eq!(
            Aor::from_uri(&uri, false).map_err(|fault| fault.status),
            Err(StatusCode::UNSUPPORTED_URI_SCHEME)
        );
    }
}
