//! `dialog;sla`: one line that appears on several phones (bridged line appearance).
//!
//! The phones, or a server for them, publish for one presentity and watch it. Who published is not told its own words again
//! (the guide's `handle_publish(sender_uri)`), and the entity-tag stays, because they share the publication. A phone that is idle
//! does not end the call of the phone beside it: its body without a dialog does not replace another sender's with one. That is
//! decided by the database ([`super::BodyNote::has_dialog`]), because only it knows the stored body.

use std::sync::Arc;

use super::{Echo, EntityTags, EventPackage, MergeInput, PackageOptions};
use crate::document::{Document, DocumentState, dialog_info};

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.sla.default_expires_s;
    EventPackage {
        entity_tags: EntityTags::Kept,
        echo: Echo::Withheld,
        check: |_, body| dialog_info::check(body),
        note: |_, body| dialog_info::note(body),
        merge,
        next_change: |package, input| dialog_info::next_change(&package.options.dialog, input),
        ..EventPackage::new("dialog;sla", dialog_info::CONTENT_TYPE, expires_s, options)
    }
}

/// For the watcher that published: in answer to its SUBSCRIBE everything, because it may have lost what it knew; after a
/// change nothing of its own, and that as partial state, if nothing else is published.
fn merge(package: &EventPackage, input: &MergeInput<'_>) -> Option<Document> {
    let options = &package.options.dialog;
    let is_echo = package.is_echo(input.publications, input.viewer);
    if !is_echo || input.state == DocumentState::Full {
        return Some(dialog_info::merge(options, input));
    }
    let newest_is_own = input
        .publications
        .iter()
        .max_by(|a, b| super::order::by_age(a, b))
        .is_some_and(|newest| newest.sender == input.viewer);
    Some(if newest_is_own {
        dialog_info::echo(input.presentity)
    } else {
        dialog_info::merge(options, input)
    })
}
