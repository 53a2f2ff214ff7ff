//! On what the figures were measured.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a reader must know of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gb: u64,
    pub(crate) kernel: String,
    pub(crate) postgres: String,
    pub(crate) commit: String,
    /// Where the cluster's files are, and on which kind of file system.
    pub(crate) disk: String,
}

impl Machine {
    /// Looks around. `binaries`: PostgreSQL's programs; `disk`: where its files are.
    pub(crate) fn look(binaries: &Path, disk: String) -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let postgres = says(Command::new(binaries.join("postgres")).arg("--version"));
        let mut commit = says(git().args(["rev-parse", "--short=10", "HEAD"]));
        if !says(git().args(["status", "--porcelain", "--untracked-files=no"])).is_empty() {
            commit.push_str(" with changes");
        }
        Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: after(&cpuinfo, "model name", ':').unwrap_or_else(|| "unknown".into()),
            memory_gb: after(&meminfo, "MemTotal", ':')
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kb| kb.div_ceil(1 << 20)),
            kernel: says(Command::new("uname").arg("-sr")),
            postgres: postgres.replace("postgres (PostgreSQL) ", "PostgreSQL "),
            commit,
            disk,
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine {
            cores,
            processor,
            memory_gb,
            kernel,
            postgres,
            commit,
            disk,
        } = self;
        write!(
            f,
            "{cores} cores ({processor}), {memory_gb} GB; {kernel}; {postgres}, fsync on, {disk}; commit {commit}"
        )
    }
}

fn git() -> Command {
    let mut command = Command::new("git");
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn says(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default())
        .trim()
        .to_owned()
}

fn after(text: &str, name: &str, separator: char) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(separator)?.1.trim().to_owned())
}
