//! Child processes that never outlive the test, whatever becomes of it.
//!
//! Every child is the leader of a process group of its own. A watchdog, a few lines of shell that
//! read a pipe from this process, kills all of them and removes the scratch directory when the pipe
//! closes: after a panic, a time-out or a kill -9 of the test as well as at its regular end.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A scratch directory and the watchdog over it and over all children started in it.
#[derive(Debug)]
pub struct Sandbox {
    directory: PathBuf,
    watchdog: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

const WATCHDOG: &str = r#"
pids=""
while read -r verb what; do
  case $verb in
    add) pids="$pids $what" ;;
    del) pids=$(for p in $pids; do [ "$p" = "$what" ] || printf ' %s' "$p"; done) ;;
  esac
done
for p in $pids; do kill -9 "-$p" 2>/dev/null; done
rm -rf -- "$1"
"#;

impl Sandbox {
    /// Makes a scratch directory under the system's temporary directory, and its watchdog.
    ///
    /// # Panics
    /// When the machine has no shell or no room.
    pub fn new() -> Arc<Sandbox> {
        let directory = tempfile::Builder::new()
            .prefix("pgp-test-")
            .tempdir()
            .expect("a scratch directory")
            .keep();
        // Postgres, kamailio and others may run as users of their own, and want to look inside.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&directory, open).expect("permissions of the scratch directory");
        let mut watchdog = Command::new("/bin/sh")
            .args([
                OsStr::new("-c"),
                OsStr::new(WATCHDOG),
                OsStr::new("watchdog"),
                directory.as_os_str(),
            ])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the watchdog");
        let pipe = Mutex::new(watchdog.stdin.take());
        Arc::new(Sandbox {
            directory,
            watchdog,
            pipe,
        })
    }

    /// The scratch directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn tell(&self, verb: &str, pid: u32) {
        if let Some(pipe) = self
            .pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            let _ = writeln!(pipe, "{verb} {pid}");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(
            self.pipe
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let _ = self.watchdog.wait();
    }
}

/// A running child, its output, and its end.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
    sandbox: Arc<Sandbox>,
    gone: bool,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Process {
    /// Starts a child; both its outputs are collected line by line.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(sandbox: &Arc<Sandbox>, name: &str, command: &mut Command) -> Process {
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|fault| panic!("{name}: {command:?}: {fault}"));
        sandbox.tell("add", child.id());
        let output = Arc::new(Output::default());
        let log = sandbox.directory.join(format!("{name}.{}.log", child.id()));
        let log = Arc::new(Mutex::new(File::create(log).expect("a log file")));
        collect(child.stdout.take(), &output, &log);
        collect(child.stderr.take(), &output, &log);
        let stdin = child.stdin.take();
        Process {
            name: name.to_string(),
            child,
            stdin,
            output,
            sandbox: sandbox.clone(),
            gone: false,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far, both outputs mixed.
    pub fn lines(&self) -> Vec<String> {
        self.output
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until one of its lines satisfies `wanted`, and returns that line.
    ///
    /// # Errors
    /// All its output, when it ended or the deadline passed before.
    pub fn line(
        &mut self,
        deadline: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let until = Instant::now() + deadline;
        let mut seen = 0;
        loop {
            let ended = self.child.try_wait().ok().flatten();
            let mut lines = self
                .output
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(line) = lines[seen..].iter().find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            seen = lines.len();
            if Instant::now() >= until || ended.is_some() {
                return Err(format!(
                    "{}: {ended:?}, the line did not come:\n{}",
                    self.name,
                    lines.join("\n")
                ));
            }
            lines = self
                .output
                .more
                .wait_timeout(lines, Duration::from_millis(50))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            drop(lines);
        }
    }

    /// Types a line into its standard input.
    pub fn type_line(&mut self, line: &str) {
        if let Some(stdin) = self.stdin.as_mut() {
            let _ = writeln!(stdin, "{line}");
            let _ = stdin.flush();
        }
    }

    /// Types text as it is: for programs that read single keys.
    pub fn type_text(&mut self, text: &str) {
        if let Some(stdin) = self.stdin.as_mut() {
            let _ = stdin.write_all(text.as_bytes());
            let _ = stdin.flush();
        }
    }

    /// kill -9 of the child and of all that it started; returns when it is gone.
    pub fn kill9(&mut self) {
        if !self.gone {
            let _ = kill_process_group(self.id(), Signal::KILL);
            let _ = self.child.wait();
            self.forget();
        }
    }

    /// Sends a signal to the child alone.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.id(), signal);
    }

    /// SIGTERM, then waits for its end.
    ///
    /// # Errors
    /// All its output, when it is still there after the deadline.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus, String> {
        self.signal(Signal::TERM);
        self.wait(deadline)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// All its output, when it is still there after the deadline.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus, String> {
        let until = Instant::now() + deadline;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.forget();
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(format!(
                    "{} does not end:\n{}",
                    self.name,
                    self.lines().join("\n")
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        !self.gone && matches!(self.child.try_wait(), Ok(None))
    }

    fn forget(&mut self) {
        self.gone = true;
        self.sandbox.tell("del", self.child.id());
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            let lines = self.lines();
            let tail = lines.len().saturating_sub(60);
            eprintln!(
                "---- the last lines of {} ----\n{}",
                self.name,
                lines[tail..].join("\n")
            );
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.child.id())
    }
}

fn collect(from: Option<impl Read + Send + 'static>, output: &Arc<Output>, log: &Arc<Mutex<File>>) {
    let (Some(from), output, log) = (from, output.clone(), log.clone()) else {
        return;
    };
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut raw = Vec::new();
        while reader
            .read_until(b'\n', &mut raw)
            .is_ok_and(|count| count > 0)
        {
            let line = String::from_utf8_lossy(&raw).trim_end().to_string();
            let _ = writeln!(log.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
            output
                .lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            output.more.notify_all();
            raw.clear();
        }
    });
}

/// Runs a command to its end, with a deadline; returns status, standard output and standard error.
///
/// # Panics
/// When it cannot be started or is still running after the deadline.
pub fn run(command: &mut Command, deadline: Duration) -> (ExitStatus, String, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
    let out = read_all(child.stdout.take());
    let err = read_all(child.stderr.take());
    let until = Instant::now() + deadline;
    let status = loop {
        match child.try_wait().expect("waiting for a child") {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                let (out, err) = (
                    out.join().unwrap_or_default(),
                    err.join().unwrap_or_default(),
                );
                panic!("{command:?} is still running after {deadline:?}:\n{out}\n{err}");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    (
        status,
        out.join().unwrap_or_default(),
        err.join().unwrap_or_default(),
    )
}

fn read_all(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The program `pgpresence` of this build: beside this executable, or, for a test, one directory up.
///
/// # Panics
/// With the command that builds it, when it is not there.
pub fn pgpresence() -> PathBuf {
    let program = profile_folder().join("pgpresence");
    assert!(
        program.exists(),
        "{} is missing: run `cargo build -p pgpresence` first (./dev test does)",
        program.display()
    );
    program
}

/// Cargo's target folder.
///
/// # Panics
/// When this executable does not stand in one.
pub fn build_folder() -> PathBuf {
    let profile = profile_folder();
    profile.parent().expect("target/<profile>").to_owned()
}

fn profile_folder() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this executable");
    let folder = this.parent().expect("target/<profile>/...");
    match folder.ends_with("deps") {
        true => folder.parent().expect("target/<profile>/deps").to_owned(),
        false => folder.to_owned(),
    }
}
