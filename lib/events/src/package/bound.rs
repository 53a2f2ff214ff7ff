//! How large a document becomes: of a resource with many publications the newest are shown, as many as there is room for. Watcher information
//! is told in pieces instead ([`EventPackage::piece`]).

use super::order::RetrieveOrder;
use super::{EventPackage, MergeInput, Publication};
use crate::document::Document;

/// The document of a resource, and what it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The document; nothing, if nothing is published and the package has no neutral one.
    pub document: Option<Document>,
    /// Publications that there was no room for.
    pub left_out: usize,
}

/// What is merged at all is this many times as much as a document may have: what is said twice is shown once.
const FACTOR: usize = 4;

/// Merges the newest publications that fit. Costs one merge if all do, and a merge for each halving of their number if not.
pub(super) fn merge(package: &EventPackage, input: &MergeInput<'_>) -> Merged {
    let max = package.max_document_bytes();
    let all = input.publications.len();
    let octets: usize = input.publications.iter().map(|one| one.body.len()).sum();
    if octets <= FACTOR * max {
        let document = package.ordered(input, package.merge);
        if fits(document.as_ref(), max) {
            return Merged {
                document,
                left_out: 0,
            };
        }
    }
    let mut newest = input.publications.to_vec();
    RetrieveOrder::newest_first().sort(&mut newest);
    let mut room = FACTOR * max;
    newest.retain(|publication| {
        let has_room = publication.body.len() <= max.min(room);
        if has_room {
            room -= publication.body.len();
        }
        has_room
    });
    loop {
        let (count, document) = most_that_fit(package, input, &newest, max);
        if count > 0 || newest.is_empty() {
            return Merged {
                document,
                left_out: all - count,
            };
        }
        // The newest alone is too large as it is written for watchers.
        newest.remove(0);
    }
}

/// What is shown of the newest of these: of as many as fit, by halves.
fn most_that_fit(
    package: &EventPackage,
    input: &MergeInput<'_>,
    newest: &[Publication<'_>],
    max: usize,
) -> (usize, Option<Document>) {
    let of = |count: usize| {
        let input = MergeInput {
            publications: &newest[..count],
            ..*input
        };
        package.ordered(&input, package.merge)
    };
    let (mut count, mut document) = (0, of(0));
    let mut too_many = newest.len() + 1;
    while count + 1 < too_many {
        let middle = (count + too_many) / 2;
        let tried = of(middle);
        if fits(tried.as_ref(), max) {
            (count, document) = (middle, tried);
        } else {
            too_many = middle;
        }
    }
    (count, document)
}

fn fits(document: Option<&Document>, max: usize) -> bool {
    document.is_none_or(|document| document.body.len() <= max)
}

#[cfg(test)]
mod tests {
    use super::super::{MaxDocument, PackageOptions, Registry};
    use super::*;

    const MAX: usize = 5_000;

    fn package(name: &str) -> EventPackage {
        let options = PackageOptions {
            max_document: MaxDocument(MAX),
            ..PackageOptions::default()
        };
        let registry = Registry::new(&options).unwrap();
        registry.find_name(name).unwrap().clone()
    }

    fn presence(id: i64, octets: usize) -> String {
        let head = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:bob@example.org'>\
             <tuple id='t{id}'><status><basic>open</basic></status><note>"
        );
        let tail = "</note></tuple></presence>";
        let note = "x".repeat(octets - head.len() - tail.len());
        format!("{head}{note}{tail}")
    }

    /// Of bodies of these sizes, the last one the newest: which are shown, and how many are left out.
    fn shown(sizes: &[usize]) -> (Vec<usize>, usize) {
        let bodies: Vec<String> = (1..)
            .zip(sizes)
            .map(|(id, size)| presence(id, *size))
            .collect();
        let publications: Vec<Publication<'_>> = (1..)
            .zip(&bodies)
            .map(|(id, body)| Publication {
                id,
                received_time: id,
                body: body.as_bytes(),
                ..Publication::default()
            })
            .collect();
        let merged = package("presence").merge_and_count(&MergeInput {
            presentity: "sip:bob@example.org",
            publications: &publications,
            ..MergeInput::default()
        });
        let document = merged.document.unwrap();
        assert!(document.body.len() <= MAX, "{}", document.body.len());
        let text = String::from_utf8(document.body.to_vec()).unwrap();
        let is_there = |id: &usize| {
            text.contains(&format!("id=\"t{id}\"")) || text.contains(&format!("id='t{id}'"))
        };
        (
            (1..=sizes.len()).filter(is_there).collect(),
            merged.left_out,
        )
    }

    #[test]
    fn the_newest_are_shown_and_the_rest_is_counted() {
        for (sizes, expected, left_out) in [
            (vec![], vec![], 0),
            (vec![400, 500], vec![1, 2], 0),
            (vec![2_000, 2_000, 2_000], vec![2, 3], 1),
            // There might be room for the first one, but it is older than one that there is none for.
            (vec![300, 3_000, 3_000], vec![3], 2),
            // Too large by itself: those beside it are not silenced.
            (vec![300, 400, 6_000], vec![1, 2], 1),
            (vec![6_000], vec![], 1),
            // Just as large as it may be, and larger with what every document begins with.
            (vec![300, 5_000], vec![1], 1),
        ] {
            assert_eq!(shown(&sizes), (expected, left_out), "{sizes:?}");
        }
        let (many, left_out) = shown(&[500; 300]);
        assert_eq!(many.len() + left_out, 300);
        assert!(many.len() >= 8, "{many:?}");
        assert_eq!(many.last(), Some(&300), "the newest are the last ones");
    }

    #[test]
    fn a_body_that_no_document_has_room_for_is_refused() {
        let package = package("presence");
        assert!(package.check(presence(1, MAX).as_bytes()).is_ok());
        let fault = package.check(presence(1, MAX + 1).as_bytes());
        assert_eq!(fault, Err(crate::BodyFault::TooLarge));
    }

    /// Ends count, also those of publications that are left out: a call that is over does not ring for want of room.
    #[test]
    fn what_is_left_out_can_end_nothing_that_is_told_beside_it() {
        let body = |id: &str, state: &str, octets: usize| {
            let body = format!(
                "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='sip:bob@example.org'>\
                 <dialog id='{id}' call-id='c'><state>{state}</state><local><target uri='sip:x'/></local></dialog></dialog-info>"
            );
            let padding = " ".repeat(octets - body.len());
            format!("{body}{padding}")
        };
        let (early, other) = (body("a", "early", 400), body("b", "confirmed", 400));
        let package = package("dialog");
        let publication = |id: i64, body: &'static str| Publication {
            id,
            received_time: id,
            body: body.as_bytes(),
            ..Publication::default()
        };
        let ended = body("a", "terminated", MAX);
        let publisher = crate::Publisher::Untold;
        let keys = package.note(ended.as_bytes(), publisher).unwrap().ended;
        let ends: Vec<crate::document::dialog_info::Ended> = keys
            .into_iter()
            .map(|key| crate::document::dialog_info::Ended { key, at_us: 1 })
            .collect();
        let publications = [
            publication(1, ended.leak()),
            publication(2, early.leak()),
            publication(3, other.leak()),
        ];
        let document = package.merge(&MergeInput {
            presentity: "sip:bob@example.org",
            publications: &publications,
            ended: &ends,
            ..MergeInput::default()
        });
        let text = String::from_utf8(document.unwrap().body.to_vec()).unwrap();
        assert!(
            text.contains("confirmed") && !text.contains("early"),
            "{text}"
        );
    }
}
