//! Documents for watchers: the publications of a batch of resources become one body per resource and distinct view.
//!
//! What a document contains is the event package's business (`events`); this module sees to it that a resource with
//! 5,000 watchers is merged once per take and not 5,000 times. Watchers to whom rules show a part of it share one body for each
//! part (RFC 5025 section 3.3); it is made from the merged document, so that it holds in the first NOTIFY and in every later one.
//! Watcher information ([`crate::watchers`]) is sent to some in full and to some in part.
//!
//! Most is made before the dialogs are taken, so that it is known whom it shows something new ([`crate::seen`]). What could not be
//! made of that is read and made afterwards.

use crate::dialog_status::is_terminated;
use crate::seen::digest;
use crate::watchers::WatcherForms;
use events::authorization::view::polite_block;
use events::authorization::watcher_state::Shown;
use events::package::{EventPackage, StateSource};
use events::subscription::FORMER_PIDF;
use events::{Document, MergeInput, Registry};
use sql::{ClaimedViews, LastChange, Listed, NextChange, Resource, Rest, Seen, TakenDialog};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The documents of one take.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// As of before it: what a dialog that [`TakenDialog::is_known`] is shown.
    before: HashMap<Resource, View>,
    /// As of after it.
    after: HashMap<Resource, View>,
    /// [`crate::seen::Manner::is_quiet`]
    is_quiet: bool,
}

/// What the watchers of one resource are shown, and how long it is true.
#[derive(Debug)]
pub(crate) struct View {
    /// Full state.
    pub(crate) document: Option<Arc<Document>>,
    /// Of watcher information, instead of a document: the forms that it has.
    pub(crate) forms: WatcherForms,
    /// What others than those who see everything are shown, by `active_watchers.view`.
    pub(crate) parts: HashMap<String, Option<Arc<Document>>>,
    pub(crate) next_change: NextChange,
    /// Nothing is published that could be shown. Of watcher information there is always something.
    pub(crate) is_empty: bool,
}

/// The view of those who see everything: nearly all.
const ALL: &str = "all";

/// The type of the documents that RFC 5025's transformations are for.
const PIDF: &str = "application/pidf+xml";

// === impl View ===

impl View {
    /// The document for this dialog. A watcher who subscribes, or leaves, gets everything; a change may be sent as less.
    pub(crate) fn document_for(&self, dialog: &TakenDialog) -> Option<Arc<Document>> {
        if dialog.view != ALL {
            return self.parts.get(&dialog.view)?.clone();
        }
        self.document
            .clone()
            .or_else(|| self.forms.document(dialog))
    }

    /// Sees to it that there is what a dialog of this view is shown.
    fn show(&mut self, registry: &Registry, resource: &Resource, view: &str) {
        if view == ALL || self.parts.contains_key(view) {
            return;
        }
        let package = registry.find_name(&resource.event);
        let part =
            package.and_then(|package| part_of(package, resource, self.document.as_ref(), view));
        self.parts.insert(view.to_owned(), part);
    }
}

// === impl Rendered ===

impl Rendered {
    pub(crate) fn new(is_quiet: bool) -> Rendered {
        Rendered {
            is_quiet,
            ..Rendered::default()
        }
    }

    /// Renders what was read before a take. `changes` are the last ones of `resources`; `claimed` and `listed` name each by its place among them; what nobody
    /// watches is left out. Returns what each of `claimed` will be seen as, but for [`Seen::own`].
    pub(crate) fn read_before(
        &mut self,
        registry: &Registry,
        resources: &[Resource],
        changes: &[LastChange],
        claimed: &[ClaimedViews],
        listed: &Listed,
    ) -> Vec<Seen> {
        let sources = listed.by_resource(resources.len());
        let mut seen = Vec::with_capacity(claimed.len());
        for views in claimed {
            let place = views.resource_index;
            let (Some(resource), Some(change), Some(source)) =
                (resources.get(place), changes.get(place), sources.get(place))
            else {
                seen.push(Seen::default());
                continue;
            };
            let mut view = view_of(registry, resource, &source.input(&resource.presentity_uri));
            let mut other_digests = Vec::with_capacity(views.views.len());
            for part in &views.views {
                view.show(registry, resource, part);
                let part_digest = digest(view.parts.get(part).and_then(Option::as_deref));
                other_digests.push((part.clone(), part_digest));
            }
            seen.push(Seen {
                version: change.version,
                digest: digest(view.document.as_deref()),
                other_digests,
                quiet: self.is_quiet.then_some(view.is_empty),
                own: Vec::new(),
            });
            self.before.insert(resource.clone(), view);
        }
        seen
    }

    /// Renders the resources that are made of publications and were read after the take; `others` are done.
    pub(crate) fn read(
        &mut self,
        registry: &Registry,
        resources: &[Resource],
        listed: &Listed,
        others: impl Iterator<Item = (Resource, View)>,
    ) {
        let sources = listed.by_resource(resources.len());
        let views = resources.iter().zip(&sources).map(|(resource, source)| {
            let view = view_of(registry, resource, &source.input(&resource.presentity_uri));
            (resource.clone(), view)
        });
        self.after.extend(views.chain(others));
    }

    /// Adds the documents of other resources, or of these as of after the take.
    pub(crate) fn add(&mut self, other: Rendered) {
        self.before.extend(other.before);
        self.after.extend(other.after);
    }

    /// Sees to it that there is what a taken dialog of this resource is shown.
    pub(crate) fn show(&mut self, registry: &Registry, resource: &Resource, dialog: &TakenDialog) {
        let views = match dialog.is_known {
            true => &mut self.before,
            false => &mut self.after,
        };
        if let Some(view) = views.get_mut(resource) {
            view.show(registry, resource, &dialog.view);
        }
    }

    /// The document that this dialog of the resource is shown.
    pub(crate) fn document(
        &self,
        resource: &Resource,
        dialog: &TakenDialog,
    ) -> Option<Arc<Document>> {
        // An empty document is what a phone without `send_fast_notify` cannot read, also in the last NOTIFY.
        if is_terminated(dialog) && self.has_nothing(resource, dialog) {
            return None;
        }
        self.view(resource, dialog)?.document_for(dialog)
    }

    /// What is to be sent to a dialog after this.
    pub(crate) fn rest(&self, resource: &Resource, dialog: &TakenDialog) -> Option<Rest> {
        // Watcher information is never known before the take: nearly every dialog is none of its business.
        if dialog.is_known || dialog.view != ALL {
            return None;
        }
        self.view(resource, dialog)?.forms.rest(dialog)
    }

    /// Whether there is nothing to show a dialog, where that makes a difference: nothing is published, or it must look so.
    pub(crate) fn has_nothing(&self, resource: &Resource, dialog: &TakenDialog) -> bool {
        let is_empty =
            |view: &View| view.is_empty || Shown::decode(&dialog.view) == Shown::Unavailable;
        self.is_quiet && self.view(resource, dialog).is_some_and(is_empty)
    }

    /// When a document of this resource changes although no publication does.
    pub(crate) fn next_change(&self, resource: &Resource) -> NextChange {
        let next_change = |views: &HashMap<Resource, View>| {
            let view = views.get(resource);
            view.map_or(NextChange::Unknown, |view| view.next_change)
        };
        next_change(&self.before).earliest(next_change(&self.after))
    }

    fn view(&self, resource: &Resource, dialog: &TakenDialog) -> Option<&View> {
        match dialog.is_known {
            true => self.before.get(resource),
            false => self.after.get(resource),
        }
    }
}

/// What a resource that is made of publications shows. One of an event package that isn't in the registry (a row written by hand)
/// has no document.
fn view_of(registry: &Registry, resource: &Resource, input: &MergeInput<'_>) -> View {
    let package = registry.find_name(&resource.event);
    // Without its watchers, no list is better than one that says nobody.
    let package = package.filter(|package| package.source == StateSource::Publications);
    let document = package.and_then(|package| package.merge(input));
    let next_change = package.and_then(|package| package.next_change(input));
    View {
        is_empty: input.publications.is_empty() || document.is_none(),
        document: document.map(Arc::new),
        forms: WatcherForms::default(),
        parts: HashMap::new(),
        next_change: next_change.map_or(NextChange::Never, NextChange::At),
    }
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

/// Content type and body for the next NOTIFY of a dialog. PIDF has the name by which the phone knows it.
pub(crate) fn body_of<'a>(
    document: Option<&'a Document>,
    dialog: &'a TakenDialog,
) -> Option<(&'a str, Cow<'a, [u8]>)> {
    document.map(|document| {
        let content_type = match dialog.accept.as_str() {
            FORMER_PIDF if document.content_type == PIDF => FORMER_PIDF,
            _ => document.content_type.as_str(),
        };
        (content_type, document.for_notify(dialog.version))
    })
}
