//! What `pres_auth_status` returns: the numbers of the model's presence/subscribe.h.

use super::ruleset::SubHandling;
use crate::notification::SubscriptionStatus;

/// The reason by which a politely blocked watcher is told from an active one in column `watchers.reason`.
pub const POLITE_BLOCK: &str = "polite-block";

/// The number for a stored decision: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked; -1 for what is none.
pub fn of_row(status: i32, reason: &str) -> i32 {
    match SubscriptionStatus::from_code(status) {
        Some(SubscriptionStatus::Active) if reason == POLITE_BLOCK => 5,
        Some(status) => status.code(),
        None => -1,
    }
}

/// The number for a decision that is made on the spot.
pub fn of_handling(handling: SubHandling) -> i32 {
    match handling {
        SubHandling::Allow => 1,
        SubHandling::Confirm => 2,
        SubHandling::Block => 3,
        SubHandling::PoliteBlock => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_models() {
        for (status, reason, expected) in [
            (1, "", 1),
            (1, "polite-block", 5),
            (2, "", 2),
            (2, "polite-block", 2),
            (3, "rejected", 3),
            (4, "timeout", 4),
            (0, "", -1),
            (9, "", -1),
        ] {
            assert_eq!(of_row(status, reason), expected);
        }
        let all = [
            SubHandling::Block,
            SubHandling::Confirm,
            SubHandling::PoliteBlock,
            SubHandling::Allow,
        ];
        assert_eq!(all.map(of_handling), [3, 2, 5, 1]);
    }
}
