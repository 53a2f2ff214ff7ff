//! Kamailio's `db_url` in PostgreSQL's own notation.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The URL for our configuration, or why there is none. No message holds the URL: there may be a password in it.
pub(crate) fn translate(url: &str) -> Result<String, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("is not a database URL: postgres://user:password@host/database".to_owned());
    };
    let explained = match scheme {
        "postgres" | "postgresql" => return postgres(rest),
        "mysql" => "MySQL",
        "unixodbc" => "ODBC",
        "text" => "a database of text files",
        "sqlite" => "SQLite",
        "berkeley" => "Berkeley DB",
        "cassandra" => "Cassandra",
        "mongodb" => "MongoDB",
        "redis" => "Redis",
        "oracle" => "Oracle",
        "http" | "https" => "a database behind HTTP",
        "cluster" => "a cluster of db_cluster",
        _ => "an unknown database",
    };
    Err(format!(
        "is {explained}, and only PostgreSQL is supported: create a database there, and write its URL into \
         presence.db_url (docs/FROM-KAMAILIO.md says how to copy the data of MySQL)"
    ))
}

fn postgres(rest: &str) -> Result<String, String> {
    // Kamailio decodes nothing: what is special in a URL may stand in a password. A database has no @ in its name.
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, rest),
    };
    let Some((host, database)) = address.split_once('/') else {
        return Err("is not a database URL: the name of the database is missing".to_owned());
    };
    if database.is_empty() {
        return Err("is not a database URL: the name of the database is missing".to_owned());
    }
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if !host.chars().all(is_host) {
        return Err("is not a database URL: the host has invalid characters".to_owned());
    }
    let mut url = String::from("postgresql://");
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        url.push_str(&encoded(user));
        if let Some(password) = password {
            url.push(':');
            url.push_str(&encoded(password));
        }
        url.push('@');
    }
    url.push_str(host);
    url.push('/');
    url.push_str(&encoded(database));
    if host.is_empty() {
        // libpq's default; our client needs it explicitly.
        url.push_str("?host=/var/run/postgresql");
    }
    Ok(url)
}

/// Percent-encoding of all but the unreserved characters (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn postgres_is_taken_over() {
        for (from, to) in [
            (
                "postgres://k:rw@localhost/kamailio",
                "postgresql://k:rw@localhost/kamailio",
            ),
            (
                "postgres://k:r@w%1/x@db:5433/k",
                "postgresql://k:r%40w%251%2Fx@db:5433/k",
            ),
            ("postgres://k@[::1]:5432/k", "postgresql://k@[::1]:5432/k"),
            ("postgres://db/k", "postgresql://db/k"),
            (
                "postgres://k:p@/k",
                "postgresql://k:p@/k?host=/var/run/postgresql",
            ),
        ] {
            assert_eq!(translate(from).as_deref(), Ok(to), "{from}");
        }
    }

    #[test]
    fn others_are_explained_without_their_password() {
        for url in [
            "mysql://k:secret@localhost/kamailio",
            "text:///secret",
            "secret",
            "postgres://k:secret@db",
            "postgres://k:secret@d b/k",
            "postgres://k:secret@db/",
        ] {
            let reason = translate(url).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
        }
        assert!(translate("mysql://a/b").unwrap_err().contains("MySQL"));
    }
}
