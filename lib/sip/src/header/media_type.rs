//! Media types of Content-Type and Accept (RFC 3261 sections 20.1 and 20.15).
use super::Params;

/// A media type or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype` in lower case, without spaces: `application/pidf+xml`, `*/*`.
    pub kind: String,
    /// `charset`, `boundary`, and in Accept also `q`.
    pub params: Params,
}
