//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, Record-Route, P-Asserted-Identity
//! (RFC 3261 sections 20.10, 20.20, 25.1).
use super::Params;
use crate::{ParseError, Uri};

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
}

impl NameAddr {
    /// Reads one address.
    ///
    /// # Errors
    /// The display name, the URI or a parameter is malformed.
    pub fn parse(_text: &str) -> Result<NameAddr, ParseError> {
        todo!()
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }

    /// The value of a header parameter; `Some("")` for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.find(name).map(Option::unwrap_or_default)
    }

    /// The address without header parameters.
    pub fn raw_addr(&self) -> &str {
        todo!()
    }
}
