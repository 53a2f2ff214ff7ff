//! What is secret in a configuration: the database's address, which may hold a password, and the token of HTTP. Shown by nothing
//! but [`DatabaseUrl::expose`] and [`Token::expose`].

use std::fmt;
use std::str::FromStr;

use super::value::ValueError;

/// What stands for a password in everything that is printed.
const HIDDEN: &str = "***";

/// A PostgreSQL URL or connection string. `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password: for connecting, never for printing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL without its password, for a command line that asks for it.
    pub fn without_password(&self) -> String {
        let shown = self.to_string();
        let start = |at: usize| {
            shown[..at]
                .rfind(['?', '&', ' '])
                .map_or(0, |before| before + 1)
        };
        match shown.find(HIDDEN) {
            // A whole word or parameter goes, and with it the mark that parts it from the next.
            Some(at) if shown[..at].ends_with('=') => {
                let end = at + HIDDEN.len();
                let end = if shown[end..].starts_with(['&', ' ']) {
                    end + 1
                } else {
                    end
                };
                format!("{}{}", &shown[..start(at)], &shown[end..])
                    .trim_end_matches(['?', '&', ' '])
                    .to_owned()
            }
            _ => shown.replacen(&format!(":{HIDDEN}@"), "@", 1),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<DatabaseUrl, ValueError> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        // A connection string: words with values, the first one no scheme of another kind of URL.
        let is_words = text
            .split_once('=')
            .is_some_and(|(first, _)| !first.contains("://"));
        if (is_url || is_words) && !text.contains('\0') {
            Ok(DatabaseUrl(text.to_owned()))
        } else {
            Err(ValueError::DatabaseUrl)
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://") {
            Some((scheme, rest)) => write!(f, "{scheme}://{}", hide_in_url(rest)),
            None => f.write_str(&hide_in_words(&self.0)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

/// A shared secret that a client of HTTP shows: 16 to 256 visible ASCII characters. `Debug` and `Display` hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself: for comparing, never for printing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Token, ValueError> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if (16..=256).contains(&text.len()) && is_visible {
            Ok(Token(text.to_owned()))
        } else {
            Err(ValueError::Token)
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(HIDDEN, f)
    }
}

/// `user:password@host/database?password=...` without what is secret in it.
fn hide_in_url(rest: &str) -> String {
    // A password that was not encoded may hold anything: the last @ ends it, unless that belongs to the parameters.
    let before_parameters = rest.find('?').unwrap_or(rest.len());
    let at = rest[..before_parameters].rfind('@').or_else(|| {
        let port_or_password = rest[..before_parameters]
            .split_once(':')
            .map(|(_, after)| after);
        let is_password = port_or_password
            .is_some_and(|text| !text.starts_with(|c: char| c.is_ascii_digit() || c == '/'));
        if is_password { rest.rfind('@') } else { None }
    });
    let (user, tail) = match at {
        Some(at) => (
            rest[..at].split(':').next().unwrap_or_default(),
            &rest[at..],
        ),
        None => ("", rest),
    };
    let had_password = at.is_some_and(|at| rest[..at].contains(':'));
    let hidden = if had_password {
        format!("{user}:{HIDDEN}")
    } else {
        user.to_owned()
    };
    let (address, parameters) = tail
        .split_once('?')
        .map_or((tail, None), |(a, p)| (a, Some(p)));
    let Some(parameters) = parameters else {
        return format!("{hidden}{address}");
    };
    let shown: Vec<String> = parameters.split('&').map(hide_in_parameter).collect();
    format!("{hidden}{address}?{}", shown.join("&"))
}

fn hide_in_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
            format!("{name}={HIDDEN}")
        }
        _ => parameter.to_owned(),
    }
}

/// `host=db user=u password='a b'` without what is secret in it: from the word `password` to the end of its value.
fn hide_in_words(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(found) = rest.to_ascii_lowercase().find("password") {
        let value_at = rest[found..]
            .find('=')
            .map_or(rest.len(), |equals| found + equals + 1);
        shown.push_str(&rest[..value_at]);
        shown.push_str(HIDDEN);
        rest = after_value(rest[value_at..].trim_start());
    }
    shown + rest
}

/// What follows a value of a connection string: bare up to white space, or between quotes; a backslash escapes.
fn after_value(text: &str) -> &str {
    let quoted = text.starts_with('\'');
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if quoted => return &text[at + 1..],
            c if !quoted && c.is_whitespace() => return &text[at..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::{DatabaseUrl, Token};

    #[test]
    fn a_token_is_long_and_never_shown() {
        let token: Token = "secret-secret-12".parse().unwrap();
        assert_eq!(token.expose(), "secret-secret-12");
        assert!(!format!("{token} {token:?}").contains("secret"));
        let long = "s".repeat(257);
        for bad in [
            "secret",
            "secret with blanks",
            "s\u{e9}cret-secret-12",
            &long,
        ] {
            let refused = bad.parse::<Token>().unwrap_err().to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        for (url, shown) in [
            (
                "postgresql://u:secret@host:5432/db",
                "postgresql://u:***@host:5432/db",
            ),
            (
                "postgres://u:secret@h1:1,h2:2/db?target_session_attrs=any",
                "postgres://u:***@h1:1,h2:2/db?target_session_attrs=any",
            ),
            (
                "postgres://u:se:cr@et/secret@host/db",
                "postgres://u:***@host/db",
            ),
            ("postgres://u:sec?ret@host/db", "postgres://u:***@host/db"),
            ("postgres://:secret@host/db", "postgres://:***@host/db"),
            (
                "postgres://u@host/db?password=secret&sslmode=disable",
                "postgres://u@host/db?password=***&sslmode=disable",
            ),
            (
                "postgres://host:5432/db?application_name=a@b",
                "postgres://host:5432/db?application_name=a@b",
            ),
            (
                "postgresql:///db?host=/tmp/x&user=postgres",
                "postgresql:///db?host=/tmp/x&user=postgres",
            ),
            (
                "host=db user=u password=secret port=1",
                "host=db user=u password=*** port=1",
            ),
            ("password = 'sec\\' ret' host=db", "password =*** host=db"),
            ("host=db sslpassword=secret", "host=db sslpassword=***"),
        ] {
            let parsed: DatabaseUrl = url.parse().unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(parsed.expose(), url);
            assert!(!format!("{parsed:?}").contains("secret"));
        }
        for bad in [
            "mysql://u:secret@host/db",
            "secret",
            "http://secret",
            "host",
        ] {
            let error = bad.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
