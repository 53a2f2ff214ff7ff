//! Documents for watchers: the publications of a batch of resources become one body per resource and distinct view.
//!
//! What a document contains is the event package's business (`events`); this module sees to it that a resource with
//! 5,000 watchers is merged once per take and not 5,000 times. Today every watcher of a resource has the same view; rules and
//! document versions will make more, as further keys of the same map.

use events::package::StateSource;
use events::{Document, MergeInput, Registry};
use sql::{Publication, Resource};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The documents of one take.
#[derive(Debug)]
pub(crate) struct Rendered(HashMap<Resource, Option<Arc<Document>>>);

impl Rendered {
    /// Renders the resources. `publications` are the live ones of all of them, newest first within a resource; each names
    /// its resource by the place in `resources`.
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
                // They come newest first, and are told apart by their place.
                let age = i64::try_from(own.len()).unwrap_or(i64::MAX);
                own.push(events::Publication {
                    id: publication.id,
                    content_type: &publication.content_type,
                    body: &publication.body,
                    entity_tag: &publication.entity_tag,
                    sender: &publication.sender,
                    modified_us: -age,
                    ..events::Publication::default()
                });
            }
        }
        let documents = resources.iter().zip(&bodies).map(|(resource, own)| {
            let package = registry.find_name(&resource.event);
            // Who watches is not read here yet, and no list is better than one that says nobody.
            let package = package.filter(|package| package.source == StateSource::Publications);
            let document = package.and_then(|package| {
                package.merge(&MergeInput {
                    presentity: &resource.presentity_uri,
                    publications: own,
                    ..MergeInput::default()
                })
            });
            (resource.clone(), document.map(Arc::new))
        });
        Rendered(documents.collect())
    }

    /// The document that a watcher of this resource is shown.
    pub(crate) fn document(&self, resource: &Resource) -> Option<Arc<Document>> {
        self.0.get(resource).cloned().flatten()
    }
}

/// Content type and body for the `nth` NOTIFY of a dialog, counted from 1.
pub(crate) fn body_of(document: Option<&Document>, nth: u32) -> Option<(&str, Cow<'_, [u8]>)> {
    document.map(|document| (document.content_type.as_str(), document.for_notify(nth)))
}
