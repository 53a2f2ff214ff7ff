//! `dialog`: who is talking and whose phone rings (RFC 4235), the lamps of desk phones.

use std::sync::Arc;

use super::{BodyNote, EventPackage, PackageOptions};
use crate::document::dialog_info;

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.dialog.default_expires.get();
    EventPackage {
        check: |_, body| dialog_info::check(body),
        note: |_, body, publisher| {
            let note = dialog_info::note(body, publisher)?;
            // Here each phone has its own publication.
            Ok(BodyNote {
                has_dialog: false,
                ..note
            })
        },
        merge: |package, input| Some(dialog_info::merge(&package.options.dialog, input)),
        next_change: |package, input| dialog_info::next_change(&package.options.dialog, input),
        ..EventPackage::new("dialog", dialog_info::CONTENT_TYPE, expires_s, options)
    }
}
