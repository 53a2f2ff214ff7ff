//! The bridge to `rsip`'s data model, for code that wants its vocabulary. Nothing here touches wire bytes.

use crate::{Method, StatusCode};

impl From<rsip::Method> for Method {
    fn from(method: rsip::Method) -> Method {
        match method {
            rsip::Method::Ack => Method::Ack,
            rsip::Method::Bye => Method::Bye,
            rsip::Method::Cancel => Method::Cancel,
            rsip::Method::Info => Method::Info,
            rsip::Method::Invite => Method::Invite,
            rsip::Method::Message => Method::Message,
            rsip::Method::Notify => Method::Notify,
            rsip::Method::Options => Method::Options,
            rsip::Method::PRack => Method::Prack,
            rsip::Method::Publish => Method::Publish,
            rsip::Method::Refer => Method::Refer,
            rsip::Method::Register => Method::Register,
            rsip::Method::Subscribe => Method::Subscribe,
            rsip::Method::Update => Method::Update,
        }
    }
}

/// The method is an extension, which rsip cannot represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extension methods have no counterpart in rsip")]
pub struct ExtensionMethod;

impl TryFrom<&Method> for rsip::Method {
    type Error = ExtensionMethod;

    fn try_from(method: &Method) -> Result<rsip::Method, ExtensionMethod> {
        Ok(match method {
            Method::Ack => rsip::Method::Ack,
            Method::Bye => rsip::Method::Bye,
            Method::Cancel => rsip::Method::Cancel,
            Method::Info => rsip::Method::Info,
            Method::Invite => rsip::Method::Invite,
            Method::Message => rsip::Method::Message,
            Method::Notify => rsip::Method::Notify,
            Method::Options => rsip::Method::Options,
            Method::Prack => rsip::Method::PRack,
            Method::Publish => rsip::Method::Publish,
            Method::Refer => rsip::Method::Refer,
            Method::Register => rsip::Method::Register,
            Method::Subscribe => rsip::Method::Subscribe,
            Method::Update => rsip::Method::Update,
            Method::Extension(_) => return Err(ExtensionMethod),
        })
    }
}

impl From<StatusCode> for rsip::StatusCode {
    fn from(status: StatusCode) -> rsip::StatusCode {
        rsip::StatusCode::from(status.code())
    }
}

impl From<rsip::StatusCode> for StatusCode {
    /// Codes outside 100 to 699, which rsip can hold, become 500.
    fn from(status: rsip::StatusCode) -> StatusCode {
        StatusCode::new(u16::from(status)).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_codes_translate_both_ways() {
        for text in ["PUBLISH", "SUBSCRIBE", "NOTIFY", "OPTIONS", "PRACK"] {
            let method = Method::new(text);
            let model = rsip::Method::try_from(&method).expect("rsip has it");
            assert_eq!(
                (model.to_string().as_str(), Method::from(model)),
                (text, method)
            );
        }
        assert_eq!(
            rsip::Method::try_from(&Method::new("subscribe")),
            Err(ExtensionMethod)
        );
        for code in [200, 489, 298] {
            let status = StatusCode::new(code).expect("a code");
            assert_eq!(StatusCode::from(rsip::StatusCode::from(status)), status);
        }
        assert_eq!(
            StatusCode::from(rsip::StatusCode::Other(99, String::new())),
            StatusCode::SERVER_INTERNAL_ERROR
        );
    }
}
