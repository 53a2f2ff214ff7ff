//! `#!subst`: regular expressions whose matches are replaced in every string.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::Fault;

/// A string may grow so far by replacements, in bytes. Kamailio's own limit is near 4 KiB.
const MAX_TEXT: usize = 64 * 1024;
/// More rules than this would make the work grow with the square of the input.
pub(crate) const MAX_RULES: usize = 512;
/// The size of one compiled expression, in bytes.
const MAX_REGEX: usize = 256 * 1024;

/// `/expression/replacement/flags` with any separator.
#[derive(Debug)]
struct Rule {
    expression: Regex,
    replacement: Vec<Piece>,
    everywhere: bool,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
}

/// The parts of such a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) expression: &'a str,
    pub(crate) replacement: &'a str,
    pub(crate) flags: &'a str,
}

/// All rules, in the order in which they are applied.
#[derive(Debug, Default)]
pub(crate) struct Substitutions(Vec<Rule>);

impl Substitutions {
    /// Adds a rule.
    pub(crate) fn add(&mut self, directive: &'static str, parts: Parts<'_>) -> Result<(), Fault> {
        if self.0.len() == MAX_RULES {
            return Err(Fault::TooManySubstitutions(MAX_RULES));
        }
        let wrong = |reason: &str| Fault::Substitution {
            directive,
            reason: reason.to_owned(),
        };
        if let Some(flag) = parts.flags.chars().find(|flag| !"gis".contains(*flag)) {
            return Err(wrong(&format!("unknown flag {flag:?}")));
        }
        let expression = RegexBuilder::new(parts.expression)
            .unicode(false)
            .case_insensitive(parts.flags.contains('i'))
            .dot_matches_new_line(parts.flags.contains('s'))
            .size_limit(MAX_REGEX)
            .dfa_size_limit(MAX_REGEX)
            .build()
            .map_err(|_| {
                wrong("the text between the first two separators is not a regular expression")
            })?;
        self.0.push(Rule {
            expression,
            replacement: pieces(parts.replacement),
            everywhere: parts.flags.contains('g'),
        });
        Ok(())
    }

    /// The text after all rules; `None` if it grew beyond all measure.
    pub(crate) fn apply(&self, text: String) -> Option<String> {
        if self.0.is_empty() {
            return Some(text);
        }
        let mut bytes = text.into_bytes();
        for rule in &self.0 {
            if bytes.len() > MAX_TEXT {
                return None;
            }
            if rule.expression.is_match(&bytes) {
                bytes = rule.apply(&bytes)?;
            }
        }
        Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }
}

impl Rule {
    fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        let times = if self.everywhere { usize::MAX } else { 1 };
        for found in self.expression.captures_iter(text).take(times) {
            let whole = found.get(0)?;
            out.extend_from_slice(&text[copied..whole.start()]);
            for piece in &self.replacement {
                match piece {
                    Piece::Text(text) => out.extend_from_slice(text),
                    Piece::Group(number) => out.extend_from_slice(
                        found
                            .get(*number)
                            .map_or(b"".as_slice(), |group| group.as_bytes()),
                    ),
                }
            }
            copied = whole.end();
            if out.len() > MAX_TEXT {
                return None;
            }
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }
}

/// Splits at the separator, which is the first character; one after a backslash separates nothing.
pub(crate) fn split<'a>(directive: &'static str, text: &'a str) -> Result<Parts<'a>, Fault> {
    let wrong = |reason: &str| Fault::Substitution {
        directive,
        reason: reason.to_owned(),
    };
    let separator = text
        .chars()
        .next()
        .filter(|c| c.is_ascii() && *c != '\\')
        .ok_or_else(|| wrong("needs a text such as \"!NAME!value!g\""))?;
    let mut rest = &text[1..];
    let mut part = || {
        let mut escaped = false;
        let end = rest.bytes().position(|byte| {
            let found = byte == separator as u8 && !escaped;
            escaped = byte == b'\\' && !escaped;
            found
        })?;
        let found = &rest[..end];
        rest = &rest[end + 1..];
        Some(found)
    };
    let missing = || wrong(&format!("a third {separator:?} is missing"));
    let expression = part().ok_or_else(missing)?;
    let replacement = part().ok_or_else(missing)?;
    if expression.is_empty() {
        return Err(wrong("there is nothing between the first two separators"));
    }
    Ok(Parts {
        expression,
        replacement,
        flags: rest.trim(),
    })
}

/// `\0` to `\9` are what the expression's groups found, `\\` and `\` with a separator stand for themselves.
fn pieces(replacement: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut text = Vec::new();
    let mut bytes = replacement.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => {
                found.push(Piece::Text(std::mem::take(&mut text)));
                found.push(Piece::Group(usize::from(digit - b'0')));
            }
            Some(b'n') => text.push(b'\n'),
            Some(b't') => text.push(b'\t'),
            Some(other) => text.push(other),
            None => text.push(b'\\'),
        }
    }
    found.push(Piece::Text(text));
    found
}

#[cfg(test)]
mod tests {
    use super::{Substitutions, split};

    #[test]
    fn strings_are_rewritten() {
        for (rule, before, after) in [
            ("/DB/db.example.org/", "DB and DB", "db.example.org and DB"),
            ("/DB/x/g", "DB and DB", "x and x"),
            ("!db!x!gi", "DB and db", "x and x"),
            (r"#a(b+)c#<\1\0>#", "abbc", "<bbabbc>"),
            (r"/a\/b/c\/d/", "a/b", "c/d"),
            ("!A!!", "xAy", "xy"),
            ("/[[:digit:]]+/N/g", "1 22 333", "N N N"),
        ] {
            let mut rules = Substitutions::default();
            rules.add("subst", split("subst", rule).unwrap()).unwrap();
            assert_eq!(rules.apply(before.to_owned()).unwrap(), after, "{rule}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "/a/b", "//b/", "/a/b/q", "/(/b/", "\\a\\b\\", "é"] {
            let added =
                split("subst", text).and_then(|parts| Substitutions::default().add("subst", parts));
            assert!(added.is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_cannot_grow_for_ever() {
        let mut rules = Substitutions::default();
        let tenfold = "/a/aaaaaaaaaa/g";
        for _ in 0..10 {
            rules
                .add("subst", split("subst", tenfold).unwrap())
                .unwrap();
        }
        assert_eq!(rules.apply("a".to_owned()), None);
    }
}
