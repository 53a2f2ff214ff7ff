//! The header section of a message: ranges into the message's own bytes, and typed access to them.
//! Look-up is by [`HeaderName`]; nothing is taken apart before it is asked for.

use crate::header::list::{split, split_text};
use crate::header::number::{digits, retry_after};
use crate::header::text::has_controls;
use crate::scan::Line;
use crate::{CSeq, Event, HeaderName, MediaType, NameAddr, ParseError, Via, encode};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;

/// The headers of one message. Clones share the bytes.
#[derive(Clone)]
pub struct Headers {
    bytes: Bytes,
    lines: Arc<[Line]>,
}

impl Headers {
    pub(crate) fn new(bytes: Vec<u8>, lines: &[Line]) -> Headers {
        Headers {
            bytes: Bytes::from(bytes),
            lines: Arc::from(lines),
        }
    }

    /// The first line of that header.
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.header_lines(name).next()
    }

    /// The same as text; `None` also when it is not UTF-8 or contains NUL.
    pub fn header_str(&self, name: HeaderName) -> Option<&str> {
        std::str::from_utf8(self.header(name)?)
            .ok()
            .filter(|text| !text.contains('\0'))
    }

    /// All lines of that header, in order.
    pub fn header_lines(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.lines
            .iter()
            .filter(move |line| line.name == name)
            .map(|line| line.value.of(&self.bytes))
    }

    /// The first line of a header by its text, for those that [`HeaderName`] does not know.
    pub fn header_named(&self, name: &str) -> Option<&[u8]> {
        let known = HeaderName::from_bytes(name.as_bytes());
        if known != HeaderName::Other {
            return self.header(known);
        }
        let mut lines = self
            .lines
            .iter()
            .filter(|line| line.name == HeaderName::Other);
        let line = lines.find(|line| {
            line.written
                .of(&self.bytes)
                .eq_ignore_ascii_case(name.as_bytes())
        })?;
        Some(line.value.of(&self.bytes))
    }

    /// All headers in wire order: canonical name (or the name as written) and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines
            .iter()
            .map(|line| (self.name_of(line), line.value.of(&self.bytes)))
    }

    /// All Via values, top first, whatever lines they stand in.
    ///
    /// # Errors
    /// Via is missing or one is malformed.
    pub fn vias(&self) -> Result<Vec<Via>, ParseError> {
        self.elements(HeaderName::Via, Via::parse).and_then(|vias| {
            if vias.is_empty() {
                Err(missing(HeaderName::Via))
            } else {
                Ok(vias)
            }
        })
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn top_via(&self) -> Result<Via, ParseError> {
        let line = self
            .header(HeaderName::Via)
            .ok_or_else(|| missing(HeaderName::Via))?;
        let first = split(line, b',').next().unwrap_or_default();
        typed(HeaderName::Via, first.trim_ascii(), Via::parse)
    }

    /// The bottom Via: that of whoever made the request. Proxies put theirs on top of it.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn bottom_via(&self) -> Result<Via, ParseError> {
        let line = self
            .header_lines(HeaderName::Via)
            .last()
            .ok_or_else(|| missing(HeaderName::Via))?;
        let last = split(line, b',').last().unwrap_or_default();
        typed(HeaderName::Via, last.trim_ascii(), Via::parse)
    }

    /// From.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn from(&self) -> Result<NameAddr, ParseError> {
        self.mandatory(HeaderName::From, NameAddr::parse)
    }

    /// To.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn to(&self) -> Result<NameAddr, ParseError> {
        self.mandatory(HeaderName::To, NameAddr::parse)
    }

    /// Call-ID.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn call_id(&self) -> Result<&str, ParseError> {
        let value = self
            .single(HeaderName::CallId)?
            .ok_or_else(|| missing(HeaderName::CallId))?;
        let text = std::str::from_utf8(value).ok();
        let is_call_id = |text: &&str| {
            !text.is_empty() && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7F)
        };
        text.filter(is_call_id)
            .ok_or_else(|| malformed(HeaderName::CallId))
    }

    /// CSeq.
    ///
    /// # Errors
    /// It is missing, doubled or malformed.
    pub fn cseq(&self) -> Result<CSeq, ParseError> {
        self.mandatory(HeaderName::CSeq, CSeq::parse)
    }

    /// The first Contact.
    ///
    /// # Errors
    /// It is malformed, or `*`.
    pub fn contact(&self) -> Result<Option<NameAddr>, ParseError> {
        let Some(line) = self.header(HeaderName::Contact) else {
            return Ok(None);
        };
        let first = split(line, b',').next().unwrap_or_default();
        typed(HeaderName::Contact, first.trim_ascii(), NameAddr::parse).map(Some)
    }

    /// All Contacts.
    ///
    /// # Errors
    /// One is malformed, or `*`.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, ParseError> {
        self.elements(HeaderName::Contact, NameAddr::parse)
    }

    /// Whom a trusted peer says that the request is from (RFC 3325 section 9.1): one or two values, a SIP and a tel URI.
    ///
    /// # Errors
    /// One is malformed, or the header is there without any.
    pub fn asserted_identities(&self) -> Result<Vec<NameAddr>, ParseError> {
        self.elements(HeaderName::PAssertedIdentity, NameAddr::parse)
    }

    /// The Record-Route values as written, top first.
    ///
    /// # Errors
    /// One is malformed.
    pub fn record_route(&self) -> Result<Vec<String>, ParseError> {
        self.elements(HeaderName::RecordRoute, |text| {
            let route = NameAddr::parse(text)?;
            // What is stored and sent on as it is must be text that can be stored and sent on.
            if has_controls(&route.raw) {
                Err(ParseError::new("Bad Record-Route"))
            } else {
                Ok(route.raw)
            }
        })
    }

    /// The Route values, top first.
    ///
    /// # Errors
    /// One is malformed.
    pub fn route(&self) -> Result<Vec<NameAddr>, ParseError> {
        self.elements(HeaderName::Route, NameAddr::parse)
    }

    /// Event.
    ///
    /// # Errors
    /// It is doubled or malformed.
    pub fn event(&self) -> Result<Option<Event>, ParseError> {
        self.optional(HeaderName::Event, Event::parse)
    }

    /// Expires in seconds.
    ///
    /// # Errors
    /// It is doubled, malformed or above 2^32-1.
    pub fn expires(&self) -> Result<Option<u32>, ParseError> {
        self.seconds(HeaderName::Expires, digits)
    }

    /// Min-Expires in seconds.
    ///
    /// # Errors
    /// It is malformed or above 2^32-1.
    pub fn min_expires(&self) -> Result<Option<u32>, ParseError> {
        self.seconds(HeaderName::MinExpires, digits)
    }

    /// The seconds of Retry-After; its comment and parameters are ignored.
    ///
    /// # Errors
    /// It is malformed or above 2^32-1.
    pub fn retry_after(&self) -> Result<Option<u32>, ParseError> {
        self.seconds(HeaderName::RetryAfter, retry_after)
    }

    /// Content-Type.
    ///
    /// # Errors
    /// It is doubled or malformed.
    pub fn content_type(&self) -> Result<Option<MediaType>, ParseError> {
        self.optional(HeaderName::ContentType, MediaType::parse)
    }

    /// Accept; `None` without the header, empty when the header is empty. What can be read is read ([`MediaType::in_disorder`]), the rest
    /// is left out; of a header in which nothing can be read nothing is known.
    pub fn accept(&self) -> Option<Vec<MediaType>> {
        self.header(HeaderName::Accept)?;
        let mut ranges = Vec::new();
        let mut is_empty = true;
        for line in self.header_lines(HeaderName::Accept) {
            // Unlike other lists, this one may be empty (RFC 3261 section 20.1).
            for range in
                split_text(&String::from_utf8_lossy(line), b',').filter(|range| !range.is_empty())
            {
                is_empty = false;
                match MediaType::parse(range) {
                    Ok(range) => ranges.push(range),
                    Err(_) => ranges.extend(MediaType::in_disorder(range)),
                }
            }
        }
        (is_empty || !ranges.is_empty()).then_some(ranges)
    }

    /// Option tags of Require.
    pub fn require(&self) -> Vec<String> {
        self.option_tags(HeaderName::Require)
    }

    /// Option tags of Supported.
    pub fn supported(&self) -> Vec<String> {
        self.option_tags(HeaderName::Supported)
    }

    /// SIP-ETag (RFC 3903).
    pub fn sip_etag(&self) -> Option<&str> {
        self.header_str(HeaderName::SipETag)
    }

    /// Max-Forwards.
    ///
    /// # Errors
    /// It is malformed or above 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        let Some(value) = self.single(HeaderName::MaxForwards)? else {
            return Ok(None);
        };
        let hops = digits(value).and_then(|hops| u8::try_from(hops).ok());
        hops.map(Some)
            .ok_or_else(|| malformed(HeaderName::MaxForwards))
    }

    /// User-Agent, if it is text without control characters.
    pub fn user_agent(&self) -> Option<&str> {
        self.header_str(HeaderName::UserAgent)
            .filter(|text| !has_controls(text))
    }

    // === what the accessors share ===

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The canonical name of a line, or its name as written (a token, so ASCII).
    fn name_of(&self, line: &Line) -> &str {
        match line.name {
            HeaderName::Other => {
                std::str::from_utf8(line.written.of(&self.bytes)).unwrap_or_default()
            }
            known => known.as_str(),
        }
    }

    /// Headers with their name and enum, for those that write messages.
    pub(crate) fn named(&self) -> impl Iterator<Item = (HeaderName, &str, &[u8])> {
        self.lines
            .iter()
            .map(|line| (line.name, self.name_of(line), line.value.of(&self.bytes)))
    }

    /// Appends all headers but Content-Length.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (_, name, value) in self
            .named()
            .filter(|(header, ..)| *header != HeaderName::ContentLength)
        {
            encode::header(out, name, value);
        }
    }

    /// The only value of a header. The same value twice is not a contradiction.
    pub(crate) fn single(&self, name: HeaderName) -> Result<Option<&[u8]>, ParseError> {
        let mut lines = self.header_lines(name);
        let first = lines.next();
        if lines.any(|other| Some(other) != first) {
            return Err(ParseError::new("Contradictory header fields").in_header(name));
        }
        Ok(first)
    }

    fn optional<T>(
        &self,
        name: HeaderName,
        parse: impl Fn(&str) -> Result<T, ParseError>,
    ) -> Result<Option<T>, ParseError> {
        self.single(name)?
            .map(|value| typed(name, value, parse))
            .transpose()
    }

    fn mandatory<T>(
        &self,
        name: HeaderName,
        parse: impl Fn(&str) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        self.optional(name, parse)?.ok_or_else(|| missing(name))
    }

    fn seconds(
        &self,
        name: HeaderName,
        parse: impl Fn(&[u8]) -> Option<u32>,
    ) -> Result<Option<u32>, ParseError> {
        let Some(value) = self.single(name)? else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or_else(|| malformed(name))
    }

    /// All elements of a list header, whatever lines they stand in.
    fn elements<T>(
        &self,
        name: HeaderName,
        parse: impl Fn(&str) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut elements = Vec::new();
        for line in self.header_lines(name) {
            for element in split(line, b',') {
                elements.push(typed(name, element.trim_ascii(), &parse)?);
            }
        }
        Ok(elements)
    }

    fn option_tags(&self, name: HeaderName) -> Vec<String> {
        let tags = self.header_lines(name).flat_map(|line| split(line, b','));
        tags.map(|tag| String::from_utf8_lossy(tag.trim_ascii()).into_owned())
            .filter(|tag| !tag.is_empty())
            .collect()
    }
}

/// Bytes that are not UTF-8 become U+FFFD: they may stand in a display name without making an address unusable.
fn typed<T>(
    name: HeaderName,
    value: &[u8],
    parse: impl Fn(&str) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let text: Cow<'_, str> = String::from_utf8_lossy(value);
    parse(&text).map_err(|fault| blame(name, fault))
}

fn blame(name: HeaderName, fault: ParseError) -> ParseError {
    ParseError {
        reason: malformed(name).reason,
        header: Some(name),
        ..fault
    }
}

fn missing(name: HeaderName) -> ParseError {
    let reason = match name {
        HeaderName::Via => "Missing Via",
        HeaderName::From => "Missing From",
        HeaderName::To => "Missing To",
        HeaderName::CallId => "Missing Call-ID",
        HeaderName::CSeq => "Missing CSeq",
        _ => "Missing header field",
    };
    ParseError::new(reason).in_header(name)
}

fn malformed(name: HeaderName) -> ParseError {
    let reason = match name {
        HeaderName::Via => "Bad Via",
        HeaderName::From => "Bad From",
        HeaderName::To => "Bad To",
        HeaderName::CallId => "Bad Call-ID",
        HeaderName::CSeq => "Bad CSeq",
        HeaderName::Contact => "Bad Contact",
        HeaderName::Route => "Bad Route",
        HeaderName::RecordRoute => "Bad Record-Route",
        HeaderName::Event => "Bad Event",
        HeaderName::Expires => "Bad Expires",
        HeaderName::MinExpires => "Bad Min-Expires",
        HeaderName::RetryAfter => "Bad Retry-After",
        HeaderName::ContentType => "Bad Content-Type",
        HeaderName::Accept => "Bad Accept",
        HeaderName::MaxForwards => "Bad Max-Forwards",
        HeaderName::PAssertedIdentity => "Bad P-Asserted-Identity",
        _ => "Bad header field",
    };
    ParseError::new(reason).in_header(name)
}
