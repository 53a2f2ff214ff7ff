//! Splitting of header values at commas and semicolons that stand outside of quotes and angle brackets
//! (RFC 3261 section 7.3.1).

use crate::work;

/// The pieces of `value` between separators, untrimmed, at least one.
pub(crate) fn split(value: &[u8], separator: u8) -> Pieces<'_> {
    Pieces {
        rest: Some(value),
        separator,
    }
}

pub(crate) struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match first_separator(rest, self.separator) {
            Some(index) => {
                self.rest = Some(&rest[index + 1..]);
                Some(&rest[..index])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

/// The same over text, trimmed.
pub(crate) fn split_text(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        // The separator is ASCII, so both sides of it are whole characters.
        let (piece, after) = match first_separator(text.as_bytes(), separator) {
            Some(index) => (&text[..index], Some(&text[index + 1..])),
            None => (text, None),
        };
        rest = after;
        Some(super::text::trim(piece))
    })
}

fn first_separator(value: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    let mut in_brackets = false;
    let mut index = 0;
    while let Some(byte) = value.get(index) {
        match byte {
            b'\\' if quoted => index += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => in_brackets = true,
            b'>' => in_brackets = false,
            byte if *byte == separator && !in_brackets => {
                work::note(index + 1);
                return Some(index);
            }
            _ => {}
        }
        index += 1;
    }
    work::note(value.len());
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_count_outside_of_quotes_and_brackets() {
        for (value, expected) in [
            ("", vec![""]),
            ("a", vec!["a"]),
            (" a , b ", vec!["a", "b"]),
            ("a,,b,", vec!["a", "", "b", ""]),
            (
                r#""x,y" <sip:a,b@c>, <sip:d>"#,
                vec![r#""x,y" <sip:a,b@c>"#, "<sip:d>"],
            ),
            (r#""q\",\\" <s>,t"#, vec![r#""q\",\\" <s>"#, "t"]),
            ("<sip:a?b=\"c\",d>,e", vec!["<sip:a?b=\"c\",d>", "e"]),
            (r#""open, b"#, vec![r#""open, b"#]),
            ("ä,ö", vec!["ä", "ö"]),
        ] {
            assert_eq!(
                split_text(value, b',').collect::<Vec<_>>(),
                expected,
                "{value:?}"
            );
            let bytes: Vec<&[u8]> = split(value.as_bytes(), b',')
                .map(<[u8]>::trim_ascii)
                .collect();
            assert_eq!(
                bytes,
                expected
                    .iter()
                    .map(|text| text.as_bytes())
                    .collect::<Vec<_>>(),
                "{value:?}"
            );
        }
    }
}
