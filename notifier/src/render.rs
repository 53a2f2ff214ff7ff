//! Documents for watchers: the publications of a batch of resources become one body per resource and distinct view.
//!
//! What a document contains is the event package's business (`events`); this module sees to it that a resource with
//! 5,000 watchers is merged once per take and not 5,000 times. Watchers to whom rules show a part of it share one body for each
//! part (RFC 5025 section 3.3); it is made from the merged document, so that it holds in the first NOTIFY and in every later one.
//! Others differ who published some of it in a package that does not tell them their own words again (`dialog;sla`). Watcher
//! information ([`crate::watchers`]) is told to some in full and to some in part.

use events::authorization::view::polite_block;
use events::authorization::watcher_state::Shown;
use events::package::{Echo, EventPackage, StateSource};
use events::{Document, DocumentState, MergeInput, Registry};
use sql::{Listed, NextChange, Resource, TakenDialog};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The documents of one take.
#[derive(Debug)]
pub(crate) struct Rendered(HashMap<Resource, View>);

/// What the watchers of one resource are shown, and how long it is true.
#[derive(Debug)]
pub(crate) struct View {
    /// Full state.
    pub(crate) document: Option<Arc<Document>>,
    /// What changed, of documents that can be partial, if any dialog is shown that.
    pub(crate) partial: Option<Arc<Document>>,
    /// What those who published some of it are told of a change, by their Contact. Empty in most packages.
    pub(crate) echoes: Vec<(String, Option<Arc<Document>>)>,
    /// What others than those who see everything are shown, by `active_watchers.view`.
    pub(crate) parts: HashMap<String, Option<Arc<Document>>>,
    pub(crate) next_change: NextChange,
}

/// The view of those who see everything: nearly all.
const ALL: &str = "all";

/// The type of the documents that RFC 5025's transformations are for.
const PIDF: &str = "application/pidf+xml";

// === impl View ===

impl View {
    /// The document for this dialog. Who subscribes, or leaves, is told everything; who is told of a change may be told less.
    pub(crate) fn document_for(&self, dialog: &TakenDialog) -> Option<Arc<Document>> {
        if dialog.view != ALL {
            return self.parts.get(&dialog.view)?.clone();
        }
        if dialog.partial_since.is_none() {
            return self.document.clone();
        }
        match self.echoes.iter().find(|(to, _)| *to == dialog.contact) {
            Some((_, echo)) => echo.clone(),
            None => self.partial.as_ref().or(self.document.as_ref()).cloned(),
        }
    }
}

// === impl Rendered ===

impl Rendered {
    /// Renders the resources that are made of publications; `others` are done. `listed` is of all of them, and names each by
    /// the place in `resources`.
    ///
    /// A resource of an event package that isn't in the registry (a row written by hand) has no document.
    pub(crate) fn new(
        registry: &Registry,
        resources: &[Resource],
        listed: &Listed,
        others: impl Iterator<Item = (Resource, View)>,
    ) -> Rendered {
        let sources = listed.by_resource(resources.len());
        let views = resources.iter().zip(&sources).map(|(resource, source)| {
            let package = registry.find_name(&resource.event);
            // Without its watchers, no list is better than one that says nobody.
            let package = package.filter(|package| package.source == StateSource::Publications);
            let input = source.input(&resource.presentity_uri);
            let document = package.and_then(|package| package.merge(&input));
            let echoes = match package {
                Some(package) if package.echo == Echo::Withheld => echoes(package, &input),
                _ => Vec::new(),
            };
            let next_change = package.and_then(|package| package.next_change(&input));
            let view = View {
                document: document.map(Arc::new),
                partial: None,
                echoes,
                parts: HashMap::new(),
                next_change: next_change.map_or(NextChange::Never, NextChange::At),
            };
            (resource.clone(), view)
        });
        Rendered(views.chain(others).collect())
    }

    /// Sees to it that there is what a dialog of this resource and view is shown.
    pub(crate) fn show(&mut self, registry: &Registry, resource: &Resource, view: &str) {
        if view == ALL {
            return;
        }
        let Some(rendered) = self.0.get_mut(resource) else {
            return;
        };
        if !rendered.parts.contains_key(view) {
            let package = registry.find_name(&resource.event);
            let part = package
                .and_then(|package| part_of(package, resource, rendered.document.as_ref(), view));
            rendered.parts.insert(view.to_owned(), part);
        }
    }

    /// The document that this dialog of the resource is shown.
    pub(crate) fn document(
        &self,
        resource: &Resource,
        dialog: &TakenDialog,
    ) -> Option<Arc<Document>> {
        self.0.get(resource)?.document_for(dialog)
    }

    /// When that document changes although no publication does.
    pub(crate) fn next_change(&self, resource: &Resource) -> NextChange {
        self.0
            .get(resource)
            .map_or(NextChange::Unknown, |view| view.next_change)
    }
}

/// The documents of those who published some of this resource, after a change.
fn echoes(
    package: &events::EventPackage,
    input: &MergeInput<'_>,
) -> Vec<(String, Option<Arc<Document>>)> {
    let mut senders: Vec<&str> = input.publications.iter().map(|p| p.sender).collect();
    senders.sort_unstable();
    senders.dedup();
    let is_echo = |sender: &&str| package.is_echo(input.publications, sender);
    let echo = |viewer: &str| {
        let input = MergeInput {
            viewer,
            state: DocumentState::Partial,
            ..*input
        };
        (viewer.to_owned(), package.merge(&input).map(Arc::new))
    };
    senders.into_iter().filter(is_echo).map(echo).collect()
}

/// What a view shows of a document. Rules can only divide presence documents; of others, whoever is let in sees the whole.
fn part_of(
    package: &EventPackage,
    resource: &Resource,
    document: Option<&Arc<Document>>,
    view: &str,
) -> Option<Arc<Document>> {
    let presentity = &resource.presentity_uri;
    let is_presence = package.notify_content_type == PIDF;
    match Shown::decode(view) {
        Shown::NoBody => None,
        Shown::Unavailable if is_presence => Some(Arc::new(polite_block(presentity))),
        Shown::Unavailable => {
            let nothing = MergeInput {
                presentity,
                ..MergeInput::default()
            };
            package.merge(&nothing).map(Arc::new)
        }
        Shown::Part(part) if is_presence => {
            document.map(|document| Arc::new(part.apply(presentity, document)))
        }
        Shown::Part(_) => document.cloned(),
    }
}

/// Content type and body for the `nth` NOTIFY of a dialog, counted from 1.
pub(crate) fn body_of(document: Option<&Document>, nth: u32) -> Option<(&str, Cow<'_, [u8]>)> {
    document.map(|document| (document.content_type.as_str(), document.for_notify(nth)))
}
