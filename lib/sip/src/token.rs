//! Keyed hashes: entity-tags, To-tags and flow tokens that any process of the cluster computes alike and nobody else can.
use std::fmt;

/// The cluster's secret.
#[derive(Clone)]
pub struct Secret(hmac::Hmac<sha2::Sha256>);

#[expect(clippy::todo, reason = "filled next")]
impl Secret {
    /// A secret from key material of any length.
    pub fn new(_key: &[u8]) -> Secret {
        todo!()
    }

    /// HMAC-SHA256, cut to 128 bits, over purpose and parts, each prefixed with its length; as 26 token characters.
    pub fn tag(&self, _purpose: &str, _parts: &[&[u8]]) -> String {
        todo!()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = &self.0;
        f.write_str("Secret(..)")
    }
}
