//! Where a PostgreSQL URL leads: all that is printed of one. Read as the driver reads it, and more strictly: what a part cannot hold unless the
//! parts are told apart wrongly is refused.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{DatabaseUrl, ValueError};

/// Hosts, database and user; decoded.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    user: String,
    /// Names, addresses, or folders of sockets.
    hosts: Vec<String>,
    /// Empty for a default one. One for each host, or one for all.
    ports: Vec<String>,
    database: String,
    /// What libpq reads from its environment, by the name it has there; the password among it.
    environment: Vec<(&'static str, String)>,
}

/// Parameters that change which server psql reaches or what may be done there, and their names in libpq's environment.
const IN_ENVIRONMENT: &[(&str, &str)] = &[
    ("password", "PGPASSWORD"),
    ("options", "PGOPTIONS"),
    ("sslmode", "PGSSLMODE"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

impl Place {
    pub(super) fn parse(text: &str) -> Result<Place, ValueError> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"));
        let mut place = match rest {
            _ if text.contains('\0') => return Err(ValueError::DatabaseUrl),
            Some(rest) => Place::of_url(rest)?,
            None => Place::of_words(text)?,
        };
        let is_good = place.hosts.iter().all(|host| is_host(host))
            && place.ports.iter().all(|port| is_port(port))
            && !place.database.contains(char::is_control);
        if !is_good {
            return Err(ValueError::DatabaseParts);
        }
        if place.ports.iter().all(String::is_empty) {
            place.ports.clear();
        }
        Ok(place)
    }

    /// What follows the scheme.
    fn of_url(rest: &str) -> Result<Place, ValueError> {
        let mut place = Place::default();
        let parts = || ValueError::DatabaseParts;
        let rest = match rest.split_once('@') {
            // The driver takes the first @ for the end of the password, others the last.
            Some((_, tail)) if tail.contains('@') => return Err(parts()),
            Some((login, tail)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                if user.contains(['/', '?', '#']) {
                    return Err(parts());
                }
                place.user = decoded(user)?;
                // One that is not text cannot stand in a variable; the driver takes it nevertheless.
                if let (false, Ok(password)) = (password.is_empty(), decoded(password)) {
                    place.put("password", password)?;
                }
                tail
            }
            None => rest,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (hosts, rest) = rest.split_at(end);
        for chunk in hosts.split(',').filter(|_| !hosts.is_empty()) {
            let (host, port) = match chunk.strip_prefix('[') {
                Some(address) => {
                    let (address, port) = address.split_once(']').ok_or_else(parts)?;
                    match port.strip_prefix(':') {
                        Some(port) => (address, port),
                        None if port.is_empty() => (address, port),
                        None => return Err(parts()),
                    }
                }
                None => chunk.split_once(':').unwrap_or((chunk, "")),
            };
            place.hosts.push(decoded(host)?);
            place.ports.push(decoded(port)?);
        }
        let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let database = path.strip_prefix('/').unwrap_or(path);
        if database.contains(['/', '#']) {
            return Err(parts());
        }
        place.database = decoded(database)?;
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter
                .split_once('=')
                .ok_or(ValueError::DatabaseParameter)?;
            let value = decoded(value)?;
            match &*decoded(name)? {
                // The driver takes one here.
                "host" => place.hosts.push(value),
                name => place.put(name, value)?,
            }
        }
        Ok(place)
    }

    /// `host=db user=u password='a b'`: values bare up to white space, or between quotes; a backslash escapes.
    fn of_words(text: &str) -> Result<Place, ValueError> {
        let mut place = Place::default();
        let mut rest = text.trim_start();
        if rest.is_empty() {
            return Err(ValueError::DatabaseUrl);
        }
        while !rest.is_empty() {
            let (name, value) = rest.split_once('=').ok_or(ValueError::DatabaseUrl)?;
            let name = name.trim_end();
            if name.contains(|c: char| !c.is_ascii_lowercase() && c != '_') {
                // No word at all, or a piece of a value before it.
                return Err(ValueError::DatabaseUrl);
            }
            let (value, after) = word_value(value.trim_start())?;
            place.put(name, value)?;
            rest = after.trim_start();
        }
        Ok(place)
    }

    fn put(&mut self, name: &str, value: String) -> Result<(), ValueError> {
        let list = |value: &str| value.split(',').map(str::to_owned).collect();
        match name {
            "user" => self.user = value,
            "dbname" => self.database = value,
            "host" => self.hosts = list(&value),
            "hostaddr" if self.hosts.is_empty() => self.hosts = list(&value),
            "port" => self.ports = list(&value),
            name if DatabaseUrl::PARAMETERS.contains(&name) => {
                let known = IN_ENVIRONMENT
                    .iter()
                    .find(|(parameter, _)| *parameter == name);
                self.environment
                    .extend(known.map(|(_, variable)| (*variable, value)));
            }
            _ => return Err(ValueError::DatabaseParameter),
        }
        Ok(())
    }

    pub(super) fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// The URL of the place, and of who goes there if `with_user`.
    pub(super) fn url(&self, with_user: bool) -> String {
        let mut url = String::from("postgresql://");
        if with_user && !self.user.is_empty() {
            url.push_str(&encoded(&self.user));
            url.push('@');
        }
        let is_folder = self.hosts.iter().any(|host| host.starts_with('/'));
        if !is_folder {
            let hosts = self.hosts.iter().enumerate().map(|(at, host)| {
                let port = self.ports.get(at).or(self.ports.first());
                let host = match host.contains(':') {
                    true => format!("[{host}]"),
                    false => host.clone(),
                };
                match port.filter(|port| !port.is_empty()) {
                    Some(port) => format!("{host}:{port}"),
                    None => host,
                }
            });
            url.push_str(&hosts.collect::<Vec<_>>().join(","));
        }
        if is_folder || !self.database.is_empty() {
            url.push('/');
            url.push_str(&encoded(&self.database));
        }
        if is_folder {
            url.push_str("?host=");
            url.push_str(&encoded(&self.hosts.join(",")));
            if !self.ports.is_empty() {
                url.push_str("&port=");
                url.push_str(&self.ports.join(","));
            }
        }
        url
    }
}

/// A name, an address, or the folder of a socket.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('/') {
        Some(_) => !text.contains(|c: char| c.is_control() || matches!(c, '@' | '#')),
        None => {
            let is_in_name =
                |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
            !text.is_empty() && text.chars().all(is_in_name)
        }
    }
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok()
}

/// The value at the front, and what follows it.
fn word_value(text: &str) -> Result<(String, &str), ValueError> {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(usize::from(is_quoted)) {
        match c {
            _ if is_escaped => {
                is_escaped = false;
                value.push(c);
            }
            '\\' => is_escaped = true,
            '\'' if is_quoted => return Ok((value, &text[at + 1..])),
            c if !is_quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    match is_quoted || is_escaped || value.is_empty() {
        true => Err(ValueError::DatabaseUrl),
        false => Ok((value, "")),
    }
}

/// Without percent-encoding. A percent sign that encodes nothing stays.
fn decoded(text: &str) -> Result<String, ValueError> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(Into::into).map_err(|_| ValueError::DatabaseParts)
}

/// Percent-encoding of all but what means nothing in a URL where we write it.
fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/')
        .remove(b',');
    utf8_percent_encode(text, KEPT).to_string()
}
