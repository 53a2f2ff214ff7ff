//! The small grammar that all headers share: tokens, LWS, quoted strings (RFC 3261 section 25.1).

use crate::work;

/// `token` characters.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

pub(crate) fn is_token(text: &[u8]) -> bool {
    work::note(text.len());
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Without surrounding spaces and tabs.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether text has a control character other than tab.
pub(crate) fn has_controls(text: &str) -> bool {
    work::note(text.len());
    text.bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// Reads the quoted string that `text` begins with: its content without escapes, and what follows it.
/// NUL, which a quoted pair may hold, becomes U+FFFD: no database takes it.
pub(crate) fn unquote(text: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut characters = text.strip_prefix('"')?.char_indices();
    while let Some((index, character)) = characters.next() {
        let character = match character {
            '"' => {
                work::note(index + 2);
                return Some((content, &text[index + 2..]));
            }
            '\\' => characters.next()?.1,
            other => other,
        };
        content.push(if character == '\0' {
            char::REPLACEMENT_CHARACTER
        } else {
            character
        });
    }
    work::note(text.len());
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings() {
        for (text, expected) in [
            (r#""""#, Some(("", ""))),
            (r#""a b" <x>"#, Some(("a b", " <x>"))),
            (r#""J \\\"" r"#, Some((r#"J \""#, " r"))),
            ("\"\\\0\"", Some(("\u{FFFD}", ""))),
            (r#""ä,<"z"#, Some(("ä,<", "z"))),
            (r#""open"#, None),
            (r#""open\""#, None),
            (r#""open\"#, None),
            ("a", None),
        ] {
            assert_eq!(
                unquote(text),
                expected.map(|(content, rest)| (content.to_owned(), rest)),
                "{text:?}"
            );
        }
    }
}
