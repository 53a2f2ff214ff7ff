//! Documents: what publishers send us and what watchers are shown.
//!
//! A published body is hostile until proven otherwise: it is read through [`xml`]'s guard only. A document is rendered
//! from the publications of one resource and the presentity alone, so every notifier renders the same octets.

mod ids;
mod namespaces;
pub mod pidf;
pub mod summary;
pub(crate) mod tag;
pub mod writer;
pub mod xml;

use bytes::Bytes;

/// A body fit for a NOTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The value of Content-Type.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// The body of one publication, as the database keeps it. Slices of these are ordered newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedBody<'a> {
    /// The row's number. It grows with each new publication and stays through refreshes and modifications (the
    /// entity-tag does not), so what is named after it keeps its name.
    pub id: i64,
    /// Content-Type of the PUBLISH; empty for the package's own type.
    pub content_type: &'a str,
    /// The body as it was published, or as somebody wrote it into the table.
    pub body: &'a [u8],
}

/// What is wrong with a published body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyFault {
    /// Larger than [`xml::MAX_BYTES`]. The publisher must send less.
    #[error("Body too large")]
    TooLarge,
    /// Not UTF-8, or an encoding declaration that says so. The publisher must use UTF-8.
    #[error("Body is not UTF-8")]
    NotUtf8,
    /// More namespaces, attributes, nodes or depth than any honest document has; reading it would cost too much.
    #[error("Body too complex")]
    TooComplex,
    /// A document type declaration. Entities are not expanded.
    #[error("Body has a DTD")]
    HasDtd,
    /// Not well-formed XML.
    #[error("Body is not well-formed XML")]
    NotWellFormed,
    /// Well-formed, but not the kind of document that the package shows.
    #[error("Body is not a document of this event package")]
    WrongRoot,
}

impl BodyFault {
    /// The reason phrase for the response.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "Body Too Large",
            Self::NotUtf8 => "Body Is Not UTF-8",
            Self::TooComplex => "Body Too Complex",
            Self::HasDtd => "Body Has A DTD",
            Self::NotWellFormed => "Body Is Not Well-Formed XML",
            Self::WrongRoot => "Body Is Not A Document Of This Event Package",
        }
    }
}
