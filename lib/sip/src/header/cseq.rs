//! CSeq (RFC 3261 section 20.16).
use crate::Method;

/// Sequence number and method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 in requests that follow the RFC; up to 2^32-1 is read.
    pub number: u32,
    /// Must equal the method of the request, or of the request that a response answers.
    pub method: Method,
}
