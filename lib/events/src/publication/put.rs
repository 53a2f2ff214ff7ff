//! What a program that speaks no SIP publishes: a document for an address, behind the same checks as a PUBLISH.

use bytes::Bytes;
use sip::{Aor, MediaType, Uri, bound};

use super::accepted_state;
use crate::package::{BodyNote, EventPackage, Publisher, Registry};
use crate::policy::Policy;
use crate::reject::PublishReject;
use crate::request::presentity_of;

/// A document that somebody wants to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// How long, in seconds; without, as long as the package's default.
    pub requested_s: Option<u32>,
    /// Its media type.
    pub content_type: Option<&'a [u8]>,
    /// How it is compressed: not at all, or it is refused.
    pub content_encoding: Option<&'a [u8]>,
    /// The document.
    pub body: &'a [u8],
}

/// The same document, fit to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutIntent {
    /// Seconds that it lives.
    pub granted_s: u32,
    /// Its media type, in lower case, without parameters.
    pub content_type: String,
    /// The document; checked by the package.
    pub body: Bytes,
    /// What has to be stored beside it.
    pub note: BodyNote,
}

/// The presentity and the event package of these names.
///
/// # Errors
/// [`PublishReject::BadRequest`] or [`PublishReject::UnsupportedScheme`] if `uri` names no presentity,
/// [`PublishReject::UnknownEvent`] if there is no such package.
pub fn find_resource<'r>(
    uri: &str,
    event: &str,
    registry: &'r Registry,
    policy: &Policy,
) -> Result<(Aor, &'r EventPackage), PublishReject> {
    let aor = presentity_of(&bound::URI, Uri::parse(uri), policy.fold_case)?;
    let package = registry
        .find_name(event)
        .ok_or(PublishReject::UnknownEvent)?;
    bound::EVENT
        .check(&package.name)
        .map_err(PublishReject::BadRequest)?;
    Ok((aor, package))
}

/// Decides whether a document can be published: steps 2, 4 and 5 of RFC 3903 section 6.
///
/// # Errors
/// As of a PUBLISH. A lifetime of 0 is refused: to end a publication is another request here.
pub fn decide_put(
    put: &Put<'_>,
    package: &EventPackage,
    policy: &Policy,
) -> Result<PutIntent, PublishReject> {
    if package.publish_content_types.is_empty() {
        return Err(PublishReject::UnknownEvent);
    }
    if put.requested_s == Some(0) {
        return Err(PublishReject::BadRequest("Lifetime Is 0"));
    }
    let granted_s = policy
        .grant(put.requested_s, package.default_expires_s)
        .map_err(|brief| PublishReject::IntervalTooBrief { min_s: brief.min_s })?;
    if put.body.is_empty() {
        return Err(PublishReject::BadRequest("Missing Body"));
    }
    let content_type = put.content_type.map(|value| {
        // Whatever is not text is not a media type.
        MediaType::parse(&String::from_utf8_lossy(value))
    });
    let (content_type, body, note) = accepted_state(
        package,
        Publisher::Row(0),
        put.content_encoding,
        content_type.transpose(),
        put.body,
    )?;
    Ok(PutIntent {
        granted_s,
        content_type,
        body,
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BodyFault;

    const DOCUMENT: &[u8] = b"<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\"><tuple id=\"t\"><status><basic>open</basic></status></tuple></presence>";

    fn put(body: &[u8]) -> Put<'_> {
        Put {
            requested_s: Some(600),
            content_type: Some(b"Application/PIDF+xml; charset=utf-8"),
            content_encoding: None,
            body,
        }
    }

    fn decided(put: &Put<'_>, event: &str) -> Result<PutIntent, PublishReject> {
        let registry = Registry::standard();
        let policy = Policy {
            min_expires_s: 60,
            ..Policy::default()
        };
        let (_, package) = find_resource("sip:bob@example.org", event, &registry, &policy)?;
        decide_put(put, package, &policy)
    }

    #[test]
    fn a_good_document_is_taken_as_of_a_publish() {
        let intent = decided(&put(DOCUMENT), "presence").unwrap();
        assert_eq!(intent.content_type, "application/pidf+xml");
        assert_eq!((intent.granted_s, &*intent.body), (600, DOCUMENT));
        let long = Put {
            requested_s: Some(u32::MAX),
            content_encoding: Some(b" Identity"),
            ..put(DOCUMENT)
        };
        assert_eq!(decided(&long, "presence").unwrap().granted_s, 3600);
    }

    #[test]
    fn what_a_publish_is_refused_for_is_refused() {
        use PublishReject::*;
        let good = put(DOCUMENT);
        let accept = || UnsupportedBody {
            accept: "application/pidf+xml".into(),
        };
        let table = [
            (good, "nothing", UnknownEvent),
            (good, "Presence", UnknownEvent),
            (good, "presence.winfo", UnknownEvent),
            (put(b""), "presence", BadRequest("Missing Body")),
            (
                Put {
                    requested_s: Some(0),
                    ..good
                },
                "presence",
                BadRequest("Lifetime Is 0"),
            ),
            (
                Put {
                    requested_s: Some(59),
                    ..good
                },
                "presence",
                IntervalTooBrief { min_s: 60 },
            ),
            (
                Put {
                    content_type: None,
                    ..good
                },
                "presence",
                BadRequest("Missing Content-Type"),
            ),
            (
                Put {
                    content_type: Some(b"\xff"),
                    ..good
                },
                "presence",
                BadRequest("Bad media type"),
            ),
            (
                Put {
                    content_type: Some(b"text/plain"),
                    ..good
                },
                "presence",
                accept(),
            ),
            (
                Put {
                    content_encoding: Some(b"br"),
                    ..good
                },
                "presence",
                UnsupportedEncoding,
            ),
            (
                put(b"<a>"),
                "presence",
                BodyRefused(BodyFault::NotWellFormed),
            ),
            (put(b"<a/>"), "presence", BodyRefused(BodyFault::WrongRoot)),
        ];
        for (put, event, expected) in table {
            assert_eq!(decided(&put, event), Err(expected), "{put:?}");
        }
        let large = format!("<a>{}</a>", "x".repeat(crate::document::xml::MAX_BYTES));
        assert_eq!(
            decided(&put(large.as_bytes()), "presence"),
            Err(BodyTooLarge)
        );
    }

    #[test]
    fn names_are_canonical() {
        let registry = Registry::standard();
        let policy = Policy::default();
        let find = |uri| find_resource(uri, "dialog", &registry, &policy).map(|(aor, _)| aor.uri());
        assert_eq!(
            find("sips:Bob@EXAMPLE.org:5061;transport=tcp").unwrap(),
            "sip:Bob@example.org"
        );
        for (uri, expected) in [
            ("bob@example.org", PublishReject::BadRequest("Bad URI")),
            ("mailto:bob@example.org", PublishReject::UnsupportedScheme),
            (
                "sip:bob%0@example.org",
                PublishReject::BadRequest("Bad character in URI"),
            ),
            (
                "sip:bo b@example.org",
                PublishReject::BadRequest("Bad character in URI"),
            ),
        ] {
            assert_eq!(find(uri), Err(expected), "{uri}");
        }
    }
}
