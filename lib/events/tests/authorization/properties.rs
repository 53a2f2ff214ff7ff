//! What holds for all rules and documents.

use super::support::*;
use events::Document;
use events::authorization::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 22] = [
    "presence",
    "p:tuple",
    "p:status",
    "p:basic",
    "p:contact",
    "p:note",
    "p:timestamp",
    "d:person",
    "d:device",
    "d:deviceID",
    "d:note",
    "r:class",
    "r:activities",
    "r:user-input",
    "r:mood",
    "r:sphere",
    "x:foo",
    "x:bar",
    "q:tuple",
    "tuple",
    "contact",
    "note",
];
const ATTRIBUTES: [&str; 6] = [
    "id='a'",
    "id=\"b\"",
    "idle-threshold='6'",
    "last-input='7'",
    "x:y='>'",
    "xmlns:q='urn:ietf:params:xml:ns:pidf'",
];

fn element() -> impl Strategy<Value = String> {
    let tag = (
        0..NAMES.len(),
        prop::collection::btree_set(0..ATTRIBUTES.len(), 0..3),
    )
        .prop_map(|(name, attributes)| {
            let mut attributes: Vec<&str> =
                attributes.into_iter().map(|at| ATTRIBUTES[at]).collect();
            attributes.dedup_by_key(|attribute| &attribute[..3]);
            (NAMES[name], attributes.join(" "))
        });
    let text = prop::sample::select(vec![
        "",
        "a",
        "sip:a@b",
        " open\n",
        "&amp;",
        "<!-- c -->",
        "<![CDATA[<a>]]>",
        "<?i j?>",
    ]);
    let leaf = (tag, text)
        .prop_map(|((name, attributes), text)| format!("<{name} {attributes}>{text}</{name}>"));
    leaf.prop_recursive(4, 24, 5, |inner| {
        (
            prop::sample::select(NAMES.to_vec()),
            prop::collection::vec(inner, 0..5),
            any::<bool>(),
        )
            .prop_map(|(name, inside, blank)| {
                format!(
                    "<{name} id='a'>{}</{name}>",
                    inside.join(if blank { "\n" } else { "" })
                )
            })
    })
}

fn document() -> impl Strategy<Value = String> {
    prop::collection::vec(element(), 0..8).prop_map(|elements| {
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns:q='urn:q' xmlns:x='urn:x' \
            xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='e'>{}</presence>",
            elements.concat()
        )
    })
}

fn transformation() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<pr:provide-services><pr:all-services/></pr:provide-services>",
        "<pr:provide-services><pr:class>a</pr:class><pr:service-uri-scheme>sip</pr:service-uri-scheme></pr:provide-services>",
        "<pr:provide-services><pr:occurrence-id>b</pr:occurrence-id></pr:provide-services>",
        "<pr:provide-persons><pr:all-persons/></pr:provide-persons>",
        "<pr:provide-persons><pr:class>a</pr:class></pr:provide-persons>",
        "<pr:provide-devices><pr:all-devices/></pr:provide-devices>",
        "<pr:provide-devices><pr:deviceID>a</pr:deviceID></pr:provide-devices>",
        "<pr:provide-mood>true</pr:provide-mood>",
        "<pr:provide-mood>false</pr:provide-mood>",
        "<pr:provide-note>1</pr:provide-note>",
        "<pr:provide-class>true</pr:provide-class>",
        "<pr:provide-user-input>bare</pr:provide-user-input>",
        "<pr:provide-user-input>thresholds</pr:provide-user-input>",
        "<pr:provide-user-input>full</pr:provide-user-input>",
        "<pr:provide-unknown-attribute ns='urn:x' name='foo'>true</pr:provide-unknown-attribute>",
        "<pr:provide-all-attributes/>",
    ])
}

fn condition() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<identity><one id='sip:bob@example.com'/></identity>",
        "<identity><many domain='example.com'/></identity>",
        "<identity><many><except id='sip:bob@example.com'/></many></identity>",
        "<sphere value='work'/>",
        "<validity><from>1970-01-01T00:00:00Z</from><until>1970-01-01T00:00:10Z</until></validity>",
        "<validity><from>1970-01-01T00:00:05Z</from><until>1970-01-01T00:00:20Z</until></validity>",
        "<x:unknown/>",
        "<ocp:anonymous-request/>",
    ])
}

fn a_rule() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(condition(), 0..3),
        prop::sample::select(vec![
            "block",
            "confirm",
            "polite-block",
            "allow",
            "allow",
            "?",
        ]),
        prop::collection::vec(transformation(), 0..6),
    )
        .prop_map(|(conditions, handling, transformations)| {
            rule(&conditions.concat(), handling, &transformations.concat())
        })
}

fn scene() -> impl Strategy<Value = Scene> {
    let watchers = prop::sample::select(vec![
        "sip:bob@example.com",
        "sip:alice@example.com",
        "sip:bob@example.org",
        "tel:+1",
        "anonymous",
    ]);
    (
        watchers,
        prop::option::of(prop::sample::select(vec!["work", "home"])),
        0..25i64,
    )
        .prop_map(|(watcher, sphere, now)| Scene {
            now: Moment::from_epoch_us(now * 1_000_000),
            sphere: sphere.map(str::to_owned),
            ..Scene::of(watcher)
        })
}

/// How often each element is there, by the names of all that hold it.
fn census(text: &str) -> BTreeMap<String, usize> {
    let document = roxmltree::Document::parse(text).unwrap();
    let mut census = BTreeMap::new();
    for node in document.descendants().filter(|node| node.is_element()) {
        let path: Vec<String> = node
            .ancestors()
            .filter(|ancestor| ancestor.is_element())
            .map(|ancestor| {
                format!(
                    "{:?}{}",
                    ancestor.tag_name().namespace(),
                    ancestor.tag_name().name()
                )
            })
            .collect();
        *census.entry(path.join(" ")).or_insert(0) += 1;
    }
    census
}

fn is_within(small: &str, large: &str) -> bool {
    let large = census(large);
    census(small)
        .iter()
        .all(|(path, count)| large.get(path).is_some_and(|limit| count <= limit))
}

fn pidf(text: &str) -> Document {
    Document::new(
        "application/pidf+xml".to_owned(),
        bytes::Bytes::copy_from_slice(text.as_bytes()),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_view_shows_a_part_and_showing_it_twice_shows_the_same(
        input in document(),
        transformations in prop::collection::vec(transformation(), 0..8),
    ) {
        prop_assume!(roxmltree::Document::parse(&input).is_ok());
        let view = view(&transformations.concat());
        let once = apply(&view, &pidf(&input));
        prop_assert!(is_within(&once, &input), "{} of {}", once, input);
        prop_assert!(once.len() <= input.len() + 64);
        let twice = apply(&view, &pidf(&once));
        prop_assert!(is_within(&twice, &once), "{} of {}", twice, once);
        // What was selected by a class that is not shown cannot be selected again.
        let encoded = view.encode();
        let words: Vec<&str> = encoded.split(' ').collect();
        let hides_class = !words.iter().any(|word| ["all", "attributes", "class"].contains(word));
        if !hides_class || !encoded.contains(":class=") {
            prop_assert_eq!(twice, once);
        }
        prop_assert_eq!(View::decode(&view.encode()), Some(view));
    }

    #[test]
    fn another_rule_never_takes_a_permission_away(
        rules in prop::collection::vec(a_rule(), 0..6),
        more in a_rule(),
        place in any::<prop::sample::Index>(),
        scene in scene(),
        input in document(),
    ) {
        prop_assume!(roxmltree::Document::parse(&input).is_ok());
        let before = scene.decide(&parse(&rules.concat()));
        let mut rules = rules;
        rules.insert(place.index(rules.len() + 1), more);
        let after = scene.decide(&parse(&rules.concat()));
        prop_assert!(before.handling <= after.handling);
        let mut joined = after.view.clone();
        joined.join(&before.view);
        prop_assert_eq!(&joined, &after.view);
        if before.handling == SubHandling::Allow {
            let (few, many) = (apply(&before.view, &pidf(&input)), apply(&after.view, &pidf(&input)));
            prop_assert!(is_within(&few, &many), "{} of {}", few, many);
        }
    }

    #[test]
    fn the_order_of_rules_means_nothing(rules in prop::collection::vec(a_rule(), 0..6), by in any::<prop::sample::Index>(), scene in scene()) {
        let decision = scene.decide(&parse(&rules.concat()));
        let mut rules = rules;
        let by = by.index(rules.len() + 1);
        rules.rotate_left(by);
        prop_assert_eq!(scene.decide(&parse(&rules.concat())), decision);
    }

    #[test]
    fn nothing_changes_before_the_next_change(rules in prop::collection::vec(a_rule(), 0..6), scene in scene()) {
        let rules = parse(&rules.concat());
        let current = scene.decide(&rules);
        let next = scene.next_change(&rules).map_or(i64::MAX, Moment::epoch_s_rounded_up);
        let mut then = scene;
        for second in then.now.epoch_s_rounded_up()..30 {
            then.now = Moment::from_epoch_us(second * 1_000_000);
            let differs = !then.decide(&rules).shows_the_same_as(&current);
            prop_assert!(second >= next || !differs, "at {}", second);
            if second == next {
                prop_assert!(differs);
                break;
            }
        }
    }

    #[test]
    fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..200), scene in scene()) {
        if let Ok(rules) = RuleSet::parse(&octets, false) {
            scene.decide(&rules);
        }
        let document = Document::new(String::new(), octets.clone());
        view("<pr:provide-note>true</pr:provide-note>").apply(PRESENTITY, &document);
        sphere::sphere_of(&octets, scene.now);
        let text = String::from_utf8_lossy(&octets);
        let _ = (Moment::parse(&text), Anchor::parse(&text, true), View::decode(&text));
    }

    #[test]
    fn torn_documents_are_survived(input in document(), rules in prop::collection::vec(a_rule(), 1..4), cut in any::<prop::sample::Index>(), scene in scene()) {
        let torn = &input[..cut.index(input.len())];
        let shown = view("<pr:provide-note>true</pr:provide-note>").apply(PRESENTITY, &pidf(torn));
        prop_assert!(roxmltree::Document::parse(std::str::from_utf8(&shown.body).unwrap()).is_ok());
        let document = ruleset(&rules.concat());
        let torn = &document.as_bytes()[..cut.index(document.len())];
        prop_assert!(RuleSet::parse(torn, false).is_err());
        let _ = scene;
    }

    #[test]
    fn words_in_any_order_are_survived(words in prop::collection::vec(prop::sample::select(vec![
        "<", ">", "/", "<a", "</a>", "<a>", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "'", "\"", "=", " ", "xmlns", "&", ";", "p:", "x",
    ]), 0..40)) {
        let text = words.concat();
        let document = format!("<presence xmlns='urn:ietf:params:xml:ns:pidf'>{text}</presence>");
        for text in [&text, &document] {
            view("").apply(PRESENTITY, &pidf(text));
        }
    }
}

/// No clocks: what is large is refused by its size, and what is scanned is scanned once.
#[test]
fn hostile_documents_cost_bounded_work() {
    let identities: String = (0..3000)
        .map(|n| format!("<one id='sip:u{n}@example.com'/>"))
        .collect();
    let wide = ruleset(&rule(
        &format!("<identity>{identities}</identity>"),
        "allow",
        "",
    ));
    assert!(RuleSet::parse(wide.as_bytes(), false).is_err());
    let deep = ruleset(&rule(
        &format!("{}{}", "<x:a>".repeat(9000), "</x:a>".repeat(9000)),
        "allow",
        "",
    ));
    assert!(RuleSet::parse(deep.as_bytes(), false).is_err());

    // A merged document may be much larger than a published one, with thousands of declarations: it is read in one pass.
    let declarations: String = (0..4000)
        .map(|n| format!(" xmlns:n{n}='urn:{n}'"))
        .collect();
    let tuples: String = (0..20_000)
        .map(|n| {
            format!(
                "<tuple id='t{n}'><status><basic>open</basic></status><n{}:a/></tuple>",
                n % 4000
            )
        })
        .collect();
    let large = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf'{declarations} entity='e'>{tuples}</presence>"
    );
    let shown = view("<pr:provide-services><pr:all-services/></pr:provide-services>")
        .apply(PRESENTITY, &pidf(&large));
    let shown = std::str::from_utf8(&shown.body).unwrap();
    assert_eq!(shown.matches("<tuple").count(), 20_000);
    assert!(!shown.contains(":a/>"));
    let nested = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf'>{}{}</presence>",
        "<a>".repeat(100_000),
        "</a>".repeat(100_000)
    );
    view("").apply(PRESENTITY, &pidf(&nested));
}
