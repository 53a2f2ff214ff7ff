//! The directory of a cluster that is kept between runs: who may use it now, and what an earlier life left in it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::binaries::major_version;
use crate::error::{Error, io_error};
use crate::postmaster::is_alive;

/// The watchdog of a killed owner needs a moment for a fast shutdown.
const PREDECESSOR_ENDS_WITHIN: Duration = Duration::from_secs(35);
/// PostgreSQL's log of earlier lives is set aside when it is larger than this.
const LOG_BYTES: u64 = 10 << 20;

/// Makes this process the only user of `data_dir`, as long as the file that is returned stays open.
pub(crate) fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::InUse {
            data_dir: data_dir.to_owned(),
        }),
    }
}

/// Waits for a postmaster that an earlier owner left, and removes a `postmaster.pid` that names no PostgreSQL of ours.
///
/// PostgreSQL itself refuses to start when the number in that file happens to be in use by some other process of the
/// same user, which is usual after a container has been restarted.
pub(crate) fn clear_stale_pid(cluster_dir: &Path) -> Result<(), Error> {
    let pid_file = cluster_dir.join("postmaster.pid");
    let end = Instant::now() + PREDECESSOR_ENDS_WITHIN;
    loop {
        let Ok(text) = fs::read_to_string(&pid_file) else {
            return Ok(());
        };
        let pid = first_number(&text);
        if !is_alive(pid) || !is_postmaster_of(pid, cluster_dir) {
            return fs::remove_file(&pid_file).map_err(io_error("remove the stale", &pid_file));
        }
        if Instant::now() > end {
            return Err(Error::StillRunning {
                data_dir: cluster_dir.to_owned(),
                pid: i32::try_from(pid).unwrap_or_default(),
            });
        }
        sleep(Duration::from_millis(20));
    }
}

/// Whether a postmaster has this cluster started.
pub(crate) fn runs(cluster_dir: &Path) -> bool {
    fs::read_to_string(cluster_dir.join("postmaster.pid"))
        .map(|text| first_number(&text))
        .is_ok_and(|pid| is_alive(pid) && is_postmaster_of(pid, cluster_dir))
}

/// The postmaster of a `postmaster.pid`; 0 if that names none.
fn first_number(text: &str) -> u32 {
    let line = text.lines().next().unwrap_or_default();
    line.trim().parse().unwrap_or(0)
}

/// The postmaster's working directory is its data directory; where there is no /proc, its command line tells.
fn is_postmaster_of(pid: u32, cluster_dir: &Path) -> bool {
    if Path::new("/proc/self").exists() {
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster_dir);
    }
    Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains(&*cluster_dir.to_string_lossy())
        })
}

/// Whether `cluster_dir` holds a cluster; an error if another major version made it.
pub(crate) fn has_cluster(cluster_dir: &Path, binaries: &Path) -> Result<bool, Error> {
    let Ok(found) = fs::read_to_string(cluster_dir.join("PG_VERSION")) else {
        return Ok(false);
    };
    let (found, installed) = (
        found.trim().to_owned(),
        major_version(binaries).unwrap_or_default(),
    );
    if found != installed {
        let (data_dir, binaries) = (cluster_dir.to_owned(), binaries.to_owned());
        return Err(Error::WrongVersion {
            data_dir,
            found,
            installed,
            binaries,
        });
    }
    Ok(true)
}

/// Where the socket can be: in the data directory, unless its path is too long for a socket's address.
pub(crate) fn short_socket_dir(data_dir: &Path) -> PathBuf {
    if crate::fits_socket(data_dir) {
        return data_dir.to_owned();
    }
    // Stable over runs (FNV-1a of the path), so that a `psql` line in somebody's history still works.
    let hash = data_dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    PathBuf::from(format!(
        "/tmp/pgpresence-{}-{hash:016x}",
        rustix::process::geteuid().as_raw()
    ))
}

/// Sets a large log of earlier lives aside.
pub(crate) fn rotate_log(log: &Path) {
    if fs::metadata(log).is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
        // Without room for the old one the log just goes on growing.
        let _ = fs::rename(log, log.with_extension("log.1"));
    }
}
