//! Documents for watchers: the publications of a batch of resources become one body per resource and distinct view.
//!
//! What a document contains is the event package's business (`events`); this module sees to it that a resource with
//! 5,000 watchers is merged once per take and not 5,000 times. Today every watcher of a resource has the same view; rules and
//! document versions will make more, as further keys of the same map.

use bytes::Bytes;
use events::{Document, PublishedBody, Registry};
use sql::{Publication, Resource};
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
        let mut bodies: Vec<Vec<PublishedBody<'_>>> = vec![Vec::new(); resources.len()];
        for publication in publications {
            if let Some(own) = bodies.get_mut(publication.resource_index) {
                own.push(PublishedBody {
                    id: publication.id,
                    content_type: &publication.content_type,
                    body: &publication.body,
                });
            }
        }
        let documents = resources.iter().zip(&bodies).map(|(resource, own)| {
            let package = registry.find_name(&resource.event);
            let document =
                package.and_then(|package| (package.merge)(&resource.presentity_uri, own));
            (resource.clone(), document.map(Arc::new))
        });
        Rendered(documents.collect())
    }

    /// The document that a watcher of this resource is shown.
    pub(crate) fn document(&self, resource: &Resource) -> Option<Arc<Document>> {
        self.0.get(resource).cloned().flatten()
    }
}

/// Content type and body as the request builder takes them.
pub(crate) fn body_of(document: Option<&Document>) -> Option<(&str, &[u8])> {
    document.map(|Document { content_type, body }| (content_type.as_str(), Bytes::as_ref(body)))
}
