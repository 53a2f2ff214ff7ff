//! `dialog;sla`: one line that appears on several phones (bridged line appearance).
//!
//! The phones, or a server for them, publish for one presentity and watch it. Who published is not told its own words again
//! (Kamailio's `handle_publish(sender_uri)`; [`Echo::Withheld`]), and the entity-tag stays, because they share the publication. A phone that is idle
//! does not end the call of the phone beside it: its body without a dialog does not replace another sender's with one. That is
//! decided by the database ([`super::BodyNote::has_dialog`]), because only it knows the stored body.

use std::sync::Arc;

use super::{Authorization, Echo, EventPackage, PackageOptions, TagChange};
use crate::document::dialog_info;

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.sla.default_expires.get();
    EventPackage {
        tag_change: TagChange::Kept,
        echo: Echo::Withheld,
        authorization: Authorization::Line,
        check: |_, body| dialog_info::check(body),
        note: |_, body, publisher| dialog_info::note(body, publisher),
        merge: |package, input| Some(dialog_info::merge(&package.options.dialog, input)),
        next_change: |package, input| dialog_info::next_change(&package.options.dialog, input),
        ..EventPackage::new("dialog;sla", dialog_info::CONTENT_TYPE, expires_s, options)
    }
}
