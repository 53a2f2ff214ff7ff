//! The types of values: each can hold only what makes sense.

mod addresses;
mod choices;
mod error;
mod numbers;
mod texts;

pub use addresses::{Listen, Listener, ServerAddress, Transport, WatcherUri};
pub use choices::{
    Accounts, DefaultPolicy, Features, LogFormat, MergePolicy, MinExpiresAction, NeutralDocument,
    SameSubscriber, UriMatch,
};
pub use numbers::{Period, Within};
pub use texts::{LogLevel, ScriptFile};

pub(super) use error::ValueError;
pub(super) use numbers::{flag, whole_number};
pub(super) use texts::{as_text, optional};
