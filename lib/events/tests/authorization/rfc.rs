//! The examples of the RFCs, with the results that they state.

use super::support::*;
use events::PublishedBody;
use events::authorization::*;
use events::document::pidf;

/// A document of `tests/rfc`: word for word the example of that section.
macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../rfc/", $path, ".xml"))
    };
}

/// The examples of RFC 4745 say whom a rule matches, and leave open what it permits. Here it is that its watchers are let in.
fn matching(example: &str) -> RuleSet {
    let allow = "<actions><sub-handling xmlns=\"urn:ietf:params:xml:ns:pres-rules\">allow</sub-handling></actions>";
    let document = example.replace("<actions/>", allow);
    assert_ne!(document, example);
    RuleSet::parse(document.as_bytes(), false).unwrap()
}

fn assert_matches(rules: &RuleSet, scene: &Scene, expected: bool) {
    let handling = scene.decide(rules).handling;
    assert_eq!(handling == SubHandling::Allow, expected, "{scene:?}");
}

#[test]
fn rfc_4745_section_7_1_2_matching_one_entity() {
    let rules = matching(example!("4745/7.1.2"));
    for (watcher, expected) in [
        ("sip:alice@example.com", true),
        ("tel:+12125551234", true),
        ("tel:+1-212-555-1234", true),
        ("sip:bob@example.com", false),
        ("sip:bob@example.net", false),
        ("sip:+12125551234@example.com", false),
        ("anonymous", false),
    ] {
        assert_matches(&rules, &Scene::of(watcher), expected);
    }
}

#[test]
fn rfc_4745_section_7_1_3_1_matching_any_authenticated_identity() {
    let rules = matching(example!("4745/7.1.3.1"));
    for (watcher, expected) in [
        ("sip:anyone@anywhere.example", true),
        ("tel:+1", true),
        ("anonymous", false),
    ] {
        assert_matches(&rules, &Scene::of(watcher), expected);
    }
}

#[test]
fn rfc_4745_section_7_1_3_2_any_identity_except_enumerated_ones() {
    let rules = matching(example!("4745/7.1.3.2"));
    let at_work = |watcher: &str| Scene::of(watcher).within("work");
    let in_time = "2003-12-24T17:30:00+01:00";
    for (watcher, expected) in [
        ("sip:carol@example.com", false),
        ("sip:alice@example.com", false),
        ("sip:carol@example.org", false),
        ("sip:alice@bad.example.net", false),
        ("sip:bob@bad.example.net", true),
        ("sip:bob@good.example.net", false),
        ("sip:alice@good.example.net", true),
        ("tel:+12125551234", false),
        ("tel:+12125551235", true),
        ("anonymous", false),
    ] {
        assert_matches(&rules, &at_work(watcher).at(in_time), expected);
    }
    // "All conditions" of it must hold, not the identity alone (section 10.1).
    let carol = "sip:carol@example.net";
    for (scene, expected) in [
        (at_work(carol).at(in_time), true),
        (Scene::of(carol).within("home").at(in_time), false),
        (Scene::of(carol).at(in_time), false),
        (at_work(carol).at("2003-12-24T16:59:59+01:00"), false),
        (at_work(carol).at("2003-12-24T17:00:00+01:00"), true),
        (at_work(carol).at("2003-12-24T19:00:00+01:00"), false),
    ] {
        assert_matches(&rules, &scene, expected);
    }
}

#[test]
fn rfc_4745_section_7_1_3_3_a_domain_except_enumerated_identities() {
    let rules = matching(example!("4745/7.1.3.3"));
    for (watcher, expected) in [
        ("sip:carol@example.com", true),
        ("sip:alice@example.com", false),
        ("sip:bob@example.com", false),
        ("sip:carol@example.org", false),
    ] {
        assert_matches(&rules, &Scene::of(watcher), expected);
    }
}

#[test]
fn rfc_4745_section_7_3_spheres() {
    let rules = matching(example!("4745/7.3"));
    for (watcher, sphere, expected) in [
        ("sip:andrew@example.com", "work", true),
        ("sip:andrew@example.com", "WORK", true),
        ("sip:andrew@example.com", "home", false),
        ("sip:allison@example.com", "home", true),
        ("sip:allison@example.com", "work", false),
        // "The third rule also matches since the value in the sphere element also contains the token 'home'."
        ("sip:john@doe.example.com", "home", true),
        ("sip:john@doe.example.com", "work", true),
        ("sip:john@doe.example.com", "travel", false),
    ] {
        assert_matches(&rules, &Scene::of(watcher).within(sphere), expected);
    }
}

#[test]
fn rfc_4745_section_7_4_validity() {
    let rules = matching(example!("4745/7.4"));
    for (time, expected) in [
        ("2003-08-15T15:19:59.999Z", false),
        ("2003-08-15T10:20:00-05:00", true),
        ("2003-09-15T15:19:59.999Z", true),
        ("2003-09-15T10:20:00-05:00", false),
    ] {
        assert_matches(&rules, &Scene::of("sip:a@b").at(time), expected);
    }
    // Nobody is named, so it is for everybody, "authenticated or not" (section 7.1.1).
    assert_matches(
        &rules,
        &Scene::of("anonymous").at("2003-09-01T00:00:00Z"),
        true,
    );
}

#[test]
fn rfc_4745_section_12_example() {
    let rules = matching(example!("4745/12"));
    let bob = || Scene::of("sip:bob@example.com");
    let (in_time, late) = ("2003-12-24T18:00:00+01:00", "2003-12-24T19:00:00+01:00");
    for (scene, expected) in [
        (bob().within("work").at(in_time), true),
        (bob().within("home").at(in_time), false),
        (bob().within("work").at(late), false),
        (
            Scene::of("sip:alice@example.com")
                .within("work")
                .at(in_time),
            false,
        ),
    ] {
        assert_matches(&rules, &scene, expected);
    }
}

/// RFC 4745 section 10.3: six rules, of which the third and the fifth apply to Bob, at work, at a quarter past five.
///
/// Its permissions are a boolean X and two integers, Y and Z. Here they are: an attribute (undefined and false provide the same);
/// the handling, block for 3, confirm for 5, polite-block for 10 and allow for 12; and the level of user-input, false for `-`
/// ("shows nothing"), thresholds for `o`, and full for `+` ("unrestricted").
#[test]
fn rfc_4745_section_10_3_combining_example() {
    let row = |who: &str, sphere: &str, from: &str, until: &str, x: &str, y: &str, z: &str| {
        let conditions = format!(
            "<identity><one id='sip:{who}@example.com'/></identity><sphere value='{sphere}'/>\
            <validity><from>{from}</from><until>{until}</until></validity>"
        );
        let x = match x {
            "NULL" => String::new(),
            value => format!("<pr:provide-mood>{value}</pr:provide-mood>"),
        };
        let y = match y {
            "3" => "block",
            "5" => "confirm",
            "10" => "polite-block",
            _ => "allow",
        };
        let z = match z {
            "-" => "false",
            "o" => "thresholds",
            _ => "full",
        };
        let z = format!("<pr:provide-user-input>{z}</pr:provide-user-input>");
        rule(&conditions, y, &format!("{x}{z}"))
    };
    let (a1, a2, a3) = (
        "2003-12-24T17:00:00+01:00",
        "2003-12-24T21:00:00+01:00",
        "2003-12-24T23:30:00+01:00",
    );
    let (b1, b2) = ("2003-12-22T17:00:00+01:00", "2003-12-23T17:00:00+01:00");
    let rules = parse(
        &[
            row("bob", "home", a1, a2, "true", "10", "o"),
            row("alice", "work", a1, a2, "false", "5", "+"),
            row("bob", "work", a1, a2, "true", "3", "-"),
            row("tom", "work", a1, a2, "true", "5", "+"),
            row("bob", "work", a1, a3, "NULL", "12", "o"),
            row("bob", "work", b1, b2, "false", "10", "-"),
        ]
        .concat(),
    );
    let scene = Scene::of("sip:bob@example.com")
        .within("work")
        .at("2003-12-24T17:15:00+01:00");
    let decision = scene.decide(&rules);
    assert_eq!(decision.handling, SubHandling::Allow);
    assert_eq!(decision.view.encode(), "mood user-input=thresholds");
    // When the third rule is over, its permissions are gone.
    assert_eq!(scene.next_change(&rules), Moment::parse(a2));
    let later = Scene::of("sip:bob@example.com").within("work").at(a2);
    assert_eq!(later.decide(&rules).view.encode(), "user-input=thresholds");
    assert_eq!(later.next_change(&rules), Moment::parse(a3));
    let over = Scene::of("sip:bob@example.com").within("work").at(a3);
    assert_eq!(
        (over.decide(&rules).handling, over.next_change(&rules)),
        (SubHandling::Block, None)
    );
}

/// RFC 5025 section 3.3.1.1: two sets of devices, combined into one of three members.
#[test]
fn rfc_5025_section_3_3_1_1_combined_devices() {
    let provide = |members: &str| {
        let devices = format!("<pr:provide-devices>{members}</pr:provide-devices>");
        rule("", "allow", &devices)
    };
    let rules = [
        provide(
            "<pr:deviceID>urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6</pr:deviceID><pr:class>biz</pr:class>",
        ),
        provide("<pr:class>home</pr:class><pr:class>biz</pr:class>"),
    ];
    let one = Scene::of("sip:a@b").decide(&parse(&rules.concat())).view;
    let other = Scene::of("sip:a@b").decide(&parse(&provide(
        "<pr:class>home</pr:class><pr:class>biz</pr:class>\
        <pr:deviceID>urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6</pr:deviceID>",
    )));
    assert_eq!(one, other.view);
    assert_eq!(
        one.encode().matches("devices:").count(),
        3,
        "{}",
        one.encode()
    );
}

/// RFC 5025 section 6: one user sees the services by SIP and mail, all persons, their activities, a bare user-input, and `foo`;
/// of the document of RFC 4480 section 4, in which `foo` and a service by SIP are added.
#[test]
fn rfc_5025_section_6_example_document() {
    let rules = RuleSet::parse(example!("5025/6").as_bytes(), false).unwrap();
    let decision = Scene::of("sip:user@example.com").decide(&rules);
    assert_eq!(decision.handling, SubHandling::Allow);
    assert_eq!(
        Scene::of("sip:other@example.com").decide(&rules).handling,
        SubHandling::Block
    );

    let rpid = example!("4480/4");
    let more = "<tuple id=\"sip1\"><status><basic>open</basic></status>\
        <rpid:user-input idle-threshold=\"600\" last-input=\"2004-10-21T13:20:00-05:00\" since=\"2004-10-21T13:20:00-05:00\">idle</rpid:user-input>\
        <foo xmlns=\"urn:vendor-specific:foo-namespace\">1</foo><bar xmlns=\"urn:vendor-specific:foo-namespace\"/>\
        <contact>sip:someone@example.com</contact></tuple>\n\n  <dm:device id";
    let input = rpid.replacen("<dm:device id", more, 1);
    let shown = apply(&decision.view, &merged(&[&input]));
    let document = roxmltree::Document::parse(&shown).unwrap();
    let children = |node: roxmltree::Node<'_, '_>| -> Vec<String> {
        let elements = node.children().filter(roxmltree::Node::is_element);
        elements
            .map(|node| node.tag_name().name().to_owned())
            .collect()
    };
    let components: Vec<_> = document
        .root_element()
        .children()
        .filter(roxmltree::Node::is_element)
        .map(|node| (node.attribute("id").unwrap_or_default(), children(node)))
        .collect();
    let component = |id: &'static str, elements: &[&str]| {
        let elements: Vec<String> = elements.iter().map(|&name| name.to_owned()).collect();
        (id, elements)
    };
    // Section 3.3.2: contact, service-class, basic and timestamp are always reported. The service by `im` and the device are
    // not provided, nor is the note of the presentity.
    assert_eq!(
        components,
        [
            component("ty4658", &["status", "contact"]),
            component("eg92n8", &["status", "service-class", "contact"]),
            component("sip1", &["status", "user-input", "foo", "contact"]),
            component("p1", &["activities", "timestamp"]),
        ]
    );
    let inside = document
        .descendants()
        .find(|node| node.tag_name().name() == "user-input")
        .unwrap();
    assert_eq!(
        (inside.attributes().len(), inside.text()),
        (0, Some("idle"))
    );
    // What stands inside a permitted attribute belongs to it, notes too (section 3.3.2.13).
    assert!(shown.contains("<rpid:note>Far away</rpid:note>"), "{shown}");
    // Section 4: "further applications … would not result in any further changes".
    let again = decision.view.apply(PRESENTITY, &merged(&[&shown]));
    assert_eq!(
        String::from_utf8(again.body.to_vec()).unwrap(),
        apply(&decision.view, &merged(&[&shown]))
    );
    assert_eq!(apply(&decision.view, &merged(&[&shown])), shown);
}

/// Publications, then a stored document: as publication.list_live reads them.
fn with_hard_state<'a>(soft: &[PublishedBody<'a>], hard: &'a str) -> Vec<PublishedBody<'a>> {
    let hard = PublishedBody {
        id: i64::MAX - 1,
        content_type: "application/pidf+xml",
        body: hard.as_bytes(),
    };
    soft.iter().copied().chain([hard]).collect()
}

/// RFC 4827 section 11: away on vacation, and reached by mail only. "In the absence of any published soft state information, this
/// would be the sole input"; a phone that publishes comes beside it, and the note of the mail service is changed afterwards.
#[test]
fn rfc_4827_section_11_example_document() {
    let hard = example!("4827/11");
    assert_eq!(pidf_manipulation::check(hard.as_bytes()), Ok(()));
    let merge = |soft: &[PublishedBody<'_>]| {
        let bodies = with_hard_state(soft, hard);
        String::from_utf8(
            pidf::merge("sip:someone@example.com", &bodies)
                .body
                .to_vec(),
        )
        .unwrap()
    };
    let alone = merge(&[]);
    // All of it: the elements of the root are handed on octet by octet.
    let (_, inside) = hard
        .split_once("entity=\"sip:someone@example.com\">")
        .unwrap();
    let elements = inside.trim_end().trim_end_matches("</presence>");
    for element in elements.split("\n\n").map(str::trim) {
        assert!(alone.contains(element), "{element} in {alone}");
    }
    let summary = events::document::summary::summary(alone.as_bytes()).unwrap();
    assert_eq!(summary.basics, ["closed", "open"]);
    assert_eq!(summary.notes.len(), 2);

    // A phone that uses an identifier of the stored document keeps it, and comes first.
    let soft = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='x'><tuple id='x8eg92m'><status><basic>open</basic>\
        </status></tuple></presence>";
    let both = merge(&[PublishedBody {
        id: 7,
        content_type: "",
        body: soft.as_bytes(),
    }]);
    let at = |text: &str| {
        both.find(text)
            .unwrap_or_else(|| panic!("no {text} in {both}"))
    };
    assert!(at("<tuple id='x8eg92m'>") < at("<tuple id=\"x8eg92m-"));
    assert!(at("<tuple id=\"x8eg92m-") < at("<tuple id=\"x8eg92n\">"));
    assert!(both.contains("I'm available only by e-mail."));

    // The second operation of the section: another note for the service by mail.
    let changed = hard.replace(
        "I'm reading mail a couple of times a week",
        "I'm reading mails on Tuesdays and Fridays",
    );
    assert_eq!(pidf_manipulation::check(changed.as_bytes()), Ok(()));
    let bodies = with_hard_state(&[], &changed);
    let merged = pidf::merge("sip:someone@example.com", &bodies);
    let summary = events::document::summary::summary(&merged.body).unwrap();
    assert_eq!(
        summary.notes,
        [
            "I'm available only by e-mail.",
            "I'm reading mails on Tuesdays and Fridays"
        ]
    );

    for broken in [
        "",
        "<presence/>",
        "<x xmlns='urn:ietf:params:xml:ns:pidf'/>",
    ] {
        assert!(pidf_manipulation::check(broken.as_bytes()).is_err());
        let bodies = with_hard_state(&[], broken);
        assert_eq!(pidf::merge("sip:a@b", &bodies), pidf::merge("sip:a@b", &[]));
    }
}
