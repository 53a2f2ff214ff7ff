use super::DialogState::{Confirmed, Early, Terminated, Trying};
use super::*;

const A: Publisher<'static> = Publisher::Source("aaaaa");
const B: Publisher<'static> = Publisher::Source("bbbbb");

/// Id, call-id, local-tag and remote-tag, one a line, as this publisher says them.
fn identity_by(publisher: Publisher<'static>, lines: &'static str) -> Identity<'static> {
    let mut lines = lines.split('\n');
    let id = lines.next().unwrap_or_default();
    Identity::new(id, [(); 3].map(|()| lines.next()), publisher)
}

fn identity(lines: &'static str) -> Identity<'static> {
    identity_by(A, lines)
}

type Body = (Publisher<'static>, i64, &'static str, DialogState);

/// What is shown of bodies that these publishers sent at those times, if these dialogs of theirs ended then.
fn shown_of(input: &[Body], ended: &[(Publisher<'static>, &'static str, i64)]) -> Vec<usize> {
    let mut survivors = Survivors::default();
    for (publisher, lines, at_us) in ended {
        for key in identity_by(*publisher, lines).ended_keys() {
            survivors.remember(&Ended { key, at_us: *at_us });
        }
    }
    for (at, (publisher, came_us, lines, state)) in input.iter().enumerate() {
        survivors.add(Said {
            at,
            identity: identity_by(*publisher, lines),
            publisher: *publisher,
            state: *state,
            age: (0, *came_us, at as i64),
        });
    }
    survivors.indexes()
}

/// The same, of one publisher, if all bodies came at 5.
fn shown_after(input: &[(&'static str, DialogState)], ended: &[(&'static str, i64)]) -> Vec<usize> {
    let input: Vec<_> = input
        .iter()
        .map(|(lines, state)| (A, 5, *lines, *state))
        .collect();
    let ended: Vec<_> = ended
        .iter()
        .map(|(lines, at_us)| (A, *lines, *at_us))
        .collect();
    shown_of(&input, &ended)
}

fn shown(input: &[(&'static str, DialogState)], ended: &[&'static str]) -> Vec<usize> {
    let ended: Vec<_> = ended.iter().map(|lines| (*lines, 0)).collect();
    shown_after(input, &ended)
}

#[test]
fn the_state_that_is_further_on_wins() {
    for (input, ended, expected) in [
        (vec![("a\nc", Early), ("a\nc", Trying)], vec![], vec![0]),
        (vec![("a\nc", Terminated), ("a\nc", Early)], vec![], vec![0]),
        (vec![("a\nc", Early), ("a\nc", Terminated)], vec![], vec![1]),
        (vec![("a", Early), ("b", Early)], vec![], vec![0, 1]),
        // The same id, another call.
        (
            vec![("a\nc", Terminated), ("a\nd", Early)],
            vec![],
            vec![0, 1],
        ),
        // Who names less speaks of all that agree.
        (vec![("a", Terminated), ("a\nd", Early)], vec![], vec![0]),
        (
            vec![("a", Early), ("a\nd\nl\nr", Terminated)],
            vec![],
            vec![1],
        ),
        (
            vec![("a", Early), ("a\nd\nl\nr", Confirmed)],
            vec![],
            vec![1],
        ),
        (
            vec![("a", Confirmed), ("a\nd\nl\nr", Early)],
            vec![],
            vec![0, 1],
        ),
        // Branches of a fork: the one that loses ends, the other is answered.
        (
            vec![
                ("a\nc\nl\nr1", Terminated),
                ("a\nc\nl\nr2", Confirmed),
                ("a\nc\nl", Early),
            ],
            vec![],
            vec![0, 1],
        ),
        // The end that is told of all is shown beside an end that is told of one, for the sake of the others.
        (
            vec![
                ("a", Terminated),
                ("a\nc\nl\nr1", Trying),
                ("a\nc\nl\nr2", Terminated),
            ],
            vec![],
            vec![0, 2],
        ),
        // Remembered ends.
        (vec![("a\nc", Early)], vec!["a\nc"], vec![]),
        (vec![("a\nc\nl\nr", Confirmed)], vec!["a\nc"], vec![]),
        (
            vec![("a\nd", Early)],
            vec!["a\nc", "b\nd", "a\nc\nl\nr"],
            vec![0],
        ),
        (vec![("a\nc", Terminated)], vec!["a\nc"], vec![0]),
        // Who names less of it is as late; who names another branch is not.
        (vec![("a\nc\nl", Trying)], vec!["a\nc\nl\nr"], vec![]),
        (vec![("a\nc", Early)], vec!["a\nc\nl\nr"], vec![]),
        (vec![("a\nc\n\nr", Early)], vec!["a\nc\nl\nr"], vec![]),
        (
            vec![("a\nc\nl\nr2", Confirmed), ("a\nc\nl", Early)],
            vec!["a\nc\nl\nr1"],
            vec![0],
        ),
        (vec![("a\nc\nl2", Early)], vec!["a\nc\nl\nr"], vec![0]),
        (vec![("a", Early)], vec!["a\nc\nl\nr"], vec![0]),
    ] {
        assert_eq!(shown(&input, &ended), expected, "{input:?} {ended:?}");
    }
}

/// RFC 4235 section 4.1.1 makes only `id` mandatory, and some publishers use it again for the next call.
#[test]
fn an_id_without_a_call_id_may_be_used_again() {
    for (ended_at, expected) in [(4, vec![0]), (5, vec![]), (6, vec![])] {
        assert_eq!(
            shown_after(&[("a", Early)], &[("a", ended_at)]),
            expected,
            "ended at {ended_at}"
        );
        assert_eq!(
            shown_after(&[("a\nc", Early)], &[("a", ended_at)]),
            expected,
            "who names more, ended at {ended_at}"
        );
    }
    // With a call-id the time is of no account, and of two times the later one counts.
    assert!(shown_after(&[("a\nc", Early)], &[("a\nc", 1)]).is_empty());
    assert!(shown_after(&[("a", Early)], &[("a", 9), ("a", 1)]).is_empty());
}

#[test]
fn an_end_without_a_call_id_is_its_publishers() {
    const OLD: Publisher<'static> = Publisher::Untold;
    const ROW: Publisher<'static> = Publisher::Row(1);
    const OTHER_ROW: Publisher<'static> = Publisher::Row(2);
    type Case = (
        &'static str,
        Vec<Body>,
        Vec<(Publisher<'static>, &'static str, i64)>,
        Vec<usize>,
    );
    let cases: Vec<Case> = vec![
        (
            "another node is idle",
            vec![(A, 5, "a", Early), (B, 6, "a", Terminated)],
            vec![],
            vec![0],
        ),
        (
            "both are idle, and one end says so",
            vec![(A, 5, "a", Terminated), (B, 6, "a", Terminated)],
            vec![],
            vec![1],
        ),
        (
            "both have a call",
            vec![(A, 5, "a", Early), (B, 6, "a", Confirmed)],
            vec![],
            vec![0, 1],
        ),
        (
            "it restarted while idle",
            vec![(A, 5, "a", Terminated), (A, 6, "a", Early)],
            vec![],
            vec![1],
        ),
        (
            "it restarted during a call",
            vec![(A, 5, "a", Confirmed), (A, 6, "a", Early)],
            vec![],
            vec![1],
        ),
        (
            "a new publication for each state",
            vec![
                (A, 1, "a", Early),
                (A, 2, "a", Confirmed),
                (A, 3, "a", Terminated),
            ],
            vec![],
            vec![2],
        ),
        (
            "and the next call",
            vec![
                (A, 1, "a", Early),
                (A, 2, "a", Confirmed),
                (A, 3, "a", Terminated),
                (A, 4, "a", Early),
            ],
            vec![],
            vec![3],
        ),
        (
            "in the same instant",
            vec![(A, 5, "a", Early), (A, 5, "a", Terminated)],
            vec![],
            vec![1],
        ),
        (
            "remembered",
            vec![(A, 5, "a", Early)],
            vec![(A, "a", 9)],
            vec![],
        ),
        (
            "remembered, of the call before",
            vec![(A, 5, "a", Early)],
            vec![(A, "a", 4)],
            vec![0],
        ),
        (
            "remembered, of another node",
            vec![(A, 5, "a", Early)],
            vec![(B, "a", 9)],
            vec![0],
        ),
        (
            "and another says what it has taken back",
            vec![
                (A, 5, "a\nc", Confirmed),
                (B, 5, "a\nc", Early),
                (A, 6, "a", Terminated),
            ],
            vec![],
            vec![1],
        ),
        // Who names less.
        (
            "speaks of its own call",
            vec![(A, 5, "a\nc", Early), (A, 6, "a", Terminated)],
            vec![],
            vec![1],
        ),
        (
            "but not of a newer one",
            vec![(A, 7, "a\nc", Early), (A, 6, "a", Terminated)],
            vec![],
            vec![0],
        ),
        (
            "nor of another node's",
            vec![(A, 5, "a\nc", Early), (B, 6, "a", Terminated)],
            vec![],
            vec![0],
        ),
        (
            "the same, remembered",
            vec![(A, 5, "a\nc", Early)],
            vec![(B, "a", 9)],
            vec![0],
        ),
        (
            "its own, remembered",
            vec![(A, 5, "a\nc", Early)],
            vec![(A, "a", 9)],
            vec![],
        ),
        (
            "is late when the call has ended",
            vec![(A, 5, "a\nc", Terminated), (A, 4, "a", Early)],
            vec![],
            vec![0],
        ),
        (
            "or means the next one",
            vec![(A, 5, "a\nc", Terminated), (A, 6, "a", Early)],
            vec![],
            vec![0, 1],
        ),
        (
            "or its own one",
            vec![(A, 5, "a\nc", Terminated), (B, 4, "a", Early)],
            vec![],
            vec![0, 1],
        ),
        // With a call-id, whoever says it, and whenever.
        (
            "told by another",
            vec![(A, 7, "a\nc", Early), (B, 6, "a\nc", Terminated)],
            vec![],
            vec![1],
        ),
        (
            "remembered of another",
            vec![(A, 7, "a\nc", Early)],
            vec![(B, "a\nc", 1)],
            vec![],
        ),
        // Publications of an older version.
        (
            "are one publisher's",
            vec![(OLD, 5, "a", Early), (OLD, 6, "a", Terminated)],
            vec![],
            vec![1],
        ),
        (
            "may be the one's that ends",
            vec![(OLD, 5, "a", Early), (A, 6, "a", Terminated)],
            vec![],
            vec![1],
        ),
        (
            "or not, if they are newer",
            vec![(OLD, 7, "a", Early), (A, 6, "a", Terminated)],
            vec![],
            vec![0],
        ),
        (
            "end nothing of others",
            vec![(A, 5, "a", Early), (OLD, 6, "a", Terminated)],
            vec![(OLD, "a", 9)],
            vec![0],
        ),
        (
            "know what they ended",
            vec![(OLD, 5, "a", Early)],
            vec![(OLD, "a", 9)],
            vec![],
        ),
        // Rows that are by nobody else.
        (
            "stand for themselves",
            vec![(ROW, 5, "a", Early), (OTHER_ROW, 6, "a", Terminated)],
            vec![(OTHER_ROW, "a", 9), (OLD, "a", 9)],
            vec![0],
        ),
    ];
    for (label, input, ended, expected) in cases {
        assert_eq!(shown_of(&input, &ended), expected, "{label}: {input:?}");
    }
}

/// Databases keep these numbers: a version of the program that makes others would forget all ends.
#[test]
fn keys_stay_as_they_are() {
    let keys = |lines| identity(lines).ended_keys();
    let untold = |lines| identity_by(Publisher::Untold, lines).ended_keys();
    assert_eq!(untold("a"), [7_944_327_736_724_640_594]);
    assert_eq!(keys("a"), [1_096_332_020_620_895_773]);
    let row = identity_by(Publisher::Row(7), "a");
    assert!(row.ended_keys().is_empty(), "a row has nothing to remember");
    for lines in ["a\nc", "a\nc\nl\nr"] {
        assert_eq!(keys(lines), untold(lines), "whoever says it");
    }
    assert_eq!(keys("a\nc").len(), 1);
    assert_eq!(keys("a\nc\nl\nr").len(), 4);
    assert_eq!(keys("a\nc\n\n"), keys("a\nc"), "empty parts name nothing");
    let mut all: Vec<i64> = ["a", "a\nc", "ac", "a\nc\nl", "a\nc\n\nl", "a\nc\nl\nr"]
        .into_iter()
        .flat_map(keys)
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count - 2, "three of them have the part a, c");
}
