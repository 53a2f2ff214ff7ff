//! Which publications speak of the same dialog, and which of them is right.
//!
//! A dialog is named by its `id`; call-id and tags say more, where they are given (RFC 4235 section 4.1.1). The branches of a forked
//! call may come with one id and different tags: they are different dialogs, and the end of one is not the end of the others.
//! Who names fewer of the three speaks of all that agree in what it names.
//!
//! A call-id is never used again, and is the same whoever tells it. So what has one and has ended stays ended, whoever says otherwise,
//! and whenever.
//!
//! An `id` alone must be unique "amongst all current dialogs at a user agent" (section 4.1.1), no more: the next call may have it again, and
//! so may another user agent's call (a PBX that calls every call of an extension `103`). So a dialog without call-id belongs to its
//! [`Publisher`], and its end has a time: it ends what that publisher has said up to then, in whichever of its publications.

use std::collections::{HashMap, HashSet};

use super::{DialogState, Ended};
use crate::package::Publisher;

/// What names a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity<'a> {
    pub(super) id: &'a str,
    pub(super) call_id: Option<&'a str>,
    pub(super) local_tag: Option<&'a str>,
    pub(super) remote_tag: Option<&'a str>,
    /// Whose dialog it is. With a call-id, it does not count, and is [`ANYBODY`].
    publisher: Publisher<'a>,
}

/// In place of a publisher where it does not count.
const ANYBODY: Publisher<'static> = Publisher::Untold;

impl<'a> Identity<'a> {
    /// From the attributes id, call-id, local-tag and remote-tag. One that is there but empty names nothing.
    pub(super) fn new(
        id: &'a str,
        [call_id, local_tag, remote_tag]: [Option<&'a str>; 3],
        publisher: Publisher<'a>,
    ) -> Self {
        let part = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        let call_id = part(call_id);
        Self {
            id,
            call_id,
            local_tag: part(local_tag),
            remote_tag: part(remote_tag),
            publisher: match call_id {
                Some(_) => ANYBODY,
                None => publisher,
            },
        }
    }

    /// The numbers by which a database remembers that this dialog has ended: one for the dialog itself, and one for each
    /// identity that names less of it but has the call-id.
    ///
    /// Without a call-id there is only the first, and none for a row that is its publisher's only one: whatever it says next is
    /// newer than its own end.
    pub(super) fn ended_keys(self) -> Vec<i64> {
        if matches!(self.publisher, Publisher::Row(_)) {
            return Vec::new();
        }
        let parts = self
            .less_precise(ANYBODY)
            .filter(|less| less.call_id.is_some())
            .map(|less| less.key(KeyOf::Part));
        std::iter::once(self.key(KeyOf::Dialog))
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
        // The row that has the key may hand it on to another publisher's, so the key itself says whose end it is.
        match self.publisher {
            Publisher::Untold => {}
            Publisher::Source(source) => source.bytes().for_each(eat),
            Publisher::Row(row) => row.to_be_bytes().into_iter().chain([0xff]).for_each(eat),
        }
        hash.cast_signed()
    }

    /// The identities that name less than this one and agree with it, when this publisher says them: at most seven.
    fn less_precise(self, publisher: Publisher<'a>) -> impl Iterator<Item = Identity<'a>> {
        let of = move |mask: u8| {
            let part = |bit: u8, part: Option<&'a str>| part.filter(|_| mask & bit != 0);
            let parts = [
                part(1, self.call_id),
                part(2, self.local_tag),
                part(4, self.remote_tag),
            ];
            Identity::new(self.id, parts, publisher)
        };
        let mut seen = Vec::with_capacity(8);
        (0..8).map(of).filter(move |less| {
            let is_new = *less != self && !seen.contains(less);
            seen.push(*less);
            is_new
        })
    }

    /// Whether something that has ended at `ended_us` cannot go on by what came at `came_us`.
    fn stays_ended(self, ended_us: i64, came_us: i64) -> bool {
        self.call_id.is_some() || came_us <= ended_us
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

/// The microsecond of an age. A row by hand may know its second only.
fn came_us((second, microsecond, _): Age) -> i64 {
    match microsecond {
        0 => second.saturating_mul(1_000_000),
        _ => microsecond,
    }
}

/// What a publication says of a dialog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    /// Where it stands in the list of all.
    pub(super) at: usize,
    pub(super) identity: Identity<'a>,
    pub(super) publisher: Publisher<'a>,
    pub(super) state: DialogState,
    pub(super) age: Age,
}

impl Said<'_> {
    /// What decides between two that speak of the same dialog; the greater one is right.
    ///
    /// With a call-id it is what is further on, whichever came first: a dialog never goes back (RFC 4235 section 3.7.1), so the other one
    /// is late. Without one it is what came last, and of what came in the same instant what is further on. For there both are by one
    /// publisher, and two publications of one publisher mean that it has forgotten the older one (a restart, or a PUBLISH without
    /// SIP-If-Match for each state): the newer one is what it knows now, and may be about the next call. The older one may say `confirmed`
    /// for ever.
    fn rank(&self) -> (i64, DialogState, Age) {
        let came_us = match self.identity.call_id {
            Some(_) => 0,
            None => came_us(self.age),
        };
        (came_us, self.state, self.age)
    }
}

/// What those who name more than an identity does know of it.
#[derive(Debug, Default)]
struct Known {
    /// There are any.
    is_said: bool,
    /// One of them, which the end of this identity ends, does not say so by itself.
    needs_end: bool,
    /// The furthest state of those that this identity's word is not news for.
    furthest: Option<DialogState>,
}

/// Finds the dialogs that are shown. Linear in their number: every question is one look into a table.
#[derive(Debug, Default)]
pub(super) struct Survivors<'a> {
    said: Vec<Said<'a>>,
    /// Identities that a publication calls terminated, and when the last one did.
    ended: HashMap<Identity<'a>, i64>,
    /// Those that one has called so before: key, and when.
    remembered: HashMap<i64, i64>,
}

impl<'a> Survivors<'a> {
    /// Takes note of an end that no publication tells any more.
    pub(super) fn remember(&mut self, ended: &Ended) {
        latest(self.remembered.entry(ended.key), ended.at_us);
    }

    /// Takes what a publication says of a dialog.
    pub(super) fn add(&mut self, said: Said<'a>) {
        if said.state == DialogState::Terminated {
            let identity = said.identity;
            latest(self.ended.entry(identity), came_us(said.age));
            // A publication that does not tell its publisher may be by this one.
            if let Publisher::Source(_) = identity.publisher {
                let untold = Identity {
                    publisher: Publisher::Untold,
                    ..identity
                };
                latest(self.ended.entry(untold), came_us(said.age));
            }
        }
        self.said.push(said);
    }

    /// The places of the dialogs that are shown, ascending.
    pub(super) fn indexes(&self) -> Vec<usize> {
        let (taken_back, standing): (Vec<&Said<'a>>, Vec<&Said<'a>>) =
            self.said.iter().partition(|said| self.is_taken_back(said));
        let best = best(&standing);
        let known = known(&best, &taken_back);
        let is_shown = |said: &&Said<'a>| {
            let known = known.get(&said.identity);
            match said.state {
                // It is what ends those that live; if all have ended by themselves, it says nothing more.
                DialogState::Terminated => {
                    known.is_none_or(|known| !known.is_said || known.needs_end)
                }
                state => {
                    known.is_none_or(|known| known.furthest < Some(state)) && !self.has_ended(said)
                }
            }
        };
        let shown: Vec<&Said<'a>> = best.into_values().filter(is_shown).collect();
        let mut indexes = without_ends_of_others(&shown);
        indexes.sort_unstable();
        indexes
    }

    /// Whether its publisher has taken back what it said of a dialog with call-id, by the end of all that agree in what it named later.
    /// What others say of the dialog stands.
    fn is_taken_back(&self, said: &Said<'a>) -> bool {
        // Nearly always nothing has ended, and nobody need be asked about seven names.
        let nothing_has_ended = self.ended.is_empty() && self.remembered.is_empty();
        !nothing_has_ended
            && said.state != DialogState::Terminated
            && said.identity.call_id.is_some()
            && said
                .identity
                .less_precise(said.publisher)
                .any(|less| less.call_id.is_none() && self.is_over(less, came_us(said.age)))
    }

    /// Whether a dialog has terminated, by its own identity or one that names less.
    fn has_ended(&self, said: &Said<'a>) -> bool {
        let identity = said.identity;
        let is_part =
            !self.remembered.is_empty() && self.remembered.contains_key(&identity.key(KeyOf::Part));
        is_part
            || std::iter::once(identity)
                .chain(identity.less_precise(said.publisher))
                .any(|ended| self.is_over(ended, came_us(said.age)))
    }

    /// Whether the end of just this identity counts against what came at `came_us`.
    fn is_over(&self, identity: Identity<'a>, came_us: i64) -> bool {
        let counts = |ended_us: &i64| identity.stays_ended(*ended_us, came_us);
        self.ended.get(&identity).is_some_and(counts)
            || !self.remembered.is_empty()
                && self
                    .remembered
                    .get(&identity.key(KeyOf::Dialog))
                    .is_some_and(counts)
    }
}

/// The best that was said of each identity. Of what is equally right the first counts: within one publication, that is.
fn best<'s, 'a>(standing: &[&'s Said<'a>]) -> HashMap<Identity<'a>, &'s Said<'a>> {
    let mut best: HashMap<Identity<'a>, &Said<'a>> = HashMap::new();
    for said in standing {
        let known = best.entry(said.identity).or_insert(said);
        if said.rank() > known.rank() {
            *known = said;
        }
    }
    best
}

/// What is known of each identity by those who name more.
fn known<'a>(
    best: &HashMap<Identity<'a>, &Said<'a>>,
    taken_back: &[&Said<'a>],
) -> HashMap<Identity<'a>, Known> {
    let mut known: HashMap<Identity<'a>, Known> = HashMap::new();
    for said in best.values() {
        for less in said.identity.less_precise(said.publisher) {
            let Some(spoken) = best.get(&less) else {
                continue;
            };
            let (came_us, spoken_us) = (came_us(said.age), came_us(spoken.age));
            let known = known.entry(less).or_default();
            known.is_said = true;
            known.needs_end |=
                said.state != DialogState::Terminated && less.stays_ended(spoken_us, came_us);
            if less.call_id.is_some() || came_us >= spoken_us {
                known.furthest = known.furthest.max(Some(said.state));
            }
        }
    }
    for said in taken_back {
        let less = said.identity.less_precise(said.publisher);
        for less in less.filter(|less| less.call_id.is_none()) {
            known.entry(less).or_default().needs_end = true;
        }
    }
    known
}

/// The places of what is shown, but for ends without a call-id under an id that somebody else's dialog has.
///
/// For watchers a dialog is its id (RFC 4235 section 4.1.1). Such an end would be taken for that dialog's, under whatever other name; and
/// of two such ends the last one says it.
fn without_ends_of_others(shown: &[&Said<'_>]) -> Vec<usize> {
    let is_end =
        |said: &Said<'_>| said.state == DialogState::Terminated && said.identity.call_id.is_none();
    let time = |said: &Said<'_>| (came_us(said.age), said.age);
    let mut last_ends: HashMap<Identity<'_>, (i64, Age)> = HashMap::new();
    let mut live = HashSet::new();
    for said in shown {
        if is_end(said) {
            let last = last_ends
                .entry(of_anybody(said.identity))
                .or_insert(time(said));
            *last = (*last).max(time(said));
        } else if said.state != DialogState::Terminated {
            live.insert(said.identity.id);
        }
    }
    shown
        .iter()
        .filter(|said| {
            !is_end(said)
                || !live.contains(said.identity.id)
                    && last_ends.get(&of_anybody(said.identity)) == Some(&time(said))
        })
        .map(|said| said.at)
        .collect()
}

/// The same names, whoever says them.
fn of_anybody(identity: Identity<'_>) -> Identity<'_> {
    Identity {
        publisher: ANYBODY,
        ..identity
    }
}

fn latest<K>(entry: std::collections::hash_map::Entry<'_, K, i64>, at_us: i64) {
    let latest = entry.or_insert(at_us);
    *latest = (*latest).max(at_us);
}

#[cfg(test)]
mod tests;
