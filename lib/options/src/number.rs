//! Whole numbers in a range, and Kamailio's flags.

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

/// Kamailio's flags: 0 and 1; `true` and `false` are understood as well.
pub mod flag {
    use super::{Deserializer, NumberOrFlag, Serializer, Visited, de};

    /// Writes 0 or 1.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(value: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(u8::from(*value))
    }

    /// Reads 0, 1, `true` or `false`.
    ///
    /// # Errors
    /// For anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
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

/// Reads a whole number: for types that know their own range.
///
/// # Errors
/// For what is none, a flag among them.
pub fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
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
