//! `WWW-Authenticate`: what is asked, and how a phone answers it.

use super::credentials::parameters;
use super::{Algorithm, Protection, parameter, response};

/// One challenge; a 401 may have several, of which the client answers the first that it understands (RFC 8760 section 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose password is asked for: the domain of the user.
    pub realm: String,
    /// What the answer is made for.
    pub nonce: String,
    /// How it is hashed.
    pub algorithm: Algorithm,
    /// The answer was right, but its nonce is not good any more: the client need not ask its user again.
    pub stale: bool,
    /// `qop="auth"` is offered: the answer has a count, so that it is good once.
    pub is_protected: bool,
}

impl Challenge {
    /// The value of the header.
    pub fn encode(&self) -> String {
        // RFC 3261 section 25.1: the scheme, then parameters between commas.
        let mut text = String::with_capacity(160);
        parameter("realm", &self.realm, &mut text);
        parameter("nonce", &self.nonce, &mut text);
        text.push_str(", algorithm=");
        text.push_str(self.algorithm.name());
        if self.is_protected {
            parameter("qop", "auth", &mut text);
        }
        if self.stale {
            text.push_str(", stale=true");
        }
        format!("Digest {}", text.trim_start_matches([',', ' ']))
    }

    /// Reads the value of a header; `None` for what is not a challenge, or not one that we can answer.
    pub fn parse(value: &[u8]) -> Option<Challenge> {
        let parameters = parameters(value)?;
        let find = |name: &str| {
            let mut named = parameters.iter().filter(|(other, _)| other == name);
            named.next().map(|(_, value)| value.as_str())
        };
        let algorithm = match find("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::parse(name)?,
        };
        let offers = |qop: &str| {
            qop.split(',')
                .any(|one| one.trim().eq_ignore_ascii_case("auth"))
        };
        let is_protected = match find("qop") {
            None => false,
            Some(qop) if offers(qop) => true,
            // Protection of bodies alone.
            Some(_) => return None,
        };
        Some(Challenge {
            realm: find("realm")?.to_owned(),
            nonce: find("nonce")?.to_owned(),
            algorithm,
            stale: find("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            is_protected,
        })
    }

    /// The challenge to answer, of all values of the headers of a 401 or 407.
    pub fn choose<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Challenge> {
        values.find_map(Challenge::parse)
    }

    /// The value of `Authorization` for a request. `count` is how often this nonce was answered, this time included; `cnonce` is random.
    pub fn answer(
        &self,
        username: &str,
        password: &str,
        method: &str,
        uri: &str,
        count: u32,
        cnonce: &str,
    ) -> String {
        let protection = self.is_protected.then(|| Protection {
            count,
            count_text: format!("{count:08x}"),
            cnonce: cnonce.to_owned(),
        });
        let ha1 = self.algorithm.ha1(username, &self.realm, password);
        let response = response(
            self.algorithm,
            &ha1,
            method,
            uri,
            &self.nonce,
            protection.as_ref(),
        );
        let mut text = String::with_capacity(320);
        parameter("username", username, &mut text);
        parameter("realm", &self.realm, &mut text);
        parameter("nonce", &self.nonce, &mut text);
        parameter("uri", uri, &mut text);
        parameter("response", &response, &mut text);
        text.push_str(", algorithm=");
        text.push_str(self.algorithm.name());
        if let Some(protection) = protection {
            text.push_str(", qop=auth, nc=");
            text.push_str(&protection.count_text);
            parameter("cnonce", &protection.cnonce, &mut text);
        }
        format!("Digest {}", text.trim_start_matches([',', ' ']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_others() {
        for (value, expected) in [
            // Kamailio's.
            (
                r#"Digest realm="example.org", nonce="ZUd0TmVHcyI=""#,
                Some(("example.org", Algorithm::Md5, false)),
            ),
            (
                r#"Digest realm="asterisk",nonce="1/2",opaque="3",algorithm=MD5,qop="auth,auth-int""#,
                Some(("asterisk", Algorithm::Md5, true)),
            ),
            (
                r#"digest  Nonce="x" , REALM="r", ALGORITHM=sha-256, qop=auth"#,
                Some(("r", Algorithm::Sha256, true)),
            ),
            (
                r#"Digest realm="r", nonce="x", algorithm=SHA-512-256"#,
                None,
            ),
            (r#"Digest realm="r", nonce="x", qop="auth-int""#, None),
            (r#"Digest realm="r""#, None),
            (r#"Basic realm="r""#, None),
            ("", None),
        ] {
            let read = Challenge::parse(value.as_bytes());
            let read = read.as_ref().map(|challenge| {
                (
                    challenge.realm.as_str(),
                    challenge.algorithm,
                    challenge.is_protected,
                )
            });
            assert_eq!(read, expected, "{value}");
        }
    }
}
