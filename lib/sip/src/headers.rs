//! The header section of a message: ranges into the message's own bytes, and typed access to them.
use crate::{CSeq, Event, HeaderName, MediaType, NameAddr, ParseError, Via};
use bytes::Bytes;
use std::sync::Arc;

/// The headers of one message. Clones share the bytes.
#[derive(Clone)]
pub struct Headers {
    bytes: Bytes,
    lines: Arc<[Line]>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: HeaderName,
}

#[expect(clippy::todo, reason = "filled next")]
impl Headers {
    /// The first line of that header.
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.header_lines(name).next()
    }

    /// The same as text; `None` also when it is not UTF-8 or contains NUL.
    pub fn header_str(&self, name: HeaderName) -> Option<&str> {
        let _ = (name, &self.bytes, &self.lines);
        todo!()
    }

    /// All lines of that header, in order.
    pub fn header_lines(&self, _name: HeaderName) -> impl Iterator<Item = &[u8]> {
        std::iter::empty()
    }

    /// The first line of a header by its text, for those that [`HeaderName`] does not know.
    pub fn header_named(&self, _name: &str) -> Option<&[u8]> {
        todo!()
    }

    /// All headers in wire order: canonical name (or the name as written) and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        std::iter::empty()
    }

    /// All Via values, top first, whatever lines they stand in.
    ///
    /// # Errors
    /// Via is missing or one is malformed.
    pub fn vias(&self) -> Result<Vec<Via>, ParseError> {
        todo!()
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn top_via(&self) -> Result<Via, ParseError> {
        todo!()
    }

    /// From.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    #[expect(clippy::wrong_self_convention, reason = "the header's name")]
    pub fn from(&self) -> Result<NameAddr, ParseError> {
        todo!()
    }

    /// To.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn to(&self) -> Result<NameAddr, ParseError> {
        todo!()
    }

    /// Call-ID.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn call_id(&self) -> Result<&str, ParseError> {
        todo!()
    }

    /// CSeq.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn cseq(&self) -> Result<CSeq, ParseError> {
        todo!()
    }

    /// The first Contact.
    ///
    /// # Errors
    /// It is malformed, or `*`.
    pub fn contact(&self) -> Result<Option<NameAddr>, ParseError> {
        todo!()
    }

    /// All Contacts.
    ///
    /// # Errors
    /// One is malformed, or `*`.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, ParseError> {
        todo!()
    }

    /// The Record-Route values as written, top first.
    ///
    /// # Errors
    /// One is malformed.
    pub fn record_route(&self) -> Result<Vec<String>, ParseError> {
        todo!()
    }

    /// The Route values, top first.
    ///
    /// # Errors
    /// One is malformed.
    pub fn route(&self) -> Result<Vec<NameAddr>, ParseError> {
        todo!()
    }

    /// P-Asserted-Identity (RFC 3325).
    ///
    /// # Errors
    /// One is malformed.
    pub fn asserted_identities(&self) -> Result<Vec<NameAddr>, ParseError> {
        todo!()
    }

    /// Event.
    ///
    /// # Errors
    /// It is doubled or malformed.
    pub fn event(&self) -> Result<Option<Event>, ParseError> {
        todo!()
    }

    /// Expires in seconds.
    ///
    /// # Errors
    /// It is doubled, malformed or above 2^32-1.
    pub fn expires(&self) -> Result<Option<u32>, ParseError> {
        todo!()
    }

    /// Min-Expires in seconds.
    ///
    /// # Errors
    /// It is malformed or above 2^32-1.
    pub fn min_expires(&self) -> Result<Option<u32>, ParseError> {
        todo!()
    }

    /// The seconds of Retry-After; its comment and parameters are ignored.
    ///
    /// # Errors
    /// It is malformed or above 2^32-1.
    pub fn retry_after(&self) -> Result<Option<u32>, ParseError> {
        todo!()
    }

    /// Content-Type.
    ///
    /// # Errors
    /// It is doubled or malformed.
    pub fn content_type(&self) -> Result<Option<MediaType>, ParseError> {
        todo!()
    }

    /// Accept; `None` without the header, empty when the header is empty.
    ///
    /// # Errors
    /// A range is malformed.
    pub fn accept(&self) -> Result<Option<Vec<MediaType>>, ParseError> {
        todo!()
    }

    /// Option tags of Require.
    pub fn require(&self) -> Vec<String> {
        todo!()
    }

    /// Option tags of Supported.
    pub fn supported(&self) -> Vec<String> {
        todo!()
    }

    /// SIP-If-Match (RFC 3903).
    pub fn sip_if_match(&self) -> Option<&str> {
        todo!()
    }

    /// SIP-ETag (RFC 3903).
    pub fn sip_etag(&self) -> Option<&str> {
        todo!()
    }

    /// Max-Forwards.
    ///
    /// # Errors
    /// It is malformed or above 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        todo!()
    }

    /// User-Agent.
    pub fn user_agent(&self) -> Option<&str> {
        todo!()
    }
}
