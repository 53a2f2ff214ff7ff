//! Writes XML: escapes text and attribute values, and knows nothing else.

/// The declaration that every document of ours begins with.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Appends a text so that it reads back as itself between tags.
pub fn push_text(out: &mut String, text: &str) {
    push_escaped(out, text);
}

/// Appends ` name="value"` so that the value reads back as itself. The name is the caller's and not escaped.
pub fn push_attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, value);
    out.push('"');
}

/// Escapes for both text and values in either kind of quotes. Tab and line ends become references, because parsers
/// turn them into spaces in values; characters that XML cannot hold at all become U+FFFD.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match escape(c) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(c),
        }
    }
}

/// The bytes that [`push_escaped`] appends.
pub(super) fn escaped_len(text: &str) -> usize {
    text.chars()
        .map(|c| escape(c).map_or(c.len_utf8(), str::len))
        .sum()
}

fn escape(c: char) -> Option<&'static str> {
    Some(match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#39;",
        '\t' => "&#9;",
        '\n' => "&#10;",
        '\r' => "&#13;",
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "",
            "plain",
            "a<b>&\"c\"'d'",
            "tab\there\r\nand there",
            "]]>",
            "\u{e9}\u{1f600}",
            "&amp;",
        ] {
            let mut out = String::from("<a");
            push_attribute(&mut out, "b", text);
            assert_eq!(out.len(), "<a b=\"\"".len() + escaped_len(text));
            out.push('>');
            push_text(&mut out, text);
            out.push_str("</a>");
            let document = roxmltree::Document::parse(&out).unwrap();
            assert_eq!(document.root_element().attribute("b"), Some(text));
            assert_eq!(document.root_element().text().unwrap_or(""), text);
        }
    }

    #[test]
    fn characters_outside_xml_are_replaced() {
        let mut out = String::new();
        push_text(&mut out, "a\u{0}b\u{1b}c\u{ffff}");
        assert_eq!(out, "a\u{fffd}b\u{fffd}c\u{fffd}");
    }
}
