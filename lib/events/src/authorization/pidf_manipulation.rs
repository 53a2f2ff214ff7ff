//! Hard state: presence documents that are stored, not published (RFC 4827; `xcap.doc_type` 16).
//!
//! RFC 4827 section 3: such a document is one more input of the compositor, "in addition to" what is published, and
//! never expires. It comes after all soft state, as the oldest, and it never takes an identifier from a publication.

use crate::document::{BodyFault, PublishedBody, pidf};

/// Whether a document can be merged as hard state: the same that is asked of a published one (RFC 4827 sections 5 to 7). Its
/// entity is not compared with its owner: the merged document says the presentity's own.
///
/// # Errors
/// Says why not; the document is then left out, and nothing else with it.
pub fn check(document: &[u8]) -> Result<(), BodyFault> {
    pidf::check(document)
}

/// The bodies to merge: publications as they are ordered, then hard state in the order given.
///
/// Numbers of publications decide who keeps an identifier that two have; those of hard state are higher than any row's, so
/// that a stored document changes no name that watchers have seen.
pub fn with_hard_state<'a>(
    soft: &[PublishedBody<'a>],
    hard: &[&'a [u8]],
) -> Vec<PublishedBody<'a>> {
    let hard = hard.iter().zip(0..).map(|(body, place)| PublishedBody {
        id: i64::MAX - place,
        content_type: pidf::CONTENT_TYPE,
        body,
    });
    soft.iter().copied().chain(hard).collect()
}
