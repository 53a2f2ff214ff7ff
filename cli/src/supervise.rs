//! The child processes of `run`: starts them, starts them again when they die, and takes them along when it ends.
//!
//! Each child's standard input is a pipe that only this process holds: the configuration goes down it, and its end means
//! stop. So a child ends with its supervisor, even when that is killed with -9. Each child has a process group of its own,
//! so that Ctrl-C reaches only the supervisor, which stops them in order.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use node::{Config, Hangups, Shutdown};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::UnboundedSender;

use crate::configuration::hand_on;

/// The first restart comes after this; each further one after twice the wait, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A child that lived this long has recovered: the next wait is the first one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// A child that was told to stop and has not after this time is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// What a child has to tell.
#[derive(Debug)]
pub(crate) struct Event {
    /// Which child, as in [`Role::name`].
    pub(crate) name: String,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A line of its standard output.
    Line(String),
    /// It ended before it was ready for the first time, and is not started again.
    Failed(ExitStatus),
}

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    /// The name in logs: `server`, `notifier 2`.
    pub(crate) name: String,
    /// The subcommand.
    pub(crate) command: &'static str,
}

/// Keeps one child running until `shutdown`. Its lines, and its failure to start, go to `events`.
///
/// `adapt` changes the configuration for the next start by what a line of this one says: ports that were chosen by the
/// system stay the same.
pub(crate) async fn supervise(
    role: Role,
    mut config: Config,
    shutdown: Shutdown,
    events: UnboundedSender<Event>,
    adapt: impl Fn(&mut Config, &str),
) {
    let mut wait = FIRST_WAIT;
    let mut was_ready = false;
    loop {
        let started = Instant::now();
        let mut next = config.clone();
        let on_line = |line: &str| {
            adapt(&mut next, line);
            was_ready |= line == "ready";
            let _ = events.send(Event {
                name: role.name.clone(),
                what: What::Line(line.to_owned()),
            });
        };
        let end = live(&role, &config, &shutdown, on_line).await;
        config = next;
        if shutdown.is_triggered() {
            return;
        }
        match end {
            Ok(status) if !was_ready => {
                let _ = events.send(Event {
                    name: role.name,
                    what: What::Failed(status),
                });
                return;
            }
            Ok(status) => tracing::warn!(
                "the {} ended ({status}); starting it again in {wait:?}",
                role.name
            ),
            Err(error) => tracing::warn!(
                "the {} cannot be started ({error}); again in {wait:?}",
                role.name
            ),
        }
        if started.elapsed() >= HEALTHY_AFTER {
            wait = FIRST_WAIT;
        }
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One life of a child.
async fn live(
    role: &Role,
    config: &Config,
    shutdown: &Shutdown,
    mut on_line: impl FnMut(&str),
) -> std::io::Result<ExitStatus> {
    let mut child = start(role)?;
    tracing::info!(
        "started the {}, pid {}",
        role.name,
        child.id().unwrap_or_default()
    );
    let mut stdin = child.stdin.take();
    if let Some(pipe) = &mut stdin {
        // It may die before it has read all: then its end tells more than this error.
        let _ = pipe.write_all(&hand_on(config)).await;
    }
    // A script is read again by those who run it.
    let mut hangups = match config.script.file {
        Some(_) => Hangups::listen().ok(),
        None => None,
    };
    let mut lines = child
        .stdout
        .take()
        .map(|stdout| BufReader::new(stdout).lines());
    loop {
        let line = async {
            match &mut lines {
                Some(lines) => lines.next_line().await.ok().flatten(),
                None => std::future::pending().await,
            }
        };
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // what it has said comes before its end
            line = line => match line {
                Some(line) => on_line(&line),
                None => lines = None,
            },
            () = hangup => pass_on_hangup(&child),
            status = child.wait() => return status,
            () = shutdown.triggered() => return stop(child, stdin).await,
        }
    }
}

fn start(role: &Role) -> std::io::Result<Child> {
    Command::new(own_program()?)
        .arg0("pgpresence")
        .args([role.command, "--supervised"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Children have process groups of their own, so that a signal reaches only the supervisor.
fn pass_on_hangup(child: &Child) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::HUP)
    {
        tracing::warn!(%error, "a child process cannot be signalled to read its script again");
    }
}

/// This very program, also when the file was replaced by a newer one in the meantime.
fn own_program() -> std::io::Result<PathBuf> {
    let linux = Path::new("/proc/self/exe");
    if linux.exists() {
        Ok(linux.to_owned())
    } else {
        std::env::current_exe()
    }
}

async fn stop(mut child: Child, stdin: Option<ChildStdin>) -> std::io::Result<ExitStatus> {
    drop(stdin); // says stop
    match tokio::time::timeout(STOPS_WITHIN, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            tracing::warn!(
                "pid {} did not stop within {STOPS_WITHIN:?}: killed",
                child.id().unwrap_or_default()
            );
            child.start_kill()?;
            child.wait().await
        }
    }
}
