//! `Authorization`: the answer of a phone, as it is written.

use super::Algorithm;
use crate::header::list::split_text;
use crate::header::text::{has_controls, is_token, trim, unquote};

/// The most parameters that an answer may have: eleven are known.
const MAX_PARAMETERS: usize = 24;

/// What a phone answers to a challenge. Nothing in it is proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who it says it is.
    pub username: String,
    /// The realm that it was asked for.
    pub realm: String,
    /// The nonce that it answers.
    pub nonce: String,
    /// The Request-URI that it was made for, as written.
    pub uri: String,
    /// The proof, in hexadecimal digits.
    pub response: String,
    /// Of the proof; MD5 if it does not say.
    pub algorithm: Algorithm,
    /// `qop=auth`; `None` where it was left out, as in RFC 2069.
    pub protection: Option<Protection>,
}

/// What makes an answer good once only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// How often its nonce was answered, this time included.
    pub count: u32,
    /// The same as written: it is part of what is hashed.
    pub(super) count_text: String,
    /// Random text of the client.
    pub cnonce: String,
}

impl Credentials {
    /// Reads the value of a header; `None` if it is not an answer that can be checked: another scheme or algorithm, `auth-int`, a parameter
    /// that is missing, malformed or twice there.
    pub fn parse(value: &[u8]) -> Option<Credentials> {
        let parameters = parameters(value)?;
        let find = |name: &str| {
            let mut named = parameters.iter().filter(|(other, _)| other == name);
            named.next().map(|(_, value)| value.as_str())
        };
        let protection = match find("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count_text = find("nc")?;
                let is_count =
                    count_text.len() == 8 && count_text.bytes().all(|b| b.is_ascii_hexdigit());
                Some(Protection {
                    count: is_count
                        .then(|| u32::from_str_radix(count_text, 16).ok())
                        .flatten()?,
                    count_text: count_text.to_owned(),
                    cnonce: find("cnonce")?.to_owned(),
                })
            }
            Some(_) => return None,
        };
        Some(Credentials {
            username: find("username")?.to_owned(),
            realm: find("realm")?.to_owned(),
            nonce: find("nonce")?.to_owned(),
            uri: find("uri")?.to_owned(),
            response: find("response")?.to_owned(),
            algorithm: match find("algorithm") {
                None => Algorithm::Md5,
                Some(name) => Algorithm::parse(name)?,
            },
            protection,
        })
    }
}

/// The parameters of a Digest challenge or answer, names in lower case, values without quotes. None may be there twice: of two user names
/// one might be checked, and the other one believed.
pub(super) fn parameters(value: &[u8]) -> Option<Vec<(String, String)>> {
    let text = trim(std::str::from_utf8(value).ok()?);
    let (scheme, rest) = text.split_once([' ', '\t'])?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let mut parameters: Vec<(String, String)> = Vec::with_capacity(10);
    for piece in split_text(rest, b',') {
        if piece.is_empty() {
            continue;
        }
        let (name, value) = piece.split_once('=')?;
        let name = trim(name).to_ascii_lowercase();
        let value = trim(value);
        let value = match value.starts_with('"') {
            true => {
                let (content, after) = unquote(value)?;
                trim(after).is_empty().then_some(content)?
            }
            false => value.to_owned(),
        };
        if has_controls(&value) {
            return None;
        }
        let is_known = parameters.iter().any(|(other, _)| *other == name);
        if is_known || !is_token(name.as_bytes()) || parameters.len() == MAX_PARAMETERS {
            return None;
        }
        parameters.push((name, value));
    }
    Some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"Digest username="a", realm="r", nonce="n", uri="sip:b@c", response="0f", qop=auth, nc=0000000a, cnonce="x""#;

    #[test]
    fn what_phones_send() {
        let read = Credentials::parse(GOOD.as_bytes()).expect("credentials");
        assert_eq!(read.algorithm, Algorithm::Md5);
        assert_eq!(read.protection.map(|protection| protection.count), Some(10));
        // A comma in quotes, spaces around the equals sign, qop in quotes (some Polycom), no qop at all.
        let odd = r#"digest username = "a, b" ,realm="r",nonce="n",uri="sip:b@c,d",response="0f", algorithm=md5 , opaque="""#;
        let read = Credentials::parse(odd.as_bytes()).expect("credentials");
        assert_eq!(
            (read.username.as_str(), read.uri.as_str()),
            ("a, b", "sip:b@c,d")
        );
        assert_eq!(read.protection, None);
        let quoted = GOOD.replace("qop=auth", "qop=\"auth\"");
        assert!(Credentials::parse(quoted.as_bytes()).is_some());
    }

    #[test]
    fn what_cannot_be_checked() {
        for (what, value) in [
            ("another scheme", GOOD.replace("Digest", "Basic")),
            ("no nonce", GOOD.replace(r#"nonce="n", "#, "")),
            (
                "two user names",
                GOOD.replace("realm", r#"username="b", realm"#),
            ),
            ("auth-int", GOOD.replace("qop=auth", "qop=auth-int")),
            ("no count", GOOD.replace("nc=0000000a, ", "")),
            ("a short count", GOOD.replace("0000000a", "a")),
            ("a signed count", GOOD.replace("0000000a", "+000000a")),
            (
                "an unknown algorithm",
                format!("{GOOD}, algorithm=SHA-512-256"),
            ),
            ("an open quote", format!("{GOOD}, opaque=\"x")),
            ("text behind a quote", GOOD.replace(r#""r""#, r#""r"x"#)),
            ("not a parameter", format!("{GOOD}, x")),
            (
                "a control character",
                GOOD.replace("nonce=\"n\"", "nonce=n\0"),
            ),
            ("nothing", String::new()),
        ] {
            assert_eq!(
                Credentials::parse(value.as_bytes()),
                None,
                "{what}: {value}"
            );
        }
        assert_eq!(Credentials::parse(b"Digest username=\"\xff\""), None);
        let many = (0..100).map(|n| format!("p{n}=1,")).collect::<String>();
        assert_eq!(
            Credentials::parse(format!("Digest {many}").as_bytes()),
            None
        );
    }
}
