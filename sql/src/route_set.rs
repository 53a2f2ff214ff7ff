//! A route set as Kamailio's column `record_route` has it: one text, values separated by commas.

/// Joins raw name-addrs.
pub(crate) fn join(values: &[String]) -> String {
    values.join(",")
}

/// Splits at the commas between values; commas within `<…>` or `"…"` belong to a value.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut start = 0;
    let (mut quoted, mut escaped, mut in_address) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !in_address => quoted = !quoted,
            b'<' if !quoted => in_address = true,
            b'>' if !quoted => in_address = false,
            b',' if !quoted && !in_address => {
                values.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    values.push(&text[start..]);
    values
        .into_iter()
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{join, split};

    #[test]
    fn splits_where_a_value_ends() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("<sip:a;lr>", &["<sip:a;lr>"]),
            ("<sip:a;lr>, <sip:b;lr>", &["<sip:a;lr>", "<sip:b;lr>"]),
            (
                "\"x, \\\"y\" <sip:a,b@c;lr>;p=1,<sip:d>",
                &["\"x, \\\"y\" <sip:a,b@c;lr>;p=1", "<sip:d>"],
            ),
        ];
        for (text, values) in table {
            assert_eq!(split(text), *values, "{text}");
            assert_eq!(split(&join(&split(text))), *values, "{text}");
        }
    }
}
