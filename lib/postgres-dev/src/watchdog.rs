//! A shell that outlives us by a moment: when this process ends, in whatever way (kill -9 included), it stops PostgreSQL
//! and, for throw-away clusters, removes their files.
//!
//! It waits for the end of a pipe whose other end only we hold, and learns through that pipe which process to stop.
//! Not PR_SET_PDEATHSIG: that fires when the *thread* that spawned the child ends, and tests spawn from short-lived threads.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// $1 signal, $2 directory to remove afterwards or ''. Each line on stdin is the process to stop at the end, 0 for none.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pid=0
while read -r line; do pid=$line; done
alive() {
    [ "$pid" -gt 0 ] && kill -0 "$pid" 2>/dev/null || return 1
    case "$(cat "/proc/$pid/stat" 2>/dev/null)" in *") Z "*) return 1 ;; esac
}
gone() { # within so many twentieths of a second
    tries=0
    while alive; do
        [ "$tries" -lt "$1" ] || return 1
        sleep 0.05
        tries=$((tries + 1))
    done
}
alive && kill -"$1" "$pid"
# A fast shutdown writes everything to disk, which a busy machine takes its time for.
gone 400 || kill -QUIT "$pid"
# The postmaster gives its children 5 s to go. Killed before, it would leave its shared memory behind.
gone 200 || kill -KILL "$pid"
[ -n "$2" ] || exit 0
# A postmaster that was killed with -9 left this file, and a segment of shared memory that line 7 names: "key id".
segment=$(sed -n 's/^ *[0-9][0-9]*  *\([0-9][0-9]*\) *$/\1/p' "$2/data/postmaster.pid" 2>/dev/null)
[ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
rm -rf "$2"
"#;

/// What becomes of the cluster when its owner is gone.
pub(crate) enum AtEnd<'a> {
    /// Immediate shutdown, then no trace is left.
    Remove(&'a Path),
    /// Fast shutdown, the files stay.
    Keep,
}

/// The running shell. Dropping it lets it do its work and waits for it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    pub(crate) fn start(at_end: AtEnd<'_>) -> io::Result<Watchdog> {
        // SIGQUIT, unlike SIGKILL, lets the postmaster take its children and its shared memory along.
        let (signal, remove) = match at_end {
            AtEnd::Remove(dir) => ("QUIT", dir.as_os_str().to_owned()),
            AtEnd::Keep => ("INT", Default::default()),
        };
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "postgres-dev-watchdog", signal])
            .arg(remove)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C and a test runner's timeout go to our group: this one must survive both
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Watchdog { shell, pipe })
    }

    /// From now on `pid` is the process to stop; `None`: there is none.
    pub(crate) fn guard(&mut self, pid: Option<u32>) {
        if let Some(pipe) = &mut self.pipe {
            // A failure means that somebody killed the shell: then there is no guard, and nothing to be done about it.
            let _ = writeln!(pipe, "{}", pid.unwrap_or(0));
        }
    }

    /// Our end of the pipe closes: the shell starts its work.
    pub(crate) fn release(&mut self) {
        self.pipe = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.release();
        let _ = self.shell.wait();
    }
}
