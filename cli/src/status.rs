//! `status`: processes, backlog, phones that do not answer, what was set aside; and whether all is well.

use std::process::ExitCode;
use std::time::Duration;

use sql::{Backlog, Failing, Part, Process, SetAside};

use crate::arguments::StatusArgs;
use crate::configuration::{Role, load};
use crate::rpc::open;
use crate::say;
use crate::settings::Settings;
use crate::shown::{duration, printable};

/// A resource that has been due for this long is taken by no notifier. (A notifier looks ten times a second.)
const LATE_S: f64 = 10.0;

/// A NOTIFY that has been due for this long, beyond the pacing and a lease, is not being sent, even if a notifier holds its resource.
const PATIENCE: Duration = Duration::from_mins(1);

/// So many failures in a row are no accident: by the default pauses, a minute has passed.
const LASTING: i32 = 5;

/// So much of what was set aside is shown.
const SHOWN: u32 = 10;

pub(crate) async fn run(settings: &Settings, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    let waits = config.presence.waitn_time.seconds() + config.notifier.lease_s.seconds();
    let store = open(settings, &config).await?;
    let operator = store.operator();
    let processes = operator.list_processes().await?;
    let backlog = operator.find_backlog(PATIENCE + waits).await?;
    let failing = operator.count_failing(LASTING).await?;
    for process in &processes {
        say(line(process));
    }
    say(match backlog.oldest_s {
        Some(oldest_s) => format!(
            "due: {} resources, {} of them now; the oldest for {}",
            backlog.resources,
            backlog.due,
            duration(oldest_s)
        ),
        None => "due: nothing".to_owned(),
    });
    say(match failing.dialogs {
        0 => "failing: no subscription".to_owned(),
        dialogs => format!(
            "failing: {dialogs} subscriptions, the worst {} times in a row",
            failing.worst
        ),
    });
    let (set_aside, total) = operator.list_set_aside(None, SHOWN).await?;
    for one in &set_aside {
        say(set_aside_line(one));
    }
    let failing = Failing {
        lasting: if failing.lasting > i64::from(args.tolerate) {
            failing.lasting
        } else {
            0
        },
        ..failing
    };
    let complaints = complaints(&processes, &backlog, &failing, total);
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
        "{} {} on {}{}, version {}, up {}, {}{}",
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
        },
        match process.believes.as_str() {
            "" => String::new(),
            // Whoever reaches it may do everything.
            "open" => ", believes everybody (identity.policy is open)".to_owned(),
            believes => format!(", believes {believes} without a password"),
        }
    )
}

/// What cannot be worked on, and why.
pub(crate) fn set_aside_line(one: &SetAside) -> String {
    let part = match one.part {
        Part::Whole => String::new(),
        Part::Dialog(id) => format!(", subscription {id}"),
        Part::Decision => ", a decision about a watcher".to_owned(),
    };
    let next = match one.retry_s {
        s if s > 0.0 => format!("tried again in {}", duration(s)),
        _ => "being tried again".to_owned(),
    };
    let text = format!(
        "set aside: {} {}{part}, for {}: {} failed ({} {}), {} times so far, {next}",
        one.resource.presentity_uri,
        one.resource.event,
        duration(one.since_s),
        one.step,
        one.sqlstate,
        one.message,
        one.tries
    );
    printable(&text)
}

/// Without a server or a notifier nothing works; with both, NOTIFYs must not lie about, be taken up again and again without being sent, or fail for
/// long, and nothing be set aside.
fn complaints(
    processes: &[Process],
    backlog: &Backlog,
    failing: &Failing,
    set_aside: i64,
) -> Vec<String> {
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
            "resources have been due for up to {late}, and no notifier takes them"
        ));
    }
    if let Some(untold_s) = backlog.untold_s.filter(|_| backlog.untold > 0) {
        let untold = duration(untold_s);
        found.push(format!(
            "a NOTIFY of {} resources has been due for up to {untold}, and none was sent: see pgpresence explain, and the log of the notifiers",
            backlog.untold
        ));
    }
    if failing.lasting > 0 {
        found.push(format!(
            "{} subscriptions have failed {LASTING} times in a row or more, the worst {}: docs/SQL.md says which",
            failing.lasting, failing.worst
        ));
    }
    if set_aside > 0 {
        found.push(format!(
            "{set_aside} resources or subscriptions are set aside, because the database refuses their data: see docs/OPERATIONS.md"
        ));
    }
    found
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
            believes: String::new(),
            is_alive,
        }
    }

    const IDLE: Backlog = Backlog {
        resources: 0,
        due: 0,
        oldest_s: None,
        late_s: None,
        untold: 0,
        untold_s: None,
    };

    const FINE: Failing = Failing {
        dialogs: 2,
        worst: 4,
        lasting: 0,
    };

    #[test]
    fn what_is_not_well() {
        let late = Backlog {
            late_s: Some(11.0),
            ..IDLE
        };
        let busy = Backlog {
            late_s: Some(1.0),
            oldest_s: Some(300.0),
            ..IDLE
        };
        let untold = Backlog {
            untold: 3,
            untold_s: Some(300.0),
            ..busy
        };
        let lasting = Failing {
            worst: 9,
            lasting: 1,
            ..FINE
        };
        let both = [process("server", true), process("notifier", true)];
        let dead = [process("server", true), process("notifier", false)];
        for (processes, backlog, failing, expected) in [
            (&both[..], IDLE, FINE, 0),
            (&both, busy, FINE, 0),
            (&both, late, FINE, 1),
            (&both, untold, FINE, 1),
            (&both, busy, lasting, 1),
            (&dead, IDLE, FINE, 1),
            (&both[..1], late, FINE, 2),
            (&[], IDLE, FINE, 2),
        ] {
            assert_eq!(complaints(processes, &backlog, &failing, 0).len(), expected);
        }
        let said = complaints(&both, &untold, &FINE, 0);
        assert!(
            said[0].contains("3 resources") && said[0].contains("5 min"),
            "{said:?}"
        );
    }

    #[test]
    fn what_is_set_aside_is_not_well_and_says_why() {
        let both = [process("server", true), process("notifier", true)];
        assert_eq!(complaints(&both, &IDLE, &FINE, 2).len(), 1);
        let line = set_aside_line(&SetAside {
            resource: sql::Resource {
                presentity_uri: "sip:bob@example.org".to_owned(),
                event: "presence".to_owned(),
            },
            part: Part::Dialog(7),
            step: "take".to_owned(),
            sqlstate: "P0001".to_owned(),
            message: "no\u{1b}[2J".to_owned(),
            since_s: 300.0,
            retry_s: 4.0,
            tries: 3,
        });
        assert_eq!(
            line,
            "set aside: sip:bob@example.org presence, subscription 7, for 5 min: take failed (P0001 no\u{fffd}[2J), \
             3 times so far, tried again in 4.0 s"
        );
    }
}
