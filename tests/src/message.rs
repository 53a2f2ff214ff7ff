//! A SIP message as a strict phone sees it: exactly the grammar of RFC 3261 section 25, nothing
//! forgiven. Owns reading and writing of bytes; knows nothing of sockets or dialogs.
//!
//! Deliberately independent of `lib/sip`: a fault there must not be able to hide on both ends.

use std::fmt;

/// One message, taken apart. Header names and values are as they were on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line.
    pub start: String,
    /// Name and value of every header line, in order.
    pub headers: Vec<(String, String)>,
    /// The body, exactly Content-Length bytes.
    pub body: Vec<u8>,
}

/// Splits a datagram, and refuses whatever a picky phone might refuse: bare LF, folding, blanks
/// before the colon, empty names, a Content-Length that is missing or wrong.
///
/// # Errors
/// A sentence that names the first fault.
pub fn parse(bytes: &[u8]) -> Result<Message, String> {
    let end = find(bytes, b"\r\n\r\n").ok_or("no empty line after the headers")?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "headers are not UTF-8")?;
    let body = bytes[end + 4..].to_vec();
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default().to_string();
    check_start(&start)?;
    let mut headers = Vec::new();
    for line in lines {
        if line.contains(['\r', '\n']) {
            return Err(format!("bare CR or LF in header line {line:?}"));
        }
        if line.starts_with([' ', '\t']) {
            return Err(format!("folded header line {line:?}"));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("header line without a colon {line:?}"))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("bad header name {name:?}"));
        }
        headers.push((name.to_string(), value.trim().to_string()));
    }
    let message = Message {
        start,
        headers,
        body,
    };
    for name in [
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Content-Length",
        "Max-Forwards",
        "Event",
        "Subscription-State",
    ] {
        if message.all(name).count() > 1 {
            return Err(format!("header {name} more than once"));
        }
    }
    let length = message
        .header("Content-Length")
        .ok_or("no Content-Length")?;
    if length.parse::<usize>() != Ok(message.body.len()) {
        return Err(format!(
            "Content-Length {length:?} but {} bytes of body",
            message.body.len()
        ));
    }
    Ok(message)
}

/// The length of the first message in a stream's buffer, once it is whole.
///
/// # Errors
/// A sentence, when the stream cannot be framed.
pub fn framed(buffer: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = find(buffer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&buffer[..end]);
    let length = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("Content-Length"))
        .ok_or_else(|| format!("no Content-Length on a stream: {head:?}"))?
        .1
        .trim()
        .parse::<usize>()
        .map_err(|fault| format!("Content-Length: {fault}"))?;
    let whole = end + 4 + length;
    Ok((buffer.len() >= whole).then_some(whole))
}

fn check_start(start: &str) -> Result<(), String> {
    let parts: Vec<&str> = start.splitn(3, ' ').collect();
    match parts.as_slice() {
        ["SIP/2.0", code, _reason]
            if code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Ok(())
        }
        [method, uri, "SIP/2.0"] if method.bytes().all(is_token) && !uri.is_empty() => Ok(()),
        _ => Err(format!("bad start line {start:?}")),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

// === impl Message ===

impl Message {
    /// A request whose headers are still to be written.
    pub fn request(method: &str, uri: &str) -> Message {
        Message {
            start: format!("{method} {uri} SIP/2.0"),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The status code, when this is a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The reason phrase of a response.
    pub fn reason(&self) -> &str {
        self.start.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        if self.status().is_some() {
            ""
        } else {
            self.start.split(' ').next().unwrap_or_default()
        }
    }

    /// The Request-URI of a request.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first value of a header, by its long name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Every line of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The number of the CSeq.
    pub fn cseq(&self) -> Option<u32> {
        self.header("CSeq")?.split_whitespace().next()?.parse().ok()
    }

    /// The tag of From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        param(self.header(name)?, "tag")
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        param(self.header("Via")?, "branch")
    }

    /// Adds a header at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Message {
        self.headers.push((name.to_string(), value.into()));
        self
    }

    /// Replaces every line of a header by one, in place of the first; adds it when there was none.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Message {
        let at = self
            .headers
            .iter()
            .position(|(n, _)| n.eq_ignore_ascii_case(name));
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        let at = at.unwrap_or(self.headers.len()).min(self.headers.len());
        self.headers.insert(at, (name.to_string(), value.into()));
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Message {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Message {
        self = self.set("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// The bytes for the wire without a Content-Length, where none is missed (or where one is).
    pub fn encode_without_length(&self) -> Vec<u8> {
        let mut bytes = self.encode();
        if let Some(at) = find(&bytes, b"Content-Length")
            && let Some(end) = find(&bytes[at..], b"\r\n")
        {
            bytes.drain(at..at + end + 2);
        }
        bytes
    }

    /// The bytes for the wire. Content-Length is added unless a test has set one of its own.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.header("Content-Length").is_none() && self.header("l").is_none() {
            out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        out.push_str("\r\n");
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.encode()))
    }
}

/// A parameter after the first `>` (or of a bare value), by name, whatever its case.
pub fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let params = match value.rfind('>') {
        Some(at) => &value[at + 1..],
        None => value,
    };
    params.split(';').skip(1).find_map(|part| {
        let (key, text) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        key.eq_ignore_ascii_case(name).then_some(text.trim())
    })
}

/// Whether a header has a parameter of that name, with or without a value.
pub fn has_param(value: &str, name: &str) -> bool {
    param(value, name).is_some()
}

/// The URI inside a name-addr, or the addr-spec up to its header parameters.
pub fn addr(value: &str) -> &str {
    match (value.find('<'), value.find('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.split(';').next().unwrap_or_default().trim(),
    }
}

/// Splits a list header at its commas, not inside quotes or angle brackets.
pub fn split_list(value: &str) -> Vec<String> {
    let (mut parts, mut quoted, mut angle, mut current) = (Vec::new(), false, false, String::new());
    for c in value.chars() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' if !quoted && !angle => {
                parts.push(std::mem::take(&mut current).trim().to_string());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    parts.push(current.trim().to_string());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strictness() {
        let good =
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nContent-Length: 2\r\n\r\nhi";
        assert!(parse(good.as_bytes()).is_ok());
        for bad in [
            good.replace("\r\n", "\n"),
            good.replace("Length: 2", "Length: 3"),
            good.replace("Content-Length: 2\r\n", ""),
            good.replace("Via:", "Via :"),
            good.replace("Via: ", "Via:\r\n "),
            good.replace("200 OK", "200"),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn parameters() {
        assert_eq!(param("\"a;b\" <sip:x;tag=no>;tag=yes", "tag"), Some("yes"));
        assert_eq!(addr("\"a\" <sip:x;lr>;tag=1"), "sip:x;lr");
        assert_eq!(addr("sip:x;tag=1"), "sip:x");
        assert_eq!(
            split_list("<sip:a,b>, \"c,d\" <sip:e>"),
            ["<sip:a,b>", "\"c,d\" <sip:e>"]
        );
    }

    #[test]
    fn framing() {
        let one = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(framed(&one[..one.len() - 1]), Ok(None));
        assert_eq!(framed(one), Ok(Some(one.len())));
        assert!(framed(b"OPTIONS sip:h SIP/2.0\r\n\r\n").is_err());
    }
}
