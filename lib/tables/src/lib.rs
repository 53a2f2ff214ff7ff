//! The names that an operator gives to the three tables of Kamailio's: `presentity_table`, `active_watchers_table`, `watchers_table`.
//!
//! Migrations and statements are written with the usual names. Here these are replaced, as whole tokens of SQL, once: by `schema`
//! before it migrates, by `sql` when a store is opened. With the usual names nothing is replaced, copied or looked up. Nothing here
//! knows what a statement does.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// The usual names, in the order of all that is about them here.
pub const DEFAULT_NAMES: [&str; 3] = ["presentity", "active_watchers", "watchers"];

/// What the three tables are called, ready to stand in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Quoted, unless it is the usual one.
    names: [Cow<'static, str>; 3],
}

impl Default for Tables {
    fn default() -> Tables {
        Tables {
            names: DEFAULT_NAMES.map(Cow::Borrowed),
        }
    }
}

impl Tables {
    /// Names, each `NAME` or `SCHEMA.NAME`. They are quoted, so whatever they hold, they stay names.
    pub fn new(presentity: &str, active_watchers: &str, watchers: &str) -> Tables {
        let given = [presentity, active_watchers, watchers];
        Tables {
            names: std::array::from_fn(|index| match given[index] {
                name if name == DEFAULT_NAMES[index] => Cow::Borrowed(DEFAULT_NAMES[index]),
                name => Cow::Owned(quoted(name)),
            }),
        }
    }

    /// Whether these are the usual names, so that there is nothing to be replaced.
    pub fn are_usual(&self) -> bool {
        self.names
            .iter()
            .zip(DEFAULT_NAMES)
            .all(|(name, usual)| name == usual)
    }

    /// The three names as they stand in SQL, in the order of [`DEFAULT_NAMES`].
    pub fn names(&self) -> [&str; 3] {
        std::array::from_fn(|index| &*self.names[index])
    }

    /// The schemas that are named, without their quotes.
    pub fn schemas(&self) -> BTreeSet<String> {
        let named = self.names.iter().filter_map(|name| {
            let (schema, _) = name.strip_prefix('"')?.split_once("\".\"")?;
            Some(schema.replace("\"\"", "\""))
        });
        named.collect()
    }

    /// `sql` with these names in place of the usual ones.
    ///
    /// Replaced are identifiers, also in bodies in dollar quotes (of functions). Left alone are texts in quotes, quoted
    /// identifiers and comments; what follows a dot, which is a column or has its schema already; and what follows AS, which is
    /// an alias of the statement's own.
    pub fn in_sql<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        if self.are_usual() {
            return Cow::Borrowed(sql);
        }
        let mut out = String::with_capacity(sql.len() + 64);
        let mut before = Before::Anything;
        let mut rest = sql;
        while let Some(first) = rest.chars().next() {
            let (kind, length) = token(rest, first);
            let text = &rest[..length];
            rest = &rest[length..];
            let place = match (kind, before) {
                (Kind::Word, Before::Anything) => DEFAULT_NAMES
                    .iter()
                    .position(|usual| usual.eq_ignore_ascii_case(text)),
                _ => None,
            };
            out.push_str(place.map_or(text, |place| &self.names[place]));
            before = match kind {
                Kind::Blank => before,
                Kind::Word if text.eq_ignore_ascii_case("as") => Before::Name,
                Kind::Other if text == "." => Before::Name,
                _ => Before::Anything,
            };
        }
        Cow::Owned(out)
    }
}

/// What the last token makes of the next one.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// A name that is not a table's.
    Name,
    Anything,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Spaces and comments.
    Blank,
    /// A key word or an identifier without quotes.
    Word,
    /// In quotes, or one character of anything else.
    Other,
}

/// The token that `rest` begins with, and its length in bytes. (PostgreSQL's manual, section 4.1.)
fn token(rest: &str, first: char) -> (Kind, usize) {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let run = |of: &dyn Fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
    match first {
        _ if first.is_whitespace() => (Kind::Blank, run(&char::is_whitespace)),
        '-' if rest.starts_with("--") => (Kind::Blank, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => (Kind::Blank, block_comment(rest)),
        '\'' => (Kind::Other, quoted_length(rest, '\'', false)),
        '"' => (Kind::Other, quoted_length(rest, '"', false)),
        'e' | 'E' if rest[1..].starts_with('\'') => {
            (Kind::Other, 1 + quoted_length(&rest[1..], '\'', true))
        }
        // The signs of a dollar quote ($$, $body$) are left as they are, and what is between them is read like everything else.
        '$' => (Kind::Other, dollar_sign(rest)),
        _ if first.is_alphanumeric() || first == '_' => (Kind::Word, run(&is_of_word)),
        _ => (Kind::Other, first.len_utf8()),
    }
}

/// `$$`, `$tag$`, or the `$1` of a parameter.
fn dollar_sign(rest: &str) -> usize {
    let tag = rest[1..]
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(rest.len(), |length| length + 1);
    match rest[tag..].starts_with('$') {
        true => tag + 1,
        false => tag,
    }
}

/// They nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// A text or identifier in quotes, in which a doubled quote is one, and with `escapes` a backslash takes the next character's meaning.
fn quoted_length(rest: &str, quote: char, escapes: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    rest.len()
}

/// `"schema"."name"` or `"name"`.
fn quoted(name: &str) -> String {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    match name.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quote(schema), quote(name)),
        None => quote(name),
    }
}
