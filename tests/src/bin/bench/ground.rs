//! The PostgreSQL cluster that everything is measured on: on a disk, with fsync; and the scratch directory.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use postgres_dev::Cluster;
use system_tests::process::{Sandbox, pgpresence, run};

/// Filling a million rows on a slow disk.
const SQL_WITHIN: Duration = Duration::from_secs(600);
/// A database with our tables, to be copied for each run.
const TEMPLATE: &str = "template_ours";
/// The magic numbers of file systems in memory, tmpfs and ramfs (statfs(2)).
#[cfg(target_os = "linux")]
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// The cluster and the directory. Both are gone, with all processes in them, when this program ends in whatever way.
pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    pub(crate) sandbox: Arc<Sandbox>,
}

// === impl Ground ===

impl Ground {
    /// Starts PostgreSQL and makes the database with our tables.
    pub(crate) fn start(settings: &[String]) -> Result<Ground, String> {
        let mut faults = Vec::new();
        for directory in directories() {
            match Cluster::start_measured(&directory, settings) {
                Ok(cluster) => return Ground::on(cluster),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        Err(format!(
            "no disk for PostgreSQL's files:\n{}",
            faults.join("\n")
        ))
    }

    fn on(cluster: Cluster) -> Result<Ground, String> {
        let ground = Ground {
            cluster,
            sandbox: Sandbox::new(),
        };
        ground
            .cluster
            .create_database(TEMPLATE)
            .map_err(|fault| fault.to_string())?;
        let url = ground.url(TEMPLATE);
        ground.run(Command::new(pgpresence()).args(["migrate", "--database-url", &url]))?;
        Ok(ground)
    }

    /// Where PostgreSQL's files are, in words.
    pub(crate) fn disk(&self) -> String {
        let place = self.cluster.log_path().parent().unwrap_or(Path::new("/"));
        let table = Command::new("df")
            .arg("--output=fstype")
            .arg(place)
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        match table.as_deref().map(|table| table.lines().nth(1)) {
            Ok(Some(kind)) => format!("files on {}", kind.trim()),
            _ => "files on disk".to_owned(),
        }
    }

    /// The connection URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        self.cluster.url(database)
    }

    /// Makes a database with our tables, empty.
    pub(crate) fn make_ours(&self, database: &str) -> Result<(), String> {
        self.drop(database)?;
        self.cluster
            .create_from_template(database, TEMPLATE)
            .map_err(|fault| fault.to_string())
    }

    /// Makes an empty database.
    pub(crate) fn make_empty(&self, database: &str) -> Result<(), String> {
        self.drop(database)?;
        self.cluster
            .create_database(database)
            .map_err(|fault| fault.to_string())
    }

    /// Removes a database if it is there. PostgreSQL writes all dirty pages first, so what follows begins clean.
    pub(crate) fn drop(&self, database: &str) -> Result<(), String> {
        self.cluster
            .drop_database(database)
            .map_err(|fault| fault.to_string())
    }

    /// Runs a file of SQL with variables; returns unaligned rows.
    pub(crate) fn sql_file(
        &self,
        database: &str,
        file: &Path,
        variables: &[(&str, &dyn Display)],
    ) -> Result<String, String> {
        let mut command = Command::new(self.cluster.binaries().join("psql"));
        command
            .arg(self.url(database))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        self.run(command.arg("-f").arg(file))
    }

    /// Runs a command in the scratch directory to its end; returns its output.
    pub(crate) fn run(&self, command: &mut Command) -> Result<String, String> {
        let (status, out, err) = run(command.current_dir(self.sandbox.directory()), SQL_WITHIN);
        match status.success() {
            true => Ok(out.trim().to_owned()),
            false => Err(format!(
                "{:?}: {status}\n{out}\n{err}",
                command.get_program()
            )),
        }
    }

    /// How often PostgreSQL found a deadlock so far.
    pub(crate) fn deadlocks(&self) -> usize {
        let log = std::fs::read(self.cluster.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log)
            .matches("deadlock detected")
            .count()
    }

    /// Processor seconds of all of PostgreSQL so far.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        super::usage::cpu_of_tree_s(self.cluster.postmaster_pid())
    }
}

/// A file beside this program's sources.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("bench")
        .join(name)
}

/// Directories on a disk, best first. The build's own comes first: it has room, and is nobody else's.
fn directories() -> Vec<PathBuf> {
    let build = std::env::current_exe().ok();
    let build = build.as_deref().and_then(Path::parent).map(Path::to_owned);
    let places = [Some("/var/tmp".into()), Some(std::env::temp_dir())];
    [build]
        .into_iter()
        .chain(places)
        .flatten()
        .filter(|place| place.is_dir() && !is_in_memory(place))
        .collect()
}

#[cfg(target_os = "linux")]
fn is_in_memory(place: &Path) -> bool {
    #[expect(
        clippy::useless_conversion,
        reason = "the type of f_type differs between systems"
    )]
    rustix::fs::statfs(place).is_ok_and(|found| IN_MEMORY.contains(&i64::from(found.f_type)))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &Path) -> bool {
    false
}
