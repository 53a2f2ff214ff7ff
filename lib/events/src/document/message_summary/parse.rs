//! Reads the lines of a message summary.
//!
//! `Messages-Waiting: yes`, then an account, then counts by class of message, then, behind an empty line, headers of single
//! messages (RFC 3842 section 5.2), which are checked and not kept. CR LF ends lines; a bare LF does too, and the last line may
//! lack it, for publishers that write so.

use std::fmt;

use super::{BodyFault, MAX_BYTES};

/// A message summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary<'a> {
    pub(super) waiting: bool,
    pub(super) account: Option<&'a str>,
    /// By class as written, in order; each class once.
    pub(super) counts: Vec<(&'a str, Counts)>,
}

/// How many messages there are of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    new: u32,
    old: u32,
    /// Of these, how many are urgent: new, old.
    urgent: Option<(u32, u32)>,
}

impl<'a> Summary<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, BodyFault> {
        if body.len() > MAX_BYTES {
            return Err(BodyFault::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| BodyFault::NotUtf8)?;
        Self::of_lines(text).ok_or(BodyFault::NotASummary)
    }

    fn of_lines(text: &'a str) -> Option<Self> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        let (name, value) = field(lines.next()?)?;
        if !name.eq_ignore_ascii_case("Messages-Waiting") {
            return None;
        }
        let mut summary = Self {
            waiting: if value.eq_ignore_ascii_case("yes") {
                true
            } else if value.eq_ignore_ascii_case("no") {
                false
            } else {
                return None;
            },
            account: None,
            counts: Vec::new(),
        };
        for line in &mut lines {
            if line.is_empty() {
                break;
            }
            let (name, value) = field(line)?;
            if name.eq_ignore_ascii_case("Message-Account") {
                if summary.account.is_some() || !is_account(value) {
                    return None;
                }
                summary.account = Some(value);
            } else {
                let is_again = |(class, _): &(&str, Counts)| class.eq_ignore_ascii_case(name);
                if summary.counts.iter().any(is_again) || summary.counts.len() == MAX_CLASSES {
                    return None;
                }
                summary.counts.push((name, Counts::parse(value)?));
            }
        }
        let mut is_within = false;
        for line in lines {
            // "The formatting of these headers … is identical to that of SIP extension-headers" (section 3.5): a blank goes on with
            // the line before.
            let goes_on = is_within && line.starts_with([' ', '\t']) && is_text(line);
            is_within = !line.is_empty();
            if is_within && !goes_on {
                field(line)?;
            }
        }
        Some(summary)
    }
}

/// RFC 3458 has seven classes; others may come to them.
const MAX_CLASSES: usize = 32;

impl Counts {
    /// `2/8`, or `2/8 (0/2)`.
    fn parse(value: &str) -> Option<Self> {
        let (plain, urgent) = match value.split_once('(') {
            None => (value, None),
            Some((plain, rest)) => (plain, Some(pair(rest.strip_suffix(')')?)?)),
        };
        let (new, old) = pair(plain)?;
        Some(Self { new, old, urgent })
    }

    /// Adds, up to the largest number there is (RFC 3842 section 5.2: 2^32-1).
    pub(super) fn add(&mut self, other: &Self) {
        self.new = self.new.saturating_add(other.new);
        self.old = self.old.saturating_add(other.old);
        if let Some((new, old)) = other.urgent {
            let (sum_new, sum_old) = self.urgent.unwrap_or_default();
            self.urgent = Some((sum_new.saturating_add(new), sum_old.saturating_add(old)));
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.new, self.old)?;
        if let Some((new, old)) = self.urgent {
            write!(f, " ({new}/{old})")?;
        }
        Ok(())
    }
}

/// `name: value`, of printable characters.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end_matches([' ', '\t']);
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b));
    (is_name && is_text(value)).then(|| (name, value.trim_matches([' ', '\t'])))
}

fn is_text(value: &str) -> bool {
    !value.chars().any(|c| c.is_control() && c != '\t')
}

/// Whether a value may be an Account-URI: it has a scheme, and no blank.
fn is_account(value: &str) -> bool {
    value
        .split_once(':')
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        && !value.contains([' ', '\t', '<', '>', '"'])
}

/// Two numbers. One that is too large counts as the largest (section 3.5: "MUST treat a larger value as 2^32-1").
fn pair(text: &str) -> Option<(u32, u32)> {
    let (new, old) = text.split_once('/')?;
    let number = |text: &str| {
        let digits = text.trim_matches([' ', '\t']);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    Some((number(new)?, number(old)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_examples_of_the_rfc() {
        // RFC 3842 section 4.1, A3; the others are in tests/rfc_examples.rs.
        let summary = Summary::parse(
            b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\nVoice-Message: 2/8 (0/2)\r\n",
        )
        .unwrap();
        assert!(summary.waiting);
        assert_eq!(summary.account, Some("sip:alice@vmail.example.com"));
        assert_eq!(
            summary.counts,
            [(
                "Voice-Message",
                Counts {
                    new: 2,
                    old: 8,
                    urgent: Some((0, 2))
                }
            )]
        );
        assert!(!Summary::parse(b"Messages-Waiting: no\r\n").unwrap().waiting);
    }

    #[test]
    fn reads_what_publishers_write() {
        for body in [
            "Messages-Waiting: yes",
            "messages-waiting:YES\n",
            "Messages-Waiting : no\r\nvoice-message: 0/0(0/0)\r\n",
            "Messages-Waiting: no\r\nVoice-Message: 4294967295 / 0 ( 1 / 2 )\r\nX-New: 1/1\r\nMessage-Account: sip:a@b\r\n",
            "Messages-Waiting: no\r\n\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: 4294967296/99999999999\r\n",
            "Messages-Waiting: yes\r\n\r\nSubject: on two\r\n lines\r\n\r\nFrom: <sip:a@b>\r\n",
        ] {
            assert!(Summary::parse(body.as_bytes()).is_ok(), "{body:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_summary() {
        for body in [
            "",
            "\r\n",
            "Voice-Message: 1/0\r\n",
            "Messages-Waiting: maybe\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: 1\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: -1/0\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: +1/0\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: 1/0 (1/0\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\nVoice-Message: 2/0\r\n",
            "Messages-Waiting: yes\r\nMessage-Account: alice\r\n",
            "Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nMessage-Account: sip:a@b\r\n",
            "Messages-Waiting: yes\r\nno colon\r\n",
            "Messages-Waiting: yes\r\n\r\nno colon\r\n",
            "Messages-Waiting: yes\r\n\r\n nothing before it\r\n",
            "Messages-Waiting: yes\r\n goes on\r\n",
            "Messages-Waiting: yes\r\nVoice-Message: 1/0\u{0}\r\n",
            "<summary/>",
        ] {
            assert_eq!(
                Summary::parse(body.as_bytes()),
                Err(BodyFault::NotASummary),
                "{body:?}"
            );
        }
        assert_eq!(
            Summary::parse(b"Messages-Waiting: \xff"),
            Err(BodyFault::NotUtf8)
        );
        let large = format!("Messages-Waiting: no\r\n{}", "X: 1/1\r\n".repeat(3000));
        assert_eq!(Summary::parse(large.as_bytes()), Err(BodyFault::TooLarge));
        let classes: String = (0..40).map(|n| format!("X-{n}: 1/1\r\n")).collect();
        let classes = format!("Messages-Waiting: no\r\n{classes}");
        assert_eq!(
            Summary::parse(classes.as_bytes()),
            Err(BodyFault::NotASummary)
        );
    }
}
