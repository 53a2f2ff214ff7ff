//! Watcher information: who watches a resource, read and rendered for those who watch that (RFC 3857, 3858).
//!
//! It has several forms. Full state lists everybody; it answers a SUBSCRIBE, and follows a doubt. Partial state lists those whose
//! status changed since the NOTIFY before. One document of each form serves all dialogs of a take: the partial one reaches back
//! as far as any of them needs, because to receive a watcher twice does no harm.
//!
//! A list that does not fit into one NOTIFY is sent in pieces: an empty full state, then partial ones with the next watchers by their
//! numbers, and last one with what changed since the first. Each is sent when the one before was answered ([`Rest`]). If even the changes are too
//! many for one NOTIFY, all is sent again; but not more often than every [`PIECE_INTERVAL_S`], so that a client that subscribes without end does not keep
//! the presentity's phones busy.

mod forms;

use events::document::watcherinfo::WatcherRecord;
use events::document::{Document, DocumentState};
use events::package::EventPackage;
use events::{MergeInput, Registry};
use sql::{NextChange, Resource, Rest, TakenDialog, WatchedResource, Watcher};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use crate::render::View;
use forms::Told;

pub(crate) use forms::WatcherForms;

/// The last of the pieces: what changed since the first.
const CHANGES: i64 = i64::MAX;

/// Between one telling in pieces and the next. As long as partial state reaches back, so that what was told once is not told again.
const PIECE_INTERVAL_S: u32 = 30;

/// The shortest line of a watcher: so many rows are read at most as could have room.
const MIN_LINE_BYTES: usize = 64;

/// A resource of a package of watcher information, and the forms in which its dialogs are shown it.
#[derive(Debug)]
pub(crate) struct Wanted {
    resource: Resource,
    watched: Resource,
    is_full: bool,
    partial_since: Option<SystemTime>,
    /// By where they go on; since when something counts as changed, in the last of them.
    pieces: BTreeMap<i64, Option<SystemTime>>,
}

/// One form of a resource's watcher information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Full,
    Partial {
        since: SystemTime,
    },
    Piece {
        told_to: i64,
        since: Option<SystemTime>,
    },
}

// === impl Wanted ===

impl Wanted {
    /// Nothing, if the resource's package is not watcher information. `dialogs` are those that were taken of it.
    pub(crate) fn of<'a>(
        registry: &Registry,
        resource: &Resource,
        dialogs: impl Iterator<Item = &'a TakenDialog>,
    ) -> Option<Wanted> {
        let package = registry.find_name(&resource.event)?;
        let watched = Resource {
            presentity_uri: resource.presentity_uri.clone(),
            event: package.watched_package()?,
        };
        let mut wanted = Wanted {
            resource: resource.clone(),
            watched,
            is_full: false,
            partial_since: None,
            pieces: BTreeMap::new(),
        };
        for dialog in dialogs {
            let since = dialog.partial_since;
            if let Some(told_to) = dialog.told_to {
                let all = wanted.pieces.entry(told_to).or_insert(since);
                *all = (*all).min(since);
                continue;
            }
            match (since, wanted.partial_since) {
                (None, _) => wanted.is_full = true,
                (Some(one), Some(other)) => wanted.partial_since = Some(one.min(other)),
                (since @ Some(_), None) => wanted.partial_since = since,
            }
        }
        Some(wanted)
    }

    /// What to ask the database: one question for each form.
    pub(crate) fn questions(&self) -> impl Iterator<Item = WatchedResource> {
        self.forms().map(|form| {
            let (all_live, since, after) = match form {
                Form::Full => (true, None, None),
                Form::Partial { since } => (false, Some(since), None),
                Form::Piece {
                    told_to: CHANGES,
                    since,
                } => (false, since, None),
                Form::Piece { told_to, .. } => (false, None, Some(told_to)),
            };
            WatchedResource {
                resource: self.watched.clone(),
                all_live,
                since,
                after,
            }
        })
    }

    /// How many rows of an answer could have room in a document, and one more.
    pub(crate) fn limit(&self, registry: &Registry) -> usize {
        let package = registry.find_name(&self.resource.event);
        package.map_or(0, EventPackage::max_document_bytes) / MIN_LINE_BYTES + 1
    }

    /// Its documents, made of the answers, in the order of the questions. An answer of more rows than its limit is cut.
    pub(crate) fn render(
        &self,
        registry: &Registry,
        answers: &[Vec<&Watcher>],
    ) -> (Resource, View) {
        let mut forms = WatcherForms::default();
        let package = registry.find_name(&self.resource.event);
        for (form, watchers) in self.forms().zip(answers) {
            let is_cut = watchers.len() >= self.limit(registry);
            let told = package.and_then(|package| self.tell(package, form, watchers, is_cut));
            match form {
                Form::Full => forms.full = told,
                Form::Partial { .. } => forms.partial = told,
                Form::Piece { told_to, .. } => {
                    forms.pieces.extend(told.map(|told| (told_to, told)));
                }
            }
        }
        let view = View {
            document: None,
            forms,
            parts: HashMap::new(),
            next_change: NextChange::Never,
            is_empty: false,
        };
        (self.resource.clone(), view)
    }

    fn forms(&self) -> impl Iterator<Item = Form> {
        let full = self.is_full.then_some(Form::Full);
        let partial = self.partial_since.map(|since| Form::Partial { since });
        let pieces = self.pieces.iter();
        let pieces = pieces.map(|(&told_to, &since)| Form::Piece { told_to, since });
        full.into_iter().chain(partial).chain(pieces)
    }

    /// `is_cut`: there are more watchers than these.
    fn tell(
        &self,
        package: &EventPackage,
        form: Form,
        watchers: &[&Watcher],
        is_cut: bool,
    ) -> Option<Told> {
        let mut watchers = watchers;
        if is_cut && let Some(last) = watchers.last().map(|watcher| watcher.id) {
            // Of the last one there may be another row, which counts.
            let rest = watchers.partition_point(|watcher| watcher.id < last);
            watchers = &watchers[..rest];
        }
        let state = match form {
            Form::Full => DocumentState::Full,
            Form::Partial { .. } | Form::Piece { .. } => DocumentState::Partial,
        };
        let (document, told_to) = self.document(package, state, watchers)?;
        let last = watchers.last().map_or(i64::MIN, |watcher| watcher.id);
        // Up to where it told, if not all.
        let told_to = told_to.or(is_cut.then_some(last));
        let go_on = |told_to| Rest {
            told_to: Some(told_to),
            after_s: 0,
        };
        let anew_in = |after_s| Rest {
            told_to: None,
            after_s,
        };
        let (document, rest) = match (form, told_to) {
            (Form::Full, Some(_)) => {
                let (nobody, _) = self.document(package, state, &[])?;
                (nobody, Some(go_on(i64::MIN)))
            }
            (Form::Partial { .. }, Some(_)) => (document, Some(anew_in(0))),
            (
                Form::Piece {
                    told_to: CHANGES, ..
                },
                Some(_),
            ) => (document, Some(anew_in(PIECE_INTERVAL_S))),
            (Form::Piece { .. }, Some(told_to)) => (document, Some(go_on(told_to))),
            (
                Form::Full
                | Form::Partial { .. }
                | Form::Piece {
                    told_to: CHANGES, ..
                },
                None,
            ) => (document, None),
            (Form::Piece { .. }, None) => (document, Some(go_on(CHANGES))),
        };
        Some(Told {
            document: Arc::new(document),
            rest,
        })
    }

    fn document(
        &self,
        package: &EventPackage,
        state: DocumentState,
        watchers: &[&Watcher],
    ) -> Option<(Document, Option<i64>)> {
        let uris: Vec<String> = watchers.iter().map(|watcher| watcher.uri()).collect();
        let records: Vec<WatcherRecord<'_>> = watchers
            .iter()
            .zip(&uris)
            .map(|(watcher, uri)| watcher.record(uri))
            .collect();
        package.piece(&MergeInput {
            presentity: &self.resource.presentity_uri,
            watchers: &records,
            state,
            ..MergeInput::default()
        })
    }
}

#[cfg(test)]
mod tests;
