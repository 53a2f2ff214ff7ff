//! `ua-profile`: the configuration of a phone (RFC 6080), passed through as it was published.

use std::sync::Arc;

use super::{EventPackage, PackageOptions, newest};
use crate::document::Document;

const CONTENT_TYPE: &str = "text/xml";

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.profile.default_expires.get();
    EventPackage {
        // RFC 7303 section 9.2: the two are one type. Watchers are sent the one that their SUBSCRIBE agreed on.
        publish_content_types: vec![CONTENT_TYPE.into(), "application/xml".into()],
        merge: |package, input| {
            newest::merge(package, input).map(|document| Document::new(CONTENT_TYPE, document.body))
        },
        ..EventPackage::new("ua-profile", CONTENT_TYPE, expires_s, options)
    }
}
