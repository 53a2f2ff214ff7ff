//! `presence`: the state of a person and their devices (RFC 3856), shown as PIDF.

use super::EventPackage;
use crate::document::{Document, PublishedBody, pidf};

/// The package. RFC 3856 section 6.4 recommends an hour for subscriptions.
pub(super) const PACKAGE: EventPackage = EventPackage {
    name: "presence",
    notify_content_type: pidf::CONTENT_TYPE,
    publish_content_types: &[pidf::CONTENT_TYPE],
    default_expires_s: 3600,
    check: pidf::check,
    merge,
};

fn merge(presentity: &str, bodies: &[PublishedBody<'_>]) -> Option<Document> {
    Some(pidf::merge(presentity, bodies))
}
