//! Keyed hashes: entity-tags, To-tags and flow tokens that any process of the cluster computes alike and nobody else can.

use crate::base32;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// Bytes of a tag: 128 bits.
pub(crate) const MAC_BYTES: usize = 16;

/// What every tag of a presentity begins with: two characters of `a-z2-7` that its canonical URI gives, so that from an entity-tag or
/// a To-tag alone it can be told in which of several databases its row would be.
///
/// They are the first ten bits of SHA-256 of the URI in base32 (RFC 4648 section 6, lower case): one of 1,024 places, in SQL
/// `get_byte(h, 0) * 4 + get_byte(h, 1) / 64` where `h` is `sha256(convert_to(uri, 'UTF8'))`. No secret: whoever routes a request can
/// compute them.
pub fn home(presentity_uri: &str) -> String {
    let mut text = base32::encode(&Sha256::digest(presentity_uri.as_bytes())[..2]);
    text.truncate(2);
    text
}

/// The cluster's secret.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl Secret {
    /// A secret from key material of any length.
    pub fn new(key: &[u8]) -> Secret {
        // HMAC hashes longer keys itself; hashing all of them fixes the length, so that making the key cannot fail.
        Secret(Hmac::new(&block(key)))
    }

    /// HMAC-SHA256, cut to 128 bits, over purpose and parts, each prefixed with its length; as 26 token characters.
    pub fn tag(&self, purpose: &str, parts: &[&[u8]]) -> String {
        base32::encode(&self.mac(purpose, parts).finalize().into_bytes()[..MAC_BYTES])
    }

    /// The same, cut to 64 bits: tells values apart, but is no tag that anybody should be unable to guess.
    pub fn digest(&self, purpose: &str, parts: &[&[u8]]) -> i64 {
        let mac = self.mac(purpose, parts).finalize().into_bytes();
        let mut digest = [0; 8];
        digest.copy_from_slice(&mac[..8]);
        i64::from_be_bytes(digest)
    }

    pub(crate) fn sign(&self, purpose: &str, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut signature = [0; MAC_BYTES];
        signature.copy_from_slice(&self.mac(purpose, parts).finalize().into_bytes()[..MAC_BYTES]);
        signature
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, purpose: &str, parts: &[&[u8]], signature: &[u8]) -> bool {
        signature.len() == MAC_BYTES
            && self
                .mac(purpose, parts)
                .verify_truncated_left(signature)
                .is_ok()
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            // The length first: ("ab", "c") and ("a", "bc") must differ.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// The key as one block of the hash, filled up with zeros.
fn block(key: &[u8]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..32].copy_from_slice(&Sha256::digest(key));
    block
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_depend_on_everything_and_on_nothing_else() {
        let secret = Secret::new(b"key");
        let tag = secret.tag("etag", &[b"ab", b"c"]);
        assert_eq!(
            tag,
            Secret::new(b"key").tag("etag", &[b"ab", b"c"]),
            "any process computes the same"
        );
        assert!(
            tag.len() == 26 && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{tag}"
        );
        for (label, other) in [
            ("parts", secret.tag("etag", &[b"a", b"bc"])),
            ("joined", secret.tag("etag", &[b"abc"])),
            ("purpose", secret.tag("to-tag", &[b"ab", b"c"])),
            ("secret", Secret::new(b"other").tag("etag", &[b"ab", b"c"])),
            ("empty part", secret.tag("etag", &[b"ab", b"c", b""])),
            (
                "long key",
                Secret::new(&[b'k'; 1_000]).tag("etag", &[b"ab", b"c"]),
            ),
        ] {
            assert_ne!(tag, other, "{label}");
        }
    }

    /// Promised: whoever routes by tags computes the same.
    #[test]
    fn a_presentity_has_one_home() {
        for (uri, expected) in [
            ("sip:alice@example.org", "wd"),
            ("sip:bob@example.org", "6a"),
            ("tel:+441234", "3q"),
        ] {
            assert_eq!(home(uri), expected, "{uri}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new(b"key")), "Secret(..)");
    }
}
