//! Loading: file, then environment, then command line; and all that is wrong with them, in one report.
//!
//! serde stops at the first fault. So every key is tried alone, against a configuration in which all others have their
//! defaults; those that pass make the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use toml::{Spanned, Table, Value};

use super::foreign::{self, Answer};
use super::{Config, DatabaseUrl, PasswordFile, Token};

/// Environment variables that are ours begin with this, and have `__` between section and key.
const ENV_PREFIX: &str = "PGPRESENCE_";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read. Remedy: its path, its mode.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Everything that is wrong in it, one line each.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it was said.
    pub origin: Origin,
    /// `section.key`; empty for a file that is not TOML.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, and the line in it where known.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Environment(String),
    /// `--set`, or an option that stands for one.
    CommandLine,
    /// Nobody said it: the default.
    Default,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(file, Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            Origin::File(file, None) => write!(f, "{}: ", file.display())?,
            Origin::Environment(name) => write!(f, "environment {name}: ")?,
            Origin::CommandLine => f.write_str("command line: ")?,
            Origin::Default => {}
        }
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Config {
    /// The configuration of `file`, overridden by the environment (`PGPRESENCE_SECTION__KEY`; other variables are left
    /// alone), overridden by `sets` (`section.key` and value). All faults are reported together.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        sets: &[(String, String)],
    ) -> Result<Config, ConfigError> {
        let mut loading = Loading {
            defaults: as_table(&Config::default()),
            ..Loading::default()
        };
        if let Some(path) = file {
            let source = fs::read_to_string(path);
            let text = source.map_err(|source| ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            })?;
            loading.add_file(path, &text);
        }
        let env: Vec<(String, String)> = env.collect();
        let passwords = PasswordFile::of(env.iter().map(|(name, value)| (&**name, &**value)));
        for (name, value) in env {
            if let Some((section, key)) = name
                .strip_prefix(ENV_PREFIX)
                .and_then(|rest| rest.split_once("__"))
            {
                let path = format!(
                    "{}.{}",
                    section.to_ascii_lowercase(),
                    key.to_ascii_lowercase()
                );
                loading.add_text(&path, &value, Origin::Environment(name));
            }
        }
        for (path, value) in sets {
            loading.add_text(path, value, Origin::CommandLine);
        }
        loading.finish(&passwords)
    }

    /// The configuration as a TOML file, defaults included, what is secret hidden.
    pub fn to_toml(&self) -> String {
        as_table(self).to_string()
    }

    /// The same with what is secret, and with no file left to be read for that: to hand a configuration to another process, through a
    /// pipe.
    pub fn to_toml_with_secrets(&self) -> String {
        let mut table = as_table(self);
        let url = self
            .presence
            .db_url
            .as_ref()
            .map_or("", DatabaseUrl::expose);
        if let Some(Value::Table(presence)) = table.get_mut("presence") {
            presence.insert("db_url".to_owned(), Value::String(url.to_owned()));
        }
        if let Some(Value::Table(database)) = table.get_mut("database") {
            database.remove("url_file");
        }
        let token = self.http.token.as_ref().map_or("", Token::expose);
        if let Some(Value::Table(http)) = table.get_mut("http") {
            http.insert("token".to_owned(), Value::String(token.to_owned()));
        }
        table.to_string()
    }

    /// What [`Config::to_toml_with_secrets`] wrote. Neither file nor environment play a part, and there are no remarks: whoever handed it on
    /// has made them.
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        let mut loading = Loading {
            defaults: as_table(&Config::default()),
            ..Loading::default()
        };
        loading.add_file(Path::new("-"), text);
        let mut config = loading.finish(&PasswordFile::default())?;
        config.remarks.clear();
        Ok(config)
    }
}

fn as_table(config: &Config) -> Table {
    // Unwrap safety: a struct of tables of plain values always is a table; the tests go through here with all of them.
    #[expect(clippy::expect_used, reason = "see above")]
    Table::try_from(config).expect("a configuration is a table")
}

#[derive(Default)]
struct Loading {
    /// What there is to be set, and of what type it is.
    defaults: Table,
    /// The values that stand, by section and key.
    values: BTreeMap<(String, String), (Value, Origin)>,
    faults: Vec<Fault>,
    remarks: Vec<Fault>,
}

impl Loading {
    fn add_file(&mut self, file: &Path, text: &str) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                // Not the error's own text: that quotes the line, and there may be a password in it.
                let line = error.span().map(|span| line_of(text, span.start));
                self.fault("", error.message(), Origin::File(file.to_owned(), line));
                return;
            }
        };
        let lines = key_lines(text);
        for (section, content) in table {
            let Value::Table(keys) = content else {
                let message = "stands alone: every key belongs to a [section]";
                self.fault(&section, message, Origin::File(file.to_owned(), None));
                continue;
            };
            for (key, value) in keys {
                let path = (section.clone(), key);
                let line = lines.get(&path).copied();
                self.add(path, value, Origin::File(file.to_owned(), line));
            }
        }
    }

    /// A value that came as a text: what it means depends on what the key takes.
    fn add_text(&mut self, path: &str, text: &str, origin: Origin) {
        let Some((section, key)) = path.split_once('.') else {
            self.fault(path, "is not a key; write section.key", origin);
            return;
        };
        let value = match self
            .defaults
            .get(section)
            .and_then(|section| section.get(key))
        {
            Some(Value::String(_)) => Value::String(text.to_owned()),
            Some(Value::Array(_)) if !text.trim_start().starts_with('[') => {
                let parts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }
            _ => format!("value = {text}")
                .parse::<Table>()
                .ok()
                .and_then(|mut table| table.remove("value"))
                .unwrap_or_else(|| Value::String(text.to_owned())),
        };
        self.add((section.to_owned(), key.to_owned()), value, origin);
    }

    /// A later value replaces an earlier one, and a fault of the earlier one stays reported.
    fn add(&mut self, path: (String, String), value: Value, origin: Origin) {
        match foreign::answer(&path.0, &path.1, &value) {
            None => {}
            Some(Answer::Silence) => return,
            Some(Answer::Remark(sentence)) => {
                return self.remarks.push(Fault {
                    origin,
                    path: format!("{}.{}", path.0, path.1),
                    message: sentence.to_owned(),
                });
            }
            Some(Answer::Wrong(message)) => {
                let path = format!("{}.{}", path.0, path.1);
                return self.fault(&path, &message, origin);
            }
        }
        let alone = Table::from_iter([(
            path.0.clone(),
            Value::Table(Table::from_iter([(path.1.clone(), value.clone())])),
        )]);
        match Config::deserialize(alone) {
            Ok(_) => {
                self.values.insert(path, (value, origin));
            }
            Err(error) => self.fault(&format!("{}.{}", path.0, path.1), error.message(), origin),
        }
    }

    fn fault(&mut self, path: &str, message: &str, origin: Origin) {
        self.faults.push(Fault {
            origin,
            path: path.to_owned(),
            message: message.trim().to_owned(),
        });
    }

    fn finish(mut self, passwords: &PasswordFile) -> Result<Config, ConfigError> {
        let mut table = Table::new();
        for ((section, key), (value, _)) in &self.values {
            let section = table
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(key.clone(), value.clone());
            }
        }
        let mut config = match Config::deserialize(table) {
            Ok(config) => config,
            Err(error) => {
                self.fault("", error.message(), Origin::Default);
                return Err(ConfigError::Faults(self.faults));
            }
        };
        let is_on_command_line = self.origin_of("presence.db_url") == Origin::CommandLine;
        let about_database = config.complete_database(passwords, is_on_command_line);
        for (path, message) in about_database.faults {
            let origin = self.origin_of(path);
            self.fault(path, &message, origin);
        }
        for (path, message) in config.contradictions() {
            let origin = self.origin_of(path);
            self.fault(path, &message, origin);
        }
        let remarks = about_database.remarks.into_iter();
        for (path, message) in remarks.chain(config.advice()) {
            let origin = self.origin_of(path);
            self.remarks.push(Fault {
                origin,
                path: path.to_owned(),
                message,
            });
        }
        config.remarks = self.remarks;
        if self.faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Faults(self.faults))
        }
    }

    fn origin_of(&self, path: &str) -> Origin {
        path.split_once('.')
            .and_then(|(section, key)| self.values.get(&(section.to_owned(), key.to_owned())))
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }
}

/// The line of each key. Empty where the file is not made of sections: then messages go without lines.
fn key_lines(text: &str) -> BTreeMap<(String, String), usize> {
    type Sections = BTreeMap<String, BTreeMap<String, Spanned<Value>>>;
    let sections: Sections = toml::from_str(text).unwrap_or_default();
    let keys = sections.into_iter().flat_map(|(section, keys)| {
        keys.into_iter()
            .map(move |(key, value)| ((section.clone(), key), value.span().start))
    });
    keys.map(|(path, at)| (path, line_of(text, at))).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}
