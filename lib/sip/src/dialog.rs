//! Requests inside a dialog (RFC 3261 section 12.2.1.1).
use crate::{Method, ParseError, Uri, ViaOut};

/// What a request inside a dialog is built from.
#[derive(Clone, Debug)]
pub struct DialogView<'a> {
    /// Call-ID.
    pub call_id: &'a str,
    /// Our address as it stood in the first request, without tag: a name-addr or a URI.
    pub local_uri: &'a str,
    /// Our tag.
    pub local_tag: &'a str,
    /// The peer's address, without tag.
    pub remote_uri: &'a str,
    /// The peer's tag; empty for a peer of RFC 2543.
    pub remote_tag: &'a str,
    /// The peer's Contact URI.
    pub remote_target: &'a str,
    /// Route values as received, in the order to be used.
    pub route_set: &'a [String],
    /// Our Contact: a URI or a name-addr.
    pub local_contact: &'a str,
}

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub struct DialogRequest {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// The URI to resolve by RFC 3263; see [`next_hop`].
    pub next_hop: Uri,
}

/// Builds a request inside the dialog.
///
/// # Errors
/// A route or the remote target is malformed, or a value holds CR or LF.
#[expect(clippy::todo, reason = "filled next")]
pub fn request(
    _view: &DialogView<'_>,
    _method: &Method,
    _cseq: u32,
    _via: &ViaOut,
    _extra: &[(&str, &str)],
    _body: Option<(&str, &[u8])>,
) -> Result<DialogRequest, ParseError> {
    todo!()
}

/// Where requests of the dialog go: the first route, or the remote target without routes.
///
/// # Errors
/// The first route or the remote target is malformed.
#[expect(clippy::todo, reason = "filled next")]
pub fn next_hop(_view: &DialogView<'_>) -> Result<Uri, ParseError> {
    todo!()
}
