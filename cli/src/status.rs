//! `status`: processes, backlog, phones that do not answer; and whether all is well.

use std::process::ExitCode;

use sql::{Backlog, Process};

use crate::arguments::Settings;
use crate::configuration::{Role, load};
use crate::rpc::open;
use crate::say;

/// What has been due for so long, nobody is taking. (A notifier looks ten times a second.)
const LATE_S: f64 = 10.0;

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let store = open(&load(settings, Role::Other)?).await?;
    let operator = store.operator();
    let processes = operator.list_processes().await?;
    let backlog = operator.find_backlog().await?;
    let failing = operator.count_failing().await?;
    for process in &processes {
        say(line(process));
    }
    say(match backlog.oldest_s {
        Some(oldest_s) => format!(
            "owed: {} resources, {} of them due; the oldest debt is {} old",
            backlog.resources,
            backlog.due,
            duration(oldest_s)
        ),
        None => "owed: nothing".to_owned(),
    });
    say(match failing.dialogs {
        0 => "failing: no subscription".to_owned(),
        dialogs => format!(
            "failing: {dialogs} subscriptions, the worst {} times in a row",
            failing.worst
        ),
    });
    let complaints = complaints(&processes, &backlog);
    for complaint in &complaints {
        say(format_args!("not well: {complaint}"));
    }
    Ok(if complaints.is_empty() {
        say("well");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn line(process: &Process) -> String {
    let heartbeat = duration(process.heartbeat_s);
    format!(
        "{} {} on {}{}, version {}, up {}, {}",
        process.kind,
        process.pid,
        process.host,
        match process.address.as_str() {
            "" => String::new(),
            address => format!(" ({address})"),
        },
        process.version,
        duration(process.started_s),
        if process.is_alive {
            "alive".to_owned()
        } else {
            format!("silent for {heartbeat}")
        }
    )
}

/// Without a server or a notifier nothing works; with both, NOTIFYs must not lie about. Phones that do not answer are no fault of
/// ours.
fn complaints(processes: &[Process], backlog: &Backlog) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["server", "notifier"] {
        let is_one_alive = processes
            .iter()
            .any(|process| process.kind == kind && process.is_alive);
        if !is_one_alive {
            found.push(format!("no {kind} is alive"));
        }
    }
    if let Some(late_s) = backlog.late_s.filter(|&late_s| late_s > LATE_S) {
        let late = duration(late_s);
        found.push(format!(
            "what is due has been so for up to {late}, and no notifier takes it"
        ));
    }
    found
}

/// `3.2 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{:.1} s", s.max(0.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(kind: &str, is_alive: bool) -> Process {
        Process {
            kind: kind.to_owned(),
            host: "h".to_owned(),
            pid: 1,
            address: String::new(),
            version: "1".to_owned(),
            started_s: 100.0,
            heartbeat_s: 1.0,
            is_alive,
        }
    }

    #[test]
    fn what_is_not_well() {
        let idle = Backlog {
            resources: 0,
            due: 0,
            oldest_s: None,
            late_s: None,
        };
        let late = Backlog {
            late_s: Some(11.0),
            ..idle
        };
        let busy = Backlog {
            late_s: Some(1.0),
            oldest_s: Some(4.0),
            ..idle
        };
        let both = [process("server", true), process("notifier", true)];
        let dead = [process("server", true), process("notifier", false)];
        for (processes, backlog, expected) in [
            (&both[..], idle, 0),
            (&both, busy, 0),
            (&both, late, 1),
            (&dead, idle, 1),
            (&both[..1], late, 2),
            (&[], idle, 2),
        ] {
            assert_eq!(complaints(processes, &backlog).len(), expected);
        }
    }

    #[test]
    fn durations_are_short() {
        for (seconds, shown) in [
            (-1.0, "0.0 s"),
            (3.21, "3.2 s"),
            (300.0, "5 min"),
            (7200.0, "2 h"),
            (259_200.0, "3 d"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
