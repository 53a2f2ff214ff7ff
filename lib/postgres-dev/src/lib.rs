//! A private PostgreSQL cluster from the binaries that are installed: throw-away ones for tests, a kept one for
//! `pgpresence run`.
//!
//! It listens on a Unix socket, in a directory that nobody else may enter, so several run side by side without a port
//! to quarrel over; on a port of 127.0.0.1 only for tests of that. Started as root it runs as `postgres` (else `nobody`). Nothing outlives the process that started it: a
//! [watchdog] sees to that even when that process is killed with -9.
//!
//! This crate speaks no SQL: it manages processes and files.

mod account;
mod binaries;
mod error;
mod kept;
mod postmaster;
mod saved;
mod watchdog;

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use account::Account;
pub use binaries::find_binaries;
pub use error::Error;
use error::io_error;
use postmaster::Place;
pub use saved::Saved;
use watchdog::{AtEnd, Watchdog};

/// The number in the name of a socket, where no port goes with it.
const SOCKET_NAME: u16 = 5432;

/// A running cluster. Dropping it stops it, and removes it if it is a throw-away one.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    state: Mutex<State>,
    /// Held as long as the kept directory is ours.
    _lock: Option<File>,
}

#[derive(Debug)]
struct State {
    /// `None` after [`Cluster::kill9`].
    postmaster: Option<Child>,
    watchdog: Watchdog,
}

impl Cluster {
    /// A new, empty cluster in a temporary directory, without fsync, gone when it is dropped or this process ends.
    pub fn start_throwaway() -> Result<Cluster, Error> {
        let without_port = SOCKET_NAME;
        Cluster::start_temporary(
            temporary_dir()?,
            false,
            without_port,
            &[],
            |place, watchdog| initialise(place, Some(watchdog)),
        )
    }

    /// A throw-away cluster that also listens on a free port of 127.0.0.1. Its data directory has these files, by name and content:
    /// `pg_hba.conf`, certificates and the like; `settings` are PostgreSQL's own, `key=value`.
    pub fn start_listening(files: &[(&str, &str)], settings: &[String]) -> Result<Cluster, Error> {
        let mut settings = settings.to_vec();
        settings.push("listen_addresses=127.0.0.1".to_owned());
        let port = free_port()?;
        Cluster::start_temporary(
            temporary_dir()?,
            false,
            port,
            &settings,
            |place, watchdog| {
                initialise(place, Some(watchdog))?;
                let mut put = files.iter().map(|(name, text)| put_file(place, name, text));
                put.try_for_each(|put| put)
            },
        )
    }

    /// A throw-away cluster that begins as a copy of a saved one. Where there is none yet, `make` fills it first: once for
    /// all processes that ask.
    pub fn start_copy(saved: Saved<'_>, make: impl FnOnce(&Cluster)) -> Result<Cluster, Error> {
        let (original, _lock) = saved.data_dir(make)?;
        let without_port = SOCKET_NAME;
        Cluster::start_temporary(temporary_dir()?, false, without_port, &[], |place, _| {
            saved::copy(&original, &place.data_dir, &place.account)
        })
    }

    /// A new, empty cluster in a new directory below `parent`, with full durability, and gone like a throw-away one: for
    /// measurements, which are worth nothing in memory or without fsync. `settings` are PostgreSQL's own, `key=value`.
    ///
    /// Fails when `parent` is so deep that no socket fits into it.
    pub fn start_measured(parent: &Path, settings: &[String]) -> Result<Cluster, Error> {
        let parent = fs::canonicalize(parent).map_err(io_error("find", parent))?;
        let root = tempfile::Builder::new()
            .prefix("pgp-")
            .tempdir_in(&parent)
            .map_err(io_error("create a temporary directory in", &parent))?;
        if !fits_socket(root.path()) {
            let too_long = std::io::ErrorKind::InvalidFilename.into();
            return Err(io_error("make a socket in", root.path())(too_long));
        }
        let without_port = SOCKET_NAME;
        Cluster::start_temporary(
            root.keep(),
            true,
            without_port,
            settings,
            |place, watchdog| initialise(place, Some(watchdog)),
        )
    }

    fn start_temporary(
        root: PathBuf,
        durable: bool,
        port: u16,
        settings: &[String],
        make_data_dir: impl FnOnce(&Place, &mut Watchdog) -> Result<(), Error>,
    ) -> Result<Cluster, Error> {
        // From here on the watchdog cleans up, whatever happens.
        let mut watchdog = Watchdog::start(AtEnd::Remove(&root))
            .map_err(io_error("start the watchdog of", &root))?;
        let binaries = find_binaries()?;
        let account = Account::choose()?;
        account.own_directory(&root)?;
        account.check_reachable(&root)?;
        let place = Place {
            binaries,
            account,
            data_dir: root.join("data"),
            log: root.join("postgres.log"),
            socket_dir: root,
            durable,
            port,
            kept: false,
            settings: settings.to_vec(),
        };
        make_data_dir(&place, &mut watchdog)?;
        Cluster::start(place, watchdog, None)
    }

    /// The cluster kept in `data_dir`, made there at the first start, with full durability.
    ///
    /// Fails with [`Error::InUse`] while another process has it started.
    pub fn start_kept(data_dir: &Path) -> Result<Cluster, Error> {
        let binaries = find_binaries()?;
        let account = Account::choose()?;
        fs::create_dir_all(data_dir).map_err(io_error("create", data_dir))?;
        let data_dir = fs::canonicalize(data_dir).map_err(io_error("find", data_dir))?;
        account.check_reachable(&data_dir)?;
        account.own_directory(&data_dir)?;
        let lock = kept::lock(&data_dir)?;

        let socket_dir = kept::short_socket_dir(&data_dir);
        if socket_dir != data_dir {
            fs::create_dir_all(&socket_dir).map_err(io_error("create", &socket_dir))?;
            account.own_directory(&socket_dir)?; // fails if it is somebody else's
        }
        let place = Place {
            binaries,
            account,
            data_dir: data_dir.join("postgres"),
            log: data_dir.join("postgres.log"),
            socket_dir,
            durable: true,
            port: SOCKET_NAME,
            kept: true,
            settings: vec![],
        };
        if kept::has_cluster(&place.data_dir, &place.binaries)? {
            kept::clear_stale_pid(&place.data_dir)?;
        } else {
            make_kept_cluster(&place)?;
        }
        kept::rotate_log(&place.log);
        let watchdog =
            Watchdog::start(AtEnd::Keep).map_err(io_error("start the watchdog of", &data_dir))?;
        Cluster::start(place, watchdog, Some(lock))
    }

    fn start(place: Place, watchdog: Watchdog, lock: Option<File>) -> Result<Cluster, Error> {
        let state = Mutex::new(State {
            postmaster: None,
            watchdog,
        });
        let cluster = Cluster {
            place,
            state,
            _lock: lock,
        };
        cluster.start_postmaster()?;
        Ok(cluster)
    }

    fn start_postmaster(&self) -> Result<(), Error> {
        let mut state = self.state();
        let mut child = postmaster::spawn(&self.place)?;
        state.watchdog.guard(Some(child.id()));
        let ready = postmaster::wait_ready(&self.place, &mut child);
        state.postmaster = Some(child); // stopped by Drop, also if it is not ready
        ready
    }

    /// The URL of a database in this cluster, for tokio-postgres and for psql.
    pub fn url(&self, database: &str) -> String {
        socket_url(&self.place.socket_dir, self.place.port, database)
    }

    /// Its port on 127.0.0.1, if it listens there: after [`Cluster::start_listening`].
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Puts a file into the data directory, in place of the one of this name. PostgreSQL reads it when it is told to, or started again.
    pub fn put_file(&self, name: &str, text: &str) -> Result<(), Error> {
        put_file(&self.place, name, text)
    }

    /// The URL of a database in the cluster that another process keeps in `data_dir` and has started; `None` if there is none, or
    /// none that this user may look into.
    pub fn find_running(data_dir: &Path, database: &str) -> Option<String> {
        let data_dir = fs::canonicalize(data_dir).ok()?;
        kept::runs(&data_dir.join("postgres"))
            .then(|| socket_url(&kept::short_socket_dir(&data_dir), SOCKET_NAME, database))
    }

    /// A command line to be pasted into a terminal.
    pub fn psql_line(&self, database: &str) -> String {
        format!("psql '{}'", self.url(database))
    }

    /// PostgreSQL's log.
    pub fn log_path(&self) -> &Path {
        &self.place.log
    }

    /// The cluster's PostgreSQL programs (`psql`, `pg_dump`, ...).
    pub fn binaries(&self) -> &Path {
        &self.place.binaries
    }

    /// The process that a test may kill; 0 between [`Cluster::kill9`] and [`Cluster::restart`].
    pub fn postmaster_pid(&self) -> u32 {
        self.state().postmaster.as_ref().map_or(0, Child::id)
    }

    /// Whether PostgreSQL is there: not after [`Cluster::kill9`], nor when somebody else ended it.
    pub fn is_running(&self) -> bool {
        let mut state = self.state();
        state
            .postmaster
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills every process of the cluster with SIGKILL, at once. [`Cluster::restart`] then recovers it.
    pub fn kill9(&self) {
        let mut state = self.state();
        if let Some(mut child) = state.postmaster.take() {
            postmaster::kill(&mut child);
        }
        state.watchdog.guard(None);
    }

    /// Starts PostgreSQL again, after [`Cluster::kill9`], after it died otherwise, or, if it runs, after a fast shutdown.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop_postmaster();
        self.start_postmaster()
    }

    /// Fast shutdown: afterwards the data directory is at rest.
    fn stop_postmaster(&self) {
        let running = self.state().postmaster.take();
        if let Some(mut child) = running {
            postmaster::stop(&mut child);
        }
    }

    /// Stops PostgreSQL (fast shutdown: sessions are cut). The same as dropping, but to be seen in the code.
    pub fn stop(self) {}

    /// Makes an empty database.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        self.run_client("createdb", &[name])
    }

    /// Makes a database as a copy of `template`, to which nobody may be connected.
    pub fn create_from_template(&self, name: &str, template: &str) -> Result<(), Error> {
        self.run_client("createdb", &["--template", template, name])
    }

    /// Removes a database, and cuts the sessions in it.
    pub fn drop_database(&self, name: &str) -> Result<(), Error> {
        self.run_client("dropdb", &["--force", "--if-exists", name])
    }

    /// Whether the database is there.
    pub fn has_database(&self, name: &str) -> Result<bool, Error> {
        let output = self.client_command(
            "psql",
            &["--list", "--no-psqlrc", "--tuples-only", "--no-align"],
        )?;
        Ok(output
            .lines()
            .any(|line| line.split('|').next() == Some(name)))
    }

    fn run_client(&self, name: &str, arguments: &[&str]) -> Result<(), Error> {
        self.client_command(name, arguments).map(drop)
    }

    fn client_command(&self, name: &str, arguments: &[&str]) -> Result<String, Error> {
        let mut command = postmaster::program(&self.place.binaries, name, &self.place.account);
        let port = self.place.port.to_string();
        command.arg("--host").arg(&self.place.socket_dir).args([
            "--port",
            &port,
            "--username",
            "postgres",
        ]);
        run_program(name, command.args(arguments))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not keep us from stopping the cluster.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let kept = self.place.kept;
        let mut state = self.state();
        let Some(mut child) = state.postmaster.take() else {
            return;
        };
        if kept {
            postmaster::stop(&mut child);
            state.watchdog.guard(None);
            if !self.place.data_dir.starts_with(&self.place.socket_dir) {
                let _ = fs::remove_dir(&self.place.socket_dir); // refused if something else is in it
            }
        } else {
            // The watchdog's way out is the only one, so every test run tests it.
            state.watchdog.release();
            let _ = child.wait();
        }
    }
}

/// A file of the data directory, for PostgreSQL's eyes only: so it wants a server's key.
fn put_file(place: &Place, name: &str, text: &str) -> Result<(), Error> {
    let path = place.data_dir.join(name);
    let mode = Permissions::from_mode(0o600);
    fs::write(&path, text).map_err(io_error("write", &path))?;
    fs::set_permissions(&path, mode).map_err(io_error("set the mode of", &path))?;
    place.account.own_file(&path)
}

/// A port that nobody listens on at this moment.
fn free_port() -> Result<u16, Error> {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let any = any.map_err(io_error("find a free port of", Path::new("127.0.0.1")))?;
    Ok(any.port())
}

/// `initdb` into the cluster's directory. The guard is for throw-away clusters only.
fn initialise(place: &Place, watchdog: Option<&mut Watchdog>) -> Result<(), Error> {
    fs::create_dir(&place.data_dir).map_err(io_error("create", &place.data_dir))?;
    place.account.own_directory(&place.data_dir)?;
    let mut command = postmaster::program(&place.binaries, "initdb", &place.account);
    command.arg("-D").arg(&place.data_dir);
    command.args([
        "--auth=trust",
        "--username=postgres",
        "--encoding=UTF8",
        "--no-locale",
        "--no-instructions",
    ]);
    let Some(watchdog) = watchdog else {
        return run_program("initdb", &mut command).map(drop);
    };
    let child = command
        .arg("--no-sync")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io_error("run initdb for", &place.data_dir))?;
    watchdog.guard(Some(child.id()));
    let output = child
        .wait_with_output()
        .map_err(io_error("run initdb for", &place.data_dir))?;
    watchdog.guard(None);
    check_output("initdb", &output).map(drop)
}

/// A kept cluster is made beside its place and then renamed, so that an interrupted `initdb` leaves nothing that looks like
/// a cluster.
fn make_kept_cluster(place: &Place) -> Result<(), Error> {
    let made = Place {
        binaries: place.binaries.clone(),
        account: place.account.clone(),
        data_dir: place.data_dir.with_extension("new"),
        socket_dir: place.socket_dir.clone(),
        log: place.log.clone(),
        durable: true,
        port: SOCKET_NAME,
        kept: true,
        settings: vec![],
    };
    if made.data_dir.exists() {
        fs::remove_dir_all(&made.data_dir)
            .map_err(io_error("remove the unfinished", &made.data_dir))?;
    }
    initialise(&made, None)?;
    fs::rename(&made.data_dir, &place.data_dir).map_err(io_error("put in place", &place.data_dir))
}

fn run_program(name: &str, command: &mut std::process::Command) -> Result<String, Error> {
    let output = command.output().map_err(io_error("run", Path::new(name)))?;
    check_output(name, &output)
}

fn check_output(program: &str, output: &std::process::Output) -> Result<String, Error> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let output = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr))
        .trim()
        .to_owned();
    Err(Error::ProgramFailed {
        program: program.to_owned(),
        output,
    })
}

/// Where there is a file system in memory: `initdb` and a test's writes cost half the time there.
const MEMORY: &str = "/dev/shm";
/// A cluster and what a load test writes into it, several at once; containers often have 64 MB there.
const MEMORY_FREE_BYTES: u64 = 4 << 30;

fn has_room_in_memory() -> bool {
    rustix::fs::statvfs(MEMORY).is_ok_and(|fs| fs.f_bavail * fs.f_frsize >= MEMORY_FREE_BYTES)
}

/// A new directory with a short path: in memory if there is room, else in the system's place for such, or in /tmp where that
/// is too deep for a socket. A `TMPDIR` other than /tmp is obeyed.
fn temporary_dir() -> Result<PathBuf, Error> {
    let make = |parent: Option<&Path>| {
        let mut builder = tempfile::Builder::new();
        builder.prefix("pgp-");
        parent.map_or_else(|| builder.tempdir(), |parent| builder.tempdir_in(parent))
    };
    if tempfile::env::temp_dir() == Path::new("/tmp")
        && has_room_in_memory()
        && let Ok(dir) = make(Some(Path::new(MEMORY)))
    {
        return Ok(dir.keep());
    }
    let mut dir = make(None).map_err(io_error(
        "create a temporary directory in",
        Path::new("$TMPDIR"),
    ))?;
    if !fits_socket(dir.path()) {
        dir = make(Some(Path::new("/tmp"))).map_err(io_error(
            "create a temporary directory in",
            Path::new("/tmp"),
        ))?;
    }
    Ok(dir.keep())
}

/// A socket's address holds 107 bytes on Linux, 103 on macOS.
fn fits_socket(dir: &Path) -> bool {
    dir.as_os_str().len() + "/.s.PGSQL.5432.lock".len() <= 103
}

fn socket_url(socket_dir: &Path, port: u16, database: &str) -> String {
    let socket_dir = percent_encode(&socket_dir.to_string_lossy());
    format!(
        "postgresql:///{}?host={socket_dir}&port={port}&user=postgres",
        percent_encode(database)
    )
}

/// As URLs have it; the slash stays readable.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::percent_encode;

    #[test]
    fn urls_are_encoded() {
        assert_eq!(percent_encode("/var/lib/a b'c&d"), "/var/lib/a%20b%27c%26d");
    }
}
