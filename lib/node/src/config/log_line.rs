//! `local_log_level` and `local_log_facility`: Kamailio's numbers and syslog's names.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::value::{ValueError, whole_number};

/// Kamailio's levels of log lines, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalLevel(i8);

impl LocalLevel {
    /// L_INFO.
    pub(super) const INFO: LocalLevel = LocalLevel(2);

    /// The number: -5 L_ALERT, -4 L_BUG, -3 and -2 L_CRIT, -1 L_ERR, 0 L_WARN, 1 L_NOTICE, 2 L_INFO, 3 L_DBG.
    pub fn get(self) -> i8 {
        self.0
    }
}

impl Serialize for LocalLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i8(self.0)
    }
}

impl<'de> Deserialize<'de> for LocalLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = whole_number(deserializer)?;
        i8::try_from(number)
            .ok()
            .filter(|level| (-5..=3).contains(level))
            .map(LocalLevel)
            .ok_or_else(|| de::Error::custom(format!("must be -5 to 3, not {number}")))
    }
}

/// A facility of the system's log (RFC 3164, table 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are all that they are")]
pub enum Facility {
    Kern = 0,
    User = 1,
    Mail = 2,
    Daemon = 3,
    Auth = 4,
    Syslog = 5,
    Lpr = 6,
    News = 7,
    Uucp = 8,
    Cron = 9,
    Authpriv = 10,
    Ftp = 11,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

const FACILITIES: [(&str, Facility); 20] = [
    ("LOG_KERN", Facility::Kern),
    ("LOG_USER", Facility::User),
    ("LOG_MAIL", Facility::Mail),
    ("LOG_DAEMON", Facility::Daemon),
    ("LOG_AUTH", Facility::Auth),
    ("LOG_SYSLOG", Facility::Syslog),
    ("LOG_LPR", Facility::Lpr),
    ("LOG_NEWS", Facility::News),
    ("LOG_UUCP", Facility::Uucp),
    ("LOG_CRON", Facility::Cron),
    ("LOG_AUTHPRIV", Facility::Authpriv),
    ("LOG_FTP", Facility::Ftp),
    ("LOG_LOCAL0", Facility::Local0),
    ("LOG_LOCAL1", Facility::Local1),
    ("LOG_LOCAL2", Facility::Local2),
    ("LOG_LOCAL3", Facility::Local3),
    ("LOG_LOCAL4", Facility::Local4),
    ("LOG_LOCAL5", Facility::Local5),
    ("LOG_LOCAL6", Facility::Local6),
    ("LOG_LOCAL7", Facility::Local7),
];

impl FromStr for Facility {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Facility, ValueError> {
        FACILITIES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, facility)| *facility)
            .ok_or_else(|| ValueError::Facility(text.to_owned()))
    }
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FACILITIES.iter().find(|(_, facility)| facility == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_the_names_of_syslog() {
        for good in ["LOG_LOCAL3", "LOG_DAEMON", "LOG_KERN"] {
            assert_eq!(good.parse::<Facility>().unwrap().to_string(), good);
        }
        for bad in ["", "LOG_LOCAL8", "local3", "3"] {
            assert!(bad.parse::<Facility>().is_err(), "{bad}");
        }
    }
}
