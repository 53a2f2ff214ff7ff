//! `<package>.winfo`: who watches (RFC 3857), shown as watcherinfo (RFC 3858). A template: one for each package.

use std::sync::Arc;

use super::{Authorization, EventPackage, MergeInput, PackageOptions, StateSource};
use crate::document::{Document, watcherinfo};

/// What the template adds to a package's name (RFC 3857 section 4.1).
pub(super) const SUFFIX: &str = ".winfo";

/// The watcher information of a package. RFC 3857 section 4.4 recommends an hour for subscriptions.
pub(super) fn package(watched: &EventPackage, options: &Arc<PackageOptions>) -> EventPackage {
    let (name, parameters) = match watched.name.split_once(';') {
        None => (&*watched.name, None),
        Some((name, parameters)) => (name, Some(parameters)),
    };
    let name = match parameters {
        None => format!("{name}{SUFFIX}"),
        Some(parameters) => format!("{name}{SUFFIX};{parameters}"),
    };
    let expires_s = options.presence.default_expires_s;
    EventPackage {
        publish_content_types: Vec::new(),
        // RFC 3857 section 4.6: "it is RECOMMENDED that the default policy … be that the only watcher is the presentity".
        authorization: Authorization::Presentity,
        source: StateSource::Watchers,
        merge,
        ..EventPackage::new(name, watcherinfo::CONTENT_TYPE, expires_s, options)
    }
}

/// The full name of the package that this one is for: `lamp;door` for `lamp.winfo;door`.
pub(super) fn watched_name(name: &str) -> Option<String> {
    let (template, parameters) = name.split_at(name.find(';').unwrap_or(name.len()));
    Some(format!("{}{parameters}", template.strip_suffix(SUFFIX)?))
}

/// The same without parameters: RFC 3858 section 3.2.1 has room for a token.
fn watched(name: &str) -> Option<&str> {
    name.split(';').next()?.strip_suffix(SUFFIX)
}

/// The same as a merge, in no more room than a document has ([`PackageOptions::max_document`]): the first watchers, and the number of the
/// last of them if there are more.
pub(super) fn piece(
    package: &EventPackage,
    input: &MergeInput<'_>,
) -> Option<(Document, Option<i64>)> {
    Some(watcherinfo::render_within(
        input.presentity,
        watched(&package.name)?,
        input.state,
        input.watchers,
        package.max_document_bytes(),
    ))
}

fn merge(package: &EventPackage, input: &MergeInput<'_>) -> Option<Document> {
    let watched = watched(&package.name)?;
    Some(watcherinfo::render(
        input.presentity,
        watched,
        input.state,
        input.watchers,
    ))
}
