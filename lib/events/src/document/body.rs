//! From the body of a request to the document in it: without its coding, and out of the parts of a multipart (RFC 5621).
//!
//! Of `multipart/mixed` it is the first part of a type that is taken; of `multipart/alternative` the last one, the richest; of
//! `multipart/related` the root, for which alone the others are there. A part that is not understood and must be
//! (`handling=required`, the default) refuses the whole; one that need not be is passed by. Any other multipart is read as mixed (RFC 2046
//! section 5.1.3), so that the signature in a `multipart/signed` is a part that is not understood.

use std::borrow::Cow;

use sip::multipart::{Part, parts};
use sip::{MediaType, ParseError, bound};

use super::BodyFault;
use super::coding::{self, CodingFault};

/// A document, as it was sent but for codings.
#[derive(Debug, PartialEq)]
pub(crate) struct Received<'a> {
    pub(crate) media: MediaType,
    pub(crate) octets: Cow<'a, [u8]>,
}

/// Why there is none.
#[derive(Debug, PartialEq)]
pub(crate) enum Unreadable {
    /// The request is broken: a reason phrase.
    Bad(&'static str),
    /// It is of a type that is not taken.
    Type,
    /// It has a coding that is not understood.
    Encoding,
    /// Its coding is not what it says, or hides too much.
    Body(BodyFault),
}

/// The document in a body that is not empty; `takes` says which types are taken, in lower case.
///
/// # Errors
/// There is none that can be read.
pub(crate) fn received<'a>(
    content_type: Result<Option<MediaType>, ParseError>,
    coding: Option<&[u8]>,
    body: &'a [u8],
    takes: impl Fn(&str) -> bool,
) -> Result<Received<'a>, Unreadable> {
    // RFC 3261 section 20.15: "The Content-Type header field MUST be present if the body is not empty."
    let media = content_type
        .map_err(|error| Unreadable::Bad(error.reason))?
        .ok_or(Unreadable::Bad("Missing Content-Type"))?;
    bound::CONTENT_TYPE
        .check(&media.kind)
        .map_err(Unreadable::Bad)?;
    let is_taken = takes(&media.kind);
    if !is_taken && !media.kind.starts_with("multipart/") {
        return Err(Unreadable::Type);
    }
    let octets = decoded(coding, body)?;
    if is_taken {
        return Ok(Received { media, octets });
    }
    let found = parts(&media, &octets).map_err(|error| Unreadable::Bad(error.reason))?;
    let (media, part) = chosen(&media, &found, takes)?;
    // Binary, 7bit and 8bit say that nothing is encoded; SIP needs nothing else (RFC 5621 section 3.2).
    let transfer = part.transfer_encoding.as_deref().unwrap_or(b"binary");
    if ![&b"binary"[..], b"8bit", b"7bit"]
        .iter()
        .any(|plain| transfer.eq_ignore_ascii_case(plain))
    {
        return Err(Unreadable::Encoding);
    }
    let octets = decoded(part.content_encoding.as_deref(), part.body)?.into_owned();
    Ok(Received {
        media,
        octets: Cow::Owned(octets),
    })
}

fn decoded<'a>(coding: Option<&[u8]>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Unreadable> {
    coding::decode(coding, body).map_err(|fault| match fault {
        CodingFault::Unknown => Unreadable::Encoding,
        CodingFault::Body(fault) => Unreadable::Body(fault),
    })
}

/// The part that is the document.
fn chosen<'p, 'a>(
    media: &MediaType,
    parts: &'p [Part<'a>],
    takes: impl Fn(&str) -> bool,
) -> Result<(MediaType, &'p Part<'a>), Unreadable> {
    let typed = |part: &'p Part<'a>| match part.content_type() {
        Ok(media) => Ok((media, part)),
        Err(error) => Err(Unreadable::Bad(error.reason)),
    };
    let mut found = None;
    match media.kind.as_str() {
        "multipart/related" => {
            let root = match media.params.value("start") {
                Some(start) => parts.iter().find(|part| part.has_id(start)),
                None => parts.first(),
            };
            let root = root.ok_or(Unreadable::Bad("Missing Root Of Body"))?;
            found = Some(typed(root)?).filter(|(media, _)| takes(&media.kind));
        }
        "multipart/alternative" => {
            for part in parts {
                found = Some(typed(part)?)
                    .filter(|(media, _)| takes(&media.kind))
                    .or(found);
            }
        }
        _ => {
            for part in parts {
                let one = typed(part)?;
                match (takes(&one.0.kind), part.is_required()) {
                    (true, _) => found = found.or(Some(one)),
                    // "the UAS MUST return 415" (RFC 3261 section 20.11)
                    (false, true) => return Err(Unreadable::Type),
                    (false, false) => {}
                }
            }
        }
    }
    found.ok_or(Unreadable::Type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media: &str, body: &str) -> Result<(String, String), Unreadable> {
        let media = MediaType::parse(media).map(Some);
        let takes = |kind: &str| kind == "a/doc" || kind == "a/rich";
        let read = received(media, None, body.as_bytes(), takes)?;
        let text = String::from_utf8_lossy(&read.octets).into_owned();
        Ok((read.media.kind, text))
    }

    /// A body of parts, each of its header lines and its content.
    fn body(parts: &[(&str, &str)]) -> String {
        let parts = parts
            .iter()
            .map(|(header, content)| format!("--b\r\n{header}\r\n\r\n{content}\r\n"));
        format!("{}--b--\r\n", parts.collect::<String>())
    }

    const DOC: &str = "Content-Type: A/Doc;x=y";
    const RICH: &str = "Content-Type: a/rich\r\nContent-ID: <r@h>";
    const OTHER: &str = "Content-Type: image/png\r\nContent-ID: <i@h>";
    const OPTIONAL: &str = "Content-Type: image/png\r\nContent-Disposition: icon;handling=optional";

    #[test]
    fn the_part_that_is_the_document() {
        let (mixed, related, alternative) = (
            "multipart/mixed;boundary=b",
            "multipart/related;boundary=b",
            "multipart/alternative;boundary=b",
        );
        let started = "multipart/related;boundary=b;start=\"<r@h>\"";
        let doc = || Ok(("a/doc".to_owned(), "d".to_owned()));
        let rich = || Ok(("a/rich".to_owned(), "r".to_owned()));
        for (media, parts, expected) in [
            (mixed, &[(DOC, "d")][..], doc()),
            (mixed, &[(DOC, "d"), (RICH, "r")], doc()),
            (
                mixed,
                &[(OPTIONAL, "i"), (DOC, "d"), (OPTIONAL, "i")],
                doc(),
            ),
            (mixed, &[(DOC, "d"), (OTHER, "i")], Err(Unreadable::Type)),
            (mixed, &[("", "text"), (DOC, "d")], Err(Unreadable::Type)),
            (mixed, &[(OPTIONAL, "i")], Err(Unreadable::Type)),
            (
                "multipart/x-own;boundary=b",
                &[(OPTIONAL, "i"), (DOC, "d")],
                doc(),
            ),
            (
                "multipart/signed;boundary=b",
                &[(DOC, "d"), (OTHER, "i")],
                Err(Unreadable::Type),
            ),
            (related, &[(DOC, "d"), (OTHER, "i")], doc()),
            (related, &[(OTHER, "i"), (DOC, "d")], Err(Unreadable::Type)),
            (started, &[(DOC, "d"), (RICH, "r")], rich()),
            (
                started,
                &[(DOC, "d")],
                Err(Unreadable::Bad("Missing Root Of Body")),
            ),
            (
                alternative,
                &[(DOC, "d"), (RICH, "r"), (OTHER, "i")],
                rich(),
            ),
            (alternative, &[(OTHER, "i")], Err(Unreadable::Type)),
            (
                mixed,
                &[(DOC, "d"), ("Content-Type: x", "")],
                Err(Unreadable::Bad("Bad media type")),
            ),
            (
                mixed,
                &[("Content-Type: multipart/mixed;boundary=c", "--c--")],
                Err(Unreadable::Type),
            ),
            (
                mixed,
                &[(
                    "Content-Type: a/doc\r\nContent-Transfer-Encoding: 8BIT",
                    "d",
                )],
                doc(),
            ),
            (
                mixed,
                &[(
                    "Content-Type: a/doc\r\nContent-Transfer-Encoding: base64",
                    "ZA==",
                )],
                Err(Unreadable::Encoding),
            ),
            (
                mixed,
                &[("Content-Type: a/doc\r\nContent-Encoding: gzip", "d")],
                Err(Unreadable::Body(BodyFault::BadCoding)),
            ),
        ] {
            assert_eq!(read(media, &body(parts)), expected, "{media} {parts:?}");
        }
    }

    #[test]
    fn what_is_no_multipart_is_no_document() {
        assert_eq!(read("a/doc", "d"), Ok(("a/doc".to_owned(), "d".to_owned())));
        assert_eq!(read("image/png", "d"), Err(Unreadable::Type));
        for (media, body, reason) in [
            ("multipart/mixed", "--b--", "Bad Boundary"),
            (
                "multipart/mixed;boundary=b",
                "<a/>",
                "Body Parts Do Not End",
            ),
        ] {
            assert_eq!(read(media, body), Err(Unreadable::Bad(reason)));
        }
    }
}
