//! Which publications speak of the same dialog, and which of them is right.
//!
//! A dialog is named by its `id`; call-id and tags say more, where they are given (RFC 4235 section 4.1.1). The branches of a forked
//! call may come with one id and different tags: they are different dialogs, and the end of one is not the end of the others.
//! Who names fewer of the three speaks of all that agree in what it names.

use std::collections::{HashMap, HashSet};

use super::{DialogState, Ended};

/// What names a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity<'a> {
    pub(super) id: &'a str,
    pub(super) call_id: Option<&'a str>,
    pub(super) local_tag: Option<&'a str>,
    pub(super) remote_tag: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// The numbers by which a database remembers that this dialog has ended: one for the dialog itself, and one for each
    /// identity that names less of it but has the call-id. Without a call-id there is only the first: who gives none may use the
    /// id again.
    pub(super) fn ended_keys(self) -> Vec<i64> {
        let identity = self.cleared();
        let parts = identity
            .less_precise()
            .filter(|less| less.call_id.is_some())
            .map(|less| less.key(KeyOf::Part));
        std::iter::once(identity.key(KeyOf::Dialog))
            .chain(parts)
            .collect()
    }

    /// A number for this identity: FNV-1a with 64 bits over its parts. It must stay as it is, because databases keep it.
    ///
    /// It guards against accidents only. Whoever can publish here can end any dialog of this presentity without it.
    fn key(self, of: KeyOf) -> i64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut eat = |byte: u8| {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        };
        eat(of as u8);
        let parts = [Some(self.id), self.call_id, self.local_tag, self.remote_tag];
        for part in parts {
            part.unwrap_or_default().bytes().for_each(&mut eat);
            // No character has this octet in UTF-8.
            eat(0xff);
        }
        hash.cast_signed()
    }

    /// The same without parts that are there but empty, which name nothing.
    fn cleared(self) -> Self {
        let part = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        Self {
            call_id: part(self.call_id),
            local_tag: part(self.local_tag),
            remote_tag: part(self.remote_tag),
            ..self
        }
    }

    /// The identities that name less than this one and agree with it: at most seven.
    fn less_precise(self) -> impl Iterator<Item = Identity<'a>> {
        let of = move |mask: u8| Identity {
            id: self.id,
            call_id: self.call_id.filter(|_| mask & 1 != 0),
            local_tag: self.local_tag.filter(|_| mask & 2 != 0),
            remote_tag: self.remote_tag.filter(|_| mask & 4 != 0),
        };
        let mut seen = Vec::with_capacity(8);
        (0..8).map(of).filter(move |less| {
            let is_new = *less != self && !seen.contains(less);
            seen.push(*less);
            is_new
        })
    }
}

/// What a key is made of.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum KeyOf {
    /// A dialog that has ended: the key ends it and all that name more.
    Dialog = b'd',
    /// What a dialog that has ended is called by those who name less of it: the key ends only what names just that. Else the
    /// end of one branch of a fork would be the end of the others.
    Part = b'p',
}

/// When a publication came (second, microsecond), and its number: decides between dialogs in the same state.
pub(super) type Age = (i64, i64, i64);

/// Finds the dialogs that are shown. Linear in their number: every question is one look into a table.
#[derive(Debug, Default)]
pub(super) struct Survivors<'a> {
    /// The best that was said of each identity: state, age, place.
    best: HashMap<Identity<'a>, (DialogState, Age, usize)>,
    /// Identities that a publication calls terminated.
    ended: HashSet<Identity<'a>>,
    /// Those that one has called so before: key, and when.
    remembered: HashMap<i64, i64>,
}

impl<'a> Survivors<'a> {
    /// Takes note of an end that no publication tells any more.
    pub(super) fn remember(&mut self, ended: &Ended) {
        let at_us = self.remembered.entry(ended.key).or_insert(ended.at_us);
        *at_us = (*at_us).max(ended.at_us);
    }

    /// Whether a dialog has terminated, by its own identity or one that names less. `came_us` says when the body came that
    /// says otherwise.
    fn has_ended(&self, identity: Identity<'a>, came_us: i64) -> bool {
        self.ended.contains(&identity)
            || identity
                .less_precise()
                .any(|less| self.ended.contains(&less))
            || (!self.remembered.is_empty() && self.is_remembered(identity, came_us))
    }

    /// Whether it is remembered that a dialog has terminated. What has a call-id never comes back. What has none may be called
    /// the same as the call before: then only what was said before that one ended is an old story.
    fn is_remembered(&self, identity: Identity<'a>, came_us: i64) -> bool {
        let ended_at = |key| self.remembered.get(&key).copied();
        ended_at(identity.key(KeyOf::Part)).is_some()
            || std::iter::once(identity)
                .chain(identity.less_precise())
                .any(|ended| {
                    ended_at(ended.key(KeyOf::Dialog))
                        .is_some_and(|at_us| ended.call_id.is_some() || came_us <= at_us)
                })
    }

    /// Takes what a publication says of a dialog. What is further on wins, whichever came first; of equals the newest, and
    /// within one publication the first.
    pub(super) fn add(&mut self, at: usize, identity: Identity<'a>, state: DialogState, age: Age) {
        let identity = identity.cleared();
        if state == DialogState::Terminated {
            self.ended.insert(identity);
        }
        let best = self.best.entry(identity).or_insert((state, age, at));
        if (state, age) > (best.0, best.1) {
            *best = (state, age, at);
        }
    }

    /// The places of the dialogs that are shown, ascending.
    pub(super) fn indexes(&self) -> Vec<usize> {
        // What is known by those who name more than an identity does: the least and the furthest.
        let mut more: HashMap<Identity<'a>, (DialogState, DialogState)> = HashMap::new();
        for (identity, (state, ..)) in &self.best {
            for less in identity.less_precise() {
                let known = more.entry(less).or_insert((*state, *state));
                *known = (known.0.min(*state), known.1.max(*state));
            }
        }
        let mut indexes: Vec<usize> = self
            .best
            .iter()
            .filter(|(identity, (state, (_, came_us, _), _))| {
                let known = more.get(identity);
                match state {
                    // It is what ends those that live; if all have ended by themselves, it says nothing more.
                    DialogState::Terminated => {
                        known.is_none_or(|(least, _)| *least != DialogState::Terminated)
                    }
                    _ => {
                        known.is_none_or(|(_, furthest)| furthest < state)
                            && !self.has_ended(**identity, *came_us)
                    }
                }
            })
            .map(|(_, (_, _, at))| *at)
            .collect();
        indexes.sort_unstable();
        indexes
    }
}

#[cfg(test)]
mod tests {
    use super::DialogState::{Confirmed, Early, Terminated, Trying};
    use super::*;

    /// Id, call-id, local-tag and remote-tag, one a line.
    fn identity(lines: &'static str) -> Identity<'static> {
        let mut lines = lines.split('\n');
        Identity {
            id: lines.next().unwrap_or_default(),
            call_id: lines.next(),
            local_tag: lines.next(),
            remote_tag: lines.next(),
        }
    }

    /// What is shown of bodies that all came at 5, if these dialogs ended at those times.
    fn shown_after(
        input: &[(&'static str, DialogState)],
        ended: &[(&'static str, i64)],
    ) -> Vec<usize> {
        let mut survivors = Survivors::default();
        for (lines, at_us) in ended {
            for key in identity(lines).ended_keys() {
                survivors.remember(&Ended { key, at_us: *at_us });
            }
        }
        for (at, (lines, state)) in input.iter().enumerate() {
            survivors.add(at, identity(lines), *state, (0, 5, at as i64));
        }
        survivors.indexes()
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

    /// Databases keep these numbers: a version of the program that makes others would forget all ends.
    #[test]
    fn keys_stay_as_they_are() {
        let keys = |lines| identity(lines).ended_keys();
        assert_eq!(keys("a"), [7_944_327_736_724_640_594]);
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
}
