//! The built program as a child: its lines, its children, its end.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Everything that is waited for comes within this time, also on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The program, with none of the caller's settings in its environment.
pub(crate) fn pgpresence(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgpresence"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PGPRESENCE_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs the program to its end: exit code, standard output, standard error.
pub(crate) fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = pgpresence(arguments);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let collect = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    };
    let stdout = collect(Box::new(child.stdout.take().unwrap()));
    let stderr = collect(Box::new(child.stderr.take().unwrap()));
    let end = Instant::now() + SOON;
    let status = loop {
        match child.try_wait().unwrap() {
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            status => break status,
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    let (said, errors) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        panic!("{arguments:?} does not end:\n{said}\n{errors}")
    };
    (status.code(), said, errors)
}

/// A running program. Dropping it kills it with -9.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    /// What it has printed so far, both outputs.
    pub(crate) seen: Vec<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        read_lines(child.stdout.take().unwrap(), sender.clone());
        read_lines(child.stderr.take().unwrap(), sender);
        Program {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line that begins with `start`.
    pub(crate) fn line(&mut self, start: &str) -> String {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line {start:?}, but: {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(signal, self.pid());
    }

    /// Waits for its end, and returns its exit code; `None`: a signal ended it.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let mut status: Option<ExitStatus> = None;
        eventually("the program has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.seen.extend(self.lines.try_iter());
        status.unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
}

pub(crate) fn send(signal: &str, pid: u32) {
    assert!(
        Command::new("kill")
            .args([&format!("-{signal}"), &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// The living processes: pid, parent, command line.
pub(crate) fn processes() -> Vec<(u32, u32, String)> {
    let output = Command::new("ps")
        .args(["-A", "-ww", "-o", "pid=,ppid=,state=,args="])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (pid, parent, state) = (
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
                fields.next()?,
            );
            (!state.starts_with('Z')).then(|| (pid, parent, fields.collect::<Vec<_>>().join(" ")))
        })
        .collect()
}

/// The children of a process whose command line begins with `start`.
pub(crate) fn children(parent: u32, start: &str) -> Vec<u32> {
    let all = processes().into_iter();
    all.filter(|(_, ppid, line)| *ppid == parent && line.starts_with(start))
        .map(|(pid, ..)| pid)
        .collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    processes().iter().any(|(other, ..)| *other == pid)
}

/// A child that is killed when the test ends, in whatever way.
pub(crate) struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Polls, for what happens in processes that are not ours.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A directory that PostgreSQL's user can reach as well; removed at the end.
pub(crate) struct Directory(tempfile::TempDir);

impl Directory {
    pub(crate) fn new() -> Directory {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Directory(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
