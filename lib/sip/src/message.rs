//! Messages: one datagram, or one frame of a stream, read into a request or a response.
use crate::{Headers, Limits, Method, ParseError, StatusCode, Uri};
use std::ops::Deref;

/// A request or a response.
#[derive(Clone, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request: method, R-URI, headers (through `Deref`), body. Clones share the bytes.
#[derive(Clone)]
pub struct Request {
    method: Method,
    headers: Headers,
}

/// A response: status, headers (through `Deref`), body. Clones share the bytes.
#[derive(Clone)]
pub struct Response {
    status: StatusCode,
    headers: Headers,
}

/// Reads one datagram or one frame.
///
/// # Errors
/// It is not a SIP message, or exceeds a limit. `answerable` says whether the sender can be told.
#[expect(clippy::todo, reason = "filled next")]
pub fn parse_datagram(_bytes: Vec<u8>, _limits: &Limits) -> Result<Message, ParseError> {
    todo!()
}

#[expect(clippy::todo, reason = "filled next")]
impl Request {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as written.
    pub fn uri(&self) -> &str {
        todo!()
    }

    /// The Request-URI taken apart.
    ///
    /// # Errors
    /// It is not a URI.
    pub fn parsed_uri(&self) -> Result<Uri, ParseError> {
        Uri::parse(self.uri())
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &[u8] {
        todo!()
    }

    /// RFC 3261 section 8.1.1: the mandatory headers are there and well-formed, single ones do not contradict
    /// themselves, CSeq names the request's method.
    ///
    /// # Errors
    /// The first fault.
    pub fn check_mandatory(&self) -> Result<(), ParseError> {
        todo!()
    }

    /// The request in canonical form: full header names, no folds, true Content-Length last.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}

#[expect(clippy::todo, reason = "filled next")]
impl Response {
    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase as received.
    pub fn reason(&self) -> &str {
        todo!()
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &[u8] {
        todo!()
    }

    /// The response in canonical form.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}

impl Deref for Request {
    type Target = Headers;
    fn deref(&self) -> &Headers {
        &self.headers
    }
}

impl Deref for Response {
    type Target = Headers;
    fn deref(&self) -> &Headers {
        &self.headers
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}
