//! `presence`: the state of a person and their devices (RFC 3856), shown as PIDF.

use std::sync::Arc;

use super::{Authorization, EventPackage, MergeInput, PackageOptions, Publication, SingleBody};
use crate::document::{Document, PublishedBody, pidf};

/// The package. RFC 3856 section 6.4 recommends an hour for subscriptions.
pub(super) fn package(options: &Arc<PackageOptions>) -> EventPackage {
    let expires_s = options.presence.default_expires_s;
    EventPackage {
        authorization: Authorization::Rules,
        check: |_, body| pidf::check(body),
        merge,
        ..EventPackage::new("presence", pidf::CONTENT_TYPE, expires_s, options)
    }
}

fn merge(package: &EventPackage, input: &MergeInput<'_>) -> Option<Document> {
    let options = &package.options.presence;
    let readable: Vec<&Publication<'_>> =
        match options.force_dummy_presence || options.force_presence_single_body.is_some() {
            // Reading twice is for those who ask for it.
            true => input
                .publications
                .iter()
                .filter(|publication| pidf::check(publication.body).is_ok())
                .collect(),
            false => input.publications.iter().collect(),
        };
    if readable.is_empty() && options.force_dummy_presence {
        return Some(pidf::dummy(input.presentity));
    }
    let shown: Vec<PublishedBody<'_>> = match &options.force_presence_single_body {
        Some(single) => most_important(single, &readable)
            .iter()
            .map(|publication| publication.published_body())
            .collect(),
        None => readable
            .iter()
            .map(|publication| publication.published_body())
            .collect(),
    };
    Some(pidf::merge(input.presentity, &shown))
}

/// The publication whose text stands last in the priorities; of equals, and of those that say nothing, the first.
fn most_important<'p, 'a>(
    single: &SingleBody,
    publications: &[&'p Publication<'a>],
) -> Option<&'p Publication<'a>> {
    let rank = |publication: &Publication<'_>| {
        let texts = pidf::texts(publication.body, &single.lookup_element);
        // The whole text counts: "Phone" is not "On the Phone".
        single
            .priorities
            .iter()
            .rposition(|priority| texts.iter().any(|text| text == priority))
    };
    publications
        .iter()
        .enumerate()
        .max_by_key(|(at, publication)| (rank(publication), std::cmp::Reverse(*at)))
        .map(|(_, publication)| *publication)
}
