//! Header names: the known set, their compact forms, and the look-up from wire text.

/// A header name that we know, or `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are the headers of the same name")]
pub enum HeaderName {
    Accept,
    AcceptEncoding,
    AcceptLanguage,
    Allow,
    AllowEvents,
    Authorization,
    CallId,
    Contact,
    ContentEncoding,
    ContentLength,
    ContentType,
    CSeq,
    Date,
    Event,
    Expires,
    From,
    MaxForwards,
    MinExpires,
    PAssertedIdentity,
    Path,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyRequire,
    Reason,
    RecordRoute,
    ReferTo,
    Require,
    RetryAfter,
    Route,
    Server,
    SipETag,
    SipIfMatch,
    Subject,
    SubscriptionState,
    Supported,
    SuppressIfMatch,
    Timestamp,
    To,
    Unsupported,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
    /// Any other header; its name is looked up by text.
    Other,
}

use HeaderName as H;

/// Name, compact form (0 = none), canonical text.
const NAMES: &[(HeaderName, u8, &str)] = &[
    (H::Accept, 0, "Accept"),
    (H::AcceptEncoding, 0, "Accept-Encoding"),
    (H::AcceptLanguage, 0, "Accept-Language"),
    (H::Allow, 0, "Allow"),
    (H::AllowEvents, b'u', "Allow-Events"),
    (H::Authorization, 0, "Authorization"),
    (H::CallId, b'i', "Call-ID"),
    (H::Contact, b'm', "Contact"),
    (H::ContentEncoding, b'e', "Content-Encoding"),
    (H::ContentLength, b'l', "Content-Length"),
    (H::ContentType, b'c', "Content-Type"),
    (H::CSeq, 0, "CSeq"),
    (H::Date, 0, "Date"),
    (H::Event, b'o', "Event"),
    (H::Expires, 0, "Expires"),
    (H::From, b'f', "From"),
    (H::MaxForwards, 0, "Max-Forwards"),
    (H::MinExpires, 0, "Min-Expires"),
    (H::PAssertedIdentity, 0, "P-Asserted-Identity"),
    (H::Path, 0, "Path"),
    (H::ProxyAuthenticate, 0, "Proxy-Authenticate"),
    (H::ProxyAuthorization, 0, "Proxy-Authorization"),
    (H::ProxyRequire, 0, "Proxy-Require"),
    (H::Reason, 0, "Reason"),
    (H::RecordRoute, 0, "Record-Route"),
    (H::ReferTo, b'r', "Refer-To"),
    (H::Require, 0, "Require"),
    (H::RetryAfter, 0, "Retry-After"),
    (H::Route, 0, "Route"),
    (H::Server, 0, "Server"),
    (H::SipETag, 0, "SIP-ETag"),
    (H::SipIfMatch, 0, "SIP-If-Match"),
    (H::Subject, b's', "Subject"),
    (H::SubscriptionState, 0, "Subscription-State"),
    (H::Supported, b'k', "Supported"),
    (H::SuppressIfMatch, 0, "Suppress-If-Match"),
    (H::Timestamp, 0, "Timestamp"),
    (H::To, b't', "To"),
    (H::Unsupported, 0, "Unsupported"),
    (H::UserAgent, 0, "User-Agent"),
    (H::Via, b'v', "Via"),
    (H::Warning, 0, "Warning"),
    (H::WwwAuthenticate, 0, "WWW-Authenticate"),
];

impl HeaderName {
    /// The header that `name` stands for: full or compact, in any case.
    pub fn from_bytes(name: &[u8]) -> HeaderName {
        if let [letter] = name {
            let letter = letter.to_ascii_lowercase();
            return NAMES
                .iter()
                .find(|(_, compact, _)| *compact == letter && letter != 0)
                .map_or(H::Other, |(header, ..)| *header);
        }
        // The length tells most names apart before a byte is compared.
        NAMES
            .iter()
            .find(|(_, _, text)| {
                text.len() == name.len() && text.as_bytes().eq_ignore_ascii_case(name)
            })
            .map_or(H::Other, |(header, ..)| *header)
    }

    /// The canonical text; empty for `Other`.
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, _, text)| text)
    }
}

impl std::fmt::Display for HeaderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, (header, _, text)) in NAMES.iter().enumerate() {
            assert_eq!(*header as usize, index, "{text}");
            assert_eq!(header.as_str(), *text);
            assert_eq!(
                HeaderName::from_bytes(text.to_ascii_uppercase().as_bytes()),
                *header
            );
        }
        assert_eq!(H::Other as usize, NAMES.len());
        assert_eq!(H::Other.as_str(), "");
    }

    #[test]
    fn compact_forms_stand_for_their_headers() {
        for (compact, header) in [
            ("v", H::Via),
            ("f", H::From),
            ("t", H::To),
            ("i", H::CallId),
            ("m", H::Contact),
            ("l", H::ContentLength),
            ("c", H::ContentType),
            ("o", H::Event),
            ("u", H::AllowEvents),
            ("k", H::Supported),
            ("e", H::ContentEncoding),
            ("s", H::Subject),
            ("r", H::ReferTo),
            ("V", H::Via),
            ("x", H::Other),
            ("\0", H::Other),
            ("", H::Other),
        ] {
            assert_eq!(
                HeaderName::from_bytes(compact.as_bytes()),
                header,
                "{compact:?}"
            );
        }
    }
}
