//! The types of values: each can hold only what makes sense.

mod addresses;
mod choices;
mod error;
mod period;
mod ssl_mode;
mod texts;

pub use addresses::{Listen, Listener, ServerAddress, Transport, WatcherUri};
pub use choices::{DefaultPolicy, LogFormat, MinExpiresAction, SameSubscriber, UriMatch};
pub use options::Within;
pub use period::Period;
pub use ssl_mode::SslMode;
pub use texts::{LogLevel, ScriptFile};

pub(super) use error::ValueError;
pub(super) use options::{flag, whole_number};
pub(super) use texts::{as_text, optional};
