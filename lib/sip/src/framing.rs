//! Where one message ends and the next begins; keep-alives and STUN told apart from SIP.
use crate::Limits;

/// What a stream yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The double CRLF keep-alive of RFC 5626 section 3.5.1; answer it with a single CRLF.
    Ping,
    /// One whole message, for [`crate::parse_datagram`].
    Message(Vec<u8>),
}

/// The stream cannot be framed any more; close it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FramingError {
    /// What was wrong.
    pub reason: &'static str,
}

/// Cuts a byte stream into messages by Content-Length, which RFC 3261 section 18.3 demands on streams.
#[derive(Debug)]
pub struct StreamFramer {
    limits: Limits,
}

#[expect(clippy::todo, reason = "filled next")]
impl StreamFramer {
    /// A framer with an empty buffer.
    pub fn new(limits: Limits) -> StreamFramer {
        StreamFramer { limits }
    }

    /// Adds what was read from the stream.
    pub fn push(&mut self, _bytes: &[u8]) {
        let _ = self.limits;
        todo!()
    }

    /// The next whole frame, if the buffer holds one. Call until `None` after each `push`.
    ///
    /// # Errors
    /// A limit is exceeded, or Content-Length is missing or malformed. The stream is lost.
    #[expect(clippy::should_implement_trait, reason = "fallible, and the buffer grows between calls")]
    pub fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        todo!()
    }
}

/// Whether a datagram is a keep-alive: empty, or nothing but CR, LF and NUL.
pub fn is_keepalive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Whether a datagram is STUN (RFC 5389 section 6: two zero bits and the magic cookie).
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20 && bytes[0] & 0xC0 == 0 && bytes[4..8] == [0x21, 0x12, 0xA4, 0x42]
}
