//! When two URIs are one address (RFC 3261 section 19.1.4).

use crate::uri::unescape;
use crate::{Scheme, Uri};

/// "A user, ttl, or method uri-parameter appearing in only one URI never matches", nor does maddr, and "a URI omitting any component
/// with a default value will not match a URI explicitly containing that component": transport. A GRUU (RFC 5627 section 4.1) names
/// one of several phones by `gr`.
const NEVER_ALONE: [&str; 6] = ["user", "ttl", "method", "maddr", "transport", "gr"];

impl Uri {
    /// Whether both are the same address. Stricter than [`crate::Aor`], which leaves out where a phone is.
    pub fn is_equivalent(&self, other: &Uri) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        if matches!(self.scheme, Scheme::Other) {
            return self.raw == other.raw;
        }
        let text = |part: &Option<String>| part.as_deref().map(unescape).map(String::from);
        text(&self.user) == text(&other.user)
            && text(&self.password) == text(&other.password)
            && self
                .host
                .to_string()
                .eq_ignore_ascii_case(&other.host.to_string())
            && self.port == other.port
            && self.params_match(other)
            && other.params_match(self)
            && text(&self.headers) == text(&other.headers)
    }

    /// "Any uri-parameter appearing in both URIs must match"; others are "ignored when comparing the URIs".
    fn params_match(&self, other: &Uri) -> bool {
        self.params.iter().all(|(name, value)| {
            let name = unescape(name);
            match other.param(&name) {
                Some(same) => unescape(same)
                    .eq_ignore_ascii_case(&unescape(value.as_deref().unwrap_or_default())),
                None => !NEVER_ALONE
                    .iter()
                    .any(|alone| name.eq_ignore_ascii_case(alone)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Uri;

    #[test]
    fn the_same_address_and_another() {
        let cases = [
            // The examples of RFC 3261 section 19.1.4.
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
                true,
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com;newparam=5",
                true,
            ),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;newparam=5",
                true,
            ),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
                true,
            ),
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
                false,
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com;transport=udp",
                false,
            ),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
                false,
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
                false,
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
                false,
            ),
            // Two phones of one person.
            (
                "sip:bob@example.org;gr=urn:uuid:1",
                "sip:bob@example.org;gr=urn:uuid:2",
                false,
            ),
            (
                "sip:bob@example.org;gr=urn:uuid:1",
                "sip:bob@example.org",
                false,
            ),
            (
                "sip:bob@192.0.2.4:5062;line=7",
                "sip:bob@192.0.2.4:5062",
                true,
            ),
            ("sip:bob@192.0.2.4", "sips:bob@192.0.2.4", false),
            ("sip:192.0.2.4", "sip:bob@192.0.2.4", false),
            ("tel:+1-201-555-0123", "tel:+1-201-555-0123", true),
            ("urn:x:1", "urn:x:2", false),
        ];
        for (one, other, expected) in cases {
            let (one, other) = (
                Uri::parse(one).expect("a URI"),
                Uri::parse(other).expect("a URI"),
            );
            for (a, b) in [(&one, &other), (&other, &one)] {
                assert_eq!(a.is_equivalent(b), expected, "{} {}", a.raw, b.raw);
            }
        }
    }
}
