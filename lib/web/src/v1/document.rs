//! Documents as a watcher gets them who may see everything: merged by the same code as for a NOTIFY, from the same rows.

use std::collections::HashMap;

use ::events::document::{Document, DocumentState};
use ::events::{EventPackage, MergeInput, Registry};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use sql::{Resource, Store, StoreError, WatchedResource, Watcher};

/// Octets of a digest that are kept.
const DIGEST_BYTES: usize = 16;

/// What there is to be seen of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Nothing, if nobody publishes it.
    pub(super) document: Option<ShownDocument>,
    /// Another text when watchers are shown something else. Of watcher information it does not count the seconds in the document.
    pub(super) version: String,
    /// Epoch second at which the document changes although no row does.
    pub(super) next_change: Option<i64>,
}

/// A representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownDocument {
    pub(super) content_type: String,
    /// A kind that has versions is at its first, as in the first NOTIFY of a subscription.
    pub(super) body: Bytes,
    /// A digest of both: the same from any server.
    pub(super) etag: String,
}

/// The version of what is not there.
pub(super) const NOTHING: &str = "none";

/// Looks at resources; the answers are in their order.
///
/// # Errors
/// Any [`StoreError`].
pub(super) async fn look(
    store: &Store,
    registry: &Registry,
    resources: &[Resource],
) -> Result<Vec<Shown>, StoreError> {
    let package = |resource: &Resource| registry.find_name(&resource.event);
    let watched = |resource: &Resource| -> Option<WatchedResource> {
        Some(WatchedResource {
            resource: Resource {
                presentity_uri: resource.presentity_uri.clone(),
                event: package(resource)?.watched_package()?,
            },
            all_live: true,
            since: None,
            after: None,
        })
    };
    let (winfos, published): (Vec<&Resource>, Vec<&Resource>) = resources
        .iter()
        .partition(|resource| watched(resource).is_some());
    let questions: Vec<WatchedResource> = winfos.iter().filter_map(|r| watched(r)).collect();
    let named: Vec<Resource> = published.iter().map(|&resource| resource.clone()).collect();
    let (subscription, publication) = (store.subscription(), store.publication());
    let (watchers, listed) = tokio::try_join!(
        subscription.list_watchers(&questions, None),
        publication.list(&named)
    )?;
    let mut shown: HashMap<&Resource, Shown> = HashMap::new();
    for (index, resource) in winfos.into_iter().enumerate() {
        let own: Vec<&Watcher> = watchers
            .iter()
            .filter(|watcher| watcher.resource_index == index)
            .collect();
        shown.insert(
            resource,
            watcher_information(package(resource), resource, &own),
        );
    }
    let sources = listed.by_resource(named.len());
    for (resource, source) in published.into_iter().zip(&sources) {
        let input = source.input(&resource.presentity_uri);
        let package = package(resource).filter(|_| !source.publications.is_empty());
        let document = package
            .and_then(|package| package.merge(&input))
            .map(ShownDocument::from);
        let version = document.as_ref().map_or(NOTHING, |document| &document.etag);
        shown.insert(
            resource,
            Shown {
                version: version.to_owned(),
                document,
                next_change: package.and_then(|package| package.next_change(&input)),
            },
        );
    }
    Ok(resources
        .iter()
        .filter_map(|resource| shown.get(resource).cloned())
        .collect())
}

fn watcher_information(
    package: Option<&EventPackage>,
    resource: &Resource,
    watchers: &[&Watcher],
) -> Shown {
    let uris: Vec<String> = watchers.iter().map(|watcher| watcher.uri()).collect();
    let records: Vec<_> = watchers
        .iter()
        .zip(&uris)
        .map(|(watcher, uri)| watcher.record(uri))
        .collect();
    let input = MergeInput {
        presentity: &resource.presentity_uri,
        watchers: &records,
        state: DocumentState::Full,
        ..MergeInput::default()
    };
    let states: Vec<String> = watchers
        .iter()
        .map(|watcher| format!("{} {} {}", watcher.id, watcher.status, watcher.event))
        .collect();
    Shown {
        document: package
            .and_then(|package| package.merge(&input))
            .map(ShownDocument::from),
        version: digest(states.iter().map(String::as_bytes)),
        next_change: None,
    }
}

/// A text that another content does not have: hexadecimal, 128 bits.
pub(super) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length first: ("ab", "c") and ("a", "bc") must differ.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize()[..DIGEST_BYTES])
}

// === impl ShownDocument ===

impl From<Document> for ShownDocument {
    fn from(document: Document) -> ShownDocument {
        let body = Bytes::from(document.for_notify(1).into_owned());
        ShownDocument {
            etag: digest([document.content_type.as_bytes(), &body]),
            content_type: document.content_type,
            body,
        }
    }
}
