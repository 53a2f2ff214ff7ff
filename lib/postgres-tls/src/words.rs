//! The words that tokio-postgres does not know, taken out of a URL or a connection string. Whatever cannot be read here stays, for
//! tokio-postgres to complain about.

use percent_encoding::percent_decode_str;

/// libpq's words about TLS, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) mode: Option<String>,
    /// A file of CA certificates, or `system`.
    pub(crate) roots: Option<String>,
    /// Our own certificate, and those between it and its CA.
    pub(crate) certificate: Option<String>,
    pub(crate) key: Option<String>,
}

impl Words {
    /// Whether the word is one of these. An empty value means the default, as in libpq.
    fn put(&mut self, name: &str, value: &str) -> bool {
        let place = match name {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.roots,
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            _ => return false,
        };
        *place = Some(value.to_owned()).filter(|value| !value.is_empty());
        true
    }
}

/// The text without these words, and the words.
pub(crate) fn take(text: &str) -> (String, Words) {
    let mut words = Words::default();
    let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let rest = match is_url {
        true => of_url(text, &mut words),
        false => of_pairs(text, &mut words),
    };
    (rest, words)
}

fn of_url(text: &str, words: &mut Words) -> String {
    // What stands before the first @ is user and password, for tokio-postgres as well.
    let login = text.find('@').unwrap_or(0);
    let Some(mark) = text[login..].find('?').map(|at| login + at) else {
        return text.to_owned();
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let kept: Vec<&str> = text[mark + 1..]
        .split('&')
        .filter(|parameter| match parameter.split_once('=') {
            Some((name, value)) => !words.put(&decoded(name), &decoded(value)),
            None => true,
        })
        .collect();
    match kept.is_empty() {
        true => text[..mark].to_owned(),
        false => format!("{}?{}", &text[..mark], kept.join("&")),
    }
}

/// `host=db sslmode = require password='a b'`
fn of_pairs(text: &str, words: &mut Words) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((name, value)) = rest.split_once('=') {
        let (value, after) = pair_value(value.trim_start());
        if !words.put(name.trim(), &value) {
            kept.push_str(&rest[..rest.len() - after.len()]);
            kept.push(' ');
        }
        rest = after;
    }
    kept + rest
}

/// The value at the front, bare up to white space or between quotes, and what follows it; a backslash escapes.
fn pair_value(text: &str) -> (String, &str) {
    let is_quoted = text.starts_with('\'');
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(usize::from(is_quoted)) {
        match c {
            _ if is_escaped => {
                is_escaped = false;
                value.push(c);
            }
            '\\' => is_escaped = true,
            '\'' if is_quoted => return (value, &text[at + 1..]),
            c if !is_quoted && c.is_whitespace() => return (value, &text[at..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_stand() {
        let some = |text: &str| Some(text.to_owned());
        for (text, rest, words) in [
            (
                "postgres://u:p@h/d?sslmode=verify-full&application_name=a&sslrootcert=%2Fetc%2Fca.crt",
                "postgres://u:p@h/d?application_name=a",
                Words {
                    mode: some("verify-full"),
                    roots: some("/etc/ca.crt"),
                    ..Words::default()
                },
            ),
            (
                "postgres://u:p?sslmode=x@h?sslkey=/k&sslcert=/c",
                "postgres://u:p?sslmode=x@h",
                Words {
                    certificate: some("/c"),
                    key: some("/k"),
                    ..Words::default()
                },
            ),
            (
                "host=h sslmode = require password='sslmode=a b' user=u\\ v",
                "host=h  password='sslmode=a b'  user=u\\ v ",
                Words {
                    mode: some("require"),
                    ..Words::default()
                },
            ),
            ("postgres://h?sslmode=", "postgres://h", Words::default()),
            ("nonsense", "nonsense", Words::default()),
        ] {
            assert_eq!(take(text), (rest.to_owned(), words), "{text}");
        }
    }
}
