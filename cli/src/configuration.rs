//! From the command line to a configuration, and to the database that it names.

use std::path::PathBuf;

use anyhow::Context;
use node::{Config, ConfigError, DatabaseUrl, Fault, Origin, PasswordFile, UriMatch};
use postgres_dev::Cluster;
use schema::SchemaError;

use crate::packages;
use crate::settings::Settings;

/// The database in the PostgreSQL of `run`.
pub(crate) const DATABASE: &str = "pgpresence";

/// Which key `--listen` stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// `notifier.listen`
    Notifier,
    /// `server.listen`
    Other,
}

/// The configuration that the file, the environment and the command line make together.
pub(crate) fn load(settings: &Settings, role: Role) -> Result<Config, ConfigError> {
    let mut sets = settings.set.clone();
    // The options come after --set: who writes both means the option.
    if let Some(url) = &settings.database_url {
        sets.push(("presence.db_url".to_owned(), url.clone()));
    }
    if !settings.listen.is_empty() {
        let key = match role {
            Role::Notifier => "notifier.listen",
            Role::Other => "server.listen",
        };
        sets.push((key.to_owned(), settings.listen.join(",")));
    }
    let config = Config::load(settings.config.as_deref(), environment(), &sets)?;
    packages::registry(&config)?;
    Ok(config)
}

/// Not env::vars(): that panics on a variable that is not UTF-8, which may be anybody's.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// libpq's file of passwords, for a database that is not in the configuration.
pub(crate) fn password_file() -> PasswordFile {
    let env: Vec<(String, String)> = environment().collect();
    PasswordFile::of(env.iter().map(|(name, value)| (&**name, &**value)))
}

/// The database that is configured, or else that of a `pgpresence run` on this machine.
pub(crate) fn find_database(settings: &Settings, config: &Config) -> anyhow::Result<DatabaseUrl> {
    let configured = database_url(config);
    if configured.is_ok() {
        return configured.cloned();
    }
    let running = data_dir(settings)
        .ok()
        .and_then(|folder| Cluster::find_running(&folder, DATABASE));
    match running {
        Some(url) => Ok(url.parse()?),
        None => configured.cloned(),
    }
}

/// Where `run` keeps its PostgreSQL.
pub(crate) fn data_dir(settings: &Settings) -> anyhow::Result<PathBuf> {
    match &settings.data_dir {
        Some(folder) => Ok(folder.clone()),
        None => default_data_dir(),
    }
}

fn default_data_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        // Not in /root: the user that PostgreSQL runs as could not get there.
        return Ok(PathBuf::from("/var/lib/pgpresence"));
    }
    let directory = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path: &PathBuf| path.is_absolute())
    };
    directory("XDG_DATA_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/share")))
        .map(|parent| parent.join("pgpresence"))
        .context("neither XDG_DATA_HOME nor HOME is set; give --data-dir or --database-url")
}

/// The database's URL, for commands that cannot do without.
pub(crate) fn database_url(config: &Config) -> anyhow::Result<&DatabaseUrl> {
    let missing = || {
        ConfigError::Faults(vec![Fault {
            origin: Origin::Default,
            path: "presence.db_url".to_owned(),
            // Kamailio's presence module without it is a library for its other modules.
            message: "is needed here, since all state is in the database; give --database-url postgresql://user@host/database. \
                      There is no library mode as in Kamailio: other programs use SQL, HTTP or RPC"
                .to_owned(),
        }])
    };
    Ok(config.presence.db_url.as_ref().ok_or_else(missing)?)
}

/// What the database must have been made with.
pub(crate) fn schema_settings(config: &Config) -> schema::Settings {
    schema::Settings {
        tables: sql::StoreOptions::tables(&config.presence),
        uri_match: schema_uri_match(config.presence.sip_uri_match),
    }
}

/// The same setting in the words of the schema.
pub(crate) fn schema_uri_match(matching: UriMatch) -> schema::UriMatch {
    match matching {
        UriMatch::CaseSensitive => schema::UriMatch::CaseSensitive,
        UriMatch::CaseInsensitive => schema::UriMatch::CaseInsensitive,
    }
}

/// A database that was made with another `sip_uri_match` is a fault of the configuration; everything else is none.
pub(crate) fn schema_fault(error: SchemaError) -> anyhow::Error {
    match error {
        SchemaError::OtherUriMatch { .. } | SchemaError::WrittenOtherwise { .. } => {
            let message = error.to_string();
            let path = "presence.sip_uri_match";
            ConfigError::Faults(vec![Fault {
                origin: Origin::Default,
                path: path.to_owned(),
                message: message
                    .strip_prefix(path)
                    .unwrap_or(&message)
                    .trim_start()
                    .to_owned(),
            }])
            .into()
        }
        other => other.into(),
    }
}

/// Reads what a supervisor hands on: a line with the number of bytes, then so many bytes.
pub(crate) fn receive(from: &mut impl std::io::BufRead) -> anyhow::Result<Config> {
    let mut length = String::new();
    from.read_line(&mut length)
        .context("no configuration on standard input")?;
    let length: usize = length
        .trim()
        .parse()
        .context("no configuration on standard input")?;
    let mut text = vec![0; length];
    from.read_exact(&mut text)
        .context("the configuration on standard input ends too early")?;
    Ok(Config::from_toml(&String::from_utf8(text)?)?)
}

/// What [`receive`] reads.
pub(crate) fn hand_on(config: &Config) -> Vec<u8> {
    let text = config.to_toml_with_secrets();
    format!("{}\n{text}", text.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_on_is_received() {
        let sets = [(
            "presence.db_url".to_owned(),
            "postgres://u:pässword@h/d".to_owned(),
        )];
        let mut config = Config::load(None, std::iter::empty(), &sets).unwrap();
        config.remarks.clear();
        let mut bytes = hand_on(&config);
        assert_eq!(receive(&mut bytes.as_slice()).unwrap(), config);
        bytes.pop();
        assert!(receive(&mut bytes.as_slice()).is_err());
        assert!(receive(&mut [].as_slice()).is_err());
    }
}
