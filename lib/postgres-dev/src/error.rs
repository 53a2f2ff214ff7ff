//! What can go wrong when a private cluster is started, each with its remedy.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private PostgreSQL cluster could not be found, made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL server is installed. Remedy: install one, or use a server that runs already.
    #[error(
        "no PostgreSQL server (15 or later) is installed here.\n\
         Install one:\n\
         \x20   Debian, Ubuntu   apt-get install postgresql\n\
         \x20   Fedora, RHEL     dnf install postgresql-server postgresql-contrib\n\
         \x20   Alpine           apk add postgresql postgresql-contrib\n\
         \x20   Arch             pacman -S postgresql\n\
         \x20   macOS            brew install postgresql@17\n\
         or point PG_BIN_DIR at the folder that holds `initdb` and `postgres`,\n\
         or use a server that is running already: --database-url postgresql://user@host/database"
    )]
    NotInstalled,

    /// We are root, PostgreSQL refuses to run as root, and there is no other account to run it as.
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither a user `postgres` nor `nobody`; \
         start this as an ordinary user, or give --database-url"
    )]
    NoAccount,

    /// The account that PostgreSQL runs as cannot reach the data directory. Remedy: another directory.
    #[error(
        "{dir} cannot be entered by the user `{user}`, which runs PostgreSQL because this process is root; \
         choose a data directory elsewhere (for example under /var/lib), or `chmod o+x {dir}`"
    )]
    NotTraversable {
        /// The directory on the way that is closed.
        dir: PathBuf,
        /// The account that PostgreSQL runs as.
        user: String,
    },

    /// Another process of ours uses this data directory. Remedy: stop it, or choose another directory.
    #[error(
        "the data directory {data_dir} is in use by another pgpresence; stop that one, or give another --data-dir"
    )]
    InUse {
        /// The directory that is locked.
        data_dir: PathBuf,
    },

    /// A PostgreSQL that we did not start runs in this data directory and does not go away.
    #[error(
        "PostgreSQL (pid {pid}) is still running in {data_dir}; stop it with `kill -INT {pid}`, or give another --data-dir"
    )]
    StillRunning {
        /// The directory in which it runs.
        data_dir: PathBuf,
        /// Its postmaster.
        pid: i32,
    },

    /// The cluster was made by another major version. Remedy: those binaries, or `pg_upgrade`, or another directory.
    #[error(
        "{data_dir} was made by PostgreSQL {found}, but the binaries in {binaries} are version {installed}; \
         point PG_BIN_DIR at version {found}, run pg_upgrade, or give another --data-dir"
    )]
    WrongVersion {
        /// The cluster's directory.
        data_dir: PathBuf,
        /// The major version that made it.
        found: String,
        /// The major version of the binaries.
        installed: String,
        /// The binaries' folder.
        binaries: PathBuf,
    },

    /// `initdb`, `createdb` or the like failed.
    #[error("{program} failed: {output}")]
    ProgramFailed {
        /// The program's name.
        program: String,
        /// What it printed.
        output: String,
    },

    /// PostgreSQL ended while it was starting.
    #[error("PostgreSQL did not start in {data_dir}: {log}")]
    NotStarted {
        /// The cluster's directory.
        data_dir: PathBuf,
        /// The end of its log.
        log: String,
    },

    /// PostgreSQL neither became ready nor ended in the time allowed (crash recovery of a huge log?).
    #[error("PostgreSQL in {data_dir} was not ready within {seconds} s: {log}")]
    TooSlow {
        /// The cluster's directory.
        data_dir: PathBuf,
        /// How long we waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },

    /// The operating system refused something.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Puts the action and the path to an `io::Error`.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
