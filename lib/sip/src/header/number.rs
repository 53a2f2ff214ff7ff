//! Numbers: Expires, Min-Expires, Retry-After, Max-Forwards, Content-Length (RFC 3261 section 25.1, `delta-seconds`).
//! A number that does not fit is a fault: neither 0 nor the largest value is what the peer meant.

/// All of `text` as a number up to 2^32-1; leading zeros are fine.
pub(crate) fn digits(text: &[u8]) -> Option<u32> {
    crate::work::note(text.len());
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The seconds of a Retry-After: `18000;duration=3600`, `120 (I'm in a meeting)`.
pub(crate) fn retry_after(text: &[u8]) -> Option<u32> {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b';' | b'(' | b' ' | b'\t'))
        .unwrap_or(text.len());
    digits(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0068", Some(68)),
            ("4294967295", Some(u32::MAX)),
            ("00000000000000000000000000000000000001", Some(1)),
            ("4294967296", None),
            ("10000000000000000000000000000", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 2", None),
            ("", None),
            ("never", None),
        ] {
            assert_eq!(digits(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn retry_after_may_explain_itself() {
        for (text, expected) in [
            ("120 (I'm in a meeting)", Some(120)),
            ("18000;duration=3600", Some(18_000)),
            ("5(x)", Some(5)),
            ("soon", None),
            ("(x)", None),
        ] {
            assert_eq!(retry_after(text.as_bytes()), expected, "{text:?}");
        }
    }
}
