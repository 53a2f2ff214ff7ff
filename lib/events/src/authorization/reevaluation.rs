//! Decides anew about all watchers of a presentity, and tells whom of them it concerns.
//!
//! Rules, lists, sphere or time changed: most watchers notice nothing of it. Only those whose stored decision differs are to be
//! written and told; the others cost an evaluation and nothing else.

use super::circumstances::Circumstances;
use super::evaluate::{AuthorizationPolicy, Rules, decide, next_change};
use super::identity::Watcher;
use super::lists::Lists;
use super::moment::Moment;
use super::watcher_state::DecisionRow;

/// What all watchers of a presentity have in common when it is decided about them.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// What the operator says.
    pub policy: &'a AuthorizationPolicy,
    /// The reason with which the subscription of a watcher ends if no rule applies (`xcapauth_userdel_reason`).
    pub removed_reason: &'a str,
    /// The presentity's rules.
    pub rules: &'a Rules,
    /// The lists that they refer to.
    pub lists: &'a Lists,
    /// When.
    pub now: Moment,
    /// The presentity's sphere, if it is known.
    pub sphere: Option<&'a str>,
}

/// A decision to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesVerdict {
    /// The decision.
    pub row: DecisionRow,
    /// The epoch second at which it must be made again, if nothing else changes before.
    pub recheck_at_s: Option<i64>,
}

impl Ground<'_> {
    /// Decides about one watcher.
    pub fn decide(&self, watcher: &Watcher) -> RulesVerdict {
        let circumstances = Circumstances {
            watcher,
            now: self.now,
            sphere: self.sphere,
            lists: self.lists,
        };
        let decision = decide(self.policy, self.rules, &circumstances);
        RulesVerdict {
            row: DecisionRow::of(&decision, self.removed_reason),
            recheck_at_s: next_change(self.policy, self.rules, &circumstances)
                .map(Moment::epoch_s_rounded_up),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::watcher_state::{Notify, Occasion, step};
    use super::*;
    use crate::notification::SubscriptionStatus;
    use sip::Aor;

    const TIMES: &str = "<validity><from>2026-01-01T00:00:00Z</from><until>2026-01-02T00:00:00.5Z</until></validity>";

    fn rules(blocked: &str, more: &str) -> Rules {
        let document = format!(
            "<ruleset xmlns='urn:ietf:params:xml:ns:common-policy' xmlns:p='urn:ietf:params:xml:ns:pres-rules'>\
            <rule id='a'><conditions><identity><many>{blocked}</many></identity></conditions>\
            <actions><p:sub-handling>allow</p:sub-handling></actions></rule>{more}</ruleset>"
        );
        Rules::read([document.as_bytes()], false)
    }

    fn watchers(count: usize) -> Vec<Watcher> {
        let aor = |n| Aor {
            username: format!("w{n}"),
            domain: "example.com".to_owned(),
        };
        (0..count).map(|n| Watcher::Identified(aor(n))).collect()
    }

    /// The new verdicts of those watchers for whom they differ from the stored ones, with their place in the input.
    fn differing(
        ground: &Ground<'_>,
        stored: &[(Watcher, RulesVerdict)],
    ) -> Vec<(usize, RulesVerdict)> {
        stored
            .iter()
            .enumerate()
            .map(|(place, (watcher, before))| (place, ground.decide(watcher), before))
            .filter(|(_, after, before)| after != *before)
            .map(|(place, after, _)| (place, after))
            .collect()
    }

    #[test]
    fn ten_of_ten_thousand_are_concerned() {
        let (policy, lists) = (AuthorizationPolicy::default(), Lists::default());
        let before = rules("", "");
        let ground = |rules| Ground {
            policy: &policy,
            removed_reason: "probation",
            rules,
            lists: &lists,
            now: Moment::from_epoch_us(1_767_225_600_000_000),
            sphere: None,
        };
        let stored: Vec<(Watcher, RulesVerdict)> = watchers(10_000)
            .into_iter()
            .map(|watcher| {
                let verdict = ground(&before).decide(&watcher);
                (watcher, verdict)
            })
            .collect();
        assert_eq!(differing(&ground(&before), &stored), []);

        let blocked: String = (0..10)
            .map(|n| format!("<except id='sip:w{}@example.com'/>", n * 997))
            .collect();
        let after = rules(&blocked, "");
        let differing = differing(&ground(&after), &stored);
        let places: Vec<usize> = differing.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, (0..10).map(|n| n * 997).collect::<Vec<_>>());
        for (place, verdict) in &differing {
            let occasion = Occasion::Decide {
                before: &stored[*place].1.row,
                after: &verdict.row,
            };
            let transition = step(Some(SubscriptionStatus::Active), occasion);
            assert_eq!(
                (transition.notify, transition.reason.as_str()),
                (Notify::Owed, "probation")
            );
        }
    }

    #[test]
    fn another_time_to_look_again_is_stored_and_tells_nobody() {
        let (policy, lists) = (AuthorizationPolicy::default(), Lists::default());
        let timed = format!(
            "<rule id='t'><conditions>{TIMES}</conditions><transformations><p:provide-note>1</p:provide-note></transformations></rule>"
        );
        let (before, after) = (rules("", ""), rules("", &timed));
        let ground = |rules, now_s: i64| Ground {
            policy: &policy,
            removed_reason: "probation",
            rules,
            lists: &lists,
            now: Moment::from_epoch_us(now_s * 1_000_000),
            sphere: None,
        };
        let watcher = watchers(1).remove(0);
        let stored = [(
            watcher.clone(),
            ground(&before, 1_767_000_000).decide(&watcher),
        )];
        assert_eq!(stored[0].1.recheck_at_s, None);
        let differing = differing(&ground(&after, 1_767_000_000), &stored);
        assert_eq!(differing.len(), 1);
        let verdict = &differing[0].1;
        assert_eq!(
            (&verdict.row, verdict.recheck_at_s),
            (&stored[0].1.row, Some(1_767_225_600))
        );
        let occasion = Occasion::Decide {
            before: &stored[0].1.row,
            after: &verdict.row,
        };
        assert_eq!(
            step(Some(SubscriptionStatus::Active), occasion).notify,
            Notify::Nothing
        );
        // From then on until half a second into the second that it is looked at again.
        let later = ground(&after, 1_767_225_600).decide(&watcher);
        assert_eq!(
            (later.row.view.as_str(), later.recheck_at_s),
            ("note", Some(1_767_312_001))
        );
    }
}
