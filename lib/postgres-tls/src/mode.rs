//! `sslmode`: how much a connection must be worth before anything is said on it.

use crate::Error;
use crate::words::Words;

/// What `sslrootcert` says for the CAs of the operating system.
pub(crate) const SYSTEM: &str = "system";

/// libpq's modes, with what `sslrootcert` makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; its certificate is not looked at.
    Prefer,
    /// TLS; the certificate is not looked at.
    Require,
    /// TLS with a server whose certificate a CA of ours has signed, whoever it is.
    VerifyCa,
    /// TLS with the server that we meant.
    VerifyFull,
}

impl Mode {
    pub(crate) fn of(words: &Words, is_local: bool) -> Result<Mode, Error> {
        let by_system = words.roots.as_deref() == Some(SYSTEM);
        let mode = match words.mode.as_deref() {
            None if words.roots.is_some() => Mode::VerifyFull,
            None if is_local => Mode::Disable,
            None | Some("allow" | "prefer") => Mode::Prefer,
            Some("disable") => Mode::Disable,
            // libpq's own rule: who names CAs means them.
            Some("require") if words.roots.is_some() && !by_system => Mode::VerifyCa,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(_) => return Err(Error::Mode),
        };
        match mode {
            Mode::VerifyCa if words.roots.is_none() => Err(Error::NoRoots("verify-ca")),
            Mode::VerifyFull if words.roots.is_none() => Err(Error::NoRoots("verify-full")),
            Mode::Prefer | Mode::Require | Mode::VerifyCa if by_system => Err(Error::WeakForSystem),
            mode => Ok(mode),
        }
    }

    /// Whether nothing is said without TLS.
    pub(crate) fn is_strict(self) -> bool {
        !matches!(self, Mode::Disable | Mode::Prefer)
    }
}
