//! Why a message, or a part of it, could not be understood.

use crate::{HeaderName, Request, StatusCode};

/// A fault of the peer's text. Says which header it is in, how to answer it, and whether it can be answered at all.
/// The peer's bytes are not in it, so it can be logged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// Fit for a reason phrase or a log line, for example `Bad Contact`.
    pub reason: &'static str,
    /// The header at fault, if it is one.
    pub header: Option<HeaderName>,
    /// Byte offset of the fault: in the message for framing faults, in the value for a header's or a URI's.
    pub offset: usize,
    /// The status to answer with: mostly 400; 413, 416, 505, 513 where they fit.
    pub status: StatusCode,
    /// What could be read of a request, enough to answer it by [`crate::Reply`]. `None`: drop the message.
    pub answerable: Option<Box<Request>>,
}

impl ParseError {
    /// A fault answered by 400.
    pub(crate) fn new(reason: &'static str) -> ParseError {
        ParseError {
            reason,
            header: None,
            offset: 0,
            status: StatusCode::BAD_REQUEST,
            answerable: None,
        }
    }

    pub(crate) fn at(mut self, offset: usize) -> ParseError {
        self.offset = offset;
        self
    }

    pub(crate) fn status(mut self, status: StatusCode) -> ParseError {
        self.status = status;
        self
    }

    pub(crate) fn in_header(mut self, header: HeaderName) -> ParseError {
        self.header = Some(header);
        self
    }
}

/// Two faults are equal when they say the same; the request that came with them does not count.
impl PartialEq for ParseError {
    fn eq(&self, other: &ParseError) -> bool {
        (self.reason, self.header, self.offset, self.status)
            == (other.reason, other.header, other.offset, other.status)
    }
}

impl Eq for ParseError {}
