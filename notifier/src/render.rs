//! Documents for watchers: the publications of a batch of resources become one body per resource and distinct view.
//!
//! What a document contains is the event package's business (`events`); this module sees to it that a resource with
//! 5,000 watchers is merged once per take and not 5,000 times. Today every watcher of a resource has the same view; rules and
//! document versions will make more, as further keys of the same map.

use events::package::StateSource;
use events::{Document, MergeInput, Registry};
use sql::{NextChange, Publication, Resource};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The documents of one take.
#[derive(Debug)]
pub(crate) struct Rendered(HashMap<Resource, View>);

/// What the watchers of one resource are shown, and how long it is true.
#[derive(Debug)]
struct View {
    document: Option<Arc<Document>>,
    next_change: NextChange,
}

impl Rendered {
    /// Renders the resources. `publications` are the live ones of all of them; each names its resource by the place in
    /// `resources`.
    ///
    /// A resource of an event package that isn't in the registry (a row written by hand) has no document.
    pub(crate) fn new(
        registry: &Registry,
        resources: &[Resource],
        publications: &[Publication],
    ) -> Rendered {
        let mut bodies: Vec<Vec<events::Publication<'_>>> = vec![Vec::new(); resources.len()];
        for publication in publications {
            if let Some(own) = bodies.get_mut(publication.resource_index) {
                own.push(merge_row(publication));
            }
        }
        // Without a publication nothing depends on the time.
        let now = publications.first().map_or(0, |first| first.now);
        let views = resources.iter().zip(&bodies).map(|(resource, own)| {
            let package = registry.find_name(&resource.event);
            // Who watches is not read here yet, and no list is better than one that says nobody.
            let package = package.filter(|package| package.source == StateSource::Publications);
            let input = MergeInput {
                presentity: &resource.presentity_uri,
                publications: own,
                now,
                ..MergeInput::default()
            };
            let document = package.and_then(|package| package.merge(&input));
            let next_change = package.and_then(|package| package.next_change(&input));
            let view = View {
                document: document.map(Arc::new),
                next_change: next_change.map_or(NextChange::Never, NextChange::At),
            };
            (resource.clone(), view)
        });
        Rendered(views.collect())
    }

    /// The document that a watcher of this resource is shown.
    pub(crate) fn document(&self, resource: &Resource) -> Option<Arc<Document>> {
        self.0.get(resource)?.document.clone()
    }

    /// When that document changes although no publication does.
    pub(crate) fn next_change(&self, resource: &Resource) -> NextChange {
        self.0
            .get(resource)
            .map_or(NextChange::Unknown, |view| view.next_change)
    }
}

fn merge_row(row: &Publication) -> events::Publication<'_> {
    events::Publication {
        id: row.id,
        content_type: &row.content_type,
        body: &row.body,
        entity_tag: &row.entity_tag,
        sender: &row.sender,
        received_time: row.received_time,
        modified_us: row.modified_us,
        expires: row.expires,
        priority: row.priority,
    }
}

/// Content type and body for the `nth` NOTIFY of a dialog, counted from 1.
pub(crate) fn body_of(document: Option<&Document>, nth: u32) -> Option<(&str, Cow<'_, [u8]>)> {
    document.map(|document| (document.content_type.as_str(), document.for_notify(nth)))
}
