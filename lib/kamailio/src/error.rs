//! What makes a configuration unreadable.

use crate::settings::Place;

/// Why reading stopped, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct ReadError {
    /// The file and line at fault: for a string or comment without an end, where it begins.
    pub place: Place,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong. No variant quotes the text of a string: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file, or one that it includes, cannot be read. Remedy: its path, its mode.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// The file, as it is named.
        file: String,
        /// The system's answer.
        reason: String,
    },
    /// A file includes itself, perhaps through others.
    #[error("{file} includes itself: {chain}")]
    IncludeLoop {
        /// The file.
        file: String,
        /// Which file includes which.
        chain: String,
    },
    /// Includes within includes within includes.
    #[error("includes are nested deeper than {0}")]
    IncludeDepth(usize),
    /// A name of a file to include is missing, or not in quotes.
    #[error("{0} needs a file name in quotes")]
    IncludeName(&'static str),
    /// A string that is never closed.
    #[error("this string has no end: a {0} is missing")]
    OpenString(char),
    /// A comment that is never closed.
    #[error("this comment has no end: a */ is missing")]
    OpenComment,
    /// An `#!ifdef` that is never closed.
    #[error("this #!ifdef, #!ifndef or #!ifexp has no #!endif")]
    OpenCondition,
    /// A `#!subst`, `#!substdef` or `#!substdefs` that cannot be understood.
    #[error("#!{directive}: {reason}")]
    Substitution {
        /// Which of the three.
        directive: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// More text than any configuration has.
    #[error("more than {0} MiB of text, all included files together")]
    TooMuchText(usize),
    /// Defines that expand to defines that expand to defines.
    #[error("the defines used here expand to more than {0} MiB of text")]
    Expansion(usize),
    /// More substitutions than any configuration has.
    #[error("more than {0} #!subst, #!substdef and #!substdefs")]
    TooManySubstitutions(usize),
}
