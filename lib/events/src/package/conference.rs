//! `conference`: who is in a conference (RFC 4575). Its focus is the only one to publish it.

use std::sync::Arc;

use super::{EventPackage, MergeInput, PackageOptions};
use crate::document::writer::{DECLARATION, push_attribute};
use crate::document::{BodyFault, Document, renumbered, xml};

const CONTENT_TYPE: &str = "application/conference-info+xml";
const NAMESPACE: &str = "urn:ietf:params:xml:ns:conference-info";

/// The package.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.conference.default_expires.get();
    EventPackage {
        check: |_, body| read(body).map(|_| ()),
        merge: |_, input| Some(merge(input)),
        ..EventPackage::new("conference", CONTENT_TYPE, expires_s, options)
    }
}

/// The newest publication, with the version of the subscription. Without any, a conference that is not active and has nobody
/// (RFC 4575 section 5.5).
fn merge(input: &MergeInput<'_>) -> Document {
    let newest = input
        .publications
        .iter()
        .find_map(|publication| read(publication.body).ok());
    let (body, version_at) = match &newest {
        Some(document) => renumbered(document),
        None => idle(input.presentity),
    };
    Document::versioned(CONTENT_TYPE, body, version_at)
}

fn read(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "conference-info")) {
        return Err(BodyFault::WrongRoot);
    }
    // RFC 4575 section 5.2: "entity … is mandatory".
    if root.attribute("entity").is_none() {
        return Err(BodyFault::Incomplete);
    }
    // A watcher that comes now has nothing that a part could be added to.
    if root.attribute("state") == Some("partial") {
        return Err(BodyFault::PartialState);
    }
    Ok(document)
}

fn idle(presentity: &str) -> (String, usize) {
    let mut out = String::from(DECLARATION);
    out.push_str("<conference-info version=\"");
    let version_at = out.len();
    out.push_str("0\"");
    push_attribute(&mut out, "xmlns", NAMESPACE);
    push_attribute(&mut out, "entity", presentity);
    push_attribute(&mut out, "state", "full");
    out.push_str(
        ">\n<conference-state><user-count>0</user-count><active>false</active></conference-state>\n</conference-info>\n",
    );
    (out, version_at)
}
