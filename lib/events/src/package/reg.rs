//! `reg`: where an address of record is registered (RFC 3680).

use std::sync::Arc;

use super::{EventPackage, PackageOptions};
use crate::document::reginfo;

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.reginfo.default_expires.get();
    EventPackage {
        check: |_, body| reginfo::check(body),
        merge: |package, input| {
            let all = package.options.reginfo.aggregate_presentities;
            Some(reginfo::merge(all, input))
        },
        ..EventPackage::new("reg", reginfo::CONTENT_TYPE, expires_s, options)
    }
}
