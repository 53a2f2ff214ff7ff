//! Event packages: what each kind of state takes, and how it is shown.
//!
//! A package is one file below and one line in [`Registry::standard`]. It is data and pure functions; what is common to
//! all packages (expiry, entity-tags, dialogs) does not know which package it serves.

mod presence;

use crate::document::{BodyFault, Document, PublishedBody};

/// A kind of state that can be published and subscribed to (RFC 6665 section 5).
#[derive(Debug, Clone)]
pub struct EventPackage {
    /// The name as in Event and Allow-Events, with the parameters that belong to it: `presence`, `dialog;sla`.
    pub name: &'static str,
    /// Content-Type of its NOTIFYs.
    pub notify_content_type: &'static str,
    /// Content-Types that a PUBLISH may have; empty if the package cannot be published.
    pub publish_content_types: &'static [&'static str],
    /// The interval granted to those who name none, in seconds.
    pub default_expires_s: u32,
    /// Whether a published body is fit for watchers.
    pub check: fn(&[u8]) -> Result<(), BodyFault>,
    /// The document of a presentity, made of its publications, newest first. Publications that cannot be read are left
    /// out. Without any, the package's neutral document; nothing if it has none.
    pub merge: fn(presentity: &str, bodies: &[PublishedBody<'_>]) -> Option<Document>,
}

/// The event packages that are served.
#[derive(Debug, Clone)]
pub struct Registry {
    packages: Vec<EventPackage>,
    allow_events: String,
}

impl Registry {
    /// The packages that we bring along.
    pub fn standard() -> Self {
        Self::of(vec![presence::PACKAGE])
    }

    /// A registry of these packages, in the order of Allow-Events.
    pub fn of(packages: Vec<EventPackage>) -> Self {
        let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
        let allow_events = names.join(", ");
        Self {
            packages,
            allow_events,
        }
    }

    /// The package that an Event header names.
    ///
    /// Names are compared octet by octet (RFC 6665 section 8.2.1). Parameters that are part of no package's name, `id`
    /// among them, are no reason to refuse it; of several packages that fit, the one with most parameters is meant.
    pub fn find(&self, event: &sip::Event) -> Option<&EventPackage> {
        self.packages
            .iter()
            .filter(|package| {
                let mut parts = package.name.split(';');
                parts.next() == Some(event.package.as_str())
                    && parts.all(|wanted| event.params.find(wanted).is_some())
            })
            .max_by_key(|package| package.name.split(';').count())
    }

    /// The package with this name, as in column `event`.
    pub fn find_name(&self, name: &str) -> Option<&EventPackage> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// The body types that can be published, for the Accept of an OPTIONS (RFC 3261 section 11.2).
    pub fn accept(&self) -> String {
        let mut types: Vec<&str> = Vec::new();
        for kind in self
            .packages
            .iter()
            .flat_map(|package| package.publish_content_types)
        {
            if !types.contains(kind) {
                types.push(kind);
            }
        }
        types.join(", ")
    }

    /// The value of Allow-Events.
    pub fn allow_events(&self) -> &str {
        &self.allow_events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(value: &str) -> sip::Event {
        let text = format!("OPTIONS sip:a SIP/2.0\r\nEvent: {value}\r\n\r\n");
        match sip::parse_datagram(text.into_bytes(), &sip::Limits::default()) {
            Ok(sip::Message::Request(request)) => request.event().unwrap().unwrap(),
            Err(error) => error.answerable.unwrap().event().unwrap().unwrap(),
            Ok(sip::Message::Response(_)) => panic!("a response"),
        }
    }

    #[test]
    fn finds_the_package_that_says_most() {
        let package = |name| EventPackage {
            name,
            ..presence::PACKAGE
        };
        let registry = Registry::of(vec![
            package("presence"),
            package("dialog"),
            package("dialog;sla"),
        ]);
        for (value, expected) in [
            ("presence", Some("presence")),
            ("presence;id=1", Some("presence")),
            ("presence.winfo", None),
            ("Presence", None),
            ("dialog", Some("dialog")),
            ("dialog;call-id=1", Some("dialog")),
            ("dialog;id=7;sla", Some("dialog;sla")),
        ] {
            assert_eq!(
                registry.find(&event(value)).map(|package| package.name),
                expected,
                "{value}"
            );
        }
        assert_eq!(registry.allow_events(), "presence, dialog, dialog;sla");
        assert!(registry.find_name("dialog;sla").is_some() && registry.find_name("sla").is_none());
    }

    #[test]
    fn presence_is_served_and_is_closed_when_nothing_is_published() {
        let registry = Registry::standard();
        let package = registry.find_name("presence").unwrap();
        assert_eq!(registry.allow_events(), "presence");
        let document = (package.merge)("sip:bob@example.org", &[]).unwrap();
        assert_eq!(document.content_type, package.notify_content_type);
        assert_eq!((package.check)(&document.body), Ok(()));
        assert!(
            std::str::from_utf8(&document.body)
                .unwrap()
                .contains("<basic>closed</basic>")
        );
    }
}
