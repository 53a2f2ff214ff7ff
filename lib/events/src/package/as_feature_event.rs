//! `as-feature-event`: do-not-disturb and call forwarding, kept alike on the phone and on the server (device feature key
//! synchronization, in the words of ECMA-323).

use std::sync::Arc;

use super::{EventPackage, PackageOptions};
use crate::document::feature_event::{self, FeatureRequest};

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.feature_event.default_expires.get();
    EventPackage {
        check: |_, body| feature_event::check(body),
        request: Some(FeatureRequest::read),
        merge: |package, input| feature_event::merge(package.options.feature_event.features, input),
        ..EventPackage::new(
            "as-feature-event",
            feature_event::CONTENT_TYPE,
            expires_s,
            options,
        )
    }
}
