//! Which publications speak of the same dialog, and which of them is right.
//!
//! A dialog is named by its `id`; call-id and tags say more, where they are given (RFC 4235 section 4.1.1). The branches of a forked
//! call may come with one id and different tags: they are different dialogs, and the end of one is not the end of the others.
//! Who names fewer of the three speaks of all that agree in what it names.

use std::collections::{HashMap, HashSet};

use super::DialogState;

/// What names a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity<'a> {
    pub(super) id: &'a str,
    pub(super) call_id: Option<&'a str>,
    pub(super) local_tag: Option<&'a str>,
    pub(super) remote_tag: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// The identity as a text that a database can keep: id, call-id, local-tag, remote-tag, one a line; an absent one is an empty
    /// line, which names nothing either.
    pub(super) fn key(&self) -> String {
        let part = |text: Option<&str>| text.unwrap_or_default().replace(['\n', '\r'], " ");
        [
            part(Some(self.id)),
            part(self.call_id),
            part(self.local_tag),
            part(self.remote_tag),
        ]
        .join("\n")
    }

    fn of_key(key: &'a str) -> Self {
        let mut lines = key.split('\n');
        let id = lines.next().unwrap_or_default();
        let mut part = || lines.next().filter(|text| !text.is_empty());
        Self {
            id,
            call_id: part(),
            local_tag: part(),
            remote_tag: part(),
        }
        .cleared()
    }

    /// The same as it would be read back from a key.
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

/// When a publication came, and its number: decides between dialogs in the same state.
type Age = (i64, i64, i64);

/// Finds the dialogs that are shown. Linear in their number: every question is one look into a table.
#[derive(Debug, Default)]
pub(super) struct Survivors<'a> {
    /// The best that was said of each identity: state, age, place.
    best: HashMap<Identity<'a>, (DialogState, Age, usize)>,
    /// Identities that have terminated.
    ended: HashSet<Identity<'a>>,
}

impl<'a> Survivors<'a> {
    /// Takes note that a dialog has terminated.
    pub(super) fn end(&mut self, identity: Identity<'a>) {
        self.ended.insert(identity.cleared());
    }

    /// The same, by its key.
    pub(super) fn end_key(&mut self, key: &'a str) {
        self.ended.insert(Identity::of_key(key));
    }

    /// Whether a dialog has terminated, by its own identity or one that names less.
    pub(super) fn has_ended(&self, identity: Identity<'a>) -> bool {
        let identity = identity.cleared();
        self.ended.contains(&identity)
            || identity
                .less_precise()
                .any(|less| self.ended.contains(&less))
    }

    /// Takes what a publication says of a dialog. What is further on wins, whichever came first; of equals the newest, and
    /// within one publication the first.
    pub(super) fn add(&mut self, at: usize, identity: Identity<'a>, state: DialogState, age: Age) {
        if state == DialogState::Terminated {
            self.end(identity);
        }
        let best = self
            .best
            .entry(identity.cleared())
            .or_insert((state, age, at));
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
            .filter(|(identity, (state, ..))| {
                let known = more.get(identity);
                match state {
                    // It is what ends those that live; if all have ended by themselves, it says nothing more.
                    DialogState::Terminated => {
                        known.is_none_or(|(least, _)| *least != DialogState::Terminated)
                    }
                    _ => {
                        known.is_none_or(|(_, furthest)| furthest < state)
                            && !self.has_ended(**identity)
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

    fn shown(input: &[(&'static str, DialogState)], ended: &[&'static str]) -> Vec<usize> {
        let mut survivors = Survivors::default();
        for key in ended {
            survivors.end_key(key);
        }
        for (at, (key, state)) in input.iter().enumerate() {
            survivors.add(at, Identity::of_key(key), *state, (0, 0, at as i64));
        }
        survivors.indexes()
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
        ] {
            assert_eq!(shown(&input, &ended), expected, "{input:?} {ended:?}");
        }
    }

    #[test]
    fn a_key_reads_back() {
        for identity in [
            Identity {
                id: "a",
                call_id: None,
                local_tag: Some("l"),
                remote_tag: None,
            },
            Identity {
                id: "",
                call_id: Some("c"),
                local_tag: None,
                remote_tag: Some("r"),
            },
        ] {
            assert_eq!(Identity::of_key(&identity.key()), identity);
        }
        let odd = Identity {
            id: "a\nb",
            call_id: Some(""),
            local_tag: None,
            remote_tag: None,
        };
        assert_eq!(odd.key(), "a b\n\n\n");
    }
}
