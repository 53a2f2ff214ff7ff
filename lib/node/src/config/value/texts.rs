//! Values that are written as texts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::ValueError;

/// Values that are texts.
macro_rules! as_text {
    ($($name:ty),*) => { $(
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as ::serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(::serde::de::Error::custom)
            }
        }
    )* };
}
pub(crate) use as_text;

/// The file of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFile(PathBuf);

impl ScriptFile {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for ScriptFile {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<ScriptFile, Self::Err> {
        Ok(ScriptFile(text.into()))
    }
}

impl fmt::Display for ScriptFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogLevel {
    fn default() -> LogLevel {
        LogLevel("info".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<LogLevel, ValueError> {
        let refused = || ValueError::LogLevel(text.to_owned());
        // A lone word would be taken for the name of a crate: "inof" would log nothing.
        let words = ["off", "error", "warn", "info", "debug", "trace"];
        let plausible = text
            .split(',')
            .all(|part| part.contains('=') || words.contains(&part));
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if plausible => Ok(LogLevel(text.to_owned())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(LogLevel);

/// Texts that may be empty: `""` is `None`.
pub(crate) mod optional {
    use std::fmt;
    use std::str::FromStr;

    use serde::de::{self, Deserialize, Deserializer};
    use serde::ser::Serializer;

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse().map(Some).map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_words_that_mean_something() {
        for good in ["info", "warn,sql=debug", "off", "server=trace"] {
            assert_eq!(good.parse::<LogLevel>().unwrap().as_str(), good);
        }
        for bad in ["", "inof", "info sql", "sql=loud"] {
            assert!(bad.parse::<LogLevel>().is_err(), "{bad}");
        }
    }
}
