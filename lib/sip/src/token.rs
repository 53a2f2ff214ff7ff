//! Keyed hashes: entity-tags, To-tags and flow tokens that any process of the cluster computes alike and nobody else can.

use crate::base32;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// Bytes of a tag: 128 bits.
pub(crate) const MAC_BYTES: usize = 16;

/// What every tag of a presentity begins with: two characters of `a-z2-7` that its canonical URI gives, so that from an entity-tag or
/// a To-tag alone it shows in which of several databases its row would be.
///
/// They are the first ten bits of SHA-256 of the URI in base32 (RFC 4648 section 6, lower case): one of 1,024 places, in SQL
/// `get_byte(h, 0) * 4 + get_byte(h, 1) / 64` where `h` is `sha256(convert_to(uri, 'UTF8'))`. No secret: whoever routes a request can
/// compute them.
pub fn home(presentity_uri: &str) -> String {
    let mut text = base32::encode(&Sha256::digest(presentity_uri.as_bytes())[..2]);
    text.truncate(2);
    text
}

/// What stands for the device that published first, behind [`home`] in the entity-tags of its publication: five characters of `a-z2-7`.
///
/// They are the first 24 bits of SHA-256 of the sent-by of the bottom Via (host, and port if it is written, in lower case) in base32. An
/// address is all that a device keeps when it restarts: Call-ID, From-tag and the entity-tag itself are lost then. No secret either.
pub fn source(sent_by: &str) -> String {
    base32::encode(&Sha256::digest(sent_by.to_ascii_lowercase().as_bytes())[..3])
}

/// The characters of [`home`], of [`source`], and of [`Secret::tag`].
const HOME_CHARS: usize = 2;
const SOURCE_CHARS: usize = 5;
const TAG_CHARS: usize = 26;

/// What an entity-tag of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// The [`source`] of the publication. `None`: a version that did not say it has given the tag.
    pub source: Option<&'a str>,
}

impl<'a> EntityTag<'a> {
    /// Reads a tag by its length; `None` if we have not given it for a PUBLISH. A dot and digits may follow: the publication was renewed.
    pub fn read(tag: &'a str) -> Option<EntityTag<'a>> {
        let (tag, renewed) = tag.split_once('.').unwrap_or((tag, ""));
        let is_ours = renewed.bytes().all(|byte| byte.is_ascii_digit())
            && tag
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'));
        const UNTOLD: usize = HOME_CHARS + TAG_CHARS;
        const TOLD: usize = HOME_CHARS + SOURCE_CHARS + TAG_CHARS;
        match (is_ours, tag.len()) {
            (true, UNTOLD) => Some(EntityTag { source: None }),
            (true, TOLD) => Some(EntityTag {
                source: Some(&tag[HOME_CHARS..HOME_CHARS + SOURCE_CHARS]),
            }),
            _ => None,
        }
    }
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

    /// The same, cut to 64 bits: tells values apart, but is not a tag that anybody should be unable to guess.
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
    fn an_entity_tag_tells_its_source() {
        let (home, mac) = (home("sip:bob@example.org"), "a".repeat(26));
        let source = source("192.0.2.1:5060");
        assert_eq!(source, super::source("192.0.2.1:5060"));
        assert_ne!(source, super::source("192.0.2.1:5062"));
        assert_eq!(
            super::source("PBX.example.org"),
            super::source("pbx.example.org")
        );
        let tag = format!("{home}{source}{mac}");
        let renewed = format!("{tag}.1700000000");
        for tag in [&tag, &renewed] {
            let read = EntityTag::read(tag).expect("it is ours");
            assert_eq!(read.source, Some(source.as_str()), "{tag}");
        }
        for untold in [format!("{home}{mac}"), format!("{home}{mac}.1700000000")] {
            assert_eq!(EntityTag::read(&untold), Some(EntityTag { source: None }));
        }
        for foreign in [
            "",
            "sql:pbx",
            "8f9e4a0c-1f3e-4a57-9b8e-2f5b1c1d2e3f",
            "a.1700000000.1234.5.0",
            &format!("{home}{:032x}", 7),
            &tag.to_uppercase(),
            &format!("{tag}.x"),
            &format!("{tag}a"),
        ] {
            assert_eq!(EntityTag::read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new(b"key")), "Secret(..)");
    }
}
