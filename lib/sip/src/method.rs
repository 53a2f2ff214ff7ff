//! Request methods. Case-sensitive (RFC 3261 section 7.1); an unknown one is kept as it was written, so that it can be
//! answered 501 and forwarded.

use std::fmt;

/// A request method. Unknown methods are `Extension`, with their exact text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the methods of the same name")]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Publish,
    Subscribe,
    Notify,
    Message,
    Info,
    Prack,
    Update,
    Refer,
    Extension(Box<str>),
}

impl Method {
    /// The method that a token names. The caller has checked that `text` is a token.
    pub fn new(text: &str) -> Method {
        match text {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "BYE" => Method::Bye,
            "CANCEL" => Method::Cancel,
            "REGISTER" => Method::Register,
            "OPTIONS" => Method::Options,
            "PUBLISH" => Method::Publish,
            "SUBSCRIBE" => Method::Subscribe,
            "NOTIFY" => Method::Notify,
            "MESSAGE" => Method::Message,
            "INFO" => Method::Info,
            "PRACK" => Method::Prack,
            "UPDATE" => Method::Update,
            "REFER" => Method::Refer,
            other => Method::Extension(other.into()),
        }
    }

    /// The method as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Register => "REGISTER",
            Method::Options => "OPTIONS",
            Method::Publish => "PUBLISH",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Message => "MESSAGE",
            Method::Info => "INFO",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Refer => "REFER",
            Method::Extension(text) => text,
        }
    }

    /// Whether a 2xx answer to this method can make a dialog, so that Record-Route has to be mirrored in it
    /// (RFC 3261 section 12.1.1, RFC 6665 section 4.4.1).
    pub fn makes_dialog(&self) -> bool {
        matches!(
            self,
            Method::Invite | Method::Subscribe | Method::Refer | Method::Notify
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_and_case_counts() {
        for text in [
            "INVITE",
            "ACK",
            "BYE",
            "CANCEL",
            "REGISTER",
            "OPTIONS",
            "PUBLISH",
            "SUBSCRIBE",
            "NOTIFY",
            "MESSAGE",
            "INFO",
            "PRACK",
            "UPDATE",
            "REFER",
        ] {
            assert_eq!(Method::new(text).as_str(), text);
            assert!(
                !matches!(Method::new(text), Method::Extension(_)),
                "{text} is known"
            );
            let lower = text.to_ascii_lowercase();
            assert_eq!(
                Method::new(&lower),
                Method::Extension(lower.as_str().into()),
                "methods are case-sensitive"
            );
        }
        assert_eq!(Method::new("FOOBAR").as_str(), "FOOBAR");
    }
}
