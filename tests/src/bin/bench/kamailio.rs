//! Kamailio as the peer that we are compared with, in one of its two modes.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use system_tests::process::Process;

use crate::ground::Ground;
use crate::usage;

const TEMPLATE: &str = include_str!("../../../kamailio/presence.cfg");
const STARTS_WITHIN: Duration = Duration::from_secs(15);
/// Where distributions keep the modules; `tm.so` is in each.
const MODULES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
    "/usr/lib/aarch64-linux-gnu/kamailio/modules/",
    "/usr/lib64/kamailio/modules/",
    "/usr/lib/kamailio/modules/",
];
const TABLES: &str = "/usr/share/kamailio/postgres";

/// How it keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything in PostgreSQL, row locks, two notifier processes.
    DbOnly,
    /// Everything in memory: a restart loses it.
    Memory,
}

/// A running Kamailio. Dropping kills it with all its processes.
pub(crate) struct Kamailio {
    process: Process,
    /// Where it takes requests: `udp:127.0.0.1:PORT`.
    pub(crate) address: String,
}

// === impl Mode ===

impl Mode {
    /// The column's title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Mode::DbOnly => "Kamailio DB-only",
            Mode::Memory => "Kamailio memory",
        }
    }
}

// === impl Kamailio ===

impl Kamailio {
    /// Starts it on a database of its own, and waits until it answers.
    pub(crate) fn start(ground: &Ground, mode: Mode, database: &str) -> Result<Kamailio, String> {
        ground.make_empty(database)?;
        for tables in ["standard-create.sql", "presence-create.sql"] {
            let file = Path::new(TABLES).join(tables);
            ground.sql_file(database, &file, &[])?;
        }
        let modules = MODULES
            .iter()
            .find(|folder| Path::new(folder).join("presence_xml.so").exists())
            .ok_or(format!("no Kamailio with presence modules in {MODULES:?}"))?;
        let folder = ground.sandbox.directory().join("kamailio");
        std::fs::create_dir_all(&folder).map_err(|fault| fault.to_string())?;
        // It can't be told to take any free port; one that was free a moment ago is tried, three times.
        let mut output = String::new();
        for _ in 0..3 {
            let address = free_port().map_err(|fault| fault.to_string())?;
            let config = TEMPLATE
                .replace("=udp:LISTEN", &format!("=udp:{address}"))
                .replace("sip:LISTEN", &format!("sip:{address}"))
                .replace("\"MODULES\"", &format!("\"{modules}\""))
                .replace("\"DATABASE\"", &format!("\"{}\"", db_url(database)));
            let file = folder.join("presence.cfg");
            std::fs::write(&file, config).map_err(|fault| fault.to_string())?;
            let mut command = command(ground, &folder, &file, mode);
            let mut process = Process::start(&ground.sandbox, "kamailio", &mut command);
            if answers(&mut process, address) {
                return Ok(Kamailio {
                    process,
                    address: format!("udp:{address}"),
                });
            }
            output = process.lines().join("\n");
        }
        Err(format!("Kamailio does not come up:\n{output}"))
    }

    /// Processor seconds so far of all its processes.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        usage::cpu_of_tree_s(self.process.pid())
    }

    /// Memory of all its processes in MB, what they share counted once.
    pub(crate) fn memory_mb(&self) -> Option<f64> {
        usage::tree_mb(self.process.pid())
    }
}

/// The version that is installed, as it says itself.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("kamailio").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next()?;
    Some(line.trim_start_matches("version: ").to_owned())
}

fn command(ground: &Ground, folder: &Path, file: &Path, mode: Mode) -> Command {
    // It asks libpq for the socket; the URL of a Kamailio has no place for a directory.
    let socket: PathBuf = ground
        .cluster
        .log_path()
        .parent()
        .unwrap_or(Path::new("/"))
        .into();
    let mut command = Command::new("kamailio");
    command.arg("-f").arg(file);
    if mode == Mode::DbOnly {
        command.args(["-A", "DB_ONLY"]);
    }
    command
        .args(["-DD", "-E", "-m", "2048", "-M", "16", "-Y"])
        .arg(folder)
        .env("PGHOST", socket)
        .env("PGPORT", "5432")
        .current_dir(folder);
    command
}

fn db_url(database: &str) -> String {
    format!("postgres://postgres:unused@/{database}")
}

fn free_port() -> std::io::Result<SocketAddr> {
    UdpSocket::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until it answers a request that it refuses by itself; `false` when it has ended or the time is up.
fn answers(process: &mut Process, address: SocketAddr) -> bool {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else {
        return false;
    };
    let Ok(local) = socket.local_addr() else {
        return false;
    };
    let _ = socket.set_read_timeout(Some(Duration::from_millis(100)));
    let probe = format!(
        "INFO sip:peer SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: probe\r\nCSeq: 1 INFO\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
    );
    let until = Instant::now() + STARTS_WITHIN;
    let mut buffer = [0; 2000];
    while Instant::now() < until && process.is_running() {
        let _ = socket.send_to(probe.as_bytes(), address);
        if socket.recv(&mut buffer).is_ok() {
            return true;
        }
    }
    false
}
