//! The ledger as a pure state machine: each test is one story, told in claims, takes and landings.

use super::*;
use sql::{Renewed, TakenState};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(1);

fn guard(target_version: i32) -> Guard {
    Guard {
        target_version,
        remote_cseq: 1,
    }
}

struct Story {
    ledger: Ledger<&'static str>,
    now: Instant,
    claims: i64,
}

impl Story {
    fn new() -> Story {
        Story {
            ledger: Ledger::new(),
            now: Instant::now(),
            claims: 0,
        }
    }

    fn claim(&mut self, resource: &'static str, version: i64, state_due: bool) {
        self.claims += 1;
        self.ledger
            .claimed(resource, self.claims, version, state_due, self.now + LEASE);
    }

    /// Takes everything wanted; `dialogs` is what the statement returns, for the first resource wanted.
    fn take(&mut self, dialogs: &[(i64, i32)], complete: bool) -> Vec<NotifyKey> {
        let works = self.ledger.begin_take(100);
        assert!(!works.is_empty(), "nothing to take");
        let mut cancelled = Vec::new();
        let keys = dialogs.iter().filter_map(|(id, target)| {
            self.ledger
                .begin_notify(&works[0], *id, guard(*target), &mut cancelled)
        });
        let keys: Vec<NotifyKey> = keys.collect();
        self.ledger.taken(&works, complete);
        for key in &keys {
            self.ledger
                .may_send(*key, &format!("b{}", key.serial), self.now, MARGIN);
        }
        keys
    }

    /// Resources that can be settled now: (resource, version, state taken).
    fn settle(&mut self) -> Vec<(&'static str, i64, bool)> {
        let works = self.ledger.begin_settle(100);
        self.ledger.settled(&works);
        works
            .iter()
            .map(|work| (work.resource, work.version, work.state_due))
            .collect()
    }
}

#[test]
fn a_resource_without_dialogs_is_drained_at_once() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    assert!(story.settle().is_empty(), "not before it was taken");
    story.take(&[], true);
    assert_eq!(story.settle(), [("bob", 7, true)]);
    assert!(story.ledger.is_empty());
}

#[test]
fn a_resource_drains_when_its_last_dialog_lands() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let keys = story.take(&[(1, 0), (2, 0)], true);
    assert_eq!(story.ledger.notify_count(), 2);
    story.ledger.over(keys[0]);
    assert!(story.settle().is_empty());
    story.ledger.over(keys[1]);
    assert_eq!(story.settle(), [("bob", 7, true)]);
    assert_eq!(story.ledger.notify_count(), 0);
}

#[test]
fn a_take_cut_short_is_repeated() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let first = story.take(&[(1, 0)], false);
    story.ledger.over(first[0]);
    assert!(story.settle().is_empty(), "there is more to take");
    assert!(story.ledger.wants_take());
    let second = story.take(&[(2, 0)], true);
    story.ledger.over(second[0]);
    assert_eq!(story.settle(), [("bob", 7, true)]);
}

#[test]
fn a_dialog_in_flight_at_a_new_claim_is_taken_when_it_comes_back() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let first = story.take(&[(1, 3), (2, 3)], true);
    story.ledger.over(first[0]);
    story.claim("bob", 8, true);

    let works = story.ledger.begin_take(100);
    assert_eq!(
        story.ledger.in_flight_of(&works),
        [(2, 3)],
        "the busy one is left out"
    );
    let idle = story
        .ledger
        .begin_notify(&works[0], 1, guard(3), &mut Vec::new())
        .unwrap();
    story.ledger.taken(&works, true);
    story.ledger.over(idle);
    assert!(!story.ledger.wants_take());
    assert!(story.settle().is_empty());

    story.ledger.over(first[1]);
    assert!(story.ledger.wants_take(), "back: now it gets the new state");
    assert!(story.settle().is_empty());
    let last = story.take(&[(2, 3)], true);
    story.ledger.over(last[0]);
    assert_eq!(story.settle(), [("bob", 8, true)]);
}

#[test]
fn a_claim_of_flagged_dialogs_keeps_the_state_that_is_owed() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    story.claim("bob", 9, false);
    story.take(&[], true);
    assert_eq!(
        story.settle(),
        [("bob", 7, true)],
        "version 9 waits for its own turn"
    );

    story.claim("bob", 9, false);
    story.take(&[], true);
    assert_eq!(story.settle(), [("bob", 9, false)]);
}

#[test]
fn a_new_target_replaces_the_notify_and_its_late_answer_is_nobodys() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let old = story.take(&[(1, 0)], true)[0];
    story.claim("bob", 7, false);
    let works = story.ledger.begin_take(100);
    let mut cancelled = Vec::new();
    let new = story
        .ledger
        .begin_notify(&works[0], 1, guard(1), &mut cancelled)
        .unwrap();
    story.ledger.taken(&works, true);
    assert_eq!(cancelled, [format!("b{}", old.serial)]);
    assert_eq!(story.ledger.guard(old), None);
    story.ledger.over(old);
    assert_eq!(
        story.ledger.notify_count(),
        1,
        "the late answer lands nothing"
    );
    story.ledger.over(new);
    assert_eq!(story.settle(), [("bob", 7, true)]);
}

#[test]
fn nothing_is_sent_below_the_margin() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let key = story.take(&[(1, 0)], true)[0];
    let edge = story.now + LEASE - MARGIN;
    assert!(
        story
            .ledger
            .may_send(key, "b", edge - Duration::from_millis(1), MARGIN)
    );
    assert!(!story.ledger.may_send(key, "b", edge, MARGIN));
    assert_eq!(
        story
            .ledger
            .abandon_expired(edge - Duration::from_millis(1), MARGIN)
            .0,
        0
    );
    assert_eq!(
        story.ledger.abandon_expired(edge, MARGIN),
        (1, vec!["b".to_owned()])
    );
    assert!(story.ledger.is_empty() && story.ledger.notify_count() == 0);
    assert!(
        !story.ledger.may_send(key, "b", story.now, MARGIN),
        "abandoned"
    );
    assert!(
        story.settle().is_empty(),
        "an abandoned resource is never settled"
    );
}

#[test]
fn what_was_abandoned_while_the_take_ran_isnt_sent() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let works = story.ledger.begin_take(100);
    story.ledger.abandon_expired(story.now + LEASE, MARGIN);
    assert_eq!(
        story
            .ledger
            .begin_notify(&works[0], 1, guard(0), &mut Vec::new()),
        None
    );
    story.ledger.taken(&works, true);
    assert!(story.ledger.is_empty());
}

#[test]
fn a_renewal_lengthens_or_abandons() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    story.take(&[(1, 0)], true);
    story.claim("eve", 8, true);
    story.take(&[(2, 0)], true);
    let later = story.now + LEASE * 3 / 5;
    assert!(story.ledger.to_renew(story.now, LEASE / 2).is_empty());
    let asked = story.ledger.to_renew(later, LEASE / 2);
    assert_eq!(asked.len(), 2);
    let cancelled = story.ledger.renewed(
        &asked,
        &HashMap::from([("bob", Renewed::Renewed)]),
        later + LEASE,
    );
    assert_eq!(cancelled.len(), 1);
    assert_eq!(story.ledger.notify_count(), 1, "eve's is gone");
    assert!(story.ledger.to_renew(later, LEASE / 2).is_empty());
    assert_eq!(story.ledger.abandon_expired(story.now + LEASE, MARGIN).0, 0);
}

#[test]
fn a_renewal_says_nothing_about_a_later_hold() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let key = story.take(&[(1, 0)], true)[0];
    let asked = story.ledger.to_renew(story.now + LEASE, LEASE / 2);
    story.ledger.over(key);
    assert_eq!(story.settle().len(), 1);
    story.claim("bob", 8, true);
    story.ledger.renewed(&asked, &HashMap::new(), story.now);
    assert!(story.ledger.wants_take(), "the new hold is untouched");
}

#[test]
fn settling_is_tried_again_until_the_lease_is_over() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    story.take(&[], true);
    let works = story.ledger.begin_settle(100);
    assert!(!story.ledger.has_drained());
    story.ledger.settle_failed(&works);
    assert!(story.ledger.has_drained());
    assert!(
        story
            .ledger
            .to_renew(story.now + LEASE, LEASE / 2)
            .is_empty(),
        "no renewal only to settle"
    );
    assert_eq!(story.ledger.abandon_expired(story.now + LEASE, MARGIN).0, 1);
    assert!(!story.ledger.has_drained());
}

#[test]
fn a_claim_during_settling_outlives_it() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    story.take(&[], true);
    let works = story.ledger.begin_settle(100);
    story.claim("bob", 8, true);
    story.ledger.settled(&works);
    assert!(story.ledger.wants_take());
    story.take(&[], true);
    assert_eq!(story.settle(), [("bob", 8, true)]);
}

#[test]
fn a_claim_during_the_take_marks_what_that_take_returned() {
    let mut story = Story::new();
    story.claim("bob", 7, true);
    let works = story.ledger.begin_take(100);
    story.claim("bob", 8, true);
    let key = story
        .ledger
        .begin_notify(&works[0], 1, guard(0), &mut Vec::new())
        .unwrap();
    story.ledger.taken(&works, true);
    story.take(&[], true);
    story.ledger.over(key);
    assert!(story.ledger.wants_take(), "it was taken before version 8");
}

#[test]
fn a_large_fan_out_lets_others_pass() {
    let mut story = Story::new();
    story.claim("huge", 1, true);
    story.take(&[(1, 0)], false);
    story.claim("small", 2, true);
    let works = story.ledger.begin_take(100);
    assert_eq!(
        works.iter().map(|work| work.resource).collect::<Vec<_>>(),
        ["small"]
    );
    story.ledger.taken(&works, true);
    let works = story.ledger.begin_take(100);
    assert_eq!(
        works.iter().map(|work| work.resource).collect::<Vec<_>>(),
        ["huge"]
    );
}

#[test]
fn what_waits_when_stopping_is_given_back() {
    let mut story = Story::new();
    story.claim("busy", 1, true);
    let busy = story.take(&[(1, 0)], true)[0];
    story.claim("done", 2, true);
    let done = story.take(&[(2, 0)], true)[0];
    story.claim("busy", 3, true);
    story.take(&[], true);
    story.claim("untaken", 4, true);
    story.ledger.stop_taking();
    story.ledger.over(busy);
    story.ledger.over(done);
    assert!(!story.ledger.wants_take());
    let mut works: Vec<_> = story
        .ledger
        .begin_settle(9)
        .iter()
        .map(|work| (work.resource, work.taken == TakenState::Some))
        .collect();
    works.sort();
    assert_eq!(works, [("busy", true), ("done", false), ("untaken", true)]);
}

#[test]
fn any_order_of_events_ends_drained() {
    // A small deterministic walk over claims, takes and landings; the invariants hold after every step.
    for seed in 0..200_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        let mut story = Story::new();
        let mut open: Vec<NotifyKey> = Vec::new();
        let mut version = 0;
        for _ in 0..200 {
            match random(4) {
                0 => {
                    version += 1;
                    story.claim(["a", "b", "c"][random(3) as usize], version, random(2) == 0);
                }
                1 if story.ledger.wants_take() => {
                    let works = story.ledger.begin_take(1);
                    let busy = story.ledger.in_flight_of(&works);
                    let base = i64::from(works[0].resource.as_bytes()[0]) * 100;
                    for dialog in base..base + random(4) as i64 {
                        let moved = busy.contains(&(dialog, 0)) && random(4) == 0;
                        if moved || !busy.iter().any(|(id, _)| *id == dialog) {
                            let key = story.ledger.begin_notify(
                                &works[0],
                                dialog,
                                guard(i32::from(moved)),
                                &mut Vec::new(),
                            );
                            open.retain(|key| key.dialog != dialog);
                            open.extend(key);
                        }
                    }
                    story.ledger.taken(&works, random(3) > 0);
                }
                2 if !open.is_empty() => {
                    let key = open.swap_remove(random(open.len() as u64) as usize);
                    assert!(story.ledger.guard(key).is_some());
                    story.ledger.over(key);
                }
                3 => {
                    story.settle();
                }
                _ => {}
            }
            assert_eq!(story.ledger.notify_count(), open.len());
        }
        for key in open {
            story.ledger.over(key);
        }
        while story.ledger.wants_take() {
            story.take(&[], true);
        }
        story.settle();
        assert!(story.ledger.is_empty(), "seed {seed}");
    }
}

#[test]
fn what_was_shown_is_as_good_as_the_first_document_that_changes() {
    let mut story = Story::new();
    let shown = |story: &mut Story, next_change| {
        let works = story.ledger.begin_take(10);
        story.ledger.shown(&works[0], next_change);
        story.ledger.taken(&works, true);
    };
    story.claim("bob", 7, true);
    shown(&mut story, NextChange::At(20));
    // The next portion was rendered after that second.
    story.claim("bob", 0, false);
    shown(&mut story, NextChange::Never);
    story.claim("bob", 0, false);
    shown(&mut story, NextChange::Unknown);
    story.claim("bob", 0, false);
    shown(&mut story, NextChange::At(30));
    let works = story.ledger.begin_settle(10);
    assert_eq!(works[0].next_change, NextChange::At(20));
    story.ledger.settle_failed(&works);
    // Nobody is left who would be taken for it: it was shown before it was claimed.
    story.claim("bob", 8, true);
    shown(&mut story, NextChange::Unknown);
    let works = story.ledger.begin_settle(10);
    assert_eq!(works[0].next_change, NextChange::At(20));
}
