//! Which database, once everything is heard that says so: `presence.db_url` or a file with it, what `[database]` says of TLS, and libpq's
//! file of passwords.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::secret::Login;
use super::{Config, DatabaseUrl, SslMode};

/// What was found while the database was looked for; each with the key that it is about.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<(&'static str, String)>,
    pub(super) remarks: Vec<(&'static str, String)>,
}

impl Config {
    /// Makes `presence.db_url` whole: the only thing that the rest of the program looks at.
    pub(super) fn complete_database(
        &mut self,
        passwords: &PasswordFile,
        is_on_command_line: bool,
    ) -> Findings {
        let mut findings = Findings::default();
        if let Some(url) = &self.presence.db_url
            && is_on_command_line
            && url.has_password()
        {
            findings
                .remarks
                .push(("presence.db_url", ON_COMMAND_LINE.to_owned()));
        }
        match (&self.presence.db_url, &self.database.url_file) {
            (Some(_), Some(_)) => findings.remarks.push((
                "database.url_file",
                "is not read, because presence.db_url is set".to_owned(),
            )),
            (None, Some(path)) => match read_url(path) {
                Ok(url) => self.presence.db_url = Some(url),
                Err(message) => findings.faults.push(("database.url_file", message)),
            },
            (_, None) => {}
        }
        let Some(url) = &mut self.presence.db_url else {
            return findings;
        };
        let database = &self.database;
        let mode = database.sslmode.as_ref().map(SslMode::to_string);
        for (name, value) in [
            ("sslmode", &mode),
            ("sslrootcert", &database.sslrootcert),
            ("sslcert", &database.sslcert),
            ("sslkey", &database.sslkey),
        ] {
            if let Some(value) = value
                && !url.says(name)
            {
                url.add(name, value);
            }
        }
        let unused = passwords.complete(url);
        findings
            .remarks
            .extend(unused.map(|message| ("presence.db_url", message)));
        findings
    }
}

/// Said of a password that everybody can see in the list of processes.
pub const ON_COMMAND_LINE: &str = "a password on the command line can be read by every user of this machine; put it into a file \
                                   (database.url_file, or ~/.pgpass)";

fn read_url(path: &str) -> Result<DatabaseUrl, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    // Not the text itself: there may be a password in it.
    let url = text.trim().parse::<DatabaseUrl>();
    url.map_err(|error| format!("what {path} holds {error}"))
}

/// libpq's file of passwords: the one that `PGPASSFILE` names, else `.pgpass` in the home directory.
#[derive(Debug, Clone, Default)]
pub struct PasswordFile {
    path: Option<PathBuf>,
    /// The user of this process, who is meant where a URL names none.
    user: String,
}

impl PasswordFile {
    /// The file that these variables of the environment name.
    pub fn of<'a>(env: impl Iterator<Item = (&'a str, &'a str)>) -> PasswordFile {
        let (mut named, mut home, mut user) = (None, None, String::new());
        for (name, value) in env.filter(|(_, value)| !value.is_empty()) {
            match name {
                "PGPASSFILE" => named = Some(PathBuf::from(value)),
                "HOME" => home = Some(PathBuf::from(value).join(".pgpass")),
                "USER" => user = value.to_owned(),
                _ => {}
            }
        }
        PasswordFile {
            path: named.or(home),
            user,
        }
    }

    /// Gives the password of the first line that fits to a URL that has none. Returns why the file is not used, if it is there and must
    /// not be.
    pub fn complete(&self, url: &mut DatabaseUrl) -> Option<String> {
        let path = self.path.as_ref().filter(|_| !url.has_password())?;
        let about = fs::metadata(path).ok()?;
        if !about.is_file() {
            return Some(format!("{} is not used: it is not a file", path.display()));
        }
        if about.mode() & 0o077 != 0 {
            let message = "is not used: it may be read by others, set its mode to 0600";
            return Some(format!("{} {message}", path.display()));
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return Some(format!("{} is not used: {error}", path.display())),
        };
        let wanted = url.logins(&self.user);
        let lines: Vec<Vec<String>> = text.lines().filter_map(fields).collect();
        let found = wanted.iter().find_map(|login| {
            let line = lines.iter().find(|line| fits(line, login))?;
            line.last().filter(|password| !password.is_empty())
        });
        if let Some(password) = found {
            url.add("password", password);
        }
        None
    }
}

/// `hostname:port:database:username:password`; a backslash makes a colon or a backslash part of a field.
fn fields(line: &str) -> Option<Vec<String>> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        let is_last = fields.len() == 5;
        let field = fields.last_mut()?;
        match c {
            '\\' => field.extend(rest.next()),
            // A password may hold colons.
            ':' if !is_last => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (fields.len() == 5).then_some(fields)
}

fn fits(line: &[String], login: &Login) -> bool {
    let is = |at: usize, value: &str| {
        line.get(at)
            .is_some_and(|field| field == "*" || field == value)
    };
    login.hosts.iter().any(|host| is(0, host))
        && is(1, &login.port)
        && is(2, &login.database)
        && is(3, &login.user)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn found(lines: &str, mode: u32, url: &str) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        fs::write(&path, lines).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let env = [("PGPASSFILE", path.to_str().unwrap()), ("USER", "me")];
        let mut url: DatabaseUrl = url.parse().unwrap();
        let remark = PasswordFile::of(env.into_iter()).complete(&mut url);
        (url.expose().to_owned(), remark)
    }

    #[test]
    fn the_first_line_that_fits_gives_the_password() {
        for (lines, url, wanted) in [
            ("h:5432:d:u:secret", "postgres://u@h/d", "?password=secret"),
            (
                "*:*:*:*:a b&c",
                "postgres://u@h/d?sslmode=require",
                "&password=a%20b%26c",
            ),
            (
                "#h:5432:d:u:no\nx:5432:d:u:no\nh:5432:d:*:yes\nh:*:*:*:late",
                "postgres://u@h/d",
                "?password=yes",
            ),
            (
                "h:6000:d:u:secret",
                "postgres://u@h:6000/d",
                "?password=secret",
            ),
            ("h:5432:d:u:secret", "postgres://u@h:6000/d", ""),
            (
                "h:5432:d:u:se:cr\\:et\\\\",
                "host=h dbname=d user=u",
                " password='se:cr:et\\\\'",
            ),
            ("h:5432:u:u:it's", "host=h user=u", " password='it\\'s'"),
            ("h:5432:me:me:mine", "postgres://h", "?password=mine"),
            (
                "::1:5432:d:u:no\n\\:\\:1:5432:d:u:six",
                "postgres://u@[::1]/d",
                "?password=six",
            ),
            (
                "localhost:5432:d:u:local",
                "postgres://u@/d?host=/run/pg",
                "&password=local",
            ),
            (
                "/run/pg:5432:d:u:local",
                "postgres://u@/d?host=/run/pg",
                "&password=local",
            ),
            (
                "b:5432:d:u:second",
                "postgres://u@a,b/d",
                "?password=second",
            ),
            ("h:5432:d:u:", "postgres://u@h/d", ""),
            ("h:5432:d:u", "postgres://u@h/d", ""),
            ("*:*:*:*:other", "postgres://u:own@h/d", ""),
        ] {
            let (whole, remark) = found(lines, 0o600, url);
            assert_eq!(whole, format!("{url}{wanted}"), "{lines}");
            assert_eq!(remark, None);
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        for mode in [0o640, 0o604, 0o644] {
            let (whole, remark) = found("*:*:*:*:secret", mode, "postgres://u@h/d");
            assert_eq!(whole, "postgres://u@h/d");
            assert!(remark.is_some_and(|text| text.contains("0600") && !text.contains("secret")));
        }
    }
}
