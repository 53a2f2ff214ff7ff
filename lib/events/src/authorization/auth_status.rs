//! What `pres_auth_status` returns: the numbers of Kamailio's presence/subscribe.h.
//!
//! It judges at once, by the same rules as a decision about a subscription, so that whoever never subscribed is judged as well.

use super::circumstances::Circumstances;
use super::evaluate::{Rules, decide};
use super::identity::Watcher;
use super::reevaluation::Ground;
use super::ruleset::SubHandling;
use super::watcher_state::POLITE_BLOCK;
use crate::notification::SubscriptionStatus;

/// What table `watchers` has of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredStatus<'a> {
    /// 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i32,
    /// `polite-block`, why it is terminated, or empty.
    pub reason: &'a str,
    /// The presentity's rules have not changed since it was written, or it was written by an operator or an import.
    pub is_current: bool,
}

impl Ground<'_> {
    /// What `pres_auth_status` says of a watcher: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked.
    ///
    /// Rules decide. Without any, what stands in `watchers` does, as with `presence_update_watchers`, which carries it over to
    /// subscriptions; else the default. Who waits to be confirmed goes on waiting.
    pub fn auth_status(&self, watcher: &Watcher, stored: Option<StoredStatus<'_>>) -> i32 {
        if self.policy.force_active {
            return of_handling(SubHandling::Allow);
        }
        if let (Rules::Absent, Some(stored)) = (self.rules, stored)
            && stored.is_current
        {
            return of_row(stored.status, stored.reason);
        }
        let circumstances = Circumstances {
            watcher,
            now: self.now,
            sphere: self.sphere,
            lists: self.lists,
        };
        let waits = SubscriptionStatus::Waiting.code();
        match decide(self.policy, self.rules, &circumstances).handling {
            SubHandling::Confirm if stored.is_some_and(|stored| stored.status == waits) => waits,
            handling => of_handling(handling),
        }
    }
}

/// The number for a stored decision: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked; -1 for what is none.
pub fn of_row(status: i32, reason: &str) -> i32 {
    match SubscriptionStatus::from_code(status) {
        Some(SubscriptionStatus::Active) if reason == POLITE_BLOCK => 5,
        Some(status) => status.code(),
        None => -1,
    }
}

/// The number for a decision that is made at once.
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
    use crate::authorization::{AuthorizationPolicy, Lists, Moment};
    use sip::Aor;

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

    const RULES: &str = "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy' xmlns:p='urn:ietf:params:xml:ns:pres-rules'>\
        <rule id='a'><conditions><identity><one id='sip:friend@example.org'/></identity></conditions>\
        <actions><p:sub-handling>allow</p:sub-handling></actions></rule>\
        <rule id='c'><conditions><identity><one id='sip:maybe@example.org'/></identity></conditions>\
        <actions><p:sub-handling>confirm</p:sub-handling></actions></rule>\
        <rule id='p'><conditions><identity><one id='sip:polite@example.org'/></identity></conditions>\
        <actions><p:sub-handling>polite-block</p:sub-handling></actions></rule></ruleset>";

    fn told(
        policy: AuthorizationPolicy,
        rules: &Rules,
        user: &str,
        stored: Option<StoredStatus<'_>>,
    ) -> i32 {
        let ground = Ground {
            policy: &policy,
            removed_reason: "probation",
            rules,
            lists: &Lists::default(),
            now: Moment::from_epoch_us(0),
            sphere: None,
        };
        let watcher = Watcher::of(Aor {
            username: user.to_owned(),
            domain: "example.org".to_owned(),
        });
        ground.auth_status(&watcher, stored)
    }

    fn row(status: i32, reason: &str, is_current: bool) -> Option<StoredStatus<'_>> {
        Some(StoredStatus {
            status,
            reason,
            is_current,
        })
    }

    #[test]
    fn rules_decide_about_whoever_never_subscribed() {
        let rules = Rules::read([RULES.as_bytes()], false);
        let policy = AuthorizationPolicy::default();
        for (user, stored, expected) in [
            ("friend", None, 1),
            ("maybe", None, 2),
            ("polite", None, 5),
            ("stranger", None, 3),
            // What is stored was decided by other rules, or by nobody.
            ("friend", row(3, "rejected", true), 1),
            ("stranger", row(1, "", true), 3),
            ("maybe", row(4, "timeout", true), 4),
            ("friend", row(4, "timeout", true), 1),
        ] {
            assert_eq!(
                told(policy, &rules, user, stored),
                expected,
                "{user} {stored:?}"
            );
        }
        let broken = Rules::read([&b"<ruleset"[..]], false);
        assert_eq!(told(policy, &broken, "friend", None), 2);
        let forced = AuthorizationPolicy {
            force_active: true,
            ..policy
        };
        assert_eq!(told(forced, &rules, "stranger", row(3, "", true)), 1);
    }

    #[test]
    fn without_rules_what_stands_in_watchers_counts_and_else_the_default() {
        for (handling, expected) in [
            (SubHandling::Allow, 1),
            (SubHandling::Confirm, 2),
            (SubHandling::Block, 3),
        ] {
            let policy = AuthorizationPolicy {
                default_handling: handling,
                force_active: false,
            };
            assert_eq!(told(policy, &Rules::Absent, "x", None), expected);
            for (stored, by_hand) in [(row(3, "rejected", true), 3), (row(1, "", true), 1)] {
                assert_eq!(told(policy, &Rules::Absent, "x", stored), by_hand);
            }
            assert_eq!(
                told(policy, &Rules::Absent, "x", row(1, "polite-block", true)),
                5
            );
            // Of rules that are no longer there.
            let outdated = row(if expected == 1 { 3 } else { 1 }, "", false);
            assert_eq!(told(policy, &Rules::Absent, "x", outdated), expected);
        }
    }
}
