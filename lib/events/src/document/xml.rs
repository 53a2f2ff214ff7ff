//! The guard in front of the XML parser.
//!
//! The parser is quadratic and worse in namespaces and attributes (34 kB of `xmlns` took 1.45 s), so what would be
//! expensive is counted, by two scans of the octets, before it sees them. The worst inputs that pass take about 2 ms.
//! DTDs stay off: no entity is ever expanded. A body that passes has one root and is UTF-8.

use memchr::memmem;
use roxmltree::{Error, ParsingOptions};

use super::BodyFault;

/// Largest body read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most namespace declarations (occurrences of `xmlns`) in a body.
pub const MAX_NAMESPACES: usize = 64;
/// Most attributes (occurrences of `=`) in a body.
pub const MAX_ATTRIBUTES: usize = 1000;
/// Most nodes in a body.
pub const MAX_NODES: u32 = 10_000;
/// Deepest nesting of elements. Ours is not the last parser: a watcher's may be recursive.
pub const MAX_DEPTH: usize = 64;

/// Reads a body that has passed the guard.
///
/// # Errors
/// Says which limit the body exceeds, or why it cannot be read.
pub fn parse(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let text = guard(body)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|error| match error {
            Error::NodesLimitReached
            | Error::AttributesLimitReached
            | Error::NamespacesLimitReached => BodyFault::TooComplex,
            Error::DtdDetected => BodyFault::HasDtd,
            _ => BodyFault::NotWellFormed,
        })?;
    if is_too_deep(&document) {
        return Err(BodyFault::TooComplex);
    }
    Ok(document)
}

/// Checks size, encoding and the cheap signs of expensive input; returns the text without BOM and blank margins.
fn guard(body: &[u8]) -> Result<&str, BodyFault> {
    if body.len() > MAX_BYTES {
        return Err(BodyFault::TooLarge);
    }
    if memmem::find_iter(body, b"xmlns")
        .nth(MAX_NAMESPACES)
        .is_some()
        || memchr::memchr_iter(b'=', body)
            .nth(MAX_ATTRIBUTES)
            .is_some()
    {
        return Err(BodyFault::TooComplex);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyFault::NotUtf8)?;
    // Blank lines before the XML declaration are an error to XML and a habit to phones.
    let blank: &[char] = &[' ', '\t', '\r', '\n'];
    let text = text.trim_start_matches(blank);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.trim_matches(blank);
    // Phones declare ISO-8859-1 and write ASCII, which is the same octets.
    let encodings: &[&str] = if text.is_ascii() {
        &ASCII_AND_MORE
    } else {
        &UTF_8
    };
    if !is_declared(text, encodings) {
        return Err(BodyFault::NotUtf8);
    }
    if !has_good_references(text) {
        return Err(BodyFault::NotWellFormed);
    }
    Ok(text)
}

/// XML 1.0 section 4.1: "Characters referred to using character references MUST match the production for Char." The parser
/// turns some that do not into replacement characters. What merely looks like one, in a comment or CDATA, counts as well.
fn has_good_references(text: &str) -> bool {
    memmem::find_iter(text.as_bytes(), b"&#").all(|at| {
        let rest = &text[at + 2..];
        let reference = &rest[..rest.find(';').unwrap_or(0)];
        let number = match reference.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => reference.parse(),
        };
        number
            .ok()
            .and_then(char::from_u32)
            .is_some_and(|character| match character {
                '\t' | '\n' | '\r' => true,
                '\u{fffe}' | '\u{ffff}' => false,
                character => character >= ' ',
            })
    })
}

/// Encodings that UTF-8 covers.
const UTF_8: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];
/// Encodings in which ASCII text is itself.
const ASCII_AND_MORE: [&str; 8] = [
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "iso-8859-15",
    "latin1",
    "windows-1252",
];

/// Whether the XML declaration names one of these encodings, or none. The parser ignores it.
fn is_declared(text: &str, encodings: &[&str]) -> bool {
    let Some(declaration) = text
        .strip_prefix("<?xml")
        .filter(|rest| rest.starts_with([' ', '\t', '\r', '\n']))
    else {
        return true;
    };
    let declaration = declaration.split("?>").next().unwrap_or(declaration);
    let Some((_, rest)) = declaration.split_once("encoding") else {
        return true;
    };
    let value = rest
        .trim_start()
        .strip_prefix('=')
        .unwrap_or("")
        .trim_start();
    let encoding = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].split(quote).next().unwrap_or(""),
        _ => "",
    };
    encodings
        .iter()
        .any(|known| encoding.eq_ignore_ascii_case(known))
}

/// Whether elements are nested deeper than [`MAX_DEPTH`]; linear, and without recursion.
fn is_too_deep(document: &roxmltree::Document<'_>) -> bool {
    let mut depths: Vec<usize> = Vec::new();
    for node in document.descendants() {
        let depth = node.parent().map_or(0, |parent| {
            depths.get(parent.id().get_usize()).copied().unwrap_or(0) + 1
        });
        if node.is_element() && depth > MAX_DEPTH {
            return true;
        }
        let index = node.id().get_usize();
        if depths.len() <= index {
            depths.resize(index + 1, 0);
        }
        depths[index] = depth;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: impl AsRef<[u8]>) -> Option<BodyFault> {
        parse(body.as_ref()).err()
    }

    #[test]
    fn reads_what_phones_send() {
        for body in [
            "<a/>",
            "\r\n\r\n<?xml version=\"1.0\"?><a/>\r\n",
            "\u{feff}<?xml version='1.0' encoding='utf-8' standalone='yes'?><a/>",
            "\r\n\u{feff}\n<a/>",
            "<?xml version=\"1.0\" encoding = \"US-ASCII\" ?>\n<!-- c --><a>\u{e9}</a>",
            "<a>encoding=\"UTF-16\"</a>",
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>",
            "<a>&#252;&#xFC;&#x9;&#x1F600;</a>",
        ] {
            assert_eq!(fault(body), None, "{body:?}");
        }
    }

    #[test]
    fn refuses_other_encodings() {
        for body in [
            &b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xc3\xa9</a>"[..],
            b"<?xml version='1.0' encoding=\"UTF-16\"?><a/>",
            b"<?xml version='1.0' encoding=?><a/>",
            b"<a>\xe9</a>",
            b"\xff\xfe<\0a\0/\0>\0",
        ] {
            assert_eq!(
                fault(body),
                Some(BodyFault::NotUtf8),
                "{:?}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn refuses_what_is_not_xml() {
        for body in [
            "",
            " ",
            "hello",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<p:a/>",
            "<a b='1' b='2'/>",
            "<a>\u{1}</a>",
            "<a>&x;</a>",
            "<a>&#xD800;</a>",
            "<a b='&#0;'/>",
            "<a>&#1;</a>",
            "<a>&#xFFFE;</a>",
            "<a>&#x110000;</a>",
            "<a>&#99999999999;</a>",
            "<a>&#-1;</a>",
            "<a>&#</a>",
        ] {
            assert_eq!(fault(body), Some(BodyFault::NotWellFormed), "{body:?}");
        }
        assert_eq!(fault("<!DOCTYPE a><a/>"), Some(BodyFault::HasDtd));
    }

    #[test]
    fn limits_are_exact() {
        let sized = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - 7));
        assert_eq!(fault(sized(MAX_BYTES)), None);
        assert_eq!(fault(sized(MAX_BYTES + 1)), Some(BodyFault::TooLarge));

        let namespaces = |count: usize| format!("<a>{}</a>", "<b xmlns='u'/>".repeat(count));
        assert_eq!(fault(namespaces(MAX_NAMESPACES)), None);
        assert_eq!(
            fault(namespaces(MAX_NAMESPACES + 1)),
            Some(BodyFault::TooComplex)
        );

        let attributes = |count: usize| format!("<a>{}</a>", "<b c='d'/>".repeat(count));
        assert_eq!(fault(attributes(MAX_ATTRIBUTES)), None);
        assert_eq!(
            fault(attributes(MAX_ATTRIBUTES + 1)),
            Some(BodyFault::TooComplex)
        );

        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(fault(deep(MAX_DEPTH)), None);
        assert_eq!(fault(deep(MAX_DEPTH + 1)), Some(BodyFault::TooComplex));

        assert_eq!(
            fault(format!("<a>{}</a>", "<b/>".repeat(11_000))),
            Some(BodyFault::TooComplex)
        );
    }
}
