//! The nonces of our challenges: nothing is stored of them, and any process of the cluster can tell what they say.

use std::net::IpAddr;

use crate::base32;
use crate::token::Secret;

/// What a nonce says. Signed with the cluster's secret, so nobody else can make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce {
    /// When it was given, in epoch seconds.
    pub given_s: u32,
    /// The server that gave it: another number after each start.
    pub server: u32,
    /// Tells it from others that were given to the same address in the same second.
    pub salt: u32,
    /// The address that it was given to, as [`Nonce::source`] says it.
    pub source: u32,
}

/// Characters of what it says: 16 bytes in base32. The signature follows.
const SAID_CHARS: usize = 26;
const PURPOSE: &str = "nonce";

impl Nonce {
    /// What stands for the address of a client. Not its port: a phone that connects anew has another one.
    pub fn source(secret: &Secret, address: IpAddr) -> u32 {
        let address = address.to_canonical().to_string();
        secret.digest("nonce source", &[address.as_bytes()]) as u32
    }

    /// Its text.
    pub fn sign(&self, secret: &Secret) -> String {
        let mut said = [0; 16];
        for (place, number) in [self.given_s, self.server, self.salt, self.source]
            .into_iter()
            .enumerate()
        {
            said[place * 4..][..4].copy_from_slice(&number.to_be_bytes());
        }
        base32::encode(&said) + &base32::encode(&secret.sign(PURPOSE, &[&said]))
    }

    /// Reads a nonce that a process with this secret has given; `None` for every other text.
    pub fn read(text: &str, secret: &Secret) -> Option<Nonce> {
        let (said, signature) = text.split_at_checked(SAID_CHARS)?;
        let said = base32::decode(said)?;
        secret
            .verify(PURPOSE, &[&said], &base32::decode(signature)?)
            .then_some(())?;
        let number = |place: usize| {
            let bytes = said.get(place * 4..place * 4 + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        Some(Nonce {
            given_s: number(0)?,
            server: number(1)?,
            salt: number(2)?,
            source: number(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cluster_makes_nonces() {
        let secret = Secret::new(b"key");
        let source = Nonce::source(&secret, "192.0.2.1".parse().expect("an address"));
        let nonce = Nonce {
            given_s: 1_700_000_000,
            server: 7,
            salt: u32::MAX,
            source,
        };
        let text = nonce.sign(&secret);
        assert_eq!(Nonce::read(&text, &secret), Some(nonce));
        assert_eq!(Nonce::read(&text, &Secret::new(b"other")), None);
        for place in 0..text.len() {
            let mut forged = text.clone();
            let other = if &text[place..=place] == "a" {
                "b"
            } else {
                "a"
            };
            forged.replace_range(place..=place, other);
            // The last character of each half has bits that mean nothing; whatever is read is what was signed.
            let read = Nonce::read(&forged, &secret);
            assert!(read.is_none_or(|read| read == nonce), "{forged}");
        }
        for bad in [
            "",
            "a",
            "\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}\u{e4}",
            &text[1..],
            &format!("{text}a"),
        ] {
            assert_eq!(Nonce::read(bad, &secret), None, "{bad}");
        }
        let mapped = Nonce::source(&secret, "::ffff:192.0.2.1".parse().expect("an address"));
        assert_eq!(mapped, source);
    }
}
