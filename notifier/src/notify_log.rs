//! A line for each NOTIFY that is sent, and for its answer (`local_log_level`, `local_log_facility`).
//!
//! What the lines say of a NOTIFY is put down when it is taken and kept until it is over. With the lines off there is no
//! [`NotifyLog`] at all.

use crate::failure::Ending;
use crate::ledger::NotifyKey;
use node::{Config, Severity, Syslog};
use sql::{Resource, TakenDialog};
use std::collections::HashMap;
use tracing::Level;

/// What `log.level` calls these lines.
const TARGET: &str = "notifier::notify";
/// So many more than are in flight may be kept: what was abandoned is forgotten then.
const MAX_ABANDONED: usize = 1000;

/// The lines, and what is in flight.
pub(crate) struct NotifyLog {
    way: Way,
    severity: Severity,
    texts: HashMap<NotifyKey, String>,
}

/// Where the lines go.
enum Way {
    /// With all others, by `log.level`.
    Log(Level),
    /// To the system's log, by facility.
    System(Syslog),
}

impl NotifyLog {
    /// The lines that the configuration asks for, if anybody is to see them.
    pub(crate) fn new(config: &Config) -> Option<NotifyLog> {
        let level = config.presence.local_log_level.get();
        let severity = severity(level);
        let way = match config.presence.local_log_facility {
            Some(facility) => Way::System(Syslog::new(&config.log.syslog, facility)),
            None if is_enabled(log_level(level)) => Way::Log(log_level(level)),
            None => return None,
        };
        Some(NotifyLog {
            way,
            severity,
            texts: HashMap::new(),
        })
    }

    /// A NOTIFY has its CSeq. `in_flight` tells whether somebody still waits for the end of one.
    pub(crate) fn taken(
        &mut self,
        key: NotifyKey,
        dialog: &TakenDialog,
        resource: &Resource,
        in_flight: impl Fn(NotifyKey) -> bool,
    ) {
        if self.texts.len() >= MAX_ABANDONED && self.texts.len() == self.texts.capacity() {
            self.texts.retain(|key, _| in_flight(*key));
        }
        let text = format!(
            "{} on behalf of {} for event {}: {} CSeq {}",
            dialog.contact, resource.presentity_uri, resource.event, dialog.call_id, dialog.cseq
        );
        self.texts.insert(key, text);
    }

    pub(crate) fn sent(&self, key: NotifyKey) {
        if let Some(text) = self.texts.get(&key) {
            self.write(key, &format!("NOTIFY sent to {text}"));
        }
    }

    pub(crate) fn ended(&mut self, key: NotifyKey, ending: Ending) {
        let Some(text) = self.texts.remove(&key) else {
            return;
        };
        let what = match ending {
            Ending::Answered { status, .. } => format!("answered {status} by"),
            Ending::TimedOut => "not answered by".to_owned(),
            Ending::Unreachable => "could not reach".to_owned(),
            Ending::TooLong { .. } => "too long for".to_owned(),
            Ending::Busy => "not sent, because too much waits, to".to_owned(),
            Ending::Refused { address } => {
                format!("not sent, because the destination policy refuses {address}, to")
            }
            Ending::Unsendable => "cannot be made for".to_owned(),
            Ending::Interrupted => "given up, not answered by".to_owned(),
            // Was never to be sent.
            Ending::Skipped => return,
        };
        self.write(key, &format!("NOTIFY {what} {text}"));
    }

    fn write(&self, key: NotifyKey, line: &str) {
        let id = key.dialog;
        match &self.way {
            Way::System(syslog) => syslog.write(self.severity, line),
            Way::Log(Level::ERROR) => {
                tracing::error!(target: TARGET, "{line} (subscription {id})");
            }
            Way::Log(Level::WARN) => {
                tracing::warn!(target: TARGET, "{line} (subscription {id})");
            }
            Way::Log(Level::INFO) => {
                tracing::info!(target: TARGET, "{line} (subscription {id})");
            }
            Way::Log(_) => tracing::debug!(target: TARGET, "{line} (subscription {id})"),
        }
    }
}

/// RFC 3164's word for a level of Kamailio's.
fn severity(level: i8) -> Severity {
    match level {
        ..=-5 => Severity::Alert,
        -4..=-2 => Severity::Critical,
        -1 => Severity::Error,
        0 => Severity::Warning,
        1 => Severity::Notice,
        2 => Severity::Info,
        3.. => Severity::Debug,
    }
}

/// Our log's. Kamailio's own level (`debug`) is 0 unless it is set, so that a line of 2, the default of `local_log_level`, is not seen
/// there. Ours is `info` unless it is set: L_INFO has to be below it.
fn log_level(level: i8) -> Level {
    match level {
        ..=-1 => Level::ERROR,
        0 => Level::WARN,
        1 => Level::INFO,
        2.. => Level::DEBUG,
    }
}

fn is_enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
        _ => tracing::enabled!(target: TARGET, Level::DEBUG),
    }
}
