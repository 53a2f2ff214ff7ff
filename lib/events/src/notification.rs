//! The header values that a NOTIFY carries: Subscription-State and Event.
//!
//! Building and sending the request is not done here. RFC 6665 sections 4.2.2, 8.2.1 and 8.2.3.

/// The state of a subscription, with the numbers of column `active_watchers.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionStatus {
    /// Accepted and authorized.
    Active = 1,
    /// Accepted, not yet decided upon.
    Pending = 2,
    /// Over. The NOTIFY that says so is the last one.
    Terminated = 3,
    /// Ended while pending and kept for the presentity to see (RFC 3857 section 4.7.1); only watcher information shows it.
    Waiting = 4,
}

impl SubscriptionStatus {
    /// The status of a number in the database, or nothing if it has no meaning.
    pub fn from_code(code: i32) -> Option<Self> {
        match code {
            1 => Some(Self::Active),
            2 => Some(Self::Pending),
            3 => Some(Self::Terminated),
            4 => Some(Self::Waiting),
            _ => None,
        }
    }

    /// The number in the database.
    pub fn code(self) -> i32 {
        self as i32
    }
}

/// The value of Subscription-State: `active;expires=600`, `pending;expires=600`, `terminated;reason=timeout`.
///
/// `reason` is the text of column `active_watchers.reason`; it may carry parameters (`probation;retry-after=30`). What is
/// not a reason by its form, or empty, becomes `timeout`: the watcher may then subscribe anew (RFC 6665 section 4.1.3).
/// A subscription that is waiting has no state of its own on the wire and is shown as terminated.
pub fn subscription_state(status: SubscriptionStatus, expires_s: u32, reason: &str) -> String {
    match status {
        SubscriptionStatus::Active => format!("active;expires={expires_s}"),
        SubscriptionStatus::Pending => format!("pending;expires={expires_s}"),
        SubscriptionStatus::Terminated | SubscriptionStatus::Waiting => {
            let reason = if is_reason(reason) { reason } else { "timeout" };
            format!("terminated;reason={reason}")
        }
    }
}

/// The value of Event: the package's name and, if the SUBSCRIBE had one, the id.
///
/// RFC 6665 section 8.2.1: "the 'id' parameter … MUST be present" in each NOTIFY if it was in the SUBSCRIBE.
pub fn event_value(package: &str, event_id: &str) -> String {
    if event_id.is_empty() {
        package.to_owned()
    } else {
        format!("{package};id={event_id}")
    }
}

/// Whether a text is `token *(";" token "=" token)`: what comes from the database must not break a header.
fn is_reason(text: &str) -> bool {
    let mut parts = text.split(';');
    parts.next().is_some_and(is_token)
        && parts.all(|param| {
            param
                .split_once('=')
                .is_some_and(|(name, value)| is_token(name) && is_token(value))
        })
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_subscription_state() {
        use SubscriptionStatus::{Active, Pending, Terminated, Waiting};
        for (status, expires_s, reason, expected) in [
            (Active, 600, "", "active;expires=600"),
            (Active, 0, "ignored", "active;expires=0"),
            (Pending, 30, "", "pending;expires=30"),
            (Terminated, 600, "timeout", "terminated;reason=timeout"),
            (Terminated, 0, "noresource", "terminated;reason=noresource"),
            (
                Terminated,
                0,
                "probation;retry-after=30",
                "terminated;reason=probation;retry-after=30",
            ),
            (Terminated, 0, "", "terminated;reason=timeout"),
            (
                Terminated,
                0,
                "rejected\r\nX: y",
                "terminated;reason=timeout",
            ),
            (Terminated, 0, "two words", "terminated;reason=timeout"),
            (Terminated, 0, "giveup;", "terminated;reason=timeout"),
            (Waiting, 600, "", "terminated;reason=timeout"),
        ] {
            assert_eq!(subscription_state(status, expires_s, reason), expected);
        }
    }

    #[test]
    fn echoes_the_event_id() {
        assert_eq!(event_value("presence", ""), "presence");
        assert_eq!(event_value("presence", "7"), "presence;id=7");
        assert_eq!(event_value("dialog;sla", "a1"), "dialog;sla;id=a1");
    }

    #[test]
    fn status_numbers_are_those_of_the_table() {
        for code in 1..=4 {
            assert_eq!(
                SubscriptionStatus::from_code(code).map(SubscriptionStatus::code),
                Some(code)
            );
        }
        assert_eq!(SubscriptionStatus::from_code(0), None);
        assert_eq!(SubscriptionStatus::from_code(5), None);
    }
}
