//! Requests outside of dialogs.
use crate::{Method, ViaOut};

/// A request to be encoded. Values are header values as they stand on the wire; CR and LF in them become spaces.
#[derive(Clone, Debug)]
pub struct RequestBuilder<'a> {
    /// The method.
    pub method: &'a Method,
    /// The Request-URI.
    pub uri: &'a str,
    /// Our Via.
    pub via: &'a ViaOut,
    /// From with its tag.
    pub from: &'a str,
    /// To, with its tag inside a dialog.
    pub to: &'a str,
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq number.
    pub cseq: u32,
    /// Contact: a URI or a name-addr.
    pub contact: Option<&'a str>,
    /// Further headers. A Max-Forwards among them replaces the usual 70.
    pub headers: &'a [(&'a str, &'a str)],
    /// Content type and body.
    pub body: Option<(&'a str, &'a [u8])>,
    /// Route values, first hop first.
    pub routes: &'a [String],
}

#[expect(clippy::todo, reason = "filled next")]
impl RequestBuilder<'_> {
    /// The bytes of the request.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }
}
