//! `xcap-diff`: which XCAP documents changed (RFC 5875, 5874), passed through as it was published.

use std::sync::Arc;

use super::{EventPackage, PackageOptions};
use crate::document::{BodyFault, xml};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xcap-diff";

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.xcap_diff.default_expires.get();
    EventPackage {
        check: |_, body| check(body),
        ..EventPackage::new("xcap-diff", "application/xcap-diff+xml", expires_s, options)
    }
}

fn check(body: &[u8]) -> Result<(), BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "xcap-diff")) {
        return Err(BodyFault::WrongRoot);
    }
    // RFC 5874 section 4.1: "The 'xcap-root' attribute is mandatory".
    match root.attribute("xcap-root") {
        Some(_) => Ok(()),
        None => Err(BodyFault::Incomplete),
    }
}
