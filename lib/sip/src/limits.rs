//! What a peer may make us read. DESIGN promise 6: bad input costs its sender, nobody else.

/// Upper bounds of one message; whatever exceeds one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whole message, start line to end of body. Answered 513.
    pub message_bytes: usize,
    /// Header lines. Answered 400.
    pub header_count: usize,
    /// One header line with its folds, or the start line. Answered 400.
    pub header_line_bytes: usize,
    /// Body. Answered 413.
    pub body_bytes: usize,
    /// A whole NOTIFY, in place of the limits of message and body: it is longer where it is made of many publications. Answered 513.
    pub notify_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes: 65_535,
            header_count: 128,
            header_line_bytes: 8_192,
            body_bytes: 65_535,
            notify_bytes: 512 << 10,
        }
    }
}

impl Limits {
    /// The limits of this very message, of which at least the start line is there.
    pub(crate) fn of(&self, message: &[u8]) -> Limits {
        if !message.starts_with(b"NOTIFY ") {
            return *self;
        }
        Limits {
            message_bytes: self.message_bytes.max(self.notify_bytes),
            body_bytes: usize::MAX,
            ..*self
        }
    }
}
