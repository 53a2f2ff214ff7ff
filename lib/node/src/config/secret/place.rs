//! Where a PostgreSQL URL leads: all that is printed of one. Read as the driver reads it, and more strictly: what a part cannot hold unless the
//! parts are told apart wrongly is refused.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use std::net::IpAddr;

use super::super::value::SslMode;
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
    /// Where hosts are reached, if that is said apart from their names.
    addresses: Vec<String>,
    /// All other parameters, the password among them.
    parameters: Vec<(&'static str, String)>,
    /// Whether there is a password, though it is no text.
    has_odd_password: bool,
}

/// Parameters that change which server psql reaches or what may be done there, and their names in libpq's environment.
const IN_ENVIRONMENT: &[(&str, &str)] = &[
    ("password", "PGPASSWORD"),
    ("options", "PGOPTIONS"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
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
        let is_good = place
            .hosts
            .iter()
            .chain(&place.addresses)
            .all(|host| is_host(host))
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
                match decoded(password) {
                    _ if password.is_empty() => {}
                    Ok(password) => place.put("password", password)?,
                    Err(_) => place.has_odd_password = true,
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
            "hostaddr" => self.addresses = list(&value),
            "port" => self.ports = list(&value),
            name => {
                let mut known = DatabaseUrl::PARAMETERS.iter();
                let known = known.find(|known| **known == name);
                let name = known.ok_or(ValueError::DatabaseParameter)?;
                if *name == "sslmode" && !value.is_empty() {
                    value.parse::<SslMode>()?;
                }
                self.add(name, &value);
            }
        }
        Ok(())
    }

    /// A parameter that counts from now on.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.parameters.retain(|(known, _)| *known != name);
        self.parameters.push((name, value.to_owned()));
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn has_password(&self) -> bool {
        self.has_odd_password || self.parameter("password").is_some()
    }

    /// What libpq reads from its environment, by the name it has there; the password among it. Certificates are for a mode that looks at
    /// them, as with us.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let variable = |name: &str| {
            let known = IN_ENVIRONMENT
                .iter()
                .find(|(parameter, _)| *parameter == name);
            known.map(|(_, variable)| *variable)
        };
        let all = self.parameters.iter();
        let mut environment: Vec<_> = all
            .filter_map(|(name, value)| Some((variable(name)?, value.clone())))
            .collect();
        if !self.hosts.is_empty() && !self.addresses.is_empty() {
            environment.push(("PGHOSTADDR", self.addresses.join(",")));
        }
        if self.parameter("sslrootcert").is_some() && self.parameter("sslmode").is_none() {
            environment.push(("PGSSLMODE", "verify-full".to_owned()));
        }
        environment
    }

    pub(super) fn is_local(&self) -> bool {
        let is_loopback = |host: &String| {
            host.eq_ignore_ascii_case("localhost")
                || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        };
        match self.addresses.is_empty() {
            false => self.addresses.iter().all(is_loopback),
            true => self
                .hosts
                .iter()
                .all(|host| host.starts_with('/') || is_loopback(host)),
        }
    }

    /// One for each host. A socket goes by its folder and by `localhost`, as in libpq.
    pub(super) fn logins(&self, user: &str) -> Vec<Login> {
        let or = |text: &str, other: &str| match text.is_empty() {
            true => other.to_owned(),
            false => text.to_owned(),
        };
        let user = or(&self.user, user);
        let hosts = match self.hosts.is_empty() {
            true => &self.addresses,
            false => &self.hosts,
        };
        let logins = hosts.iter().enumerate().map(|(at, host)| {
            let port = self.ports.get(at).or(self.ports.first());
            let mut names = vec![host.clone()];
            if host.starts_with('/') {
                names.push("localhost".to_owned());
            }
            Login {
                hosts: names,
                port: or(port.map_or("", String::as_str), "5432"),
                database: or(&self.database, &user),
                user: user.clone(),
            }
        });
        logins.collect()
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
            let hosts = match self.hosts.is_empty() {
                true => &self.addresses,
                false => &self.hosts,
            };
            let hosts = hosts.iter().enumerate().map(|(at, host)| {
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
pub(super) fn encoded(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/')
        .remove(b',');
    utf8_percent_encode(text, KEPT).to_string()
}
/// What a line of the file of passwords is compared with: names that the host goes by, port, database, user.
pub(in super::super) struct Login {
    pub(in super::super) hosts: Vec<String>,
    pub(in super::super) port: String,
    pub(in super::super) database: String,
    pub(in super::super) user: String,
}
