//! Random publications in random order: nothing lost, nothing twice, and the same result every time.

use std::collections::{BTreeMap, BTreeSet};

use events::PublishedBody;
use events::document::pidf;
use proptest::prelude::*;
use roxmltree::Node;

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
/// What the generator's elements are in; each document chooses its own prefixes for these.
const NAMESPACES: [&str; 5] = [
    PIDF,
    "urn:ietf:params:xml:ns:pidf:data-model",
    "urn:ietf:params:xml:ns:pidf:rpid",
    "urn:example:x&y",
    "urn:example:z",
];
const PREFIXES: [&str; 6] = ["p", "dm", "r", "x", "n-1", "_u"];

/// An element to be written: namespace, local name, identifier, text, what is inside.
#[derive(Debug, Clone)]
struct Element {
    namespace: usize,
    name: &'static str,
    id: Option<&'static str>,
    text: String,
    own_prefix: bool,
    inside: Vec<Element>,
}

/// A document: the prefix of each namespace (`None`: the default one), and its elements.
#[derive(Debug, Clone)]
struct Published {
    prefixes: Vec<Option<&'static str>>,
    language: bool,
    elements: Vec<Element>,
}

fn element() -> impl Strategy<Value = Element> {
    let ids = prop::option::of(prop::sample::select(vec![
        "t1", "t2", "a", "t1-1", "t1-2.2", "p&q",
    ]));
    let leaf = (
        0..NAMESPACES.len(),
        prop::sample::select(vec!["tuple", "note", "person", "device", "mood"]),
        ids,
        "[ a-z:<&'\"\u{e9}\r\n]{0,12}",
        any::<bool>(),
    )
        .prop_map(|(namespace, name, id, text, own_prefix)| Element {
            namespace,
            name,
            id,
            text,
            own_prefix,
            inside: Vec::new(),
        });
    leaf.prop_recursive(2, 8, 3, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..3)).prop_map(|(mut element, inside)| {
            element.inside = inside;
            element
        })
    })
}

fn published() -> impl Strategy<Value = Published> {
    let prefixes = Just(PREFIXES.to_vec()).prop_shuffle();
    (
        prefixes,
        prop::option::of(0..NAMESPACES.len()),
        any::<bool>(),
        prop::collection::vec(element(), 0..5),
    )
        .prop_map(|(prefixes, default, language, mut elements)| {
            // A tuple must have an id.
            for element in &mut elements {
                if (element.namespace, element.name) == (0, "tuple") {
                    element.id.get_or_insert("t1");
                }
            }
            let prefixes = (0..NAMESPACES.len())
                .map(|namespace| (default != Some(namespace)).then_some(prefixes[namespace]))
                .collect();
            Published {
                prefixes,
                language,
                elements,
            }
        })
}

impl Published {
    fn xml(&self) -> String {
        let mut out = String::new();
        let name = |namespace: usize, local: &str| match self.prefixes[namespace] {
            Some(prefix) => format!("{prefix}:{local}"),
            None => local.to_owned(),
        };
        let root = name(0, "presence");
        out.push_str(&format!("<{root}"));
        for (namespace, prefix) in self.prefixes.iter().enumerate() {
            let uri = escape(NAMESPACES[namespace]);
            match prefix {
                Some(prefix) => out.push_str(&format!(" xmlns:{prefix}=\"{uri}\"")),
                None => out.push_str(&format!(" xmlns='{uri}'")),
            }
        }
        if self.language {
            out.push_str(" xml:lang='de'");
        }
        out.push_str(" entity='pres:who@ever'>\n");
        for element in &self.elements {
            self.push(&mut out, element, &name);
        }
        out.push_str(&format!("</{root}>"));
        out
    }

    fn push(&self, out: &mut String, element: &Element, name: &dyn Fn(usize, &str) -> String) {
        // Some elements bind a prefix themselves that may stand for something else outside.
        let (tag, declaration) = if element.own_prefix {
            let uri = escape(NAMESPACES[element.namespace]);
            (
                format!("own:{}", element.name),
                format!(" xmlns:own = \"{uri}\""),
            )
        } else {
            (name(element.namespace, element.name), String::new())
        };
        out.push_str(&format!("<{tag}{declaration}"));
        if let Some(id) = element.id {
            out.push_str(&format!("\n id = '{}'", escape(id)));
        }
        out.push('>');
        out.push_str(&escape(&element.text));
        for inner in &element.inside {
            self.push(out, inner, name);
        }
        out.push_str(&format!("</{tag}>"));
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('\'', "&apos;")
        .replace('"', "&quot;")
        .replace('\r', "&#13;")
}

/// The meaning of an element, without prefixes and without identifiers that may be renamed.
fn meaning(node: Node<'_, '_>) -> String {
    let mut attributes: Vec<String> = node
        .attributes()
        .filter(|attribute| attribute.name() != "id" || !is_known(node))
        .map(|attribute| {
            format!(
                "{:?}{}={:?}",
                attribute.namespace(),
                attribute.name(),
                attribute.value()
            )
        })
        .collect();
    attributes.sort();
    let inside: Vec<String> = node
        .children()
        .map(|child| {
            if child.is_element() {
                meaning(child)
            } else {
                format!("{:?}", child.text())
            }
        })
        .collect();
    format!(
        "{:?}{}{attributes:?}{inside:?}",
        node.tag_name().namespace(),
        node.tag_name().name()
    )
}

fn is_known(node: Node<'_, '_>) -> bool {
    NAMESPACES[..3].contains(&node.tag_name().namespace().unwrap_or(""))
}

fn known_ids(node: Node<'_, '_>) -> Vec<String> {
    node.descendants()
        .filter(|n| is_known(*n))
        .filter_map(|n| n.attribute("id"))
        .map(str::to_owned)
        .collect()
}

fn meanings(xml: &str, language: bool) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    let language = if language { "\"de\"" } else { "" };
    document
        .root_element()
        .children()
        .filter(Node::is_element)
        .map(|node| add_language(meaning(node), language))
        .collect()
}

/// An element inherits `xml:lang` from a root that does not come along.
fn add_language(meaning: String, language: &str) -> String {
    if language.is_empty() {
        return meaning;
    }
    let attribute = format!("Some(\"http://www.w3.org/XML/1998/namespace\")lang={language}");
    let at = meaning.find('[').unwrap();
    let (head, tail) = meaning.split_at(at + 1);
    let end = if tail.starts_with(']') { "" } else { ", " };
    // `Some(…)` sorts behind `None…`, so the inherited attribute is the last one.
    let close = tail.find(']').unwrap();
    if end.is_empty() {
        format!("{head}{attribute:?}{tail}")
    } else {
        format!("{head}{}, {attribute:?}{}", &tail[..close], &tail[close..])
    }
}

fn render(rows: &[(i64, String)]) -> String {
    let bodies: Vec<_> = rows
        .iter()
        .map(|(id, body)| PublishedBody {
            id: *id,
            content_type: "",
            body: body.as_bytes(),
        })
        .collect();
    String::from_utf8(pidf::merge("sip:bob@example.org", &bodies).body.to_vec()).unwrap()
}

/// What each top-level element is called in a merged document: its meaning and its identifiers.
fn named(merged: &str) -> BTreeMap<(String, Vec<String>), usize> {
    let document = roxmltree::Document::parse(merged).unwrap();
    let mut result = BTreeMap::new();
    for node in document.root_element().children().filter(Node::is_element) {
        *result.entry((meaning(node), known_ids(node))).or_insert(0) += 1;
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_no_identifier_is_there_twice(published in prop::collection::vec(published(), 1..5)) {
        let rows: Vec<(i64, String)> =
            published.iter().enumerate().map(|(at, p)| (at as i64 + 1, p.xml())).rev().collect();
        for (_, body) in &rows {
            prop_assert_eq!(pidf::check(body.as_bytes()), Ok(()), "{}", body);
        }
        let merged = render(&rows);
        let document = roxmltree::Document::parse(&merged).unwrap();

        let mut expected: Vec<String> =
            published.iter().flat_map(|p| meanings(&p.xml(), p.language)).collect();
        let mut found = meanings(&merged, false);
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected, "{}", merged);

        let ids = known_ids(document.root_element());
        let distinct: BTreeSet<&String> = ids.iter().collect();
        prop_assert_eq!(distinct.len(), ids.len(), "{}", merged);

        // The identifiers that publishers gave are all still there, each with somebody.
        for (_, body) in &rows {
            let source = roxmltree::Document::parse(body).unwrap();
            for id in known_ids(source.root_element()) {
                prop_assert!(distinct.contains(&id), "{} is gone from {}", id, merged);
            }
        }
        let input: usize = rows.iter().map(|(_, body)| body.len()).sum();
        prop_assert!(merged.len() <= 6 * input + 5000 * rows.len());
    }

    #[test]
    fn the_order_of_the_list_changes_no_name(
        published in prop::collection::vec(published(), 1..5),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let mut rows: Vec<(i64, String)> =
            published.iter().enumerate().map(|(at, p)| (at as i64 + 1, p.xml())).collect();
        let merged = render(&rows);
        prop_assert_eq!(&merged, &render(&rows));
        let by = shuffle.index(rows.len());
        rows.rotate_left(by);
        prop_assert_eq!(named(&render(&rows)), named(&merged));
    }

    #[test]
    fn a_bad_row_changes_nothing(published in prop::collection::vec(published(), 0..4), cut in any::<prop::sample::Index>()) {
        let mut rows: Vec<(i64, String)> =
            published.iter().enumerate().map(|(at, p)| (at as i64 + 1, p.xml())).collect();
        let merged = render(&rows);
        let whole = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:p='urn:other' entity='e'><tuple id='t1'/></presence>";
        let torn = whole[..cut.index(whole.len())].to_owned();
        let place = cut.index(rows.len() + 1);
        rows.insert(place, (0, torn));
        prop_assert_eq!(render(&rows), merged);
    }

    #[test]
    fn any_octets_are_survived(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let merged = pidf::merge("sip:bob@example.org", &[PublishedBody { id: 1, content_type: "", body: &body }]);
        prop_assert!(roxmltree::Document::parse(std::str::from_utf8(&merged.body).unwrap()).is_ok());
    }
}
