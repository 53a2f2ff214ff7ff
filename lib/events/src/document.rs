//! Documents: what publishers send us and what watchers are shown.
//!
//! A published body is hostile until proven otherwise: it is read through [`xml`]'s guard only. A document is rendered
//! from the publications of one resource and the presentity alone, so every notifier renders the same octets.

pub(crate) mod body;
pub mod coding;
pub mod dialog_info;
mod element;
pub mod encoding;
pub mod feature_event;
mod ids;
pub mod message_summary;
mod namespaces;
pub mod pidf;
pub mod reginfo;
mod root;
pub mod summary;
pub(crate) mod tag;
pub mod watcherinfo;
pub mod writer;
pub mod xml;

use std::borrow::Cow;

use bytes::Bytes;

pub(crate) use element::require_affordable;
pub(crate) use root::{collected, renumbered};

/// A body fit for a NOTIFY: rendered once per resource, and numbered for each subscription if its kind has versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The value of Content-Type.
    pub content_type: String,
    /// The body. If its kind has versions, this is version 0; see [`Document::for_notify`].
    pub body: Bytes,
    /// Where in the body the digit `0` of the version stands.
    version_at: Option<usize>,
}

/// Whether a document tells everything or only what changed (RFC 3858 section 3, RFC 4235 section 4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DocumentState {
    /// Everything. The first NOTIFY of a subscription is always this, and so is any after a doubt.
    #[default]
    Full,
    /// Only what changed since the NOTIFY before.
    Partial,
}

impl DocumentState {
    /// The value of the attribute `state`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

// === impl Document ===

impl Document {
    /// A document whose kind has no versions.
    pub fn new(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: content_type.into(),
            body: body.into(),
            version_at: None,
        }
    }

    /// A document whose body has the digit `0` at `version_at`, in the place of its version.
    pub(crate) fn versioned(
        content_type: impl Into<String>,
        body: impl Into<Bytes>,
        version_at: usize,
    ) -> Self {
        let body = body.into();
        debug_assert_eq!(body.get(version_at), Some(&b'0'));
        Self {
            content_type: content_type.into(),
            body,
            version_at: Some(version_at),
        }
    }

    /// The body for the `nth` NOTIFY of a subscription, counted from 1 as in column `active_watchers.version`.
    ///
    /// The document's version is one less: it "starts at 0, and increments by one for each new document sent to a
    /// subscriber" (RFC 4235 section 4.1; RFC 3858 section 3.1, RFC 3680 section 5.2 alike). Nothing is rendered or copied for a
    /// document without versions, and a few digits are spliced in for one with.
    pub fn for_notify(&self, nth: u32) -> Cow<'_, [u8]> {
        match self.version_at {
            None => Cow::Borrowed(&self.body),
            Some(_) => {
                let mut out = Vec::with_capacity(self.body.len() + 9);
                self.push_for_notify(nth, &mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Appends what [`Document::for_notify`] gives, for a caller that has a buffer already.
    pub fn push_for_notify(&self, nth: u32, out: &mut Vec<u8>) {
        let Some(at) = self.version_at else {
            out.extend_from_slice(&self.body);
            return;
        };
        out.extend_from_slice(&self.body[..at]);
        let mut digits = [0; 10];
        let mut first = digits.len();
        let mut rest = nth.saturating_sub(1);
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[first..]);
        out.extend_from_slice(&self.body[at + 1..]);
    }
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
    /// Larger than [`xml::MAX_BYTES`], or than any document may be ([`crate::PackageOptions::max_document`]). The publisher must send less.
    #[error("Body too large")]
    TooLarge,
    /// Not UTF-8, nor what Content-Type or the declaration say. The publisher must use the encoding that it names.
    #[error("Body is not in the encoding that it declares")]
    NotUtf8,
    /// Not what Content-Encoding says.
    #[error("Body is not in its Content-Encoding")]
    BadCoding,
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
    /// The right kind of document, but without something that it must have: an id, a state that exists.
    #[error("Body lacks required content")]
    Incomplete,
    /// A tuple that has no id, or an empty one (RFC 3863 section 4.1.2). Nobody could tell it from others when it changes.
    #[error("Tuple without id")]
    TupleWithoutId,
    /// A basic status that is neither open nor closed (RFC 3863 section 4.1.4). Nobody could say what it means.
    #[error("Basic status is neither open nor closed")]
    UnknownBasicStatus,
    /// Partial state. A publication tells everything that its publisher knows (RFC 3903 section 4).
    #[error("Body is partial state")]
    PartialState,
    /// Lines that are no message summary (RFC 3842 section 5.2).
    #[error("Body is not a message summary")]
    NotASummary,
}

impl BodyFault {
    /// The reason phrase for the response.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "Body Too Large",
            Self::NotUtf8 => "Body Is Not In Its Encoding",
            Self::BadCoding => "Body Is Not In Its Content-Encoding",
            Self::TooComplex => "Body Too Complex",
            Self::HasDtd => "Body Has A DTD",
            Self::NotWellFormed => "Body Is Not Well-Formed XML",
            Self::WrongRoot => "Body Is Not A Document Of This Event Package",
            Self::Incomplete => "Body Lacks Required Content",
            Self::TupleWithoutId => "Tuple Without ID",
            Self::UnknownBasicStatus => "Basic Status Is Neither Open Nor Closed",
            Self::PartialState => "Body Is Partial State",
            Self::NotASummary => "Body Is Not A Message Summary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_spliced_in() {
        let document = Document::versioned("a/b", "<a version=\"0\"/>", 12);
        for (nth, expected) in [
            (0, "<a version=\"0\"/>"),
            (1, "<a version=\"0\"/>"),
            (2, "<a version=\"1\"/>"),
            (11, "<a version=\"10\"/>"),
            (u32::MAX, "<a version=\"4294967294\"/>"),
        ] {
            assert_eq!(&*document.for_notify(nth), expected.as_bytes());
        }
    }

    #[test]
    fn what_has_no_version_is_not_copied() {
        let document = Document::new("a/b", "0");
        assert!(matches!(document.for_notify(7), Cow::Borrowed(b"0")));
    }
}
