//! How long state may live: `min_expires`, `min_expires_action`, `max_expires`, `expires_offset`; and `sip_uri_match`.
//!
//! The names, units and defaults are those of the presence module's guide. Both publications and subscriptions obey it.

use crate::publication::Priority;
use crate::subscription::DecidedBy;

/// What happens to an interval shorter than `min_expires` (parameter `min_expires_action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinExpiresAction {
    /// 1: the request is refused with 423 and Min-Expires.
    Refuse = 1,
    /// 2: the interval is raised to `min_expires`. RFC-GAP: RFC 3903 and RFC 6665 forbid to grant more than was asked;
    /// Kamailio offers it, for clients that do not understand 423.
    Raise = 2,
}

impl MinExpiresAction {
    /// The action of a number in the configuration, or nothing if there is no such action.
    pub fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Refuse),
            2 => Some(Self::Raise),
            _ => None,
        }
    }
}

/// Which earlier subscription to the same resource a new one takes the place of (parameter `delete_same_subs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSubscriber {
    /// 0: none.
    #[default]
    Nobody,
    /// 1: one with the same Call-ID, as in Kamailio, of any watcher.
    SameCall,
    /// 2: one of the same phone, which has rebooted: by the `+sip.instance` of its Contact (RFC 5626 section 4.1), or else by where its
    /// Contact leads.
    SamePhone,
}

/// The limits that an operator sets on publications and subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Shortest interval granted, in seconds; 0 means no lower limit. A value above `max_expires_s` counts as `max_expires_s`.
    pub min_expires_s: u32,
    /// Longest interval granted, in seconds.
    pub max_expires_s: u32,
    /// What happens to shorter intervals. An interval of 0 (remove, fetch) is never too short.
    pub min_expires_action: MinExpiresAction,
    /// Seconds that the 200 to a PUBLISH announces less than is stored, so that the refresh comes in time.
    pub expires_offset_s: u32,
    /// Whether user parts are compared without regard to case (`sip_uri_match` = 1).
    pub fold_case: bool,
    /// Who may subscribe to anybody's watcher information, besides the presentity itself: an operator's console.
    pub winfo_watchers: Vec<sip::Aor>,
    /// Which earlier subscription a new one takes the place of.
    pub same_subscriber: SameSubscriber,
    /// Who decides about subscriptions to packages that are under rules (`default_policy`, `force_active`).
    pub under_rules: DecidedBy,
    /// What comes first of several publications, where no script says so (`xavp_cfg`).
    pub priority: Priority,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_expires_s: 0,
            max_expires_s: 3600,
            min_expires_action: MinExpiresAction::Refuse,
            expires_offset_s: 0,
            fold_case: false,
            winfo_watchers: Vec::new(),
            same_subscriber: SameSubscriber::Nobody,
            under_rules: DecidedBy::Nobody,
            priority: Priority::Kept,
        }
    }
}

impl Policy {
    /// The value of Expires in the 200 to a PUBLISH that was granted `granted_s`: `expires_offset` less, but never less than half of
    /// it, rounded up.
    ///
    /// An interval near the offset would else be told as a second or none: the publisher would send a request each second, or take
    /// its publication for ended.
    pub fn told_expires_s(&self, granted_s: u32) -> u32 {
        granted_s
            .saturating_sub(self.expires_offset_s)
            .max(granted_s.div_ceil(2))
    }

    /// Grants an interval in seconds for what was asked, or says what the least would have been.
    pub(crate) fn grant(
        &self,
        requested_s: Option<u32>,
        default_s: u32,
    ) -> Result<u32, IntervalTooBrief> {
        let min_s = self.min_expires_s.min(self.max_expires_s);
        let Some(requested_s) = requested_s else {
            // Nothing was asked, so nothing is too short: the default is bent to the limits.
            return Ok(default_s.clamp(min_s, self.max_expires_s));
        };
        if requested_s > 0 && requested_s < min_s {
            return match self.min_expires_action {
                MinExpiresAction::Refuse => Err(IntervalTooBrief { min_s }),
                MinExpiresAction::Raise => Ok(min_s),
            };
        }
        Ok(requested_s.min(self.max_expires_s))
    }
}

/// The requested interval is too short, and the policy says to refuse it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IntervalTooBrief {
    pub(crate) min_s: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(
        min_expires_s: u32,
        max_expires_s: u32,
        min_expires_action: MinExpiresAction,
    ) -> Policy {
        Policy {
            min_expires_s,
            max_expires_s,
            min_expires_action,
            ..Policy::default()
        }
    }

    #[test]
    fn grants_between_the_limits() {
        use MinExpiresAction::{Raise, Refuse};
        let brief = |min_s| Err(IntervalTooBrief { min_s });
        for (min, max, action, requested, expected) in [
            (0, 3600, Refuse, None, Ok(3600)),
            (0, 600, Refuse, None, Ok(600)),
            (0, 3600, Refuse, Some(1), Ok(1)),
            (0, 3600, Refuse, Some(u32::MAX), Ok(3600)),
            (60, 3600, Refuse, Some(59), brief(60)),
            (60, 3600, Refuse, Some(60), Ok(60)),
            (60, 3600, Refuse, Some(0), Ok(0)),
            (60, 3600, Raise, Some(59), Ok(60)),
            (60, 3600, Raise, Some(0), Ok(0)),
            (7200, 9000, Refuse, None, Ok(7200)),
            // A minimum above the maximum is the maximum.
            (7200, 600, Refuse, Some(599), brief(600)),
            (7200, 600, Refuse, Some(600), Ok(600)),
            (7200, 600, Refuse, Some(9000), Ok(600)),
        ] {
            assert_eq!(
                policy(min, max, action).grant(requested, 3600),
                expected,
                "min {min} max {max} {action:?} requested {requested:?}"
            );
        }
    }

    #[test]
    fn announces_less_than_it_stores_but_half_of_it_at_least() {
        for (offset, granted, told) in [
            (0, 60, 60),
            (10, 60, 50),
            (10, 21, 11),
            (10, 20, 10),
            (10, 19, 10),
            (10, 11, 6),
            (10, 10, 5),
            (10, 3, 2),
            (10, 1, 1),
            (10, 0, 0),
            (30, 30, 15),
            (u32::MAX, u32::MAX, 1 << 31),
        ] {
            let policy = Policy {
                expires_offset_s: offset,
                ..Policy::default()
            };
            assert_eq!(
                policy.told_expires_s(granted),
                told,
                "offset {offset} granted {granted}"
            );
        }
    }

    proptest::proptest! {
        /// Whatever the offset: never more than was granted, never less than half, and a longer interval is never told as a shorter one.
        #[test]
        fn what_is_told_is_sane(offset in 0_u32.., granted in 0_u32.., more in 0_u32..) {
            let policy = Policy { expires_offset_s: offset, ..Policy::default() };
            let told = policy.told_expires_s(granted);
            proptest::prop_assert!(told <= granted);
            proptest::prop_assert!(u64::from(told) * 2 >= u64::from(granted));
            let longer = granted.saturating_add(more);
            proptest::prop_assert!(policy.told_expires_s(longer) >= told);
            if offset <= granted / 2 {
                proptest::prop_assert_eq!(told, granted - offset);
            }
        }
    }

    #[test]
    fn knows_the_actions_of_the_guide() {
        assert_eq!(
            MinExpiresAction::from_code(1),
            Some(MinExpiresAction::Refuse)
        );
        assert_eq!(
            MinExpiresAction::from_code(2),
            Some(MinExpiresAction::Raise)
        );
        assert_eq!(MinExpiresAction::from_code(0), None);
        assert_eq!(MinExpiresAction::from_code(3), None);
    }
}
