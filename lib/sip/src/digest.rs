//! Digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760): what a challenge says, and what an answer to it must be.
//!
//! Pure: which nonces are good, and who has which password, others know. The algorithms are those that SIP phones implement, SHA-256 and MD5;
//! the quality of protection is `auth`, or none at all for phones of RFC 2069.

mod challenge;
mod credentials;
mod nonce;

use std::fmt::{self, Write};

use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use challenge::Challenge;
pub use credentials::{Credentials, Protection};
pub use nonce::Nonce;

/// The hash of a challenge and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RFC 8760.
    Sha256,
    /// RFC 3261: all that older phones know.
    Md5,
}

impl Algorithm {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// The algorithm of a name, in any case.
    pub fn parse(name: &str) -> Option<Algorithm> {
        [Algorithm::Sha256, Algorithm::Md5]
            .into_iter()
            .find(|algorithm| name.eq_ignore_ascii_case(algorithm.name()))
    }

    /// The hash of a text, in hexadecimal digits, lower case.
    fn hash(self, parts: &[&str]) -> String {
        // RFC 7616 section 3.4: the parts of all that is hashed are joined by colons.
        let text = parts.join(":");
        match self {
            Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
            Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
        }
    }

    /// HA1, which stands for a password: the hash of user name, realm and password (RFC 7616 section 3.4.2).
    pub fn ha1(self, username: &str, realm: &str, password: &str) -> String {
        self.hash(&[username, realm, password])
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Credentials {
    /// Whether whoever made this answer knows the password behind `ha1` (hexadecimal digits of its algorithm, in any case).
    ///
    /// Compares in constant time. The answer of who knows another password takes as long.
    pub fn prove(&self, method: &str, ha1: &str) -> bool {
        let expected = response(
            self.algorithm,
            &ha1.to_ascii_lowercase(),
            method,
            &self.uri,
            &self.nonce,
            self.protection.as_ref(),
        );
        let given = self.response.to_ascii_lowercase();
        given.as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

/// RFC 7616 section 3.4.1; without protection that of RFC 2069.
fn response(
    algorithm: Algorithm,
    ha1: &str,
    method: &str,
    uri: &str,
    nonce: &str,
    protection: Option<&Protection>,
) -> String {
    let ha2 = algorithm.hash(&[method, uri]);
    match protection {
        None => algorithm.hash(&[ha1, nonce, &ha2]),
        Some(protection) => algorithm.hash(&[
            ha1,
            nonce,
            &protection.count_text,
            &protection.cnonce,
            "auth",
            &ha2,
        ]),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// A quoted string (RFC 3261 section 25.1).
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

fn parameter(name: &str, value: &str, out: &mut String) {
    let _ = write!(out, ", {name}=");
    quote(value, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1, both answers; RFC 2617 section 3.5 has the same values as the second.
    #[test]
    fn answers_of_the_rfc() {
        let credentials = |algorithm, nonce: &str, cnonce: &str, response: &str| {
            let line = format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
                 nonce=\"{nonce}\", nc=00000001, cnonce=\"{cnonce}\", qop=auth, response=\"{response}\""
            );
            Credentials::parse(line.as_bytes()).expect("credentials")
        };
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        ] {
            let ha1 = algorithm.ha1("Mufasa", "http-auth@example.org", "Circle of Life");
            let good = credentials(algorithm, nonce, cnonce, response);
            assert!(good.prove("GET", &ha1), "{algorithm}");
            assert!(good.prove("GET", &ha1.to_ascii_uppercase()), "{algorithm}");
            assert!(!good.prove("PUT", &ha1), "{algorithm}");
            let other = algorithm.ha1("Mufasa", "http-auth@example.org", "circle of life");
            assert!(!good.prove("GET", &other), "{algorithm}");
        }
    }

    #[test]
    fn a_phone_answers_what_is_asked() {
        for algorithms in [
            [Algorithm::Sha256, Algorithm::Md5],
            [Algorithm::Md5, Algorithm::Sha256],
        ] {
            let lines: Vec<String> = algorithms
                .into_iter()
                .map(|algorithm| {
                    Challenge {
                        realm: "a \"quoted\" \\ realm".to_owned(),
                        nonce: "n".to_owned(),
                        algorithm,
                        stale: false,
                        is_protected: true,
                    }
                    .encode()
                })
                .collect();
            let challenge =
                Challenge::choose(lines.iter().map(String::as_bytes)).expect("a challenge");
            assert_eq!(
                challenge.algorithm, algorithms[0],
                "RFC 8760 section 2.4: the topmost"
            );
            let line =
                challenge.answer("J\"ö\\rg", "päss", "SUBSCRIBE", "sip:a@example.org", 7, "c");
            let read = Credentials::parse(line.as_bytes()).expect("credentials");
            assert_eq!(read.username, "J\"ö\\rg");
            assert_eq!(read.realm, challenge.realm);
            let ha1 = algorithms[0].ha1("J\"ö\\rg", &challenge.realm, "päss");
            assert!(read.prove("SUBSCRIBE", &ha1));
            assert_eq!(read.protection.map(|protection| protection.count), Some(7));
        }
    }
}
