//! Stateless replies (RFC 3261 sections 8.2.6 and 18.2, RFC 3581).
use crate::{ParseError, Request, StatusCode};
use core::net::SocketAddr;

/// A response under construction.
pub struct Reply<'a> {
    request: &'a Request,
    status: StatusCode,
}

#[expect(clippy::todo, reason = "filled next")]
impl<'a> Reply<'a> {
    /// A reply to `request`.
    pub fn new(request: &'a Request, status: StatusCode) -> Reply<'a> {
        Reply { request, status }
    }

    /// Another reason phrase than the status code's own.
    #[must_use]
    pub fn reason(self, _reason: &str) -> Reply<'a> {
        todo!()
    }

    /// The To-tag, used only if the request's To has none.
    #[must_use]
    pub fn to_tag(self, _tag: &str) -> Reply<'a> {
        todo!()
    }

    /// Appends a header. CR and LF in it become spaces.
    #[must_use]
    pub fn header(self, _name: &str, _value: &str) -> Reply<'a> {
        todo!()
    }

    /// The body.
    #[must_use]
    pub fn body(self, _content_type: &str, _body: &[u8]) -> Reply<'a> {
        todo!()
    }

    /// The bytes of the response to a request that came from `source`.
    pub fn encode(&self, _source: SocketAddr) -> Vec<u8> {
        let _ = (self.request, self.status);
        todo!()
    }
}

/// Where a response over UDP goes (RFC 3261 section 18.2.2, RFC 3581 section 4).
///
/// # Errors
/// The top Via is missing or malformed.
#[expect(clippy::todo, reason = "filled next")]
pub fn reply_target(_request: &Request, _source: SocketAddr) -> Result<SocketAddr, ParseError> {
    todo!()
}
