//! SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966); others are kept as raw text.
use crate::{Host, ParseError, Transport};
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
    /// It is not one. An unknown scheme is no error.
    pub fn parse(_text: &str) -> Result<Uri, ParseError> {
        todo!()
    }

    /// The `transport` parameter, if it names one that we know.
    pub fn transport(&self) -> Option<Transport> {
        self.param("transport")?.parse().ok()
    }

    /// Whether it has the `lr` parameter (RFC 3261 section 19.1.1).
    pub fn is_loose_route(&self) -> bool {
        self.param("lr").is_some()
    }

    /// The value of a URI parameter; `Some("")` for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// The host as text, IPv6 in brackets.
    pub fn host_str(&self) -> String {
        self.host.to_string()
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}
