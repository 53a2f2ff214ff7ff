//! Feature events: what a phone asks for in a SUBSCRIBE, what is published, and what a NOTIFY tells.
//!
//! A phone whose do-not-disturb key is pressed sends `SetDoNotDisturb` in the body of a SUBSCRIBE; the server publishes a
//! `DoNotDisturbEvent` and tells all phones of the line. Forwarding goes the same way, once for each of its kinds.

use roxmltree::Node;

use super::writer::{DECLARATION, push_text};
use super::{BodyFault, Document, xml};
use crate::package::Features;
use crate::package::input::MergeInput;

/// The media type of feature events, and of the requests for them.
pub const CONTENT_TYPE: &str = "application/x-as-feature-event+xml";

const NAMESPACE: &str = "http://www.ecma-international.org/standards/ecma-323/csta/ed3";

/// The kinds of forwarding (ECMA-323). Only these are taken, so that the features of a line are not without number.
const FORWARDING_TYPES: [&str; 12] = [
    "forwardImmediate",
    "forwardBusy",
    "forwardNoAns",
    "forwardDND",
    "forwardImmInt",
    "forwardImmExt",
    "forwardBusyInt",
    "forwardBusyExt",
    "forwardNoAnsInt",
    "forwardNoAnsExt",
    "forwardDNDInt",
    "forwardDNDExt",
];

/// What the body of a SUBSCRIBE asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureRequest {
    /// `SetDoNotDisturb`.
    DoNotDisturb {
        /// The device; empty for the line.
        device: String,
        /// Whether it is to be switched on.
        on: bool,
    },
    /// `SetForwarding`.
    Forwarding {
        /// The device; empty for the line.
        device: String,
        /// `forwardImmediate`, `forwardBusy`, `forwardNoAns`.
        kind: String,
        /// Whether it is to be switched on.
        on: bool,
        /// Where to.
        target: String,
        /// After how many rings, for `forwardNoAns`.
        ring_count: Option<u16>,
    },
}

impl FeatureRequest {
    /// Reads the body of a SUBSCRIBE. An empty body asks for nothing.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub fn read(body: &[u8]) -> Result<Option<Self>, BodyFault> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let document = xml::parse(body)?;
        let root = document.root_element();
        let on = |name| match text(root, name) {
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            _ => Err(BodyFault::Incomplete),
        };
        let owned = |name| text(root, name).unwrap_or_default().to_owned();
        if root.has_tag_name((NAMESPACE, "SetDoNotDisturb")) {
            Ok(Some(Self::DoNotDisturb {
                device: owned("device"),
                on: on("doNotDisturbOn")?,
            }))
        } else if root.has_tag_name((NAMESPACE, "SetForwarding")) {
            let kind = text(root, "forwardingType").ok_or(BodyFault::Incomplete)?;
            if !FORWARDING_TYPES.contains(&kind) {
                return Err(BodyFault::Incomplete);
            }
            let ring_count = text(root, "ringCount").filter(|count| !count.is_empty());
            let ring_count = ring_count
                .map(|count| count.parse().map_err(|_| BodyFault::Incomplete))
                .transpose()?;
            Ok(Some(Self::Forwarding {
                device: owned("device"),
                kind: kind.to_owned(),
                on: on("activateForward")?,
                target: owned("forwardDN"),
                ring_count,
            }))
        } else {
            Err(BodyFault::WrongRoot)
        }
    }

    /// What names this feature of a line: there is one state of each. (So `device` does not count: a line has its features, whoever
    /// of its phones sets them.)
    pub fn feature(&self) -> String {
        match self {
            Self::DoNotDisturb { .. } => "doNotDisturb".to_owned(),
            Self::Forwarding { kind, .. } => kind.clone(),
        }
    }

    /// What is to be published, so that all phones of the line learn of it.
    pub fn event(&self) -> String {
        let mut inside = String::new();
        let mut element = |name: &str, value: &str| {
            inside.push_str(&format!("<{name}>"));
            push_text(&mut inside, value);
            inside.push_str(&format!("</{name}>\n"));
        };
        let root = match self {
            Self::DoNotDisturb { device, on } => {
                element("device", device);
                element("doNotDisturbOn", &on.to_string());
                "DoNotDisturbEvent"
            }
            Self::Forwarding {
                device,
                kind,
                on,
                target,
                ring_count,
            } => {
                element("device", device);
                element("forwardingType", kind);
                element("forwardStatus", &on.to_string());
                element("forwardTo", target);
                if let Some(ring_count) = ring_count {
                    element("ringCount", &ring_count.to_string());
                }
                "ForwardingEvent"
            }
        };
        format!("{DECLARATION}<{root} xmlns=\"{NAMESPACE}\">\n{inside}</{root}>\n")
    }
}

/// Whether a body is a feature event that phones can be told.
///
/// # Errors
/// Says why not.
pub fn check(body: &[u8]) -> Result<(), BodyFault> {
    feature(body).map(|_| ())
}

/// The features that are known: of each the newest. One is sent as it is, several as multipart/mixed in a fixed order, so that
/// the same set gives the same octets. Nothing if none is known.
pub fn merge(features: Features, input: &MergeInput<'_>) -> Option<Document> {
    let mut parts: Vec<(Feature, &[u8])> = Vec::new();
    for publication in input.publications {
        let Ok(feature) = feature(publication.body) else {
            continue;
        };
        if !parts.iter().any(|(known, _)| *known == feature) {
            parts.push((feature, publication.body));
        }
        if features == Features::Newest || parts.len() == MAX_FEATURES {
            break;
        }
    }
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    match parts.as_slice() {
        [] => None,
        [(_, only)] => Some(Document::new(CONTENT_TYPE, only.to_vec())),
        several => {
            let boundary = boundary(several);
            let mut out = Vec::new();
            for (_, body) in several {
                let head = format!(
                    "--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(body);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            let content_type = format!("multipart/mixed;boundary={boundary}");
            Some(Document::new(content_type, out))
        }
    }
}

/// More features than any phone has; keeps a NOTIFY of bounded size.
const MAX_FEATURES: usize = 16;

/// What a feature event is about: its root, and the kind of forwarding. In the order of the parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Feature(String, String);

fn feature(body: &[u8]) -> Result<Feature, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    let name = root.tag_name();
    if name.namespace() != Some(NAMESPACE) || !name.name().ends_with("Event") {
        return Err(BodyFault::WrongRoot);
    }
    let kind = text(root, "forwardingType").unwrap_or_default();
    if name.name() == "ForwardingEvent" && kind.is_empty() {
        return Err(BodyFault::Incomplete);
    }
    Ok(Feature(name.name().to_owned(), kind.to_owned()))
}

fn text<'a>(root: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    root.children()
        .find(|child| child.has_tag_name((NAMESPACE, name)))
        .map(|child| child.text().unwrap_or_default().trim())
}

/// A boundary that stands in none of the parts.
fn boundary(parts: &[(Feature, &[u8])]) -> String {
    let mut boundary = String::from("features");
    while parts
        .iter()
        .any(|(_, body)| memchr::memmem::find(body, boundary.as_bytes()).is_some())
    {
        boundary.push('x');
    }
    boundary
}
