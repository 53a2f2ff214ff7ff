//! Whole numbers, and Kamailio's flags.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A whole number from MIN to MAX.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Within<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Within<MIN, MAX> {
    /// For constants: in a `const` block a number out of range does not compile.
    ///
    /// # Panics
    /// Outside constants, when the number is out of range; use [`Within::new`] there.
    pub const fn of(value: u32) -> Self {
        assert!(MIN <= value && value <= MAX, "out of range");
        Within(value)
    }

    /// The number, if it is in range.
    pub fn new(value: u32) -> Option<Self> {
        (MIN..=MAX).contains(&value).then_some(Within(value))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as a size.
    pub const fn usize(self) -> usize {
        self.0 as usize
    }

    /// So many seconds.
    pub const fn seconds(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    /// So many milliseconds.
    pub const fn milliseconds(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Debug for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<const MIN: u32, const MAX: u32> Serialize for Within<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = whole_number(deserializer)?;
        u32::try_from(value)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| de::Error::custom(format!("must be {MIN} to {MAX}, not {value}")))
    }
}

/// How often something happens, or never: Kamailio's timers are off when their period is zero or negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(i32);

impl Period {
    /// So many seconds.
    pub const fn every(seconds: i32) -> Period {
        Period(seconds)
    }

    /// The period; `None`: never.
    pub fn duration(self) -> Option<Duration> {
        u64::try_from(self.0)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = whole_number(deserializer)?;
        let refused =
            || de::Error::custom(format!("must be {} to {}, not {value}", i32::MIN, i32::MAX));
        i32::try_from(value).map(Period).map_err(|_| refused())
    }
}

/// Kamailio's flags: 0 and 1; `true` and `false` are understood as well.
pub(crate) mod flag {
    use super::{Deserializer, NumberOrFlag, Serializer, Visited, de};

    pub(crate) fn serialize<S: Serializer>(value: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(u8::from(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        match from.deserialize_any(NumberOrFlag { flag_allowed: true })? {
            Visited::Flag(flag) => Ok(flag),
            Visited::Number(0) => Ok(false),
            Visited::Number(1) => Ok(true),
            Visited::Number(other) => {
                Err(de::Error::custom(format!("must be 0 or 1, not {other}")))
            }
        }
    }
}

pub(crate) fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    match from.deserialize_any(NumberOrFlag {
        flag_allowed: false,
    })? {
        Visited::Number(number) => Ok(number),
        Visited::Flag(flag) => Err(de::Error::custom(format!(
            "must be a whole number, not {flag}"
        ))),
    }
}

struct NumberOrFlag {
    flag_allowed: bool,
}

enum Visited {
    Number(i64),
    Flag(bool),
}

impl Visitor<'_> for NumberOrFlag {
    type Value = Visited;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.flag_allowed {
            "0 or 1"
        } else {
            "a whole number"
        })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Visited, E> {
        Ok(Visited::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Visited, E> {
        // Larger than anything allowed stays larger than anything allowed.
        Ok(Visited::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Visited, E> {
        Ok(Visited::Flag(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_may_be_off() {
        assert_eq!(
            Period::every(100).duration(),
            Some(Duration::from_secs(100))
        );
        assert_eq!(
            (Period::every(0).duration(), Period::every(-1).duration()),
            (None, None)
        );
    }
}
