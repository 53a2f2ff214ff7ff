//! Bodies of several parts (RFC 2046 section 5.1; RFC 5621 section 4).
//!
//! The parts are slices of the body. Nothing is decoded, and a part that is a multipart itself is one part. One pass finds the
//! delimiters, and each header line of a part is looked at once: work and memory are linear, whatever the octets are.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::header::text::trim;
use crate::{MediaType, Params, ParseError, work};

/// Most parts of one body. What phones send has two or three.
pub const MAX_PARTS: usize = 16;

/// One part. Of its header fields those are kept that say what its body is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part<'a> {
    /// Content-Type, as written; `None`: text/plain.
    content_type: Option<Cow<'a, [u8]>>,
    content_id: Option<Cow<'a, [u8]>>,
    disposition: Option<Cow<'a, [u8]>>,
    /// Content-Encoding, as written.
    pub content_encoding: Option<Cow<'a, [u8]>>,
    /// Content-Transfer-Encoding, as written.
    pub transfer_encoding: Option<Cow<'a, [u8]>>,
    /// Its octets, without the line end before the next delimiter.
    pub body: &'a [u8],
}

/// The parts of a body, in order; at least one.
///
/// # Errors
/// A reason phrase: there is no usable boundary, a delimiter is missing, there are too many parts, or a header field of one is none.
pub fn parts<'a>(media: &MediaType, body: &'a [u8]) -> Result<Vec<Part<'a>>, ParseError> {
    let boundary = boundary(media)?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut parts = Vec::new();
    let mut start = None;
    work::note(body.len());
    for at in Finder::new(&delimiter).find_iter(body) {
        if at > 0 && body[at - 1] != b'\n' {
            continue;
        }
        let Some(line) = Delimiter::of(&body[at + delimiter.len()..]) else {
            // A longer boundary, of a part within a part.
            continue;
        };
        if let Some(start) = start {
            if parts.len() == MAX_PARTS {
                return Err(ParseError::new("Too Many Body Parts"));
            }
            // The line end before a delimiter belongs to it (RFC 2046 section 5.1.1).
            parts.push(part(without_line_end(&body[start..at.max(start)]))?);
        }
        if line.is_last {
            return match parts.is_empty() {
                true => Err(ParseError::new("No Body Part")),
                // The rest is nobody's: the epilogue.
                false => Ok(parts),
            };
        }
        start = Some(at + delimiter.len() + line.length);
    }
    Err(ParseError::new("Body Parts Do Not End"))
}

/// `bcharsnospace`, and blanks within (RFC 2046 section 5.1.1): 1 to 70.
fn boundary(media: &MediaType) -> Result<&str, ParseError> {
    let is_good = |text: &&str| {
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        (1..=70).contains(&text.len()) && text.bytes().all(is_char) && !text.ends_with(' ')
    };
    media
        .params
        .value("boundary")
        .filter(is_good)
        .ok_or(ParseError::new("Bad Boundary"))
}

/// What follows the boundary in a line that is a delimiter.
struct Delimiter {
    is_last: bool,
    /// Up to the next line.
    length: usize,
}

impl Delimiter {
    fn of(rest: &[u8]) -> Option<Delimiter> {
        let (is_last, dashes) = match rest.starts_with(b"--") {
            true => (true, 2),
            false => (false, 0),
        };
        let padding = rest[dashes..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        work::note(padding);
        let length = dashes + padding;
        match &rest[length..] {
            [b'\r', b'\n', ..] => Some(Delimiter {
                is_last,
                length: length + 2,
            }),
            [b'\n', ..] => Some(Delimiter {
                is_last,
                length: length + 1,
            }),
            [] if is_last => Some(Delimiter { is_last, length }),
            _ => None,
        }
    }
}

fn without_line_end(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

fn part(octets: &[u8]) -> Result<Part<'_>, ParseError> {
    let mut part = Part::default();
    let mut rest = octets;
    loop {
        let (line, after) = line_of(rest);
        rest = after;
        if line.is_empty() {
            part.body = rest;
            return Ok(part);
        }
        // A line that begins with a blank goes on with the one before.
        let mut line = Cow::Borrowed(line);
        while matches!(rest.first(), Some(b' ' | b'\t')) {
            let (more, after) = line_of(rest);
            let line = line.to_mut();
            line.push(b' ');
            line.extend_from_slice(more.trim_ascii());
            rest = after;
        }
        let colon =
            memchr::memchr(b':', &line).ok_or(ParseError::new("Bad Header Of Body Part"))?;
        let name = line[..colon].trim_ascii().to_ascii_lowercase();
        let value = match line {
            Cow::Borrowed(line) => Cow::Borrowed(line[colon + 1..].trim_ascii()),
            Cow::Owned(line) => Cow::Owned(line[colon + 1..].trim_ascii().to_vec()),
        };
        let place = match name.as_slice() {
            b"content-type" | b"c" => &mut part.content_type,
            b"content-id" => &mut part.content_id,
            b"content-disposition" => &mut part.disposition,
            b"content-encoding" | b"e" => &mut part.content_encoding,
            b"content-transfer-encoding" => &mut part.transfer_encoding,
            _ => continue,
        };
        place.get_or_insert(value);
    }
}

/// The first line, without its end, and what follows it. The end of the octets ends a line, too.
fn line_of(octets: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', octets) {
        Some(end) => {
            work::note(end);
            let line = &octets[..end];
            (line.strip_suffix(b"\r").unwrap_or(line), &octets[end + 1..])
        }
        None => {
            work::note(octets.len());
            (octets, &[])
        }
    }
}

// === impl Part ===

impl Part<'_> {
    /// Its media type: text/plain if it has none (RFC 2046 section 5.2).
    ///
    /// # Errors
    /// It has one that is none.
    pub fn content_type(&self) -> Result<MediaType, ParseError> {
        match &self.content_type {
            Some(text) => MediaType::parse(&String::from_utf8_lossy(text)),
            None => MediaType::parse("text/plain"),
        }
    }

    /// Whether whoever does not understand it must refuse the request. "If the handling parameter is missing, the value 'required' SHOULD be
    /// assumed" (RFC 3261 section 20.11), also in a value that is none.
    pub fn is_required(&self) -> bool {
        let Some(disposition) = &self.disposition else {
            return true;
        };
        let text = String::from_utf8_lossy(disposition);
        let params = text.find(';').map(|at| Params::parse(&text[at..]));
        !params.is_some_and(|params| {
            params.is_ok_and(|params| {
                params
                    .value("handling")
                    .is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
            })
        })
    }

    /// Whether it is named so, with or without angle brackets (RFC 2387 section 3.2; RFC 2045 section 7).
    pub fn has_id(&self, id: &str) -> bool {
        let bare = |text: &str| {
            let text = trim(text);
            let inside = text
                .strip_prefix('<')
                .and_then(|rest| rest.strip_suffix('>'));
            inside.unwrap_or(text).to_owned()
        };
        self.content_id
            .as_ref()
            .is_some_and(|own| bare(&String::from_utf8_lossy(own)) == bare(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::counter;

    use proptest::prelude::*;

    fn media(text: &str) -> MediaType {
        MediaType::parse(text).expect("a media type")
    }

    fn bodies(text: &str, body: &str) -> Result<Vec<String>, &'static str> {
        let parts = parts(&media(text), body.as_bytes()).map_err(|error| error.reason)?;
        let body = |part: &Part<'_>| String::from_utf8_lossy(part.body).into_owned();
        Ok(parts.iter().map(body).collect())
    }

    const MIXED: &str = "multipart/mixed;boundary=b";

    #[test]
    fn parts_are_what_stands_between_delimiters() {
        let long = "c".repeat(70);
        for (media, body, expected) in [
            (MIXED, "--b\r\n\r\none\r\n--b--\r\n", vec!["one"]),
            (MIXED, "--b\r\n\r\none\r\n--b--", vec!["one"]),
            (
                MIXED,
                "preamble\r\n--b\r\nX: y\r\n\r\none\r\n--b \t\r\n\r\ntwo\r\n\r\n--b-- \r\nepilogue --b\r\n--b\r\n",
                vec!["one", "two\r\n"],
            ),
            // Line ends as some phones write them.
            (
                MIXED,
                "--b\nX: y\n\none\n--b\n\ntwo\n--b--\n",
                vec!["one", "two"],
            ),
            // Like a delimiter, and none.
            (
                MIXED,
                "--b\r\n\r\n --b\r\n--bb\r\n--b--x\r\n--b x\r\n--b-\r\n--b--",
                vec![" --b\r\n--bb\r\n--b--x\r\n--b x\r\n--b-"],
            ),
            (
                MIXED,
                "--b\r\n\r\n--b\r\n--b\r\nX: y\r\n--b--",
                vec!["", "", ""],
            ),
            (
                "multipart/mixed; boundary=\"=_ a:b ?\"",
                "--=_ a:b ?\r\n\r\none\r\n--=_ a:b ?--\r\n",
                vec!["one"],
            ),
            (
                &format!("multipart/mixed;boundary={long}"),
                &format!("--{long}\r\n\r\none\r\n--{long}--"),
                vec!["one"],
            ),
            (
                "multipart/mixed;boundary=--",
                "----\r\n\r\n-----\r\n------",
                vec!["-----"],
            ),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(bodies(media, body), Ok(expected), "{media} {body:?}");
        }
    }

    #[test]
    fn what_is_no_multipart_says_why() {
        let many = |count: usize| format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(count));
        assert_eq!(
            bodies(MIXED, &many(MAX_PARTS)).map(|parts| parts.len()),
            Ok(MAX_PARTS)
        );
        let long = format!("multipart/mixed;boundary={}", "c".repeat(71));
        for (media, body, reason) in [
            ("multipart/mixed", "--\r\n\r\n----", "Bad Boundary"),
            ("multipart/mixed;boundary", "x", "Bad Boundary"),
            (
                "multipart/mixed;boundary=\"\"",
                "--\r\n\r\n----",
                "Bad Boundary",
            ),
            ("multipart/mixed;boundary=\"a \"", "x", "Bad Boundary"),
            ("multipart/mixed;boundary=\"a\\\"\"", "x", "Bad Boundary"),
            (&long, "x", "Bad Boundary"),
            (MIXED, "", "Body Parts Do Not End"),
            (MIXED, "--b\r\n\r\none\r\n--b", "Body Parts Do Not End"),
            (MIXED, "--b\r\n\r\none--b--", "Body Parts Do Not End"),
            (MIXED, "--b--", "No Body Part"),
            (
                MIXED,
                "--b\r\nno header\r\n\r\none\r\n--b--",
                "Bad Header Of Body Part",
            ),
            (MIXED, &many(MAX_PARTS + 1), "Too Many Body Parts"),
        ] {
            assert_eq!(bodies(media, body), Err(reason), "{media} {body:?}");
        }
    }

    #[test]
    fn a_part_says_what_it_is() {
        let body = "--b\r\ncontent-type : Application/PIDF+XML;\r\n\tcharset=\"utf-8\"\r\nContent-ID: <a@b>\r\n\
                    Content-Disposition: render ; Handling=Optional\r\nContent-Encoding: gzip\r\ncontent-type: text/html\r\n\r\nx\r\n\
                    --b\r\nContent-Disposition: render;handling=required\r\nContent-Transfer-Encoding:\r\n base64\r\n\r\n\r\n\
                    --b\r\nContent-Type: nonsense\r\nContent-Disposition: a;;\r\n\r\n\r\n--b--";
        let parts = parts(&media(MIXED), body.as_bytes()).expect("parts");
        let first = parts[0].content_type().expect("a type");
        assert_eq!(first.kind, "application/pidf+xml");
        assert_eq!(first.params.value("charset"), Some("utf-8"));
        assert!(!parts[0].is_required());
        assert!(parts[0].has_id("a@b") && parts[0].has_id(" <a@b> ") && !parts[0].has_id("a@c"));
        assert_eq!(parts[0].content_encoding.as_deref(), Some(&b"gzip"[..]));
        assert!(parts[1].is_required() && !parts[1].has_id(""));
        assert_eq!(
            parts[1].content_type().map(|media| media.kind),
            Ok("text/plain".to_owned())
        );
        assert_eq!(parts[1].transfer_encoding.as_deref(), Some(&b"base64"[..]));
        assert!(parts[2].content_type().is_err() && parts[2].is_required());
    }

    /// Pieces out of which most of the parser's decisions are made, and any octets.
    fn octets() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"--b".to_vec()),
            Just(b"--".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b" ".to_vec()),
            Just(b"\t".to_vec()),
            Just(b"Content-Type: a/b".to_vec()),
            Just(b"Content-ID:<".to_vec()),
            Just(b"Content-Disposition: x;handling=optional".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
        ];
        prop::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// No octets make it panic, and none cost more than a few looks at each.
        #[test]
        fn any_octets_are_read_in_linear_time(octets in octets()) {
            let media = media(MIXED);
            let (work, read) = counter::of(|| parts(&media, &octets));
            prop_assert!(work <= 4 * octets.len() as u64 + 64, "{work} for {} octets", octets.len());
            let read = read.unwrap_or_default();
            prop_assert!(read.len() <= MAX_PARTS);
            for part in &read {
                let _ = (part.content_type(), part.is_required(), part.has_id("x"));
                prop_assert!(part.body.len() <= octets.len());
            }
        }

        /// What is written as parts is read as these parts.
        #[test]
        fn what_is_written_is_read(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..MAX_PARTS)) {
            let mut octets = b"preamble".to_vec();
            for body in &bodies {
                octets.extend_from_slice(b"\r\n--long-boundary-of-none\r\nContent-Type: a/b\r\n\r\n");
                octets.extend_from_slice(body);
            }
            octets.extend_from_slice(b"\r\n--long-boundary-of-none--\r\n");
            let media = media("multipart/mixed;boundary=long-boundary-of-none");
            let read = parts(&media, &octets).expect("parts");
            let read: Vec<Vec<u8>> = read.iter().map(|part| part.body.to_vec()).collect();
            prop_assert_eq!(read, bodies);
        }
    }
}
