//! What processes use, as /proc says. Where there is no /proc every figure is `None`, and the table says so.

use std::fs;

/// Ticks of /proc/PID/stat in a second: USER_HZ, 100 on all systems that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds of a process so far, its threads included.
pub(crate) fn cpu_s(pid: u32) -> Option<f64> {
    let fields = stat(pid)?;
    Some((fields.user + fields.system) / TICKS_PER_SECOND)
}

/// Processor seconds of a process, of its descendants, and of those that it has already waited for.
pub(crate) fn cpu_of_tree_s(root: u32) -> Option<f64> {
    let own = stat(root)?;
    let below: f64 = descendants(root)
        .into_iter()
        .filter_map(stat)
        .map(|fields| fields.user + fields.system)
        .sum();
    Some((own.user + own.system + own.reaped + below) / TICKS_PER_SECOND)
}

/// Resident memory now, in MB.
pub(crate) fn resident_mb(pid: u32) -> Option<f64> {
    status_mb(pid, "VmRSS:")
}

/// The most that was ever resident, in MB.
pub(crate) fn peak_mb(pid: u32) -> Option<f64> {
    status_mb(pid, "VmHWM:")
}

/// Memory of a process and its descendants that share a segment: what each has for itself, and the segment once, in MB.
pub(crate) fn tree_mb(root: u32) -> Option<f64> {
    let mut pids = descendants(root);
    pids.push(root);
    let own: f64 = pids
        .iter()
        .filter_map(|pid| status_mb(*pid, "RssAnon:"))
        .sum();
    let shared = pids
        .iter()
        .filter_map(|pid| status_mb(*pid, "RssShmem:"))
        .fold(0.0, f64::max);
    status_mb(root, "VmRSS:").map(|_| own + shared)
}

struct Stat {
    parent: u32,
    user: f64,
    system: f64,
    reaped: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "12 (a name) S 1 ...": the name may hold spaces and brackets.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        user: number(11)?,
        system: number(12)?,
        reaped: number(13)? + number(14)?,
    })
}

fn descendants(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pairs: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?.parent))
        })
        .collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(
            pairs
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.split_off(1)
}

fn status_mb(pid: u32, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let kb: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kb / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    #[test]
    fn a_process_is_seen() {
        if !Path::new("/proc/self/stat").exists() {
            return;
        }
        let own = std::process::id();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(descendants(own).contains(&child.id()));
        let peak = peak_mb(own).unwrap();
        assert!(peak > 0.5 && resident_mb(own).unwrap() <= peak);
        assert!(tree_mb(own).unwrap() > 0.0);
        let before = cpu_of_tree_s(own).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_millis(100);
        let mut sum = 0_u64;
        while std::time::Instant::now() < until {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_of_tree_s(own).unwrap() > before);
        assert!(cpu_s(own).unwrap() >= 0.03);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(resident_mb(child.id()).is_none());
    }
}
