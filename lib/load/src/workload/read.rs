//! Reading a workload: the file, then `--set`; and all that is wrong with it, in one report.
//!
//! serde stops at the first fault. So every key is tried alone, with defaults for all others.

use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::named::{NAMES, text_of};
use super::{Pace, Phase, Workload};
use crate::document::Package;

/// Why a workload cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Neither the name of a workload in the box nor a file. Remedy: one of the names, or a path with a `/` or `.toml`.
    #[error("there is no workload `{0}`; there are {names}, or give the path of a file", names = NAMES.join(", "))]
    Unknown(String),
    /// The file cannot be read. Remedy: its path, its mode.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Everything that is wrong in it, one line each.
    #[error("{}", lines(.0))]
    Faults(Vec<Fault>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `phase.2.modify.rate` (phases are counted from 1); empty for a file that is not TOML.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

impl Workload {
    /// The workload of this name, or of the file with this path, with `sets` (key and value) over it.
    ///
    /// # Errors
    /// There is no such workload, or everything that is wrong with it.
    pub fn load(name_or_path: &str, sets: &[(String, String)]) -> Result<Workload, WorkloadError> {
        let path = Path::new(name_or_path);
        if let Some(text) = text_of(name_or_path) {
            return Workload::parse(name_or_path, text, sets);
        }
        if !name_or_path.contains('/')
            && path.extension().is_none_or(|extension| extension != "toml")
        {
            return Err(WorkloadError::Unknown(name_or_path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(|source| WorkloadError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let name = path
            .file_stem()
            .unwrap_or(path.as_os_str())
            .to_string_lossy();
        Workload::parse(&name, &text, sets)
    }

    /// The workload in a text, with `sets` over it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        name: &str,
        text: &str,
        sets: &[(String, String)],
    ) -> Result<Workload, WorkloadError> {
        let mut faults = Vec::new();
        let mut table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let message = error.to_string().trim_end().to_owned();
                return Err(WorkloadError::Faults(vec![Fault {
                    path: String::new(),
                    message,
                }]));
            }
        };
        for (path, value) in sets {
            if let Err(message) = set(&mut table, path, value) {
                faults.push(Fault {
                    path: path.clone(),
                    message: message.to_owned(),
                });
            }
        }
        try_keys(&table, &mut faults);
        if !faults.is_empty() {
            return Err(WorkloadError::Faults(faults));
        }
        let mut workload: Workload = whole(table).map_err(|fault| {
            // Every key was right alone, and keys do not look at one another.
            WorkloadError::Faults(vec![fault])
        })?;
        name.clone_into(&mut workload.name);
        workload.check(&mut faults);
        if faults.is_empty() {
            Ok(workload)
        } else {
            Err(WorkloadError::Faults(faults))
        }
    }

    fn check(&self, faults: &mut Vec<Fault>) {
        let mut check = |is_right: bool, path: &str, message: &str| {
            if !is_right {
                faults.push(Fault {
                    path: path.to_owned(),
                    message: message.to_owned(),
                });
            }
        };
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let seconds = |value: f64| (0.0..=1e6).contains(&value);
        check(
            (1..=10_000_000).contains(&self.presentities),
            "presentities",
            "must be 1 to 10000000",
        );
        check(
            (1..=99).contains(&self.publications),
            "publications",
            "must be 1 to 99",
        );
        check(
            self.publications == 1 || self.event != Package::MessageSummary,
            "publications",
            "must be 1 with message-summary, which shows one account",
        );
        check(
            u64::from(self.presentities) * u64::from(self.watchers) <= 10_000_000,
            "watchers",
            "there may be 10000000 in all, and this is the number per presentity",
        );
        check(
            self.body_bytes <= 60_000,
            "body_bytes",
            "must be at most 60000, to fit into a datagram",
        );
        check(
            self.publish_expires_s > 0,
            "publish_expires_s",
            "must be above 0",
        );
        check(
            self.subscribe_expires_s > 0,
            "subscribe_expires_s",
            "must be above 0",
        );
        check(share(self.slow_share), "slow_share", "must be 0 to 1");
        check(share(self.dead_share), "dead_share", "must be 0 to 1");
        check(
            self.slow_share + self.dead_share <= 1.0,
            "dead_share",
            "together with slow_share it must not exceed 1",
        );
        check(
            (1..=64).contains(&self.sockets),
            "sockets",
            "must be 1 to 64",
        );
        check(seconds(self.drain_s), "drain_s", "must be 0 to 1000000");
        check(self.t1_ms > 0, "t1_ms", "must be above 0");
        check(self.t2_ms >= self.t1_ms, "t2_ms", "must not be below t1_ms");
        check(
            self.timeout_ms >= self.t1_ms,
            "timeout_ms",
            "must not be below t1_ms",
        );
        check(!self.phase.is_empty(), "phase", "there must be one");
        check(
            self.phase.iter().any(|phase| phase.measure),
            "phase",
            "one must have `measure = true`",
        );
        for (number, phase) in (1..).zip(&self.phase) {
            let mut check = |is_right: bool, key: &str, message: &str| {
                check(is_right, &format!("phase.{number}{key}"), message);
            };
            check(seconds(phase.warmup_s), ".warmup_s", "must be 0 to 1000000");
            check(
                phase.duration_s.is_none_or(seconds),
                ".duration_s",
                "must be 0 to 1000000",
            );
            check(
                phase.actions().next().is_some(),
                "",
                "has no action: publish, modify, refresh, remove, subscribe, resubscribe or unsubscribe",
            );
            for (action, pace) in phase.actions() {
                let key = format!(".{}", format!("{action:?}").to_ascii_lowercase());
                check(
                    pace.is_well_formed(),
                    &key,
                    "needs either `window` (1 to 1000000) or `rate` (above 0, at most 1000000)",
                );
                check(
                    action.is_once() || pace.count.is_some() || phase.duration_s.is_some(),
                    &key,
                    "never ends: give it a `count`, or the phase a `duration_s`",
                );
                check(
                    !action.is_of_watchers() || self.watchers > 0,
                    &key,
                    "needs `watchers` above 0",
                );
            }
        }
    }
}

impl Pace {
    fn is_well_formed(self) -> bool {
        match (self.window, self.rate) {
            (Some(window), None) => (1..=1_000_000).contains(&window),
            (None, Some(rate)) => rate > 0.0 && rate <= 1e6,
            _ => false,
        }
    }
}

/// Tries every key by itself.
fn try_keys(table: &Table, faults: &mut Vec<Fault>) {
    for (key, value) in table {
        match value {
            Value::Array(phases) if key == "phase" && phases.iter().all(Value::is_table) => {
                for (number, phase) in (1..).zip(phases.iter().filter_map(Value::as_table)) {
                    for (key, value) in phase {
                        try_key::<Phase>(&format!("phase.{number}."), key, value, faults);
                    }
                }
            }
            _ => try_key::<Workload>("", key, value, faults),
        }
    }
}

fn try_key<T: DeserializeOwned>(prefix: &str, key: &str, value: &Value, faults: &mut Vec<Fault>) {
    let alone = Table::from_iter([(key.to_owned(), value.clone())]);
    if let Err(fault) = whole::<T>(alone) {
        let path = format!("{prefix}{}", fault.path);
        faults.push(Fault { path, ..fault });
    }
}

fn whole<T: DeserializeOwned>(table: Table) -> Result<T, Fault> {
    serde_path_to_error::deserialize(table).map_err(|error| Fault {
        path: error.path().to_string(),
        message: error.inner().to_string().trim_end().to_owned(),
    })
}

/// Sets the key at `path`, whose phases go by number or by name. The value is TOML, or a text.
fn set(table: &mut Table, path: &str, value: &str) -> Result<(), &'static str> {
    let value = format!("x = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("x"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut keys = path.split('.').peekable();
    let mut table = table;
    loop {
        let key = keys.next().unwrap_or_default();
        if keys.peek().is_none() {
            table.insert(key.to_owned(), value);
            return Ok(());
        }
        let next = table
            .entry(key)
            .or_insert_with(|| Value::Table(Table::new()));
        table = match next {
            Value::Table(inner) => inner,
            Value::Array(phases) => {
                let which = keys.next().unwrap_or_default();
                find_phase(phases, which)
                    .ok_or("no such phase: write phase.NUMBER.KEY or phase.NAME.KEY")?
            }
            _ => return Err("is not a table"),
        };
        if keys.peek().is_none() {
            return Err("names a whole phase: write phase.NUMBER.KEY or phase.NAME.KEY");
        }
    }
}

fn find_phase<'a>(phases: &'a mut [Value], which: &str) -> Option<&'a mut Table> {
    let index = match which.parse::<usize>() {
        Ok(number) => number.checked_sub(1)?,
        Err(_) => phases
            .iter()
            .position(|phase| phase.get("name").and_then(Value::as_str) == Some(which))?,
    };
    phases.get_mut(index)?.as_table_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "presentities = 3\nwatchers = 2\n[[phase]]\nname = \"main\"\nmeasure = true\nduration_s = 1\nmodify = { window = 4 }\n";

    fn faults(text: &str, sets: &[(&str, &str)]) -> Vec<String> {
        let sets: Vec<(String, String)> = sets
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        match Workload::parse("x", text, &sets) {
            Ok(_) => Vec::new(),
            Err(WorkloadError::Faults(faults)) => faults.iter().map(Fault::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn every_workload_in_the_box_is_right() {
        for name in NAMES {
            let workload =
                Workload::load(name, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(workload.name, *name);
            assert!(!workload.description.is_empty(), "{name}");
        }
        let fault = Workload::load("nonsense", &[]).unwrap_err().to_string();
        assert!(fault.contains(NAMES[0]), "{fault}");
        assert!(matches!(
            Workload::load("./none.toml", &[]),
            Err(WorkloadError::Unreadable { .. })
        ));
    }

    #[test]
    fn sets_override_the_file() {
        let sets = [
            ("presentities", "7"),
            ("event", "dialog"),
            ("slow_share", "1"),
            ("phase.main.modify.window", "9"),
            ("phase.1.warmup_s", "2"),
            ("phase.1.refresh.rate", "2.5"),
        ];
        let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let workload = Workload::parse("x", SMALL, &sets).unwrap();
        assert_eq!(
            (workload.presentities, workload.event),
            (7, Package::Dialog)
        );
        assert_eq!(workload.slow_share, 1.0);
        let phase = &workload.phase[0];
        assert_eq!(phase.modify.unwrap().window, Some(9));
        assert_eq!(phase.refresh.unwrap().rate, Some(2.5));
        assert_eq!(phase.length(), Some(std::time::Duration::from_secs(3)));
    }

    #[test]
    fn all_faults_are_reported_with_their_paths() {
        assert_eq!(faults(SMALL, &[]), [""; 0]);
        let several = "presentities = -1\nwatcher = 2\nevent = \"presence.winfo\"\n[[phase]]\nmeasure = 1\nmodify = { windows = 4 }\n";
        let found = faults(several, &[("phase.3.warmup_s", "1")]);
        for (path, word) in [
            ("phase.3.warmup_s: ", "no such phase"),
            ("presentities: ", "-1"),
            ("watcher: ", "unknown field"),
            ("event: ", "unknown variant"),
            ("phase.1.measure: ", "boolean"),
            ("phase.1.modify.windows: ", "unknown field"),
        ] {
            assert!(
                found
                    .iter()
                    .any(|fault| fault.starts_with(path) && fault.contains(word)),
                "{path}{word} in {found:#?}"
            );
        }
        assert_eq!(found.len(), 6, "{found:#?}");
        assert_eq!(faults("presentities = ", &[]).len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (sets, path) in [
            (&[("presentities", "0")][..], "presentities: "),
            (
                &[("slow_share", "0.6"), ("dead_share", "0.6")],
                "dead_share: ",
            ),
            (
                &[("watchers", "0"), ("phase.1.subscribe.window", "1")],
                "phase.1.subscribe: ",
            ),
            (&[("phase.1.modify.rate", "5")], "phase.1.modify: "),
            (&[("phase.1.modify.window", "0")], "phase.1.modify: "),
            (&[("phase.1.measure", "false")], "phase: "),
            (&[("phase.1.duration_s", "-1")], "phase.1.duration_s: "),
            (
                &[("event", "message-summary"), ("publications", "2")],
                "publications: ",
            ),
            (&[("phase.1", "1")], "phase.1: "),
            (&[("event.x", "1")], "event.x: "),
        ] {
            let found = faults(&format!("event = \"presence\"\n{SMALL}"), sets);
            assert_eq!(found.len(), 1, "{sets:?}: {found:?}");
            assert!(found[0].starts_with(path), "{sets:?}: {found:?}");
        }
        let endless = "[[phase]]\nmeasure = true\nmodify = { rate = 4 }\n[[phase]]\n";
        let found = faults(endless, &[]);
        assert!(
            found[0].starts_with("phase.1.modify: never ends"),
            "{found:?}"
        );
        assert!(found[1].starts_with("phase.2: has no action"), "{found:?}");
    }
}
