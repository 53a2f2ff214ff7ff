//! Documents in other encodings than UTF-8. What we keep, merge and show is UTF-8, whatever the publisher wrote.
//!
//! Phones are set to the encoding of their country, and their documents hold names of people: a caller called Jürgen must
//! not decide whether a lamp lights. The encodings are those of the WHATWG list (`encoding_rs`).
//!
//! Octets that are UTF-8 are read as UTF-8, whatever is declared: no text of another encoding that has more than ASCII is
//! likely to be UTF-8 by chance, and programs that declare ISO-8859-1 and write UTF-8 are common.

use std::borrow::Cow;

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

use super::BodyFault;
use super::xml::MAX_BYTES;

/// An XML document in UTF-8, and declared so. `charset` is that of Content-Type, which counts before the declaration
/// (RFC 7303 section 3). Nothing is copied if nothing is to be changed.
///
/// # Errors
/// The octets are not UTF-8, and not what is declared either; or the document is too large.
pub fn to_utf8<'a>(body: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, [u8]>, BodyFault> {
    if body.len() > MAX_BYTES {
        return Err(BodyFault::TooLarge);
    }
    let declared = declaration(body);
    let label = charset.or(declared.map(|range| label(&body[range.0..range.1])));
    let encoding =
        wide(body).or_else(|| label.and_then(|label| Encoding::for_label(label.as_bytes())));
    let text = match encoding {
        // Shift sequences are ASCII, so every text of it is UTF-8 as well.
        Some(encoding) if encoding == ISO_2022_JP || is_wide(encoding) && wide(body).is_some() => {
            decoded(encoding, body)?
        }
        _ => match (std::str::from_utf8(body), encoding) {
            (Ok(text), _) => Cow::Borrowed(text),
            (Err(_), Some(encoding)) => decoded(encoding, body)?,
            (Err(_), None) => return Err(BodyFault::NotUtf8),
        },
    };
    let text = declared_as_utf8(text);
    if text.len() > MAX_BYTES {
        return Err(BodyFault::TooLarge);
    }
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

fn decoded<'a>(encoding: &'static Encoding, body: &'a [u8]) -> Result<Cow<'a, str>, BodyFault> {
    let (_, mark) = Encoding::for_bom(body)
        .filter(|(marked, _)| *marked == encoding)
        .unwrap_or((encoding, 0));
    encoding
        .decode_without_bom_handling_and_without_replacement(&body[mark..])
        .ok_or(BodyFault::NotUtf8)
}

/// UTF-16, told by its byte order mark, or by the way in which its first character is written.
fn wide(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0xFF, 0xFE, ..] | [b'<', 0, ..] => Some(UTF_16LE),
        [0xFE, 0xFF, ..] | [0, b'<', ..] => Some(UTF_16BE),
        _ => None,
    }
}

fn is_wide(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// Where the declared encoding stands, if the document begins with a declaration that names one. Octets of all encodings
/// but UTF-16 are ASCII there.
fn declaration(body: &[u8]) -> Option<(usize, usize)> {
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let start = match body[start..].strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) => body.len() - rest.trim_ascii_start().len(),
        None => start,
    };
    let rest = body[start..].strip_prefix(b"<?xml")?;
    if !rest.first()?.is_ascii_whitespace() {
        return None;
    }
    let end = memchr::memmem::find(rest, b"?>")?;
    let name = memchr::memmem::find(&rest[..end], b"encoding")?;
    let equals = name + b"encoding".len();
    let equals = equals
        + rest[equals..end]
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())?;
    if rest[equals] != b'=' {
        return None;
    }
    let quote = equals + 1;
    let quote = quote
        + rest[quote..end]
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(rest[quote], b'"' | b'\'') {
        return None;
    }
    let length = memchr::memchr(rest[quote], &rest[quote + 1..end])?;
    let offset = body.len() - rest.len();
    Some((offset + quote + 1, offset + quote + 1 + length))
}

fn label(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}

/// The text with `UTF-8` in the place of another declared encoding.
fn declared_as_utf8(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some((start, end)) = declaration(text.as_bytes()) else {
        return text;
    };
    let known = ["utf-8", "utf8", "us-ascii", "ascii"];
    if known
        .iter()
        .any(|known| text[start..end].eq_ignore_ascii_case(known))
    {
        return text;
    }
    Cow::Owned([&text[..start], UTF_8.name(), &text[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], charset: Option<&str>) -> Result<String, BodyFault> {
        to_utf8(body, charset).map(|text| String::from_utf8(text.into_owned()).expect("UTF-8"))
    }

    #[test]
    fn what_is_utf8_stays_as_it_is() {
        for text in [
            "<a/>",
            "<?xml version='1.0' encoding='utf-8'?><a>\u{fc}</a>",
            "\r\n\u{feff}<?xml version='1.0' encoding=\"US-ASCII\"?><a/>",
            "<a>encoding='UTF-16'</a>",
            "<?xmlx encoding='UTF-16'?>",
            "",
        ] {
            assert!(
                matches!(to_utf8(text.as_bytes(), None), Ok(Cow::Borrowed(same)) if same == text.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn other_encodings_become_utf8() {
        let utf16 = |text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let mark = mark.then_some(0xFEFF);
            mark.into_iter()
                .chain(text.encode_utf16())
                .flat_map(bytes)
                .collect()
        };
        let declared = |label: &str, octets: &[u8]| {
            [
                format!("<?xml version=\"1.0\" encoding=\"{label}\"?><a>").as_bytes(),
                octets,
                b"</a>",
            ]
            .concat()
        };
        let wide = "<?xml version='1.0' encoding='UTF-16'?><a>\u{fc}</a>";
        for (body, charset, expected) in [
            (declared("ISO-8859-1", b"J\xfcrgen"), None, "J\u{fc}rgen"),
            (
                declared("iso-8859-1", "J\u{fc}rgen".as_bytes()),
                None,
                "J\u{fc}rgen",
            ),
            (
                declared("windows-1251", b"\xc8\xe2\xe0\xed"),
                None,
                "\u{418}\u{432}\u{430}\u{43d}",
            ),
            (declared("GB2312", b"\xcd\xf5"), None, "\u{738b}"),
            (declared("ISO-2022-JP", b"\x1b$B0B\x1b(B"), None, "\u{5b89}"),
            (declared("UTF-16", b"x"), None, "x"),
            (declared("klingon", "\u{fc}".as_bytes()), None, "\u{fc}"),
            (b"<a>\xfc</a>".to_vec(), Some("iso-8859-1"), "\u{fc}"),
            (declared("utf-8", b"\xfc"), Some("ISO-8859-15"), "\u{fc}"),
            (utf16(wide, true, u16::to_le_bytes), None, "\u{fc}"),
            (utf16(wide, true, u16::to_be_bytes), None, "\u{fc}"),
            (utf16(wide, false, u16::to_le_bytes), None, "\u{fc}"),
            (
                utf16(wide, false, u16::to_be_bytes),
                Some("utf-16"),
                "\u{fc}",
            ),
        ] {
            let text = read(&body, charset).unwrap_or_else(|fault| panic!("{fault}: {body:?}"));
            let document = crate::document::xml::parse(text.as_bytes())
                .expect("well-formed, and declared as what it is");
            assert_eq!(document.root_element().text(), Some(expected), "{text}");
        }
    }

    #[test]
    fn octets_that_are_nothing_are_refused() {
        for (body, charset) in [
            (&b"<a>\xfc</a>"[..], None),
            (b"<?xml version='1.0' encoding='utf-8'?><a>\xfc</a>", None),
            (b"<?xml version='1.0' encoding='klingon'?><a>\xfc</a>", None),
            (
                b"<?xml version='1.0' encoding='GB2312'?><a>\xff\xff</a>",
                None,
            ),
            (
                b"<?xml version='1.0' encoding='replacement'?><a>\xff</a>",
                None,
            ),
            (b"\xff\xfe\x00\xd8", None),
            (b"<a>\xfc</a>", Some("nonsense")),
        ] {
            assert_eq!(read(body, charset), Err(BodyFault::NotUtf8), "{body:?}");
        }
        assert_eq!(
            read(&vec![b'x'; MAX_BYTES + 1], None),
            Err(BodyFault::TooLarge)
        );
        // Two octets a character here, three there.
        let grows = [
            &b"<?xml version='1.0' encoding='GB2312'?><a>"[..],
            &b"\xcd\xf5".repeat(30_000),
            b"</a>",
        ]
        .concat();
        assert_eq!(read(&grows, None), Err(BodyFault::TooLarge));
    }
}
