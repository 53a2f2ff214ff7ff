//! SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966); others are kept as raw text. The raw text is never changed:
//! route sets and Contacts have to go back exactly as they came.

use crate::host::host_and_port;
use crate::{Host, ParseError, Transport, work};
use std::borrow::Cow;
use std::fmt;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`: the number is the user, the host is empty.
    Tel,
    /// Anything else: only `raw` is filled.
    Other,
}

/// A URI, taken apart, with its raw text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user as written, escapes and all.
    pub user: Option<String>,
    /// The password as written.
    pub password: Option<String>,
    /// The host; an empty domain where there is none.
    pub host: Host,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// URI parameters as written, in order.
    pub params: Vec<(String, Option<String>)>,
    /// The text after `?`.
    pub headers: Option<String>,
    /// The whole URI as written.
    pub raw: String,
}

impl Uri {
    /// Reads a URI.
    ///
    /// # Errors
    /// It is not one. An unknown scheme is not an error.
    pub fn parse(text: &str) -> Result<Uri, ParseError> {
        let fault = |at: usize| ParseError::new("Bad URI").at(at);
        check_characters(text)?;
        let (scheme, rest) = text.split_once(':').ok_or_else(|| fault(0))?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if !is_scheme || rest.is_empty() {
            return Err(fault(0));
        }
        let mut uri = Uri {
            scheme: match scheme {
                _ if scheme.eq_ignore_ascii_case("sip") => Scheme::Sip,
                _ if scheme.eq_ignore_ascii_case("sips") => Scheme::Sips,
                _ if scheme.eq_ignore_ascii_case("tel") => Scheme::Tel,
                _ => Scheme::Other,
            },
            user: None,
            password: None,
            host: Host::Domain(String::new()),
            port: None,
            params: Vec::new(),
            headers: None,
            raw: text.to_owned(),
        };
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => {
                uri.read_sip(rest).ok_or_else(|| fault(scheme.len() + 1))?
            }
            Scheme::Tel => uri.read_tel(rest).ok_or_else(|| fault(scheme.len() + 1))?,
            Scheme::Other => {}
        }
        Ok(uri)
    }

    /// `[user[:password]@]host[:port]*(;param)[?headers]`. The user may hold `;`, `?` and `/`, so `@` comes first.
    fn read_sip(&mut self, rest: &str) -> Option<()> {
        let rest = match rest.split_once('@') {
            Some((userinfo, rest)) => {
                let (user, password) = match userinfo.split_once(':') {
                    Some((user, password)) => (user, Some(password.to_owned())),
                    None => (userinfo, None),
                };
                if user.is_empty() || rest.contains('@') {
                    return None;
                }
                self.user = Some(user.to_owned());
                self.password = password;
                rest
            }
            None => rest,
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        self.headers = headers;
        let (address, params) = rest.split_once(';').unwrap_or((rest, ""));
        (self.host, self.port) = host_and_port(address)?;
        self.read_params(params)
    }

    /// `number*(;param)`, RFC 3966 section 3.
    fn read_tel(&mut self, rest: &str) -> Option<()> {
        let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
        let is_number = number
            .bytes()
            .any(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#'))
            && number.bytes().all(|byte| {
                byte.is_ascii_hexdigit()
                    || matches!(byte, b'+' | b'*' | b'#' | b'-' | b'.' | b'(' | b')')
            });
        if !is_number {
            return None;
        }
        self.user = Some(number.to_owned());
        self.read_params(params)
    }

    fn read_params(&mut self, text: &str) -> Option<()> {
        for param in text.split(';').filter(|param| !param.is_empty()) {
            let (name, value) = match param.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (param, None),
            };
            if name.is_empty() {
                return None;
            }
            self.params.push((name.to_owned(), value));
        }
        Some(())
    }

    /// The `transport` parameter, if it names one that we know.
    pub fn transport(&self) -> Option<Transport> {
        unescape(self.param("transport")?).parse().ok()
    }

    /// Whether it has the `lr` parameter (RFC 3261 section 19.1.1).
    pub fn is_loose_route(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The value of a URI parameter as written; `Some("")` for a flag. Escaped names count (`;%6C%72` is `lr`).
    pub fn param(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .params
            .iter()
            .find(|(key, _)| unescape(key).eq_ignore_ascii_case(name))?;
        Some(value.as_deref().unwrap_or_default())
    }

    /// The host as text, IPv6 in brackets.
    pub fn host_str(&self) -> String {
        self.host.to_string()
    }

    /// The URI as it may stand in a Request-URI: without headers and `method` parameter (RFC 3261 section 19.1.1, table 1).
    pub(crate) fn request_uri(&self) -> Cow<'_, str> {
        let is_sip = matches!(self.scheme, Scheme::Sip | Scheme::Sips);
        if !is_sip || (self.headers.is_none() && self.param("method").is_none()) {
            return Cow::Borrowed(&self.raw);
        }
        // What comes before the parameters has no `?` and no `;` outside of the user.
        let after_user = self.raw.find('@').map_or(0, |at| at + 1);
        let end = self.raw[after_user..]
            .find([';', '?'])
            .map_or(self.raw.len(), |at| after_user + at);
        let mut text = self.raw[..end].to_owned();
        for (name, value) in self
            .params
            .iter()
            .filter(|(name, _)| !unescape(name).eq_ignore_ascii_case("method"))
        {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        Cow::Owned(text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// No controls, spaces, quotes or angle brackets; `%` only before two hexadecimal digits. Text that is not ASCII passes.
fn check_characters(text: &str) -> Result<(), ParseError> {
    work::note(text.len());
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let is_good = match byte {
            b'%' => bytes
                .get(index + 1..index + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
            b'"' | b'<' | b'>' | 0x7F => false,
            byte => *byte > b' ',
        };
        if !is_good {
            return Err(ParseError::new("Bad character in URI").at(index));
        }
    }
    Ok(())
}

/// RFC 3261 section 19.1.4: "Characters other than those in the reserved set are equivalent to their %HH encoding".
/// Escapes of unreserved characters are decoded, other escapes get upper-case digits, and what may not stand unescaped
/// (text that is not ASCII) is escaped, so that equivalent users are equal strings.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && byte != b'%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let escaped = (*byte == b'%')
            .then(|| bytes.get(index + 1..index + 3).and_then(hex))
            .flatten();
        match escaped {
            Some(decoded) if is_unreserved(decoded) => out.push(char::from(decoded)),
            Some(decoded) => out.push_str(&format!("%{decoded:02X}")),
            None if byte.is_ascii() => out.push(char::from(*byte)),
            None => out.push_str(&format!("%{byte:02X}")),
        }
        index += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

pub(crate) fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match digits {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_uris() {
        for (text, user, password, host, port, headers) in [
            (
                "sip:alice.smith@example.com",
                Some("alice.smith"),
                None,
                "example.com",
                None,
                None,
            ),
            (
                "sip:bob@[2001:db8::1]:5070",
                Some("bob"),
                None,
                "[2001:db8::1]",
                Some(5070),
                None,
            ),
            ("sip:[2001:db8::1]", None, None, "[2001:db8::1]", None, None),
            ("SIP:example.com", None, None, "example.com", None, None),
            (
                "sips:a:pw@h:1;transport=tcp?Subject=x&a=b",
                Some("a"),
                Some("pw"),
                "h",
                Some(1),
                Some("Subject=x&a=b"),
            ),
            (
                "sip:user;par=u%40example.net@example.com",
                Some("user;par=u%40example.net"),
                None,
                "example.com",
                None,
                None,
            ),
            (
                "sip:sips%3Auser%40example.com@example.net",
                Some("sips%3Auser%40example.com"),
                None,
                "example.net",
                None,
                None,
            ),
            ("sip:a?b/c;d@h", Some("a?b/c;d"), None, "h", None, None),
            (
                "sip:null-%00-null@h",
                Some("null-%00-null"),
                None,
                "h",
                None,
                None,
            ),
            (
                "sip:bob@h;gr=urn:uuid:f81d4fae-7dec",
                Some("bob"),
                None,
                "h",
                None,
                None,
            ),
            ("sip:jürgen@h", Some("jürgen"), None, "h", None, None),
        ] {
            let uri = Uri::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!(
                (
                    uri.user.as_deref(),
                    uri.password.as_deref(),
                    uri.host_str().as_str(),
                    uri.port,
                    uri.headers.as_deref()
                ),
                (user, password, host, port, headers),
                "{text}"
            );
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn parameters() {
        let uri = Uri::parse("sip:h;%6C%72;n%61me=v%61lue%25%34%31;transport=TCP;x=;ob")
            .expect("well-formed");
        assert!(uri.is_loose_route());
        assert_eq!(uri.transport(), Some(Transport::Tcp));
        assert_eq!(
            (
                uri.param("name"),
                uri.param("OB"),
                uri.param("x"),
                uri.param("y")
            ),
            (Some("v%61lue%25%34%31"), Some(""), Some(""), None)
        );
        assert_eq!(
            Uri::parse("sip:h;transport=sctp").map(|uri| uri.transport()),
            Ok(None)
        );
    }

    #[test]
    fn other_schemes() {
        let tel = Uri::parse("tel:+1-(555).12;phone-context=x").expect("well-formed");
        assert_eq!(
            (tel.scheme, tel.user.as_deref(), tel.host_str().as_str()),
            (Scheme::Tel, Some("+1-(555).12"), "")
        );
        for text in [
            "urn:service:sos",
            "pres:bob@example.com",
            "soap.beep://192.0.2.103:3002",
            "nobodyKnowsThisScheme:totallyopaquecontent",
        ] {
            assert_eq!(
                Uri::parse(text).map(|uri| (uri.scheme, uri.raw)),
                Ok((Scheme::Other, text.to_owned()))
            );
        }
    }

    #[test]
    fn faults() {
        for text in [
            "",
            "alice",
            "sip:",
            ":x",
            "1sip:h",
            "<sip:a@h>",
            "sip:a b@h",
            "sip:@h",
            "sip:a@",
            "sip:a@b@c",
            "sip:a@h:",
            "sip:a@h:x",
            "sip:a@h:99999",
            "sip:a@[::1",
            "sip:a%zz@h",
            "sip:a%4@h",
            "sip:a@h;=x",
            "sip:a\"@h",
            "sip:a\0@h",
            "sip:a@h\r\nX: y",
            "tel:",
            "tel:abc-xyz",
            "tel:;x",
            "sip:a@h,b",
        ] {
            assert!(Uri::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn request_uris_have_no_headers_and_no_method() {
        for (text, expected) in [
            ("sip:a@h;transport=tcp", "sip:a@h;transport=tcp"),
            (
                "sip:a;b?c@h:1;method=REFER;x=y;z?Route=%3Csip:e%3E",
                "sip:a;b?c@h:1;x=y;z",
            ),
            ("sip:h?a=b", "sip:h"),
            ("tel:1;method=x", "tel:1;method=x"),
        ] {
            assert_eq!(
                Uri::parse(text).map(|uri| uri.request_uri().into_owned()),
                Ok(expected.to_owned())
            );
        }
    }
}
