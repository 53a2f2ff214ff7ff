//! Shows the newest publication as it is: for packages whose state has one author at a time.

use super::{EventPackage, MergeInput};
use crate::document::Document;

/// The newest publication that the package's check lets pass, with its own Content-Type; nothing if there is none.
pub(super) fn merge(package: &EventPackage, input: &MergeInput<'_>) -> Option<Document> {
    let newest = input
        .publications
        .iter()
        .find(|publication| package.check(publication.body).is_ok())?;
    let content_type = match newest.content_type {
        // A row written by hand may say anything; what subscribers never accepted is not sent to them.
        content_type if package.takes(content_type) => content_type,
        _ => &*package.notify_content_type,
    };
    Some(Document::new(content_type, newest.body.to_vec()))
}
