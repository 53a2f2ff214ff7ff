//! Random publications in random order, for the packages that merge: nothing lost, nothing twice, the same for the same set.

use std::collections::{BTreeMap, BTreeSet};

use events::package::{Accounts, DeclaredPackage, MergePolicy, Within};
use events::{MergeInput, PackageOptions, Publication, Registry};
use proptest::prelude::*;

const STATES: [&str; 5] = ["trying", "proceeding", "early", "confirmed", "terminated"];

/// One `<dialog>`: id, call-id, local-tag, remote-tag, place in [`STATES`].
type Dialog = (
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    usize,
);

fn named<const N: usize>(names: [&'static str; N]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names.to_vec())
}

fn dialogs(always_named: bool) -> impl Strategy<Value = Vec<Vec<Dialog>>> {
    let part = move |names: [&'static str; 2]| match always_named {
        true => named(names).prop_map(Some).boxed(),
        false => prop::option::of(named(names)).boxed(),
    };
    let dialog = (
        named(["1", "2", "1-1", "a&b"]),
        part(["c1", "c2"]),
        part(["l1", "l2"]),
        part(["r1", "r2"]),
        0..STATES.len(),
    );
    prop::collection::vec(prop::collection::vec(dialog, 0..5), 0..6)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
}

fn dialog_info(dialogs: &[Dialog]) -> String {
    let mut out = String::from(
        "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='7' state='full' entity='sip:x@y'>",
    );
    for (id, call_id, local, remote, state) in dialogs {
        out.push_str(&format!("<dialog id='{}'", escape(id)));
        for (name, value) in [
            ("call-id", call_id),
            ("local-tag", local),
            ("remote-tag", remote),
        ] {
            if let Some(value) = value {
                out.push_str(&format!(" {name}='{value}'"));
            }
        }
        // Ids may be changed; the mark says what it was.
        let mark = escape(id);
        let state = STATES[*state];
        out.push_str(&format!(
            "><state>{state}</state><mark xmlns='urn:m'>{mark}</mark></dialog>"
        ));
    }
    out.push_str("</dialog-info>");
    out
}

/// Rows with numbers from 1, received in steps that often coincide.
fn rows(bodies: &[String]) -> Vec<Publication<'_>> {
    bodies
        .iter()
        .enumerate()
        .map(|(at, body)| Publication {
            id: at as i64 + 1,
            body: body.as_bytes(),
            received_time: 1000 + (at as i64 * 7919) % 3,
            ..Publication::default()
        })
        .collect()
}

fn merge(options: &PackageOptions, package: &str, rows: &[Publication<'_>]) -> String {
    let registry = Registry::new(options).unwrap();
    let package = registry.find_name(package).unwrap();
    let input = MergeInput {
        presentity: "sip:bob@example.org",
        publications: rows,
        now: 1001,
        ..MergeInput::default()
    };
    let document = package.merge(&input);
    document.map_or_else(String::new, |document| {
        assert_eq!(package.check(&document.body), Ok(()));
        String::from_utf8(document.body.to_vec()).unwrap()
    })
}

/// What a merge gives for these rows, and that it gives the same however they are turned.
fn merged_in_any_order(
    options: &PackageOptions,
    package: &str,
    bodies: &[String],
    by: usize,
) -> String {
    let mut rows = rows(bodies);
    let merged = merge(options, package, &rows);
    if !rows.is_empty() {
        let by = by % rows.len();
        rows.rotate_left(by);
        assert_eq!(merge(options, package, &rows), merged);
        rows.reverse();
        assert_eq!(merge(options, package, &rows), merged);
    }
    merged
}

/// A dialog that is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    id: String,
    /// As it was published.
    mark: String,
    names: [Option<String>; 3],
    state: String,
}

fn shown(merged: &str) -> Vec<Shown> {
    let document = roxmltree::Document::parse(merged).unwrap();
    let elements = document
        .root_element()
        .children()
        .filter(roxmltree::Node::is_element);
    elements
        .map(|node| {
            let value = |name: &str| node.attribute(name).map(str::to_owned);
            let text = |name: &str| {
                let child = node.children().find(|n| n.tag_name().name() == name);
                child.and_then(|n| n.text()).unwrap().to_owned()
            };
            Shown {
                id: value("id").unwrap(),
                mark: text("mark"),
                names: [value("call-id"), value("local-tag"), value("remote-tag")],
                state: text("state"),
            }
        })
        .collect()
}

fn names_of(dialog: &Dialog) -> [Option<String>; 3] {
    [dialog.1, dialog.2, dialog.3].map(|name| name.map(str::to_owned))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Dialogs that name all they can: each is there once, in the state that is furthest on, and ids differ.
    #[test]
    fn each_dialog_once_and_furthest_on(publications in dialogs(true), by in any::<usize>()) {
        let bodies: Vec<String> = publications.iter().map(|p| dialog_info(p)).collect();
        let merged = merged_in_any_order(&PackageOptions::default(), "dialog", &bodies, by);
        let mut furthest: BTreeMap<(&str, [Option<String>; 3]), usize> = BTreeMap::new();
        for dialog in publications.iter().flatten() {
            let known = furthest.entry((dialog.0, names_of(dialog))).or_insert(dialog.4);
            *known = (*known).max(dialog.4);
        }
        let found = shown(&merged);
        let ids: BTreeSet<&String> = found.iter().map(|dialog| &dialog.id).collect();
        prop_assert_eq!(ids.len(), found.len(), "{}", merged);
        let expected: Vec<_> = furthest
            .into_iter()
            .map(|((mark, names), state)| (mark.to_owned(), names, STATES[state].to_owned()))
            .collect();
        let mut found: Vec<_> = found.into_iter().map(|d| (d.mark, d.names, d.state)).collect();
        found.sort();
        prop_assert_eq!(found, expected, "{}", merged);
        let input: usize = bodies.iter().map(String::len).sum();
        prop_assert!(merged.len() <= 6 * input + 5000 * (bodies.len() + 1));
    }

    /// Dialogs that name less: none is lost altogether, none leaves `terminated`, ids differ. An end without call-id is told under its
    /// id, and counts for what the same row says. (No row here tells its publisher by an entity-tag.)
    #[test]
    fn no_dialog_is_lost_or_revived(publications in dialogs(false), by in any::<usize>()) {
        let bodies: Vec<String> = publications.iter().map(|p| dialog_info(p)).collect();
        let merged = merged_in_any_order(&PackageOptions::default(), "dialog", &bodies, by);
        let found = shown(&merged);
        let ids: BTreeSet<&String> = found.iter().map(|dialog| &dialog.id).collect();
        prop_assert_eq!(ids.len(), found.len(), "{}", merged);
        let by_row = publications.iter().flat_map(|row| row.iter().map(move |dialog| (row, dialog)));
        for (row, dialog) in by_row {
            let names = names_of(dialog);
            let is_over = STATES[dialog.4] == "terminated";
            let is_ended_by = |end: &Dialog| {
                let ends = STATES[end.4] == "terminated" && end.0 == dialog.0 && end.1.is_none();
                ends && names_of(end).iter().zip(&names).all(|(a, b)| a.is_none() || b.is_none() || a == b)
            };
            if row.iter().any(is_ended_by) {
                let told = found.iter().any(|shown| shown.mark == dialog.0);
                prop_assert!(told, "{:?} is gone from {}", dialog, merged);
                continue;
            }
            let agrees = |other: &[Option<String>; 3]| {
                names.iter().zip(other).all(|(a, b)| a.is_none() || b.is_none() || a == b)
            };
            let covers = |other: &[Option<String>; 3]| {
                names.iter().zip(other).all(|(a, b)| a.is_none() || a == b)
            };
            let mut same = found.iter().filter(|shown| shown.mark == dialog.0 && agrees(&shown.names));
            prop_assert!(same.next().is_some(), "{:?} is gone from {}", dialog, merged);
            if is_over {
                for shown in found.iter().filter(|shown| shown.mark == dialog.0 && covers(&shown.names)) {
                    prop_assert!(shown.state == "terminated", "{:?} is back in {}", dialog, merged);
                }
            }
        }
    }

    /// One device that publishes each state anew, without a call-id: its last word is shown, and only that.
    #[test]
    fn the_last_word_of_a_device_counts(states in prop::collection::vec(0..STATES.len(), 1..8), by in any::<usize>()) {
        let tag = |device: &str, at: usize| format!("aa{}{}", sip::token::source(device), "bcdefgh2".repeat(4).split_at(26 - at).0.to_owned() + &"z".repeat(at));
        let bodies: Vec<String> = states.iter().map(|state| dialog_info(&[("1", None, None, None, *state)])).collect();
        let idle = dialog_info(&[("1", None, None, None, 4)]);
        let tags: Vec<String> = (0..=states.len()).map(|at| tag(if at < states.len() { "a:5060" } else { "b:5060" }, at)).collect();
        let mut rows: Vec<Publication<'_>> = bodies.iter().chain([&idle]).zip(&tags).enumerate().map(|(at, (body, tag))| Publication {
            id: at as i64 + 1,
            body: body.as_bytes(),
            entity_tag: tag,
            received_time: 1000,
            modified_us: 1_000_000_000 + at as i64,
            ..Publication::default()
        }).collect();
        let by = by % rows.len();
        rows.rotate_left(by);
        let merged = merge(&PackageOptions::default(), "dialog", &rows);
        let found: Vec<(String, String)> = shown(&merged).into_iter().map(|dialog| (dialog.id, dialog.state)).collect();
        let last = STATES[*states.last().unwrap()].to_owned();
        prop_assert_eq!(found, [("1".to_owned(), last)], "{}", merged);
    }

    /// A row that cannot be read changes nothing.
    #[test]
    fn a_bad_row_changes_nothing(publications in dialogs(false), cut in any::<prop::sample::Index>()) {
        let bodies: Vec<String> = publications.iter().map(|p| dialog_info(p)).collect();
        let merged = merge(&PackageOptions::default(), "dialog", &rows(&bodies));
        let whole = dialog_info(&[("9", None, None, None, 2)]);
        let torn = &whole[..cut.index(whole.len())];
        let mut with = rows(&bodies);
        with.insert(cut.index(with.len() + 1), Publication { id: 99, body: torn.as_bytes(), received_time: 1001, ..Publication::default() });
        prop_assert_eq!(merge(&PackageOptions::default(), "dialog", &with), merged);
    }

    /// Of each account the newest counts, and sums are sums.
    #[test]
    fn accounts_are_summed(
        summaries in prop::collection::vec((named(["sip:a@x", "sip:b@x", ""]), any::<bool>(), 0u32..1000, 0u32..1000), 0..6),
        by in any::<usize>(),
    ) {
        let bodies: Vec<String> = summaries
            .iter()
            .map(|(account, waiting, new, old)| {
                let waiting = if *waiting { "yes" } else { "no" };
                let account = match *account { "" => String::new(), account => format!("Message-Account: {account}\r\n") };
                format!("Messages-Waiting: {waiting}\r\n{account}Voice-Message: {new}/{old}\r\n")
            })
            .collect();
        let merged = merged_in_any_order(&PackageOptions::default(), "message-summary", &bodies, by);
        let all = rows(&bodies);
        let mut newest: BTreeMap<&str, ((i64, i64), usize)> = BTreeMap::new();
        for (at, row) in all.iter().enumerate() {
            let age = (row.received_time, row.id);
            let known = newest.entry(summaries[at].0).or_insert((age, at));
            *known = (*known).max((age, at));
        }
        let counted: Vec<_> = newest.values().map(|(_, at)| &summaries[*at]).collect();
        let waiting = counted.iter().any(|(_, waiting, ..)| *waiting);
        let yes = if waiting { "Messages-Waiting: yes\r\n" } else { "Messages-Waiting: no\r\n" };
        prop_assert!(merged.starts_with(yes), "{}", merged);
        let new: u32 = counted.iter().map(|s| s.2).sum();
        let old: u32 = counted.iter().map(|s| s.3).sum();
        if !counted.is_empty() {
            let line = format!("Voice-Message: {new}/{old}\r\n");
            prop_assert!(merged.contains(&line), "{}", merged);
        }
        let mut each = PackageOptions::default();
        each.message_summary.accounts = Accounts::Each;
        let merged = merged_in_any_order(&each, "message-summary", &bodies, by);
        prop_assert_eq!(merged.matches("Messages-Waiting").count(), counted.len().max(1));
    }

    /// One registration for each address, each contact once, ids differ.
    #[test]
    fn registrations_are_one_for_each_address(
        publications in prop::collection::vec(
            prop::collection::vec((named(["sip:a@x", "tel:+1"]), named(["r", "s"]), named(["1", "2"]), named(["sip:p@1", "sip:p@2"])), 0..4),
            0..5,
        ),
        by in any::<usize>(),
    ) {
        let bodies: Vec<String> = publications
            .iter()
            .map(|registrations| {
                let inside: String = registrations
                    .iter()
                    .map(|(aor, id, contact, uri)| format!(
                        "<registration aor='{aor}' id='{id}' state='active'><contact id='{contact}' state='active' \
                         event='registered'><uri>{uri}</uri></contact></registration>"
                    ))
                    .collect();
                format!("<reginfo xmlns='urn:ietf:params:xml:ns:reginfo' version='0' state='full'>{inside}</reginfo>")
            })
            .collect();
        let merged = merged_in_any_order(&PackageOptions::default(), "reg", &bodies, by);
        let document = roxmltree::Document::parse(&merged).unwrap();
        let aors: Vec<&str> = document.descendants().filter_map(|n| n.attribute("aor")).collect();
        let distinct: BTreeSet<&str> = aors.iter().copied().collect();
        prop_assert_eq!(distinct.len(), aors.len(), "{}", merged);
        let expected: BTreeSet<(&str, &str)> = publications.iter().flatten().map(|(aor, _, _, uri)| (*aor, *uri)).collect();
        let found: BTreeSet<(&str, &str)> = document
            .descendants()
            .filter(|n| n.has_tag_name("uri"))
            .map(|n| (n.parent().unwrap().parent().unwrap().attribute("aor").unwrap(), n.text().unwrap()))
            .collect();
        prop_assert_eq!(found, expected, "{}", merged);
        for kind in ["registration", "contact"] {
            let ids: Vec<&str> = document.descendants().filter(|n| n.has_tag_name(kind)).filter_map(|n| n.attribute("id")).collect();
            let distinct: BTreeSet<&&str> = ids.iter().collect();
            prop_assert_eq!(distinct.len(), ids.len(), "{}", merged);
        }
    }

    /// A declared package: all elements, or of each id the newest.
    #[test]
    fn declared_packages_merge(
        publications in prop::collection::vec(prop::collection::vec((named(["1", "2", "3"]), 0u32..100), 0..4), 0..5),
        by in any::<usize>(),
    ) {
        let bodies: Vec<String> = publications
            .iter()
            .map(|lamps| {
                let inside: String = lamps.iter().map(|(id, n)| format!("<lamp id='{id}'>{n}</lamp>")).collect();
                format!("<lamps xmlns='urn:example:lamp'>{inside}</lamps>")
            })
            .collect();
        let count: usize = publications.iter().map(Vec::len).sum();
        let ids: BTreeSet<&str> = publications.iter().flatten().map(|(id, _)| *id).collect();
        for (policy, expected) in [(MergePolicy::All, count), (MergePolicy::ById, ids.len())] {
            let options = PackageOptions {
                declared: vec![DeclaredPackage {
                    name: "lamp".to_owned(),
                    parameters: Vec::new(),
                    content_types: vec!["application/x-lamp+xml".to_owned()],
                    merge: policy,
                    authorization: false,
                    default_expires: const { Within::of(60) },
                    winfo: false,
                }],
                ..PackageOptions::default()
            };
            let merged = merged_in_any_order(&options, "lamp", &bodies, by);
            prop_assert_eq!(merged.matches("<lamp ").count(), expected, "{}", merged);
            prop_assert!(merged.is_empty() == bodies.is_empty());
        }
    }

    /// Whatever the octets, every package comes back with something that is a document, or with nothing.
    #[test]
    fn any_octets_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let registry = Registry::standard();
        let row = Publication { id: 1, body: &body, ..Publication::default() };
        for package in registry.packages() {
            let document = package.merge(&MergeInput { presentity: "sip:b@x", publications: &[row], ..MergeInput::default() });
            if let Some(document) = document.filter(|document| document.content_type.ends_with("xml")) {
                prop_assert!(roxmltree::Document::parse(std::str::from_utf8(&document.body).unwrap()).is_ok());
            }
        }
    }
}
