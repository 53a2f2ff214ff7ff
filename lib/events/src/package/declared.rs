//! Packages that are only declared in the configuration.

use std::sync::Arc;

use super::{
    Authorization, DeclaredPackage, EventPackage, MergeInput, MergePolicy, PackageOptions, newest,
};
use crate::document::{BodyFault, Document, collected, require_affordable, xml};

/// Largest body that is not XML, in bytes.
const MAX_BYTES: usize = xml::MAX_BYTES;

/// The package.
pub(super) fn package(declared: &DeclaredPackage, options: &Arc<PackageOptions>) -> EventPackage {
    let types: Vec<_> = declared
        .content_types
        .iter()
        .cloned()
        .map(Into::into)
        .collect();
    let notified = declared.content_types.first().cloned().unwrap_or_default();
    EventPackage {
        publish_content_types: types,
        authorization: match declared.authorization {
            true => Authorization::Rules,
            false => Authorization::Open,
        },
        check: match declared.content_types.iter().all(|kind| is_xml(kind)) {
            true => |_, body| read(body).map(|_| ()),
            // Of several types, which one it is only its own Content-Type knows; the largest size is all that can be said.
            false => |_, body| match body.len() > MAX_BYTES {
                true => Err(BodyFault::TooLarge),
                false => Ok(()),
            },
        },
        merge: match declared.merge {
            MergePolicy::Newest => newest::merge,
            MergePolicy::All => |package, input| merge_all(package, input, |_| None),
            MergePolicy::ById => |package, input| merge_all(package, input, name_and_id),
        },
        ..EventPackage::new(
            full_name(declared),
            notified,
            declared.default_expires.get(),
            options,
        )
    }
}

/// The name with its parameters, as in column `event`.
pub(super) fn full_name(declared: &DeclaredPackage) -> String {
    let mut name = declared.name.clone();
    for parameter in &declared.parameters {
        name.push(';');
        name.push_str(parameter);
    }
    name
}

/// Whether a media type is XML (RFC 7303).
pub(super) fn is_xml(content_type: &str) -> bool {
    content_type.ends_with("+xml") || content_type.ends_with("/xml")
}

fn read(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    let default = root.default_namespace().unwrap_or_default();
    let elements = root.children().filter(roxmltree::Node::is_element);
    require_affordable(root, elements, default)?;
    Ok(document)
}

/// The elements of all publications under the root of the first; those whose root has another name are left out.
fn merge_all(
    package: &EventPackage,
    input: &MergeInput<'_>,
    key: fn(roxmltree::Node<'_, '_>) -> Option<String>,
) -> Option<Document> {
    let mut documents: Vec<_> = input
        .publications
        .iter()
        .filter_map(|publication| read(publication.body).ok())
        .collect();
    let name = documents.first()?.root_element().tag_name();
    let (namespace, name) = (name.namespace().map(str::to_owned), name.name().to_owned());
    documents.retain(|document| {
        let root = document.root_element().tag_name();
        root.namespace() == namespace.as_deref() && root.name() == name
    });
    let body = collected(&documents, |node| key(node))?;
    Some(Document::new(&*package.notify_content_type, body))
}

fn name_and_id(node: roxmltree::Node<'_, '_>) -> Option<String> {
    let name = node.tag_name();
    node.attribute("id").map(|id| {
        format!(
            "{} {} {id}",
            name.namespace().unwrap_or_default(),
            name.name()
        )
    })
}
