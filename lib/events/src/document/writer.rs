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
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["", "plain", "a<b>&\"c\"'d'", "tab\there\r\nand there", "]]>", "\u{e9}\u{1f600}", "&amp;"] {
            let mut out = String::from("<a");
            push_attribute(&mut out, "b", text);
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
