//! Where one message ends and the next begins on a stream; keep-alives and STUN told apart from SIP.
//! RFC 3261 section 18.3 (Content-Length), RFC 5626 section 3.5.1 (CRLF keep-alive). Each byte is looked at a fixed number
//! of times, however the stream is cut into reads.

use crate::scan::scan;
use crate::{Limits, Message, ParseError, StatusCode, parse_datagram, work};
use memchr::memchr;

/// What a stream yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The double CRLF keep-alive of RFC 5626 section 3.5.1; answer it with a single CRLF.
    Ping,
    /// One whole message, for [`crate::parse_datagram`].
    Message(Vec<u8>),
    /// A message that exceeds a limit. Its end is known, so the stream goes on behind it; its body is thrown away as it comes.
    TooLarge {
        /// The head, for an answer ([`FramingError::of_message`]).
        head: Vec<u8>,
        /// Which limit.
        error: FramingError,
    },
}

/// The stream cannot be framed any more; answer what can be answered ([`StreamFramer::lost`]), and close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FramingError {
    /// What was wrong.
    pub reason: &'static str,
    /// The status to answer with.
    pub status: StatusCode,
}

impl FramingError {
    fn new(reason: &'static str, status: StatusCode) -> FramingError {
        FramingError { reason, status }
    }

    /// The fault of the message at which the stream was lost, with enough of it to answer, if there is enough. `lost` is what
    /// [`StreamFramer::lost`] gave.
    pub fn of_message(self, lost: Vec<u8>, limits: &Limits) -> ParseError {
        let answerable = match parse_datagram(lost, limits) {
            Ok(Message::Request(request)) => request.top_via().is_ok().then(|| Box::new(request)),
            Ok(Message::Response(_)) => None,
            Err(error) => error.answerable,
        };
        ParseError {
            answerable,
            ..ParseError::new(self.reason).status(self.status)
        }
    }
}

/// Cuts a byte stream into messages by Content-Length, which RFC 3261 section 18.3 demands on streams.
#[derive(Debug)]
pub struct StreamFramer {
    limits: Limits,
    buffer: Vec<u8>,
    /// What lies before has been handed out.
    start: usize,
    /// Up to here (from `start`) no blank line begins.
    searched: usize,
    /// Length of the head at `start`, once it is there.
    head_length: Option<usize>,
    /// Length of the message at `start`, once its head is there.
    message_length: Option<usize>,
    /// What is still to come of a message that is too large.
    skipped: usize,
}

/// The longest body that is read away because it is too large; whoever announces more loses the connection.
const MAX_SKIPPED: usize = 16 << 20;

/// Handed-out bytes that may stay in front of the buffer before it is moved together.
const COMPACT_AT: usize = 64 * 1024;

/// What stands before a message.
enum Before {
    Ping,
    /// Nothing, or the beginning of a ping.
    Unfinished,
    Message,
}

impl StreamFramer {
    /// A framer with an empty buffer.
    pub fn new(limits: Limits) -> StreamFramer {
        StreamFramer {
            limits,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            head_length: None,
            message_length: None,
            skipped: 0,
        }
    }

    /// Adds what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > COMPACT_AT && self.start > self.buffer.len() / 2 {
            // At least as much was handed out as is moved.
            work::note(self.buffer.len() - self.start);
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if the buffer holds one. Call until `None` after each `push`.
    ///
    /// # Errors
    /// A limit is exceeded, or Content-Length is missing or malformed. The stream is lost.
    #[expect(
        clippy::should_implement_trait,
        reason = "fallible, and the buffer grows between calls"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        if !self.skip() {
            return Ok(None);
        }
        if self.message_length.is_none() {
            match self.skip_line_ends() {
                Before::Ping => return Ok(Some(Frame::Ping)),
                Before::Unfinished => return Ok(None),
                Before::Message => {}
            }
            let Some(head_length) = self.find_head()? else {
                return Ok(None);
            };
            self.head_length = Some(head_length);
            match self.length_by_head(head_length)? {
                Length::Fits(length) => self.message_length = Some(length),
                Length::TooLarge(body_length, error) => {
                    return Ok(Some(self.too_large(head_length, body_length, error)));
                }
            }
        }
        let Some(length) = self
            .message_length
            .filter(|length| self.pending().len() >= *length)
        else {
            return Ok(None);
        };
        let message = self.pending()[..length].to_vec();
        work::note(length);
        self.start += length;
        (self.searched, self.head_length, self.message_length) = (0, None, None);
        Ok(Some(Frame::Message(message)))
    }

    /// Throws away what has come of a message that is too large. Whether that was all of it.
    fn skip(&mut self) -> bool {
        let come = self.skipped.min(self.pending().len());
        self.start += come;
        self.skipped -= come;
        self.skipped == 0
    }

    fn too_large(&mut self, head_length: usize, body_length: usize, error: FramingError) -> Frame {
        let head = self.pending()[..head_length].to_vec();
        self.start += head_length;
        self.skipped = body_length;
        (self.searched, self.head_length) = (0, None);
        Frame::TooLarge { head, error }
    }

    /// What has come of the message at which [`StreamFramer::next`] failed: its head, or the beginning of one that is too long. The
    /// body is left out, since nobody knows where it ends.
    pub fn lost(&self) -> Vec<u8> {
        let pending = self.pending();
        let length = self.head_length.unwrap_or(self.limits.message_bytes);
        pending[..length.min(pending.len())].to_vec()
    }

    /// Whether a message has begun and is not complete: the peer has to send the rest. Ask after [`StreamFramer::next`] gave
    /// `None`. Line ends alone are no beginning: some phones keep their flow alive with a single CRLF.
    pub fn is_partial(&self) -> bool {
        self.skipped > 0 || !b"\r\n\r\n".starts_with(self.pending())
    }

    fn pending(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Drops line ends before a message. What may become a ping is left for later.
    fn skip_line_ends(&mut self) -> Before {
        const PING: &[u8] = b"\r\n\r\n";
        loop {
            let pending = self.pending();
            work::note(1);
            if pending.starts_with(PING) {
                self.start += PING.len();
                return Before::Ping;
            }
            if PING.starts_with(pending) {
                return Before::Unfinished;
            }
            // A NUL is a keep-alive of some phones, alone or behind a line end.
            if !matches!(pending.first(), Some(b'\r' | b'\n' | 0)) {
                return Before::Message;
            }
            self.start += 1;
        }
    }

    /// Length of the head with its blank line, once it is there.
    fn find_head(&mut self) -> Result<Option<usize>, FramingError> {
        let pending = &self.buffer[self.start..];
        while let Some(index) = memchr(b'\n', &pending[self.searched..]) {
            work::note(index + 1);
            let newline = self.searched + index;
            match &pending[newline + 1..] {
                [b'\n', ..] => return Ok(Some(newline + 2)),
                [b'\r', b'\n', ..] => return Ok(Some(newline + 3)),
                [] | [b'\r'] => {
                    // The next read tells whether this line is the last.
                    self.searched = newline;
                    return self.check_unfinished();
                }
                _ => self.searched = newline + 1,
            }
        }
        work::note(pending.len() - self.searched);
        self.searched = pending.len();
        self.check_unfinished()
    }

    fn check_unfinished(&self) -> Result<Option<usize>, FramingError> {
        if self.pending().len() > self.limits.of(self.pending()).message_bytes {
            return Err(FramingError::new(
                "Message Too Large",
                StatusCode::MESSAGE_TOO_LARGE,
            ));
        }
        Ok(None)
    }

    /// The same scanner as for whole messages reads Content-Length, so that no two readings of a message can differ.
    fn length_by_head(&self, head_length: usize) -> Result<Length, FramingError> {
        let mut head = self.pending()[..head_length].to_vec();
        let limits = self.limits.of(&head);
        let content_length = scan(&mut head, &limits)
            .content_length(&head)
            .map_err(|fault| FramingError::new(fault.reason, fault.status))?;
        let body_length = content_length.ok_or(FramingError::new(
            "Missing Content-Length",
            StatusCode::BAD_REQUEST,
        ))?;
        let error = if body_length > limits.body_bytes {
            FramingError::new("Body too large", StatusCode::REQUEST_ENTITY_TOO_LARGE)
        } else if head_length + body_length > limits.message_bytes {
            FramingError::new("Message Too Large", StatusCode::MESSAGE_TOO_LARGE)
        } else {
            return Ok(Length::Fits(head_length + body_length));
        };
        match body_length > MAX_SKIPPED {
            true => Err(error),
            false => Ok(Length::TooLarge(body_length, error)),
        }
    }
}

/// What a head says of its message.
enum Length {
    /// Head and body together.
    Fits(usize),
    /// The body's length, and the limit that it exceeds.
    TooLarge(usize, FramingError),
}

/// Whether a datagram is a keep-alive: empty, or nothing but CR, LF and NUL.
pub fn is_keepalive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Whether a datagram is STUN (RFC 5389 section 6: two zero bits and the magic cookie).
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] & 0xC0 == 0 && bytes[4..8] == [0x21, 0x12, 0xA4, 0x42]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            message_bytes: 100,
            body_bytes: 40,
            ..Limits::default()
        }
    }

    /// All frames of a stream that arrives in reads of `step` bytes.
    fn frames(stream: &str, step: usize) -> Result<Vec<String>, &'static str> {
        let mut framer = StreamFramer::new(limits());
        let mut frames = Vec::new();
        for read in stream.as_bytes().chunks(step) {
            framer.push(read);
            while let Some(frame) = framer.next().map_err(|error| error.reason)? {
                frames.push(match frame {
                    Frame::Ping => "ping".to_owned(),
                    Frame::Message(bytes) => String::from_utf8(bytes).expect("UTF-8"),
                    Frame::TooLarge { head, error } => {
                        let head = String::from_utf8(head).expect("UTF-8");
                        format!("{} to {head:?}", error.status.code())
                    }
                });
            }
        }
        Ok(frames)
    }

    #[test]
    fn streams_are_cut_at_content_length() {
        let (a, b) = (
            "A\r\nl: 3\r\n\r\nxyz",
            "B\r\nContent-Length :\r\n 0\r\n\r\n",
        );
        let c = "C\nl: 1\nL: 1\n\n\n";
        for (stream, expected) in [
            (String::new(), vec![]),
            ([a, b, c, a].concat(), vec![a, b, c, a]),
            (
                ["\r\n", a, "\r\n\r\n", b, "\r\n\r\n\r\n\r\n"].concat(),
                vec![a, "ping", b, "ping", "ping"],
            ),
            (["\n\n\r", a].concat(), vec![a]),
            (
                ["\r\n\0", a, "\0", b, "\r\n\0\r\n\r\n\0"].concat(),
                vec![a, b, "ping"],
            ),
            (["\r\n\r\n\r\n", a].concat(), vec!["ping", a]),
            ([a, "B\r\nl: 9\r\n\r\nhalf"].concat(), vec![a]),
            (
                "A\r\nX: l: 5\r\nl: 0\r\n\r\n".to_owned(),
                vec!["A\r\nX: l: 5\r\nl: 0\r\n\r\n"],
            ),
        ] {
            for step in [1, 2, 3, 5, 7, 1_000] {
                assert_eq!(
                    frames(&stream, step),
                    Ok(expected.iter().map(|frame| (*frame).to_owned()).collect()),
                    "{stream:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn streams_that_cannot_be_framed() {
        for (stream, reason) in [
            ("A\r\nTo: x\r\n\r\n".to_owned(), "Missing Content-Length"),
            ("A\r\nl: -1\r\n\r\n".to_owned(), "Bad Content-Length"),
            (
                "A\r\nl: 1\r\nContent-Length: 2\r\n\r\nxx".to_owned(),
                "Bad Content-Length",
            ),
            (
                "A\r\nl: 99999999999999999999\r\n\r\n".to_owned(),
                "Bad Content-Length",
            ),
            ("A\r\nl: 16777217\r\n\r\n".to_owned(), "Body too large"),
            ("x".repeat(101), "Message Too Large"),
            ("x\r\n".repeat(34), "Message Too Large"),
        ] {
            for step in [1, 3, 1_000] {
                assert_eq!(frames(&stream, step), Err(reason), "{stream:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_skipped() {
        let (next, body) = ("B\r\nl: 3\r\n\r\nxyz", "\r\n\r\nA".repeat(9));
        let long_head = format!("A\r\nX: {}\r\n", "x".repeat(60));
        for (head, status) in [("A\r\n", 413), (long_head.as_str(), 513)] {
            let length = if status == 413 { 45 } else { 30 };
            let head = format!("{head}l: {length}\r\n\r\n");
            let stream = [next, &head, &body[..length], next, &head, &body[..length]].concat();
            let refused = format!("{status} to {head:?}");
            for step in [1, 2, 3, 7, 1_000] {
                assert_eq!(
                    frames(&stream, step),
                    Ok(vec![
                        next.to_owned(),
                        refused.clone(),
                        next.to_owned(),
                        refused.clone()
                    ]),
                    "{stream:?} by {step}"
                );
            }
            let mut framer = StreamFramer::new(limits());
            framer.push(head.as_bytes());
            assert!(matches!(framer.next(), Ok(Some(Frame::TooLarge { .. }))));
            assert!(framer.is_partial(), "the peer owes the body");
            framer.push(&vec![b'x'; length]);
            assert_eq!(framer.next(), Ok(None));
            assert!(!framer.is_partial());
        }
    }

    #[test]
    fn a_notify_may_be_longer() {
        let limits = Limits {
            notify_bytes: 200,
            ..limits()
        };
        for (method, length, fits) in [
            ("NOTIFY", 150, true),
            ("NOTIFY", 250, false),
            ("PUBLISH", 150, false),
        ] {
            let message = format!(
                "{method} sip:a SIP/2.0\r\nl: {length}\r\n\r\n{}",
                "x".repeat(length)
            );
            let mut framer = StreamFramer::new(limits);
            framer.push(message.as_bytes());
            let frame = framer.next().expect("it can be framed");
            assert_eq!(
                matches!(frame, Some(Frame::Message(_))),
                fits,
                "{message:?}"
            );
            assert_eq!(
                parse_datagram(message.clone().into_bytes(), &limits).is_ok(),
                fits,
                "{message:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_framed_can_be_answered() {
        let head = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n";
        let limits = Limits {
            message_bytes: 300,
            ..limits()
        };
        let of = |stream: &str| {
            let mut framer = StreamFramer::new(limits);
            framer.push(stream.as_bytes());
            let error = loop {
                match framer.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{stream:?} can be framed"),
                    Err(error) => break error,
                }
            };
            let fault = error.of_message(framer.lost(), &limits);
            let answerable = fault.answerable.map(|request| request.uri().to_owned());
            (fault.status.code(), fault.reason, answerable)
        };
        let uri = Some("sip:a".to_owned());
        for (stream, expected) in [
            (
                format!("{head}\r\nbody"),
                (400, "Missing Content-Length", uri.clone()),
            ),
            (
                format!("A\r\nl: 0\r\n\r\n{head}l: x\r\n\r\nbody"),
                (400, "Bad Content-Length", uri.clone()),
            ),
            (
                format!("{head}l: 16777217\r\n\r\nbody"),
                (413, "Body too large", uri.clone()),
            ),
            (
                format!("{head}X: {}", "x".repeat(400)),
                (513, "Message Too Large", uri),
            ),
            (
                "GET / HTTP/1.1\r\n\r\n".to_owned(),
                (400, "Missing Content-Length", None),
            ),
            (
                "SIP/2.0 200 OK\r\n\r\n".to_owned(),
                (400, "Missing Content-Length", None),
            ),
            ("x".repeat(400), (513, "Message Too Large", None)),
        ] {
            assert_eq!(of(&stream), expected, "{stream:?}");
        }
    }

    #[test]
    fn a_begun_message_is_partial() {
        for (stream, partial) in [
            ("", false),
            ("\r\n", false),
            ("A\r\nl: 0\r\n\r\n\r\n", false),
            ("\r\nA", true),
            ("A", true),
            ("A\r\nl: 1\r\n\r\n", true),
            ("A\r\nl: 1\r\n\r\nx", false),
            ("A\r\nl: 0\r\n\r\n\r\n\r\n", false),
        ] {
            let mut framer = StreamFramer::new(limits());
            framer.push(stream.as_bytes());
            while framer.next().expect("well-formed").is_some() {}
            assert_eq!(framer.is_partial(), partial, "{stream:?}");
        }
    }

    #[test]
    fn a_long_stream_stays_linear_and_small() {
        let message =
            "A\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nl: 10\r\n\r\n0123456789\r\n\r\n";
        let stream = message.repeat(8_000);
        for step in [1, 1_400, stream.len()] {
            let mut framer = StreamFramer::new(limits());
            let (looked_at, count) = work::counter::of(|| {
                let mut count = 0;
                for read in stream.as_bytes().chunks(step) {
                    framer.push(read);
                    while framer.next().expect("well-formed").is_some() {
                        count += 1;
                    }
                    if step < 2_000 {
                        assert!(
                            framer.buffer.len() < 3 * COMPACT_AT,
                            "{}",
                            framer.buffer.len()
                        );
                    }
                }
                count
            });
            assert_eq!(count, 16_000);
            assert!(
                looked_at < 6 * stream.len() as u64,
                "{looked_at} of {} by {step}",
                stream.len()
            );
        }
    }

    #[test]
    fn what_is_not_sip() {
        for (bytes, keepalive, stun) in [
            (&b""[..], true, false),
            (b"\r\n", true, false),
            (b"\r\n\r\n", true, false),
            (b"\0\0\0\0", true, false),
            (b"\0\x01\0\0\x21\x12\xA4\x42............", false, true),
            (b"\0\x01\0\0\x21\x12\xA4\x42", false, false),
            (b"OPTIONS sip:a SIP/2.0", false, false),
        ] {
            assert_eq!(
                (is_keepalive(bytes), is_stun(bytes)),
                (keepalive, stun),
                "{bytes:?}"
            );
        }
    }
}
