//! Lines for the system's log, by the socket that it listens on (RFC 3164 section 4.1): rsyslog, syslog-ng, busybox, journald.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::config::Facility;

/// How often at most it is said that lines were lost.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(10);

/// How serious a line is (RFC 3164, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something must be done at once.
    Alert = 1,
    /// Something is broken.
    Critical = 2,
    /// Something failed.
    Error = 3,
    /// Something may fail.
    Warning = 4,
    /// Something is worth a look.
    Notice = 5,
    /// Something happened.
    Info = 6,
    /// Something for whoever looks for a fault.
    Debug = 7,
}

/// A way to the system's log. Never waits: what it does not take at once is lost, and counted.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    facility: Facility,
    way: Mutex<Way>,
}

#[derive(Debug)]
struct Way {
    socket: Option<UnixDatagram>,
    lost: u64,
    complained: Option<Instant>,
}

impl Syslog {
    /// Lines of this facility to the socket at `path`, usually `/dev/log`. It need not be there yet.
    pub fn new(path: &Path, facility: Facility) -> Syslog {
        Syslog {
            path: path.to_owned(),
            facility,
            way: Mutex::new(Way {
                socket: None,
                lost: 0,
                complained: None,
            }),
        }
    }

    /// Writes one line. The time and the host are the system log's to add; RFC 3164 section 4.3.2 has it do that, and each of
    /// them does.
    pub fn write(&self, severity: Severity, text: &str) {
        let line = format!(
            "<{}>pgpresence[{}]: {}",
            (self.facility as u16) * 8 + severity as u16,
            std::process::id(),
            one_line(text)
        );
        // The state is consistent between any two statements, so a poisoned lock is still good.
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        // A socket that was connected to a system log which has been started again since is of no use: once more with a new one.
        let written = way
            .send(&self.path, line.as_bytes())
            .or_else(|error| match error.kind() {
                ErrorKind::WouldBlock => Err(error),
                _ => {
                    way.socket = None;
                    way.send(&self.path, line.as_bytes())
                }
            });
        if let Err(error) = written {
            way.lose(&self.path, &error);
        }
    }
}

impl Way {
    fn send(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                self.socket.insert(socket)
            }
        };
        socket.send(line).map(|_| ())
    }

    fn lose(&mut self, path: &Path, error: &io::Error) {
        self.lost += 1;
        if self
            .complained
            .is_none_or(|at| at.elapsed() > COMPLAINT_PERIOD)
        {
            tracing::warn!(path = %path.display(), %error, lines = self.lost, "syslog did not take lines");
            self.complained = Some(Instant::now());
            self.lost = 0;
        }
    }
}

/// What would end the line, or is none of a text's business there, is shown as what it is.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own that goes with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("pgp-syslog-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn lines_have_facility_severity_and_process() {
        let folder = Folder::new("lines");
        let path = folder.0.join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let log = Syslog::new(&path, Facility::Local3);
        log.write(Severity::Debug, "one");
        log.write(Severity::Alert, "two\nthree\0");
        let me = std::process::id();
        assert_eq!(received(&socket), format!("<159>pgpresence[{me}]: one"));
        assert_eq!(
            received(&socket),
            format!("<153>pgpresence[{me}]: two\\nthree\\u{{0}}")
        );
        let kernel = Syslog::new(&path, Facility::Kern);
        kernel.write(Severity::Error, "");
        assert_eq!(received(&socket), format!("<3>pgpresence[{me}]: "));
    }

    #[test]
    fn the_system_log_may_be_away_come_back_and_be_slow() {
        let folder = Folder::new("away");
        let path = folder.0.join("log");
        let log = Syslog::new(&path, Facility::Daemon);
        log.write(Severity::Info, "lost");
        for _ in 0..2 {
            let socket = UnixDatagram::bind(&path).unwrap();
            log.write(Severity::Info, "there");
            assert!(received(&socket).ends_with(": there"));
            drop(socket);
            std::fs::remove_file(&path).unwrap();
        }
        // Nobody reads: the socket is full after some lines, and none of the others waits.
        let socket = UnixDatagram::bind(&path).unwrap();
        for _ in 0..10_000 {
            log.write(Severity::Info, "x");
        }
        let lost = log.way.lock().unwrap().lost;
        assert!(lost > 0, "the socket took them all");
        drop(socket);
    }
}
