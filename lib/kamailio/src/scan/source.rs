//! A text that is being read, and the pieces that it is read in.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Fault, ReadError};
use crate::settings::Place;

/// A text that is being read: a file, or what a define stands for.
pub(super) struct Source {
    pub(super) text: Arc<[u8]>,
    pub(super) at: usize,
    pub(super) place: Place,
    /// The define that this is the text of.
    pub(super) define: Option<String>,
    /// For files: the path by which it was opened.
    pub(super) path: Option<PathBuf>,
}

impl Source {
    pub(super) fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
    }

    pub(super) fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|byte| !b" \t".contains(byte))
            .unwrap_or(rest.len());
    }

    /// Goes on behind `to`, counting lines.
    pub(super) fn pass(&mut self, to: usize) {
        if self.define.is_none() {
            let lines = self.text[self.at..to]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            self.place.line = self
                .place
                .line
                .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        }
        self.at = to;
    }

    pub(super) fn skip_comment(&mut self) -> Result<(), ReadError> {
        let body = self.at + 2;
        let Some(end) = self.text[body..].windows(2).position(|pair| pair == b"*/") else {
            return Err(ReadError {
                place: self.place.clone(),
                fault: Fault::OpenComment,
            });
        };
        self.pass(body + end + 2);
        Ok(())
    }

    /// `$name`, `$name(…)`, `$(…)`: what is in the parentheses follows other rules, quotes mean nothing there.
    pub(super) fn skip_variable(&mut self) {
        self.at += 1;
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| is_word(*byte) || *byte == b'.')
        {
            self.at += 1;
        }
        if self.text.get(self.at) != Some(&b'(') {
            return;
        }
        let mut depth = 0usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\n' => return,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    pub(super) fn word(&mut self) -> String {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|byte| is_word(*byte)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// A string, from its opening quote on. Within `'…'` nothing is special.
    pub(super) fn string(&mut self, quote: u8) -> Result<String, ReadError> {
        let open = || ReadError {
            place: self.place.clone(),
            fault: Fault::OpenString(quote as char),
        };
        let mut out = Vec::new();
        let mut at = self.at + 1;
        loop {
            let byte = *self.text.get(at).ok_or_else(open)?;
            at += 1;
            if byte == quote {
                break;
            }
            if byte != b'\\' || quote == b'\'' {
                out.push(byte);
                continue;
            }
            let next = *self.text.get(at).ok_or_else(open)?;
            at += 1;
            match next {
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'a' => out.push(0x07),
                b'"' | b'\\' => out.push(next),
                b'\n' => {}
                b'\r' if self.text.get(at) == Some(&b'\n') => at += 1,
                b'x' => match number(&self.text[at..], 16, 1, 2) {
                    Some((value, length)) => {
                        out.push(value);
                        at += length;
                    }
                    None => out.extend_from_slice(b"\\x"),
                },
                b'0'..=b'7' => match number(&self.text[at - 1..], 8, 2, 3) {
                    Some((value, length)) => {
                        out.push(value);
                        at += length - 1;
                    }
                    None => out.extend_from_slice(&[b'\\', next]),
                },
                other => out.extend_from_slice(&[b'\\', other]),
            }
        }
        self.pass(at);
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// The rest of the line; a backslash at its end draws the next one in.
    pub(super) fn logical_line(&mut self) -> String {
        let mut line = String::new();
        loop {
            let start = self.at;
            self.skip_line();
            let part = String::from_utf8_lossy(&self.text[start..self.at]);
            let part = part.strip_suffix('\r').unwrap_or(&part);
            match part.strip_suffix('\\') {
                Some(part) if self.at < self.text.len() => {
                    line.push_str(part);
                    self.pass(self.at + 1);
                }
                _ => {
                    line.push_str(part);
                    return line;
                }
            }
        }
    }

    /// Goes to the next directive that opens, turns or closes a condition.
    pub(super) fn next_condition(&mut self) -> Option<&'static str> {
        const CONDITIONS: [&str; 5] = ["ifdef", "ifndef", "ifexp", "else", "endif"];
        let mut at = self.at;
        while at + 1 < self.text.len() {
            if self.text[at + 1] == b'!'
                && b"#!".contains(&self.text[at])
                && let Some(found) = directive(&self.text[at + 2..])
                && CONDITIONS.contains(&found)
            {
                self.pass(at);
                return Some(found);
            }
            at += 1;
        }
        self.pass(self.text.len());
        None
    }
}

/// The directive whose name stands here, after `#!` or `!!`.
pub(super) fn directive(text: &[u8]) -> Option<&'static str> {
    const NAMES: [&str; 21] = [
        "define",
        "def",
        "trydefine",
        "trydef",
        "redefine",
        "redef",
        "defexp",
        "defexps",
        "defenv",
        "defenvs",
        "trydefenv",
        "trydefenvs",
        "subst",
        "substdef",
        "substdefs",
        "ifdef",
        "ifndef",
        "ifexp",
        "else",
        "endif",
        "include_file",
    ];
    let length = text
        .iter()
        .take(16)
        .position(|byte| !is_word(*byte))
        .unwrap_or(text.len().min(16));
    NAMES
        .into_iter()
        .chain(["import_file"])
        .find(|name| name.as_bytes() == &text[..length])
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A number of so many digits, and how many it has; only its last eight bits count.
fn number(text: &[u8], radix: u32, least: usize, most: usize) -> Option<(u8, usize)> {
    let digits: Vec<u32> = text
        .iter()
        .take(most)
        .map_while(|byte| (*byte as char).to_digit(radix))
        .collect();
    let value = digits.iter().fold(0, |value, digit| value * radix + digit);
    (digits.len() >= least).then_some(((value & 0xff) as u8, digits.len()))
}
