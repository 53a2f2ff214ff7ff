//! Content-Encoding: `gzip` and `deflate` (RFC 3261 section 20.12; RFC 9110 section 8.4.1).

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

use sip::{HeaderName, Request};

use super::BodyFault;
use super::xml::MAX_BYTES;

/// The codings that are understood, for Accept-Encoding.
pub const ACCEPTED: &str = "gzip, deflate";

/// Why a body in a coding cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodingFault {
    /// A coding that is not understood.
    Unknown,
    /// The body is too large, or not what the coding says.
    Body(BodyFault),
}

/// Content-Encoding of a request. Several lines are a list (RFC 3261 section 7.3.1), which no body that is understood has.
pub(crate) fn of(request: &Request) -> Option<Cow<'_, [u8]>> {
    let mut lines = request.header_lines(HeaderName::ContentEncoding);
    let first = lines.next()?;
    Some(lines.fold(Cow::Borrowed(first), |list, line| {
        Cow::Owned([&list, &b", "[..], line].concat())
    }))
}

/// The body without its coding. Never more than [`MAX_BYTES`] are made, however small the body is.
///
/// # Errors
/// The coding is not understood, or the body is not what it says.
pub fn decode<'a>(coding: Option<&[u8]>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, CodingFault> {
    let coding = coding.unwrap_or_default().trim_ascii().to_ascii_lowercase();
    match &*coding {
        b"" | b"identity" => Ok(Cow::Borrowed(body)),
        b"gzip" | b"x-gzip" => inflated(GzDecoder::new(body)),
        // "deflate" is the zlib format (RFC 9110 section 8.4.1.2); some send it without its frame.
        b"deflate" => match inflated(ZlibDecoder::new(body)) {
            Err(CodingFault::Body(BodyFault::BadCoding)) => inflated(DeflateDecoder::new(body)),
            read => read,
        },
        _ => Err(CodingFault::Unknown),
    }
}

fn inflated<'a>(reader: impl Read) -> Result<Cow<'a, [u8]>, CodingFault> {
    let mut body = Vec::new();
    reader
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|_| CodingFault::Body(BodyFault::BadCoding))?;
    if body.len() > MAX_BYTES {
        return Err(CodingFault::Body(BodyFault::TooLarge));
    }
    Ok(Cow::Owned(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(body).expect("into memory");
        writer.finish().expect("into memory")
    }

    #[test]
    fn codings() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"<a/>").expect("into memory");
        raw.write_all(b"<a/>").expect("into memory");
        let (zlib, raw) = (
            zlib.finish().expect("into memory"),
            raw.finish().expect("into memory"),
        );
        for (coding, body) in [
            (None, b"<a/>".to_vec()),
            (Some(&b" Identity "[..]), b"<a/>".to_vec()),
            (Some(b"GZIP"), gzip(b"<a/>")),
            (Some(b"deflate"), zlib),
            (Some(b"deflate"), raw),
        ] {
            assert_eq!(
                decode(coding, &body).as_deref(),
                Ok(&b"<a/>"[..]),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read() {
        let bomb = gzip(&vec![b' '; 100_000_000]);
        assert!(bomb.len() < 200_000);
        for (coding, body, fault) in [
            (&b"br"[..], &b"x"[..], CodingFault::Unknown),
            (b"gzip, gzip", b"x", CodingFault::Unknown),
            (b"gzip", b"<a/>", CodingFault::Body(BodyFault::BadCoding)),
            (b"deflate", b"<a/>", CodingFault::Body(BodyFault::BadCoding)),
            (
                b"gzip",
                &gzip(b"<a/>")[..12],
                CodingFault::Body(BodyFault::BadCoding),
            ),
            (b"gzip", &bomb, CodingFault::Body(BodyFault::TooLarge)),
        ] {
            assert_eq!(decode(Some(coding), body), Err(fault), "{coding:?}");
        }
    }
}
