//! Messages: one datagram, or one frame of a stream, read into a request or a response (RFC 3261 section 7).
//! Reading makes no string and allocates per message, not per header; values are taken apart when asked for.

use crate::header::text::is_token;
use crate::scan::{Head, Span, scan};
use crate::{HeaderName, Headers, Limits, Method, ParseError, Scheme, StatusCode, Uri, encode};
use bytes::Bytes;
use std::fmt;
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
    uri: Span,
    headers: Headers,
    body: Span,
}

/// A response: status, headers (through `Deref`), body. Clones share the bytes.
#[derive(Clone)]
pub struct Response {
    status: StatusCode,
    reason: Span,
    headers: Headers,
    body: Span,
}

/// Reads one datagram or one frame. What follows the body of a datagram is ignored (RFC 3261 section 18.3).
///
/// # Errors
/// It is not a SIP message, or exceeds a limit. `answerable` says whether the sender can be answered.
pub fn parse_datagram(mut bytes: Vec<u8>, limits: &Limits) -> Result<Message, ParseError> {
    let too_large = ParseError::new("Message Too Large").status(StatusCode::MESSAGE_TOO_LARGE);
    if u32::try_from(bytes.len()).is_err() {
        return Err(too_large);
    }
    let limits = &limits.of(&bytes);
    let head = scan(&mut bytes, limits);
    let body = if bytes.len() > limits.message_bytes {
        Err(too_large)
    } else {
        head.body(&bytes, limits)
    };
    let start_line = head.start_line.of(&bytes);
    if start_line
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
    {
        return response(bytes, head, body).map(Message::Response);
    }
    request(bytes, head, body).map(Message::Request)
}

fn response(
    bytes: Vec<u8>,
    head: Head,
    body: Result<Span, ParseError>,
) -> Result<Response, ParseError> {
    let at = head.start_line.start();
    let fault = || ParseError::new("Bad Status-Line").at(at);
    let line = head.start_line.of(&bytes);
    // `SIP-Version SP 3DIGIT SP Reason-Phrase`; some leave the second space away where there is no phrase.
    if !line
        .get(..8)
        .is_some_and(|version| version.eq_ignore_ascii_case(b"SIP/2.0"))
        && !line[..line.len().min(7)].eq_ignore_ascii_case(b"SIP/2.0")
    {
        return Err(fault().status(StatusCode::VERSION_NOT_SUPPORTED));
    }
    let rest = line[7..].strip_prefix(b" ").ok_or_else(fault)?;
    let (code, phrase_start) = match rest.iter().position(|byte| *byte == b' ') {
        Some(space) => (&rest[..space], space + 1),
        None => (rest, rest.len()),
    };
    let status = (code.len() == 3)
        .then(|| crate::header::number::digits(code))
        .flatten();
    let status = status
        .and_then(|code| StatusCode::new(code as u16))
        .ok_or_else(fault)?;
    let reason = Span::new(at + 8 + phrase_start, at + line.len());
    if let Some(fault) = head.fault {
        return Err(fault);
    }
    Ok(Response {
        status,
        reason,
        body: body?,
        headers: Headers::new(bytes, &head.lines),
    })
}

fn request(
    bytes: Vec<u8>,
    head: Head,
    body: Result<Span, ParseError>,
) -> Result<Request, ParseError> {
    let (method, uri, fault) = request_line(&bytes, head.start_line)?;
    let (body, body_fault) = match body {
        Ok(body) => (body, None),
        Err(fault) => (Span::default(), Some(fault)),
    };
    let fault = fault.or(head.fault).or(body_fault);
    let request = Request {
        method,
        uri,
        headers: Headers::new(bytes, &head.lines),
        body,
    };
    match fault {
        None => Ok(request),
        Some(mut fault) => {
            fault.answerable = request.top_via().is_ok().then(|| Box::new(request));
            Err(fault)
        }
    }
}

/// `Method SP Request-URI SP SIP-Version`, with the fault of a line that is one in intent only.
fn request_line(
    bytes: &[u8],
    span: Span,
) -> Result<(Method, Span, Option<ParseError>), ParseError> {
    let at = span.start();
    let line = span.of(bytes);
    let nonsense = || ParseError::new("Not a SIP message").at(at);
    let method_end = line
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or_else(nonsense)?;
    let trimmed = line.trim_ascii_end();
    let version_start = trimmed
        .iter()
        .rposition(|byte| matches!(byte, b' ' | b'\t'))
        .map_or(0, |space| space + 1);
    let version = &trimmed[version_start..];
    let method = std::str::from_utf8(&line[..method_end])
        .ok()
        .filter(|method| is_token(method.as_bytes()))
        .ok_or_else(nonsense)?;
    if version_start <= method_end
        || !version
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
    {
        return Err(nonsense());
    }
    let uri_start = method_end + 1;
    let uri = &line[uri_start..(version_start - 1).max(uri_start)];
    let is_uri = !uri.is_empty()
        && std::str::from_utf8(uri).is_ok()
        && !uri
            .iter()
            .any(|byte| *byte <= b' ' || matches!(byte, b'<' | b'>' | b'"' | 0x7F));
    let fault = if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        Some(ParseError::new("Version Not Supported").status(StatusCode::VERSION_NOT_SUPPORTED))
    } else if !is_uri || trimmed.len() != line.len() || line[version_start - 1] != b' ' {
        Some(ParseError::new("Bad Request-Line"))
    } else {
        None
    };
    Ok((
        Method::new(method),
        Span::new(at + uri_start, at + uri_start + uri.len()),
        fault.map(|fault| fault.at(at)),
    ))
}

/// Headers that say one thing; two of them that differ contradict each other.
const SINGLE: [HeaderName; 12] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::CSeq,
    HeaderName::MaxForwards,
    HeaderName::ContentLength,
    HeaderName::ContentType,
    HeaderName::Expires,
    HeaderName::Event,
    HeaderName::SipIfMatch,
    HeaderName::MinExpires,
    HeaderName::SubscriptionState,
];

impl Request {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as written; empty if it is not text.
    pub fn uri(&self) -> &str {
        std::str::from_utf8(self.uri.of(self.headers.bytes())).unwrap_or_default()
    }

    /// The Request-URI taken apart.
    ///
    /// # Errors
    /// It is not a URI.
    pub fn parsed_uri(&self) -> Result<Uri, ParseError> {
        Uri::parse(self.uri()).map_err(|fault| ParseError {
            reason: "Bad Request-URI",
            ..fault
        })
    }

    /// RFC 3261 section 8.2.2.1: the Request-URI is one of sip, sips or tel, and well-formed.
    ///
    /// # Errors
    /// 416 for another scheme, 400 for what is not a URI.
    pub fn check_uri(&self) -> Result<(), ParseError> {
        match self.parsed_uri()?.scheme {
            Scheme::Other => Err(ParseError::new("Unsupported URI Scheme")
                .status(StatusCode::UNSUPPORTED_URI_SCHEME)),
            Scheme::Sip | Scheme::Sips | Scheme::Tel => Ok(()),
        }
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &[u8] {
        self.body.of(self.headers.bytes())
    }

    /// The bytes that the request was read from, folds turned into spaces: the same for a copy.
    pub fn bytes(&self) -> &Bytes {
        self.headers.bytes()
    }

    /// RFC 3261 section 8.1.1: the mandatory headers are there and well-formed, single ones do not contradict
    /// themselves, CSeq names the request's method. Max-Forwards may be missing, as in RFC 2543.
    ///
    /// # Errors
    /// The first fault.
    pub fn check_mandatory(&self) -> Result<(), ParseError> {
        self.vias()?;
        for name in SINGLE {
            self.headers.single(name)?;
        }
        self.from()?;
        self.to()?;
        self.call_id()?;
        self.max_forwards()?;
        if self.cseq()?.method != self.method {
            return Err(ParseError::new("CSeq method does not match").in_header(HeaderName::CSeq));
        }
        Ok(())
    }

    /// The request in canonical form: full header names, no folds, true Content-Length last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.headers.bytes().len() + 64);
        self.write_request_line(&mut out);
        self.headers.write(&mut out);
        encode::end(&mut out, self.body());
        out
    }

    pub(crate) fn write_request_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        encode::uri(out, self.uri());
        out.extend_from_slice(b" SIP/2.0\r\n");
    }
}

impl Response {
    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase as received; empty if it is not text.
    pub fn reason(&self) -> &str {
        std::str::from_utf8(self.reason.of(self.headers.bytes())).unwrap_or_default()
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &[u8] {
        self.body.of(self.headers.bytes())
    }

    /// The response in canonical form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.headers.bytes().len() + 64);
        self.write_status_line(&mut out);
        self.headers.write(&mut out);
        encode::end(&mut out, self.body());
        out
    }

    pub(crate) fn write_status_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"SIP/2.0 ");
        encode::number(out, u64::from(self.status.code()));
        out.push(b' ');
        encode::text(out, self.reason.of(self.headers.bytes()));
        out.extend_from_slice(b"\r\n");
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

/// Says what it is, not what is in it: bodies and credentials stay out of logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("bytes", &self.headers.bytes().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("bytes", &self.headers.bytes().len())
            .finish_non_exhaustive()
    }
}

impl Message {
    /// The bytes that the message was read from, folds turned into spaces.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Message::Request(request) => request.headers.bytes(),
            Message::Response(response) => response.headers.bytes(),
        }
    }
}
