//! The scanner: one pass over a message's head that unfolds lines in place and notes where each header stands.
//! It goes on after a fault, so that a broken request can still be answered. It owns no policy about header values.
//! RFC 3261 sections 7.3.1 (folding, LWS before the colon), 7.5; a bare LF ends a line as well.

use crate::header::text::is_token;
use crate::{HeaderName, Limits, ParseError, StatusCode, work};
use memchr::memchr;
use smallvec::SmallVec;

/// A range of a message's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Messages longer than `u32::MAX` are refused before any span is made.
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end.max(start) as u32,
        }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    /// This value with what a continuation line adds. Only the new line was trimmed: looking at the whole value again
    /// for each fold would make many folds quadratic.
    fn continued(self, more: Span) -> Span {
        match (self.start == self.end, more.start == more.end) {
            (_, true) => self,
            (true, false) => more,
            (false, false) => Span {
                start: self.start,
                end: more.end,
            },
        }
    }
}

/// One header line, folds included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: HeaderName,
    /// The name as written, without the LWS before the colon.
    pub(crate) written: Span,
    /// The value without surrounding LWS.
    pub(crate) value: Span,
}

/// What the scanner found.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) start_line: Span,
    pub(crate) lines: SmallVec<[Line; 24]>,
    pub(crate) body_start: usize,
    /// The first fault.
    pub(crate) fault: Option<ParseError>,
}

/// Scans a message's head. Folds in `bytes` become spaces.
pub(crate) fn scan(bytes: &mut [u8], limits: &Limits) -> Head {
    let mut head = Head {
        start_line: Span::default(),
        lines: SmallVec::new(),
        body_start: bytes.len(),
        fault: None,
    };
    // "Implementations processing SIP messages over stream-oriented transports MUST ignore any CRLF appearing before the
    // start-line" (section 7.5); datagrams get the same grace.
    let first = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    work::note(first);
    let Some((line_end, mut at)) = line(bytes, first) else {
        head.start_line = Span::new(first, bytes.len());
        head.fault = Some(ParseError::new("Missing blank line after headers").at(bytes.len()));
        return head;
    };
    head.start_line = Span::new(first, line_end);
    if line_end - first > limits.header_line_bytes {
        head.blame("Start line too long", first);
    }
    let mut previous_end = line_end;
    // Where the header that may still be folded began.
    let mut header_start = None;
    loop {
        let Some((line_end, next)) = line(bytes, at) else {
            head.blame("Missing blank line after headers", at);
            return head;
        };
        if line_end == at {
            head.body_start = next;
            return head;
        }
        if matches!(bytes[at], b' ' | b'\t') {
            match (header_start, head.lines.last_mut()) {
                (Some(start), Some(header)) => {
                    // "Any line that begins with SP or HT is a continuation"; the fold is equal to a single space.
                    bytes[previous_end..at].fill(b' ');
                    header.value = header.value.continued(trimmed(bytes, at, line_end));
                    if line_end - start > limits.header_line_bytes {
                        head.blame("Header line too long", start);
                    }
                }
                _ => head.blame("Continuation line without header", at),
            }
        } else if head.lines.len() == limits.header_count {
            head.blame("Too many header fields", at);
            return head;
        } else {
            header_start = head.header(bytes, at, line_end, limits).then_some(at);
        }
        previous_end = line_end;
        at = next;
    }
}

impl Head {
    fn blame(&mut self, reason: &'static str, at: usize) {
        if self.fault.is_none() {
            self.fault = Some(ParseError::new(reason).at(at));
        }
    }

    /// Notes one header line; false if it is none.
    fn header(&mut self, bytes: &[u8], start: usize, end: usize, limits: &Limits) -> bool {
        let Some(colon) = memchr(b':', &bytes[start..end]).map(|index| start + index) else {
            self.blame("Header line without colon", start);
            return false;
        };
        let name = bytes[start..colon].trim_ascii_end();
        if !is_token(name) {
            self.blame("Bad header name", start);
            return false;
        }
        if end - start > limits.header_line_bytes {
            self.blame("Header line too long", start);
        }
        // A carriage return that ends no line would end one for a laxer reader further on.
        if let Some(index) = memchr(b'\r', &bytes[start..end]) {
            self.blame("Stray carriage return", start + index);
        }
        self.lines.push(Line {
            name: HeaderName::from_bytes(name),
            written: Span::new(start, start + name.len()),
            value: trimmed(bytes, colon + 1, end),
        });
        true
    }

    /// The Content-Length, if there is one.
    ///
    /// # Errors
    /// It is not a number, or two contradict each other.
    pub(crate) fn content_length(&self, bytes: &[u8]) -> Result<Option<usize>, ParseError> {
        let mut length = None;
        for line in self
            .lines
            .iter()
            .filter(|line| line.name == HeaderName::ContentLength)
        {
            let fault = || {
                ParseError::new("Bad Content-Length")
                    .in_header(HeaderName::ContentLength)
                    .at(line.value.start())
            };
            let value =
                crate::header::number::digits(line.value.of(bytes)).ok_or_else(fault)? as usize;
            if length.is_some_and(|other| other != value) {
                return Err(fault());
            }
            length = Some(value);
        }
        Ok(length)
    }

    /// Where the body lies.
    ///
    /// # Errors
    /// Content-Length is malformed or says more than there is, or the body exceeds its limit.
    pub(crate) fn body(&self, bytes: &[u8], limits: &Limits) -> Result<Span, ParseError> {
        let there = bytes.len() - self.body_start;
        // "If the transport packet ends before the end of the message body, this is considered an error" (section 18.3).
        let length = match self.content_length(bytes)? {
            Some(length) if length > there => {
                return Err(ParseError::new("Content-Length exceeds the message")
                    .in_header(HeaderName::ContentLength)
                    .at(self.body_start));
            }
            Some(length) => length,
            None => there,
        };
        if length > limits.body_bytes {
            return Err(ParseError::new("Body too large")
                .status(StatusCode::REQUEST_ENTITY_TOO_LARGE)
                .at(self.body_start));
        }
        Ok(Span::new(self.body_start, self.body_start + length))
    }
}

/// End of the line that begins at `at` (without its CRLF or LF), and the beginning of the next.
fn line(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let found = memchr(b'\n', rest);
    work::note(found.map_or(rest.len(), |index| index + 1));
    let newline = at + found?;
    let end = if newline > at && bytes[newline - 1] == b'\r' {
        newline - 1
    } else {
        newline
    };
    Some((end, newline + 1))
}

fn trimmed(bytes: &[u8], start: usize, end: usize) -> Span {
    let lead = bytes[start..end]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let trail = bytes[start + lead..end]
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    work::note(lead + trail);
    Span::new(start + lead, end - trail)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = (HeaderName, String, String);

    fn scanned(text: &str) -> (Vec<Found>, Option<&'static str>, usize) {
        let mut bytes = text.as_bytes().to_vec();
        let head = scan(
            &mut bytes,
            &Limits {
                header_count: 4,
                header_line_bytes: 40,
                ..Limits::default()
            },
        );
        let lines = head
            .lines
            .iter()
            .map(|line| {
                let text = |span: Span| String::from_utf8_lossy(span.of(&bytes)).into_owned();
                (line.name, text(line.written), text(line.value))
            })
            .collect();
        (lines, head.fault.map(|fault| fault.reason), head.body_start)
    }

    fn value(text: &str) -> String {
        scanned(text).0[0].2.clone()
    }

    #[test]
    fn values_are_unfolded_and_trimmed() {
        for (wire, expected) in [
            ("S\r\nTo: a\r\n\r\n", "a"),
            ("S\r\nTo:a\r\n\r\n", "a"),
            ("S\r\nTo \t:  a \t\r\n\r\n", "a"),
            ("S\r\nTo:\r\n a\r\n\r\n", "a"),
            ("S\r\nTo: a\r\n\tb\r\n\r\n", "a  \tb"),
            ("S\r\nTo: a\r\n \r\n b\r\n\r\n", "a      b"),
            ("S\nTo: a\n b\n\n", "a  b"),
            ("S\r\nTo:\r\n\r\n", ""),
            ("\r\n\r\nS\r\nTo: a:b\r\n\r\n", "a:b"),
        ] {
            assert_eq!(value(wire), expected, "{wire:?}");
            assert_eq!(scanned(wire).1, None, "{wire:?}");
            assert_eq!(scanned(wire).2, wire.len(), "{wire:?}");
        }
    }

    #[test]
    fn faults_are_named_and_the_rest_is_still_read() {
        for (wire, fault, headers) in [
            ("S\r\nTo: a\r\n", "Missing blank line after headers", 1),
            ("S", "Missing blank line after headers", 0),
            ("", "Missing blank line after headers", 0),
            ("S\r\nTo a\r\nv: b\r\n\r\n", "Header line without colon", 1),
            ("S\r\nT o: a\r\nv: b\r\n\r\n", "Bad header name", 1),
            ("S\r\n: a\r\nv: b\r\n\r\n", "Bad header name", 1),
            (
                "S\r\n x: a\r\nv: b\r\n\r\n",
                "Continuation line without header",
                1,
            ),
            (
                "S\r\nbad\r\n folded\r\nv: b\r\n\r\n",
                "Header line without colon",
                1,
            ),
            ("S\r\nv: a\rTo: b\r\n\r\n", "Stray carriage return", 1),
            (
                "S\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\n\r\n",
                "Too many header fields",
                4,
            ),
            (
                "S\r\na: 34567890123456789012345678901234567890\r\nv: b\r\n\r\n",
                "Header line too long",
                2,
            ),
            (
                "S\r\na: 345678901234567890\r\n 123456789012345678901234567890\r\nv: b\r\n\r\n",
                "Header line too long",
                2,
            ),
            (
                "S34567890123456789012345678901234567890123\r\nv: b\r\n\r\n",
                "Start line too long",
                1,
            ),
        ] {
            let (lines, found, _) = scanned(wire);
            assert_eq!((found, lines.len()), (Some(fault), headers), "{wire:?}");
        }
    }

    #[test]
    fn names_keep_their_text() {
        let (lines, ..) = scanned("S\r\nX-Foo : a\r\nM: b\r\n\r\n");
        assert_eq!(lines[0], (HeaderName::Other, "X-Foo".into(), "a".into()));
        assert_eq!(lines[1], (HeaderName::Contact, "M".into(), "b".into()));
    }
}
