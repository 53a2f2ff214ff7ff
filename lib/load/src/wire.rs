//! The requests, written straight into the outgoing buffer, and the light reading of what carries our own numbers.
//!
//! Call-ID, tags and branches hold the index of their publication or watcher, so that whatever comes back finds its state by
//! reading a number. `run` makes them different in each run and worker: a server may remember those of an earlier run.

use std::io::Write;
use std::net::SocketAddr;

use memchr::memmem;
use sip::Transport;

use crate::document::Package;
use crate::timers::Party;

/// What all messages of a worker have in common.
pub(crate) struct Wire {
    pub(crate) package: Package,
    pub(crate) transport: Transport,
    /// Domain of all users.
    pub(crate) domain: String,
    /// Digits of a presentity's user.
    pub(crate) presentity_digits: usize,
    /// Digits of a watcher's user.
    pub(crate) watcher_digits: usize,
    /// Hexadecimal digits that no other run and worker has.
    pub(crate) run: String,
}

/// The parts of a request that differ between one and the next of the same kind.
pub(crate) struct Line<'a> {
    pub(crate) party: Party,
    pub(crate) serial: u32,
    pub(crate) cseq: u32,
    /// Where we are reached.
    pub(crate) address: SocketAddr,
    /// Number of the presentity in the workload.
    pub(crate) presentity: u32,
    pub(crate) expires_s: u32,
    /// Authorization, where a server has asked for it.
    pub(crate) authorization: Option<&'a str>,
    pub(crate) more: More<'a>,
}

/// What only one of the methods has.
pub(crate) enum More<'a> {
    Publish {
        entity_tag: Option<&'a str>,
    },
    Subscribe {
        /// Number of the watcher in the workload.
        watcher: u32,
        generation: u32,
        /// Remote tag, remote target and Route lines, once there is a dialog.
        dialog: Option<(&'a str, &'a str, &'a str)>,
    },
}

impl Wire {
    /// Appends the head of a request, up to and without Content-Length.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, line: &Line<'_>) {
        let method = match line.more {
            More::Publish { .. } => "PUBLISH",
            More::Subscribe { .. } => "SUBSCRIBE",
        };
        put(out, method);
        put(out, " ");
        match line.more {
            More::Subscribe {
                dialog: Some((_, target, _)),
                ..
            } => put(out, target),
            _ => self.presentity(out, line.presentity),
        }
        put(out, " SIP/2.0\r\nVia: SIP/2.0/");
        put(
            out,
            if self.transport == Transport::Tcp {
                "TCP "
            } else {
                "UDP "
            },
        );
        address(out, line.address);
        put(out, ";rport;branch=z9hG4bK");
        self.token(out, line.party, line.serial);
        put(out, "\r\nMax-Forwards: 70\r\n");
        if let More::Subscribe {
            dialog: Some((_, _, routes)),
            ..
        } = line.more
        {
            put(out, routes);
        }
        match line.more {
            More::Publish { .. } => {
                put(out, "From: <");
                self.presentity(out, line.presentity);
                put(out, ">;tag=");
                self.token(out, line.party, 0);
                put(out, "\r\nTo: <");
                self.presentity(out, line.presentity);
                put(out, ">\r\nCall-ID: ");
                self.token(out, line.party, 0);
            }
            More::Subscribe {
                watcher,
                generation,
                dialog,
            } => {
                put(out, "From: <sip:");
                user(out, b'w', watcher, self.watcher_digits);
                put(out, "@");
                put(out, &self.domain);
                put(out, ">;tag=");
                self.token(out, line.party, generation);
                put(out, "\r\nTo: <");
                self.presentity(out, line.presentity);
                put(out, ">");
                if let Some((tag, ..)) = dialog {
                    put(out, ";tag=");
                    put(out, tag);
                }
                put(out, "\r\nCall-ID: ");
                self.token(out, line.party, generation);
                put(out, "\r\nContact: <sip:");
                user(out, b'w', watcher, self.watcher_digits);
                put(out, "@");
                address(out, line.address);
                if self.transport == Transport::Tcp {
                    put(out, ";transport=tcp");
                }
                put(out, ">\r\nAccept: ");
                put(out, self.package.content_type());
            }
        }
        put(out, "\r\nCSeq: ");
        decimal(out, line.cseq, 1);
        put(out, " ");
        put(out, method);
        put(out, "\r\nEvent: ");
        put(out, self.package.name());
        put(out, "\r\nExpires: ");
        decimal(out, line.expires_s, 1);
        put(out, "\r\n");
        if let Some(authorization) = line.authorization {
            put(out, "Authorization: ");
            put(out, authorization);
            put(out, "\r\n");
        }
        if let More::Publish {
            entity_tag: Some(tag),
        } = line.more
        {
            put(out, "SIP-If-Match: ");
            put(out, tag);
            put(out, "\r\n");
        }
    }

    /// The user of a presentity or a watcher, and the presentity's URI.
    pub(crate) fn names(&self, letter: u8, number: u32, presentity: u32) -> (String, String) {
        let digits = match letter {
            b'p' => self.presentity_digits,
            _ => self.watcher_digits,
        };
        let (mut name, mut uri) = (Vec::new(), Vec::new());
        user(&mut name, letter, number, digits);
        self.presentity(&mut uri, presentity);
        let text = |bytes| String::from_utf8(bytes).unwrap_or_default();
        (text(name), text(uri))
    }

    fn presentity(&self, out: &mut Vec<u8>, number: u32) {
        put(out, "sip:");
        user(out, b'p', number, self.presentity_digits);
        put(out, "@");
        put(out, &self.domain);
    }

    /// `p` or `w`, index, another number, run.
    fn token(&self, out: &mut Vec<u8>, party: Party, number: u32) {
        let (letter, index) = match party {
            Party::Publication(index) => (b'p', index),
            Party::Watcher(index) => (b'w', index),
        };
        out.push(letter);
        hexadecimal(out, index);
        out.push(b'-');
        hexadecimal(out, number);
        out.push(b'-');
        put(out, &self.run);
    }

    /// Reads such a token again: the party and the other number. `None` for one that is not of this run and worker.
    pub(crate) fn read_token(&self, token: &[u8]) -> Option<(Party, u32)> {
        let (letter, rest) = token.split_first()?;
        let (index, rest) = hexadecimal_of(rest)?;
        let (number, rest) = hexadecimal_of(rest.strip_prefix(b"-")?)?;
        if rest.strip_prefix(b"-")? != self.run.as_bytes() {
            return None;
        }
        match letter {
            b'p' => Some((Party::Publication(index), number)),
            b'w' => Some((Party::Watcher(index), number)),
            _ => None,
        }
    }
}

/// Ends a head without a body.
pub(crate) fn end_without_body(out: &mut Vec<u8>) {
    put(out, "Content-Length: 0\r\n\r\n");
}

/// Ends a head before a body of that length.
pub(crate) fn end_before_body(out: &mut Vec<u8>, content_type: &str, length: usize) {
    put(out, "Content-Type: ");
    put(out, content_type);
    put(out, "\r\nContent-Length: ");
    decimal(out, length as u32, 1);
    put(out, "\r\n\r\n");
}

/// The value of a parameter in a header line, such as the tag of a From or the branch of a Via; of the first element, where
/// there are several. Quotes are not looked into: the values that we look for are tokens.
pub(crate) fn parameter<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // Parameters of the address itself stand inside angle brackets.
    let line = match memchr::memchr(b'>', line) {
        Some(end) => &line[end..],
        None => line,
    };
    for at in memmem::find_iter(line, b";") {
        let rest = line[at + 1..].trim_ascii_start();
        let Some(value) = rest
            .get(..name.len())
            .filter(|found| found.eq_ignore_ascii_case(name))
            .and_then(|_| rest[name.len()..].trim_ascii_start().strip_prefix(b"="))
        else {
            continue;
        };
        let value = value.trim_ascii_start();
        let end = value
            .iter()
            .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'));
        return Some(&value[..end.unwrap_or(value.len())]);
    }
    None
}

/// A short hash of a text, for comparing branches (FNV-1a).
pub(crate) fn hash(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn user(out: &mut Vec<u8>, letter: u8, number: u32, digits: usize) {
    out.push(letter);
    decimal(out, number, digits);
}

/// Formatting IPv4 by hand: it stands in each message two times.
fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            for (index, byte) in v4.ip().octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                decimal(out, u32::from(byte), 1);
            }
            out.push(b':');
            decimal(out, u32::from(v4.port()), 1);
        }
        // A Vec takes everything.
        SocketAddr::V6(v6) => drop(write!(out, "[{}]:{}", v6.ip(), v6.port())),
    }
}

fn decimal(out: &mut Vec<u8>, mut number: u32, least_digits: usize) {
    let mut digits = [b'0'; 10];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let start = at.min(digits.len() - least_digits.min(digits.len()));
    out.extend_from_slice(&digits[start..]);
}

fn hexadecimal(out: &mut Vec<u8>, number: u32) {
    let mut shift = (31 - (number | 1).leading_zeros()) / 4 * 4;
    loop {
        out.push(b"0123456789abcdef"[(number >> shift) as usize & 15]);
        if shift == 0 {
            return;
        }
        shift -= 4;
    }
}

fn hexadecimal_of(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let number = u32::from_str_radix(std::str::from_utf8(&text[..digits]).ok()?, 16).ok()?;
    Some((number, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::{Limits, Message, parse_datagram};

    fn wire(transport: Transport) -> Wire {
        Wire {
            package: Package::Presence,
            transport,
            domain: "example.org".into(),
            presentity_digits: 6,
            watcher_digits: 7,
            run: "0badcafe00".into(),
        }
    }

    fn parsed(transport: Transport, line: &Line<'_>) -> sip::Request {
        let mut out = Vec::new();
        wire(transport).write_head(&mut out, line);
        end_without_body(&mut out);
        match parse_datagram(out, &Limits::default()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a response"),
        }
    }

    fn line(more: More<'_>) -> Line<'_> {
        Line {
            party: Party::Watcher(4711),
            serial: 31,
            cseq: 7,
            address: "127.0.0.1:4567".parse().unwrap(),
            presentity: 12,
            expires_s: 600,
            authorization: None,
            more,
        }
    }

    #[test]
    fn requests_are_well_formed() {
        let publish = line(More::Publish {
            entity_tag: Some("abc"),
        });
        let request = parsed(Transport::Udp, &publish);
        request.check_mandatory().unwrap();
        assert_eq!(request.uri(), "sip:p000012@example.org");
        assert_eq!(request.header_named("sip-if-match"), Some(&b"abc"[..]));
        assert_eq!(request.expires().unwrap(), Some(600));

        let dialog = (
            "their-tag",
            "sip:1.2.3.4:5;x",
            "Route: <sip:6.7.8.9;lr>\r\n",
        );
        let in_dialog = line(More::Subscribe {
            watcher: 120,
            generation: 2,
            dialog: Some(dialog),
        });
        let request = parsed(Transport::Tcp, &in_dialog);
        request.check_mandatory().unwrap();
        assert_eq!(request.uri(), "sip:1.2.3.4:5;x");
        assert_eq!(request.to().unwrap().tag(), Some("their-tag"));
        assert_eq!(request.route().unwrap().len(), 1);
        let contact = request.contact().unwrap().unwrap();
        assert_eq!(contact.raw, "<sip:w0000120@127.0.0.1:4567;transport=tcp>");
        assert_eq!(request.top_via().unwrap().port, Some(4567));
    }

    #[test]
    fn tokens_are_read_again() {
        let wire = wire(Transport::Udp);
        for (party, number) in [
            (Party::Publication(0), 0),
            (Party::Watcher(u32::MAX), 16),
            (Party::Watcher(255), u32::MAX),
        ] {
            let mut token = Vec::new();
            wire.token(&mut token, party, number);
            assert_eq!(wire.read_token(&token), Some((party, number)));
            token.push(b'0');
            assert_eq!(wire.read_token(&token), None);
        }
        for foreign in [
            "",
            "p",
            "x1-1-0badcafe00",
            "p1-1-0badcafe01",
            "pg-1-0badcafe00",
        ] {
            assert_eq!(wire.read_token(foreign.as_bytes()), None, "{foreign}");
        }
    }

    #[test]
    fn parameters_are_found() {
        for (line, name, expected) in [
            ("<sip:a;tag=no>;tag=yes", "tag", Some("yes")),
            ("sip:a;TAG = yes;x", "tag", Some("yes")),
            (
                "SIP/2.0/UDP a;branch=z9hG4bKx;rport",
                "branch",
                Some("z9hG4bKx"),
            ),
            (
                "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2",
                "branch",
                Some("1"),
            ),
            ("<sip:a>", "tag", None),
            ("<sip:a>;tagged=1", "tag", None),
        ] {
            let found = parameter(line.as_bytes(), name.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{line}");
        }
    }
}
