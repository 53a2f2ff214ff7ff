//! `presentity_table` and its like: what a table may be called.

use std::fmt;
use std::str::FromStr;

use super::value::{ValueError, as_text};

/// The name of a table: `NAME` or `SCHEMA.NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName(String);

impl TableName {
    /// One of the usual names.
    pub(super) fn usual(name: &'static str) -> TableName {
        TableName(name.to_owned())
    }

    /// The name, with its schema if it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TableName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<TableName, ValueError> {
        // Lower case, because PostgreSQL reads everything so that stands in no quotes: what is typed into psql then is the same table.
        let is_identifier = |part: &str| {
            let of_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            part.len() <= 63
                && part.bytes().next().is_some_and(of_word)
                && part
                    .bytes()
                    .all(|byte| of_word(byte) || byte.is_ascii_digit())
        };
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() <= 2 && parts.into_iter().all(is_identifier) {
            Ok(TableName(text.to_owned()))
        } else {
            Err(ValueError::TableName(text.to_owned()))
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(TableName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let longest = "x".repeat(63);
        for good in ["presentity", "a.b", "_x1.y_2", longest.as_str()] {
            assert_eq!(good.parse::<TableName>().unwrap().as_str(), good);
        }
        let too_long = "x".repeat(64);
        for bad in [
            "",
            ".",
            "a.",
            ".b",
            "a.b.c",
            "Presentity",
            "1a",
            "a b",
            "a;b",
            "a\"b",
            "ä",
            "a-b",
            "a.1",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }
}
