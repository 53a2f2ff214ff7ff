//! A script that was read, and loads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::machine::Machine;

/// Longest script that is read: a route is a page or two of text.
const MAX_BYTES: u64 = 1 << 20;

/// What a call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processor time of one call. What it waits for the database does not count.
    pub deadline: Duration,
    /// Memory of one Lua state, in bytes.
    pub memory: usize,
}

/// A script that loads, for machines to be made of.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) name: String,
    pub(crate) source: Vec<u8>,
    pub(crate) limits: Limits,
    pub(crate) xavp_cfg: String,
    has_route: bool,
    hears_requests: bool,
    hears_replies: bool,
    unused: Vec<String>,
}

/// Why a script cannot be used.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The file cannot be read. Remedy: its path, its mode.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is more than a megabyte.
    #[error("{path} is larger than a megabyte")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Lua does not take it, or it fails while it is loaded. The message names the line.
    #[error("{0}")]
    Faulty(String),
    /// It is not done with loading in time, or needs more memory than a call may use.
    #[error("{0} takes too long, or too much memory, to be loaded")]
    TooMuch(String),
    /// Something of its name is not a function.
    #[error("{file}: {name} must be a function")]
    NoFunction {
        /// The file.
        file: String,
        /// `route` or an `event_route`.
        name: &'static str,
    },
}

// === impl Program ===

impl Program {
    /// Reads and tries the script in `file`. `xavp_cfg` is the parameter of that name.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn read(file: &Path, limits: Limits, xavp_cfg: &str) -> Result<Program, ProgramError> {
        let path = || file.to_owned();
        let unreadable = |source| ProgramError::Unreadable {
            path: path(),
            source,
        };
        if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(ProgramError::TooLarge { path: path() });
        }
        let source = std::fs::read(file).map_err(unreadable)?;
        Program::new(&file.display().to_string(), source, limits, xavp_cfg)
    }

    /// Tries a script that is not a file; `name` stands for it in messages.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn new(
        name: &str,
        source: impl Into<Vec<u8>>,
        limits: Limits,
        xavp_cfg: &str,
    ) -> Result<Program, ProgramError> {
        let mut program = Program {
            name: name.to_owned(),
            source: source.into(),
            limits,
            xavp_cfg: xavp_cfg.to_owned(),
            has_route: false,
            hears_requests: false,
            hears_replies: false,
            unused: Vec::new(),
        };
        let machine = Machine::new(&program)?;
        program.has_route = machine.has_route();
        program.hears_requests = machine.hears_requests();
        program.hears_replies = machine.hears_replies();
        program.unused = machine.unused(&program);
        Ok(program)
    }

    /// Whether it decides about requests.
    pub fn has_route(&self) -> bool {
        self.has_route
    }

    /// What in it is never called, a sentence each, with name and line: a misspelt name, an event that there is not.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Whether it has a handler for NOTIFYs that are sent.
    pub fn hears_requests(&self) -> bool {
        self.hears_requests
    }

    /// Whether it has a handler for the answers to NOTIFYs.
    pub fn hears_replies(&self) -> bool {
        self.hears_replies
    }
}
