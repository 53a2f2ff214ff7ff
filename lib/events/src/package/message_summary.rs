//! `message-summary`: whether messages wait (RFC 3842), the envelope on the phone.

use std::sync::Arc;

use super::{EventPackage, PackageOptions};
use crate::document::message_summary;

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.message_summary.default_expires.get();
    EventPackage {
        check: |_, body| message_summary::check(body),
        merge: |package, input| message_summary::merge(&package.options.message_summary, input),
        ..EventPackage::new(
            "message-summary",
            message_summary::CONTENT_TYPE,
            expires_s,
            options,
        )
    }
}
