//! Event (RFC 6665 section 8.2.1).

use super::Params;
use super::text::{is_token, trim};
use crate::ParseError;

/// The event package that a SUBSCRIBE, PUBLISH or NOTIFY is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Package with its templates, as written: `presence`, `presence.winfo`. `dialog;sla` is `dialog` with parameter `sla`.
    pub package: String,
    /// The `id` parameter.
    pub id: Option<String>,
    /// All parameters, `id` too.
    pub params: Params,
}

impl Event {
    /// Reads an Event value.
    ///
    /// # Errors
    /// The package is not a token, or a parameter is malformed.
    pub fn parse(text: &str) -> Result<Event, ParseError> {
        let end = text.find(';').unwrap_or(text.len());
        let package = trim(&text[..end]);
        if !is_token(package.as_bytes()) {
            return Err(ParseError::new("Bad Event"));
        }
        let params = Params::parse(&text[end..])?;
        Ok(Event {
            package: package.to_owned(),
            id: params.value("id").map(str::to_owned),
            params,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_ids() {
        for (text, package, id) in [
            ("presence", "presence", None),
            ("presence.winfo ; id=7", "presence.winfo", Some("7")),
            ("dialog;sla", "dialog", None),
            ("dialog;call-id=\"a;b\";ID=x", "dialog", Some("x")),
        ] {
            let event = Event::parse(text).expect("well-formed");
            assert_eq!(
                (event.package.as_str(), event.id.as_deref()),
                (package, id),
                "{text:?}"
            );
        }
        assert!(
            Event::parse("dialog;sla").is_ok_and(|event| event.params.find("sla") == Some(None))
        );
        for text in ["", ";id=1", "two words", "a,b", "presence;id=\"x"] {
            assert!(Event::parse(text).is_err(), "{text:?}");
        }
    }
}
