//! How often something happens.

use std::time::Duration;

use options::whole_number;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

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
