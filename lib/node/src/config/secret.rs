//! What is secret in a configuration: the database's address, which may hold a password, and the token of HTTP. Shown by nothing
//! but [`DatabaseUrl::expose`] and [`Token::expose`].

mod place;

use std::fmt;
use std::str::FromStr;

use super::value::ValueError;
pub(super) use place::Login;
use place::{Place, encoded};

/// What stands for a token in everything that is printed.
const HIDDEN: &str = "***";

/// A PostgreSQL URL or connection string. `Debug` and `Display` show host and database, and nothing else of it.
///
/// What can be read in more than one way is none: a password that holds `@` would otherwise be read as a host, and be printed with the
/// error that there is no such host.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    place: Place,
}

impl DatabaseUrl {
    /// The parameters that there are. (A test of crate `sql` asks the driver.)
    pub const PARAMETERS: &[&str] = &[
        "user",
        "password",
        "dbname",
        "options",
        "application_name",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "host",
        "hostaddr",
        "port",
        "connect_timeout",
        "tcp_user_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_retries",
        "target_session_attrs",
        "channel_binding",
        "load_balance_hosts",
    ];

    /// The URL with its password: for connecting, never for printing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The URL without its password and its parameters, for a command line of `psql` that asks for it.
    pub fn for_psql(&self) -> String {
        self.place.url(true)
    }

    /// What [`for_psql`](Self::for_psql) leaves out, as variables for the environment of a psql that this process starts, where only
    /// its own user can read them. Never for printing.
    pub fn psql_environment(&self) -> Vec<(&'static str, String)> {
        self.place.environment()
    }

    /// Whether there is a password in it.
    pub fn has_password(&self) -> bool {
        self.place.has_password()
    }

    /// Whether what is sent there does not leave this machine, as far as the URL says.
    pub fn is_local(&self) -> bool {
        self.place.is_local()
    }

    /// Its word for this parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.place.parameter(name)
    }

    /// Whether it says something of this parameter.
    pub(super) fn says(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }

    /// Adds a parameter that it does not have.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.place.add(name, value);
        let is_url = self.text.contains("://");
        if !is_url {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            self.text.push_str(&format!(" {name}='{value}'"));
            return;
        }
        let login = self.text.find('@').unwrap_or(0);
        let mark = match self.text[login..].contains('?') {
            _ if self.text.ends_with(['?', '&']) => "",
            true => "&",
            false => "?",
        };
        self.text
            .push_str(&format!("{mark}{name}={}", encoded(value)));
    }

    /// What a file of passwords is asked for, host by host; by `user` if it names none.
    pub(super) fn logins(&self, user: &str) -> Vec<Login> {
        self.place.logins(user)
    }
}

impl FromStr for DatabaseUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<DatabaseUrl, ValueError> {
        Ok(DatabaseUrl {
            text: text.to_owned(),
            place: Place::parse(text)?,
        })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place.url(false))
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
    fn nothing_but_host_and_database_is_shown() {
        for (url, shown, for_psql) in [
            (
                "postgresql://u:secret@host:5432/db",
                "postgresql://host:5432/db",
                "postgresql://u@host:5432/db",
            ),
            (
                "postgres://u:secret@h1:1,h2/db?target_session_attrs=any",
                "postgresql://h1:1,h2/db",
                "postgresql://u@h1:1,h2/db",
            ),
            (
                "postgres://u%40x:%40%23secret%25%2f@[::1]:5433/d%20b",
                "postgresql://[::1]:5433/d%20b",
                "postgresql://u%40x@[::1]:5433/d%20b",
            ),
            (
                "postgres://u:se#cr/et?secret=1@host",
                "postgresql://host",
                "postgresql://u@host",
            ),
            (
                "postgres://:secret@host/db",
                "postgresql://host/db",
                "postgresql://host/db",
            ),
            (
                "postgres://u@host/db?password=secret&sslmode=disable&",
                "postgresql://host/db",
                "postgresql://u@host/db",
            ),
            (
                "postgresql:///db?host=%2Ftmp%2Fx&port=7&user=postgres",
                "postgresql:///db?host=/tmp/x&port=7",
                "postgresql://postgres@/db?host=/tmp/x&port=7",
            ),
            (
                "postgres://u:secret@%2Frun%2Fpg/db",
                "postgresql:///db?host=/run/pg",
                "postgresql://u@/db?host=/run/pg",
            ),
            (
                "host=db user=u password=secret port=1",
                "postgresql://db:1",
                "postgresql://u@db:1",
            ),
            (
                "password = 'sec\\' r@et' host = a,b dbname='d b' port=1,2",
                "postgresql://a:1,b:2/d%20b",
                "postgresql://a:1,b:2/d%20b",
            ),
            (
                "password=se\\ cret hostaddr=192.0.2.1",
                "postgresql://192.0.2.1",
                "postgresql://192.0.2.1",
            ),
            ("postgresql://", "postgresql://", "postgresql://"),
        ] {
            let parsed: DatabaseUrl = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!(parsed.to_string(), shown, "{url}");
            assert_eq!(parsed.for_psql(), for_psql, "{url}");
            assert_eq!(parsed.expose(), url);
            assert!(!format!("{parsed:?}").contains("ret"));
        }
    }

    #[test]
    fn psql_is_handed_what_its_command_line_must_not_show() {
        for (url, environment) in [
            (
                "postgres://u:se%40cret@host/db",
                &[("PGPASSWORD", "se@cret")][..],
            ),
            (
                "postgres://u@host/db?sslmode=require&keepalives=1",
                &[("PGSSLMODE", "require")],
            ),
            (
                "host=h user=u password='a b' options='-c role=x'",
                &[("PGPASSWORD", "a b"), ("PGOPTIONS", "-c role=x")],
            ),
            ("postgres://u:%FF@host/db", &[]),
            (
                "postgres://u@host/db?sslrootcert=/ca",
                &[("PGSSLROOTCERT", "/ca"), ("PGSSLMODE", "verify-full")],
            ),
            (
                "postgres://u@host/db?hostaddr=192.0.2.1",
                &[("PGHOSTADDR", "192.0.2.1")],
            ),
        ] {
            let parsed: DatabaseUrl = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
            let handed = parsed.psql_environment();
            let handed: Vec<_> = handed
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            assert_eq!(handed, environment, "{url}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_and_not_shown() {
        for (bad, hint) in [
            ("postgres://u:se@cret@host/db", "%40 for @"),
            ("postgres://u:se@cret#cret@host/db", "percent-encode"),
            ("postgres://u:se@cret#cret/db", "percent-encode"),
            ("postgres://u:cret@host#cret", "percent-encode"),
            ("postgres://u:cret@ho st/db", "percent-encode"),
            ("postgres://u:cret@host/db#cret", "percent-encode"),
            ("postgres://u:cret@host/cret/db", "percent-encode"),
            ("postgres://u/cret:cret@host/db", "percent-encode"),
            ("postgres://u:cret/db", "percent-encode"),
            ("postgres://u:cret@host:cret/db", "percent-encode"),
            ("postgres://u:cret@host:65536/db", "percent-encode"),
            ("postgres://u:cret@[::1]cret/db", "percent-encode"),
            ("postgres://u:cret@[::1/db", "percent-encode"),
            ("postgres://u:cret@host/d%FF", "percent-encode"),
            ("postgres://u:cret@host,,b/db", "percent-encode"),
            ("postgres://u:cret@host/db?cret=x", "parameter"),
            ("postgres://u:cret@host/db?sslmode=cret", "verify-full"),
            ("postgres://u:cret@host/db?cret", "parameter"),
            ("host=db password=se cret=x", "parameter"),
            ("host=db password=se cret", "postgresql://user:password"),
            ("host=db password='cret", "postgresql://user:password"),
            ("host=db password=", "postgresql://user:password"),
            ("host='d@cret' password=x", "percent-encode"),
            ("mysql://u:secret@host/db", "postgresql://user:password"),
            ("secret", "postgresql://user:password"),
            ("http://secret", "postgresql://user:password"),
            ("host=\0cret", "postgresql://user:password"),
        ] {
            let error = bad.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(!error.contains("cret"), "{bad}: {error}");
            assert!(error.contains(hint), "{bad}: {error}");
        }
    }
}
