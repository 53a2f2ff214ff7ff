//! One of a few: by a number, as Kamailio has them, or by a word.

use options::whole_number;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// Declares an enum whose values are numbers in the configuration.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number),* }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u8(*self as u8)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match whole_number(deserializer)? {
                    $($number => Ok($name::$variant),)*
                    other => {
                        let allowed = [$(stringify!($number)),*].join(" or ");
                        Err(de::Error::custom(format!("must be {allowed}, not {other}")))
                    }
                }
            }
        }
    };
}

numbered! {
    /// What becomes of an Expires that is shorter than `min_expires`.
    MinExpiresAction {
        /// 423 Interval Too Brief.
        Refuse = 1,
        /// `min_expires` is granted.
        Raise = 2,
    }
}

numbered! {
    /// How the user parts of URIs are compared.
    UriMatch {
        /// `sip:Bob@` and `sip:bob@` are two.
        CaseSensitive = 0,
        /// `sip:Bob@` and `sip:bob@` are one.
        CaseInsensitive = 1,
    }
}

impl UriMatch {
    /// Whether users are compared, and stored, in lower case.
    pub fn folds_case(self) -> bool {
        self == UriMatch::CaseInsensitive
    }
}

impl From<UriMatch> for i16 {
    fn from(matching: UriMatch) -> i16 {
        matching as i16
    }
}

numbered! {
    /// Which earlier subscription a new one takes the place of.
    SameSubscriber {
        /// None.
        Nobody = 0,
        /// One with the same Call-ID.
        SameCall = 1,
        /// One of the same phone.
        SamePhone = 2,
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// How watchers are handled of a presentity without rules (RFC 5025 section 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// They see everything.
    #[default]
    Allow,
    /// They are pending.
    Confirm,
    /// They are refused.
    Block,
}

impl DefaultPolicy {
    /// The name in the configuration, which is that of RFC 5025 too.
    pub fn as_str(self) -> &'static str {
        match self {
            DefaultPolicy::Allow => "allow",
            DefaultPolicy::Confirm => "confirm",
            DefaultPolicy::Block => "block",
        }
    }
}
