//! Hard state: presence documents that are stored, not published (RFC 4827; `xcap.doc_type` 16).
//!
//! RFC 4827 section 3: such a document is one more input of the compositor, "in addition to" what is published, and
//! never expires. It comes after all soft state, as the oldest, and it never takes an identifier from a publication: whoever reads
//! it gives it a number above those of all publications.

use crate::document::{BodyFault, pidf};

/// Whether a document can be merged as hard state: the same that is asked of a published one (RFC 4827 sections 5 to 7). Its
/// entity is not compared with its owner: the merged document says the presentity's own.
///
/// # Errors
/// Says why not; the document is then left out, and nothing else with it.
pub fn check(document: &[u8]) -> Result<(), BodyFault> {
    pidf::check(document)
}
