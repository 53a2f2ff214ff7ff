//! What a Kamailio is: its configuration said in ours, and the rows of its database made ours.
//!
//! A configuration takes two steps. [`read`] follows the file as Kamailio's own scanner does (comments, `#!define`, `#!ifdef`, `#!subst`,
//! includes, both quote styles) and gives [`Settings`]: each module parameter and each listening address with its place.
//! [`fn@translate`] turns those into our TOML and a [`Report`] of what was left out, and why.
//!
//! Pure: files and environment variables come through [`Surroundings`]. Routing blocks are passed over, never run. Work is
//! linear in what is read: regular expressions are linear, and whatever multiplies text has a limit.
//!
//! A [`Converter`] takes rows one by one, and says of each that cannot be taken over why.

mod convert;
mod database;
mod define;
mod error;
mod listen;
mod literal;
mod parse;
mod report;
mod scan;
mod script_route;
mod settings;
mod shown;
mod substitute;
mod table;
mod toml;
mod translate;

use std::io;
use std::path::Path;

pub use convert::{Converter, NoProxy, Unfit, route};
pub use error::{Fault, ReadError};
pub use report::{Entry, Report, SettingOutcome};
pub use settings::{Listening, Parameter, Place, Problem, Protocol, Route, Settings, Value};
pub use translate::{Translation, translate};

/// What a configuration refers to outside itself.
pub struct Surroundings<'a> {
    /// Gives the bytes of a file. `NotFound` makes the reader try the next place, as Kamailio does.
    pub files: &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
    /// Gives an environment variable, for `#!defenv` and `$env(NAME)`.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// What `kamailio -A NAME=VALUE` defines.
    pub defines: &'a [(String, String)],
}

/// Reads the configuration `file` and all that it includes.
///
/// # Errors
/// What makes it unreadable, with its file and line: a file that is missing, a string or comment without an end, includes
/// that go round in circles. What can be passed over is in [`Settings::problems`].
pub fn read(file: &Path, around: &mut Surroundings<'_>) -> Result<Settings, ReadError> {
    parse::Parser::start(file, around)?.run()
}
