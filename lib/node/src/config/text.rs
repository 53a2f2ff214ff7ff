//! Texts that go into something else, a script, a document or a header, and must fit there.

use serde::de::{self, Deserialize, Deserializer};

/// Words that cannot follow a dot in Lua (its manual, section 3.1).
const LUA: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    fits: fn(&str) -> bool,
    wanted: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match fits(&text) {
        true => Ok(text),
        false => Err(de::Error::custom(format!("must be {wanted}, not {text:?}"))),
    }
}

/// Empty, or what a script can write as `xavp.<name>`.
pub(super) fn xavp_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let wanted =
        "a name of letters, digits and _ that does not begin with a digit and is not a Lua keyword";
    checked(deserializer, is_xavp_name, wanted)
}

/// The local name of an element (XML 1.0; without a colon).
pub(super) fn element_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(
        deserializer,
        is_element_name,
        "the name of an element, without prefix",
    )
}

/// RFC 6665 section 8.4: `event-reason-value`, with the parameters that may follow it.
pub(super) fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let wanted = "a reason, optionally with parameters, such as probation;retry-after=30";
    checked(deserializer, is_reason, wanted)
}

fn is_xavp_name(text: &str) -> bool {
    text.is_empty()
        || (!text.starts_with(|first: char| first.is_ascii_digit())
            && !LUA.contains(&text)
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

fn is_element_name(text: &str) -> bool {
    let starts = |first: char| first.is_alphabetic() || first == '_';
    text.starts_with(starts)
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}'))
}

fn is_reason(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
    };
    let mut parts = text.split(';');
    parts.next().is_some_and(is_token)
        && parts.all(|parameter| {
            parameter
                .split_once('=')
                .is_some_and(|(name, value)| is_token(name) && is_token(value))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_where_they_go() {
        for (fits, good, bad) in [
            (
                is_xavp_name as fn(&str) -> bool,
                &["", "pres", "_p1", "Pres"][..],
                &["a b;c", "1p", "end", "a-b", "a.b", "pré"][..],
            ),
            (
                is_element_name,
                &["note", "_n", "on-the-phone", "été"],
                &["", "rpid:mood", "1note", "a b", "<note>", "-a"],
            ),
            (
                is_reason,
                &["probation", "probation;retry-after=30"],
                &[
                    "",
                    "no good",
                    "a;",
                    "a;b",
                    "a;=1",
                    "a\r\nX: y",
                    ";a",
                    "a;b=\"c\"",
                ],
            ),
        ] {
            for text in good {
                assert!(fits(text), "{text:?}");
            }
            for text in bad {
                assert!(!fits(text), "{text:?}");
            }
        }
    }
}
