//! One life of a cluster's postmaster: start it, wait until it is ready, stop it, kill it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;
use crate::binaries::has_library;
use crate::error::{Error, io_error};

/// Crash recovery after a kill -9 under load takes seconds, not more.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// After this a fast shutdown becomes an immediate one.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// What a postmaster needs to know about its cluster.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) binaries: PathBuf,
    pub(crate) account: Account,
    pub(crate) data_dir: PathBuf,
    pub(crate) socket_dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) durable: bool,
    /// Of the socket's name, and of 127.0.0.1 if it listens there.
    pub(crate) port: u16,
    /// The files stay when the cluster ends.
    pub(crate) kept: bool,
    /// `key=value`, after ours, so that they win.
    pub(crate) settings: Vec<String>,
}

/// Removes what the caller's environment would change in PostgreSQL's programs.
pub(crate) fn program(place_binaries: &Path, name: &str, account: &Account) -> Command {
    let mut command = Command::new(place_binaries.join(name));
    for variable in [
        "PGDATA",
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGPASSWORD",
        "PGOPTIONS",
        "PGSERVICE",
        "PGTZ",
    ] {
        command.env_remove(variable);
    }
    command
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
    account.apply(&mut command);
    command
}

/// Starts PostgreSQL and returns at once; see [`wait_ready`].
pub(crate) fn spawn(place: &Place) -> Result<Child, Error> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&place.log)
        .map_err(io_error("open", &place.log))?;
    let log_too = log.try_clone().map_err(io_error("open", &place.log))?;
    let mut command = program(&place.binaries, "postgres", &place.account);
    command
        .arg("-D")
        .arg(&place.data_dir)
        .arg("-k")
        .arg(&place.socket_dir);
    for setting in settings(place) {
        command.arg("-c").arg(setting);
    }
    command
        .stdout(log)
        .stderr(log_too)
        .process_group(0) // Ctrl-C goes to our group: we stop PostgreSQL ourselves, after everything that uses it
        .spawn()
        .map_err(io_error("run", &place.binaries.join("postgres")))
}

fn settings(place: &Place) -> Vec<String> {
    let mut settings: Vec<String> = [
        "listen_addresses=",
        "max_connections=200",
        "log_min_messages=warning", // deadlocks are errors: they show
        "log_lock_waits=on",
        "log_line_prefix=%m [%p] %q%u@%d ",
        "log_timezone=UTC",
        "logging_collector=off",
    ]
    .map(str::to_owned)
    .into();
    settings.push(format!("port={}", place.port));
    if has_library(&place.binaries, "pg_stat_statements") {
        settings.push("shared_preload_libraries=pg_stat_statements".to_owned());
    }
    if !place.durable {
        // synchronous_commit stays on: what was acknowledged must survive kill -9 of PostgreSQL in tests as well. Without
        // fsync that costs nothing: the log is in the system's cache, which only a crash of the machine would lose.
        settings.extend(
            [
                "fsync=off",
                "full_page_writes=off",
                "dynamic_shared_memory_type=mmap",
            ]
            .map(str::to_owned),
        );
    }
    settings.extend(place.settings.iter().cloned());
    settings
}

/// Waits until the cluster takes connections.
pub(crate) fn wait_ready(place: &Place, child: &mut Child) -> Result<(), Error> {
    let pid_file = place.data_dir.join("postmaster.pid");
    let end = Instant::now() + READY_WITHIN;
    loop {
        // Line 1 is the process, line 8 its state (since PostgreSQL 10).
        if let Ok(text) = fs::read_to_string(&pid_file) {
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            if lines.first() == Some(&child.id().to_string().as_str())
                && lines.get(7) == Some(&"ready")
            {
                return Ok(());
            }
        }
        let ended = child
            .try_wait()
            .map_err(io_error("wait for", &place.data_dir))?
            .is_some();
        let (data_dir, log) = (place.data_dir.clone(), || log_tail(&place.log));
        if ended {
            return Err(Error::NotStarted {
                data_dir,
                log: log(),
            });
        }
        if Instant::now() > end {
            return Err(Error::TooSlow {
                data_dir,
                seconds: READY_WITHIN.as_secs(),
                log: log(),
            });
        }
        sleep(Duration::from_millis(5));
    }
}

/// Fast shutdown: sessions are cut, everything is written. Immediate, if that takes too long.
pub(crate) fn stop(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return; // ended by itself: its number may be somebody else's by now
    }
    signal(child.id(), Signal::INT);
    let end = Instant::now() + STOP_WITHIN;
    while Instant::now() < end {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        sleep(Duration::from_millis(5));
    }
    signal(child.id(), Signal::QUIT);
    let _ = child.wait();
}

/// SIGKILL to the postmaster and to every one of its children, as a machine's out-of-memory killer at its worst.
pub(crate) fn kill(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    // Stopped first, so that it makes no new children while we look for those it has.
    signal(child.id(), Signal::STOP);
    let children = children_of(child.id());
    signal(child.id(), Signal::KILL);
    for pid in &children {
        signal(*pid, Signal::KILL);
    }
    let _ = child.wait();
    // They are not our children, so we cannot wait for them; a new postmaster refuses to start while one is there.
    let end = Instant::now() + Duration::from_secs(5);
    while children.iter().any(|pid| is_alive(*pid)) && Instant::now() < end {
        sleep(Duration::from_millis(1));
    }
}

/// Whether a process with this id exists and has not ended (a zombie has).
pub(crate) fn is_alive(pid: u32) -> bool {
    let Some(id) = as_pid(pid) else { return false };
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => rustix::process::test_kill_process(id).is_ok(),
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = as_pid(pid) {
        // It may have ended in the meantime: that is what we want anyway.
        let _ = kill_process(pid, signal);
    }
}

fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// The direct children. PostgreSQL's are each in a session of their own, so a process group would not find them.
fn children_of(parent: u32) -> Vec<u32> {
    let output = match Command::new("ps")
        .args(["-A", "-o", "pid=,ppid="])
        .stderr(Stdio::null())
        .output()
    {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => proc_table(),
    };
    output
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (pid, ppid) = (fields.next()?, fields.next()?);
            (ppid.parse() == Ok(parent)).then(|| pid.parse().ok())?
        })
        .collect()
}

/// "pid ppid" lines from /proc, for images without `ps`.
fn proc_table() -> String {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // "12 (a name) S 1 ...": the name may hold spaces and brackets.
        let ppid = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        Some(format!("{pid} {ppid}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The last lines of PostgreSQL's log, for messages.
fn log_tail(log: &Path) -> String {
    let text = File::open(log)
        .and_then(std::io::read_to_string)
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_by_ps_and_by_proc() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let line = format!("{} {}", child.id(), std::process::id());
        assert!(children_of(std::process::id()).contains(&child.id()));
        if Path::new("/proc/self").exists() {
            assert!(proc_table().lines().any(|found| found == line));
        }
        assert!(is_alive(child.id()));
        kill(&mut child);
        assert!(!is_alive(child.id()));
    }
}
