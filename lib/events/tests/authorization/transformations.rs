//! Each transformation of RFC 5025 section 3.3, in and out.

use super::support::*;
use events::Document;
use events::authorization::*;

const ROOT: &str = "xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
    xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:x='urn:x' xmlns:op='urn:oma:xml:prs:pidf:oma-pres' \
    xmlns:gp='urn:ietf:params:xml:ns:pidf:geopriv10'";

fn presence(inside: &str) -> Document {
    merged(&[&format!(
        "<presence {ROOT} entity='sip:p@x'>{inside}</presence>"
    )])
}

/// What is left inside the root, without line ends.
fn inside(shown: &str) -> String {
    let (_, rest) = shown.split_once("<presence").unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    rest.replace("</presence>", "").replace('\n', "")
}

fn shown(transformations: &str, document: &str) -> String {
    inside(&apply(&view(transformations), &presence(document)))
}

#[test]
fn components_are_shown_only_if_selected() {
    let sip = "<tuple id='s'><status><basic>open</basic></status><contact>sip:p@Example.com;a=b</contact></tuple>";
    let tel = "<tuple id='t'><status><basic>open</basic></status><contact priority='1'>tel:+1-2</contact></tuple>";
    let bare = "<tuple id='b'><status><basic>closed</basic></status></tuple>";
    let person = "<dm:person id='p'></dm:person>";
    let second = "<dm:person id='q'></dm:person>";
    let device = "<dm:device id='d'><dm:deviceID>urn:d</dm:deviceID><dm:timestamp>2026-01-01T00:00:00Z</dm:timestamp></dm:device>";
    let all = [sip, tel, bare, person, second, device].concat();
    for (transformations, expected) in [
        ("", vec![]),
        ("<pr:provide-services/>", vec![]),
        (
            "<pr:provide-services><pr:all-services/></pr:provide-services>",
            vec![sip, tel, bare],
        ),
        (
            "<pr:provide-services><pr:all-persons/></pr:provide-services>",
            vec![],
        ),
        (
            "<pr:provide-services><x:all-services/></pr:provide-services>",
            vec![],
        ),
        (
            "<pr:provide-services><pr:occurrence-id>t</pr:occurrence-id></pr:provide-services>",
            vec![tel],
        ),
        (
            "<pr:provide-services><pr:occurence-id> t </pr:occurence-id></pr:provide-services>",
            vec![tel],
        ),
        (
            "<pr:provide-services><pr:service-uri>SIP:p@EXAMPLE.com;A=b</pr:service-uri></pr:provide-services>",
            vec![sip],
        ),
        (
            "<pr:provide-services><pr:service-uri>sip:p@example.com</pr:service-uri></pr:provide-services>",
            vec![],
        ),
        (
            "<pr:provide-services><pr:service-uri>tel:+12</pr:service-uri></pr:provide-services>",
            vec![tel],
        ),
        (
            "<pr:provide-services><pr:service-uri-scheme>TEL</pr:service-uri-scheme></pr:provide-services>",
            vec![tel],
        ),
        (
            "<pr:provide-services><pr:service-uri-scheme>sip</pr:service-uri-scheme><pr:occurrence-id>b</pr:occurrence-id>\
            </pr:provide-services>",
            vec![sip, bare],
        ),
        (
            "<pr:provide-services><pr:occurrence-id>p</pr:occurrence-id></pr:provide-services>",
            vec![],
        ),
        (
            "<pr:provide-persons><pr:all-persons/></pr:provide-persons>",
            vec![person, second],
        ),
        (
            "<pr:provide-persons><pr:occurrence-id>q</pr:occurrence-id></pr:provide-persons>",
            vec![second],
        ),
        (
            "<pr:provide-persons><pr:service-uri-scheme>sip</pr:service-uri-scheme></pr:provide-persons>",
            vec![],
        ),
        (
            "<pr:provide-devices><pr:all-devices/></pr:provide-devices>",
            vec![device],
        ),
        (
            "<pr:provide-devices><pr:deviceID>urn:d</pr:deviceID></pr:provide-devices>",
            vec![device],
        ),
        (
            "<pr:provide-devices><pr:deviceID>URN:D</pr:deviceID></pr:provide-devices>",
            vec![device],
        ),
        (
            "<pr:provide-devices><pr:deviceID>urn:e</pr:deviceID></pr:provide-devices>",
            vec![],
        ),
        (
            "<pr:provide-devices><pr:occurrence-id>d</pr:occurrence-id></pr:provide-devices>",
            vec![device],
        ),
        (
            "<pr:provide-persons><pr:deviceID>urn:d</pr:deviceID></pr:provide-persons>",
            vec![],
        ),
        (
            "<x:provide-persons><pr:all-persons/></x:provide-persons>",
            vec![],
        ),
    ] {
        assert_eq!(
            shown(transformations, &all),
            expected.concat(),
            "{transformations}"
        );
    }
}

#[test]
fn classes_select_even_where_they_are_not_shown() {
    let class = "<r:class>friend</r:class>";
    let tuple =
        |class: &str| format!("<tuple id='t'><status><basic>open</basic></status>{class}</tuple>");
    let person = |class: &str| format!("<dm:person id='p'>{class}</dm:person>");
    let device = |class: &str| {
        format!("<dm:device id='d'>{class}<dm:deviceID>urn:d</dm:deviceID></dm:device>")
    };
    let all = |class: &str| [tuple(class), person(class), device(class)].concat();
    for (transformations, expected) in [
        (
            "<pr:provide-services><pr:class>friend</pr:class></pr:provide-services>",
            tuple(""),
        ),
        (
            "<pr:provide-persons><pr:class>friend</pr:class></pr:provide-persons>",
            person(""),
        ),
        (
            "<pr:provide-devices><pr:class>friend</pr:class></pr:provide-devices>",
            device(""),
        ),
        (
            "<pr:provide-devices><pr:class>foe</pr:class></pr:provide-devices>",
            String::new(),
        ),
        (
            "<pr:provide-persons><pr:class>friend</pr:class></pr:provide-persons><pr:provide-class>true</pr:provide-class>",
            person(class),
        ),
    ] {
        assert_eq!(
            shown(transformations, &all(class)),
            expected,
            "{transformations}"
        );
    }
}

const ALL: &str = "<pr:provide-services><pr:all-services/></pr:provide-services>\
    <pr:provide-persons><pr:all-persons/></pr:provide-persons><pr:provide-devices><pr:all-devices/></pr:provide-devices>";

#[test]
fn each_attribute_has_a_permission_of_its_own() {
    let attributes = [
        (
            "activities",
            "<r:activities><r:away/><r:note>back soon</r:note></r:activities>",
        ),
        ("class", "<r:class>c</r:class>"),
        ("mood", "<r:mood><r:happy/></r:mood>"),
        (
            "place-is",
            "<r:place-is><r:audio><r:noisy/></r:audio></r:place-is>",
        ),
        ("place-type", "<r:place-type><x:bar/></r:place-type>"),
        ("privacy", "<r:privacy><r:text/></r:privacy>"),
        ("relationship", "<r:relationship><r:self/></r:relationship>"),
        ("sphere", "<r:sphere>work</r:sphere>"),
        ("status-icon", "<r:status-icon>http://x/i</r:status-icon>"),
        ("time-offset", "<r:time-offset>-300</r:time-offset>"),
        ("note", "<note>n</note>"),
        ("note", "<dm:note xml:lang='en'>n &amp; m</dm:note>"),
        ("deviceID", "<dm:deviceID>urn:d</dm:deviceID>"),
    ];
    let everything: String = attributes.iter().map(|(_, element)| *element).collect();
    let holders = |inside: &str| {
        format!(
            "<tuple id='t'><status><basic>open</basic></status>{inside}<contact>sip:a@b</contact>\
            <timestamp>2026-01-01T00:00:00Z</timestamp></tuple><dm:person id='p'>{inside}</dm:person>"
        )
    };
    assert_eq!(shown(ALL, &holders(&everything)), holders(""));
    for (name, _) in attributes {
        let expected: String = attributes
            .iter()
            .filter(|(other, _)| *other == name)
            .map(|(_, element)| *element)
            .collect();
        for (value, is_shown) in [
            ("true", true),
            ("1", true),
            (" TRUE ", true),
            ("false", false),
            ("0", false),
            ("", false),
            ("yes", false),
        ] {
            let permission = format!("{ALL}<pr:provide-{name}>{value}</pr:provide-{name}>");
            let expected = if is_shown {
                holders(&expected)
            } else {
                holders("")
            };
            assert_eq!(
                shown(&permission, &holders(&everything)),
                expected,
                "{permission}"
            );
        }
    }
    // A name in another namespace is another attribute.
    assert_eq!(
        shown(
            &format!("{ALL}<pr:provide-mood>true</pr:provide-mood>"),
            &holders("<x:mood/>")
        ),
        holders("")
    );
}

#[test]
fn notes_of_the_presentity_need_the_permission_too() {
    assert_eq!(shown(ALL, "<note>n</note>"), "");
    assert_eq!(
        shown(
            "<pr:provide-note>true</pr:provide-note>",
            "<note>n</note><x:y/>"
        ),
        "<note>n</note>"
    );
}

#[test]
fn user_input_has_levels() {
    let input = "<r:user-input id = 'u' idle-threshold='600' last-input=\"2026-01-01T00:00:00Z\" x:more='1'>idle</r:user-input>";
    let holder = |inside: &str| format!("<dm:person id='p'>{inside}</dm:person>");
    for (level, expected) in [
        ("false", ""),
        ("", ""),
        ("everything", ""),
        ("bare", "<r:user-input>idle</r:user-input>"),
        (
            "thresholds",
            "<r:user-input idle-threshold='600'>idle</r:user-input>",
        ),
        ("full", input),
    ] {
        let permission = format!("{ALL}<pr:provide-user-input>{level}</pr:provide-user-input>");
        assert_eq!(
            shown(&permission, &holder(input)),
            holder(expected),
            "{level}"
        );
        // A service that is busy says so in itself.
        let tuple = |inside: &str| {
            format!("<tuple id='t'><status><basic>open</basic></status>{inside}</tuple>")
        };
        assert_eq!(
            shown(&permission, &tuple(input)),
            tuple(expected),
            "{level}"
        );
    }
    let odd = "<r:user-input>idle<!-- since noon --></r:user-input>";
    let bare = format!("{ALL}<pr:provide-user-input>bare</pr:provide-user-input>");
    assert_eq!(shown(&bare, &holder(odd)), holder(""));
    assert_eq!(
        shown(&bare, &holder("<r:user-input idle-threshold='1'/>")),
        holder("<r:user-input/>")
    );
    // The higher level of two rules counts.
    let rules = [
        ("thresholds", "allow"),
        ("bare", "allow"),
        ("false", "block"),
    ]
    .map(|(level, handling)| {
        rule(
            "",
            handling,
            &format!("{ALL}<pr:provide-user-input>{level}</pr:provide-user-input>"),
        )
    });
    let decision = Scene::of("sip:a@b").decide(&parse(&rules.concat()));
    assert!(decision.view.encode().contains("user-input=thresholds"));
}

#[test]
fn unknown_attributes_are_named_by_namespace_and_name() {
    let tuple = |inside: &str, status: &str| {
        format!("<tuple id='t'><status><basic>open</basic>{status}</status>{inside}</tuple>")
    };
    let document = format!(
        "{}<x:top/>",
        tuple("<x:a>1</x:a><x:b/><r:mood/>", "<x:a/><x:b/>")
    );
    for (permission, expected) in [
        (
            "<pr:provide-unknown-attribute ns='urn:x' name='a'>true</pr:provide-unknown-attribute>",
            tuple("<x:a>1</x:a>", "<x:a/>"),
        ),
        (
            "<pr:provide-unknown-attribute ns='urn:x' name='a'>false</pr:provide-unknown-attribute>",
            tuple("", ""),
        ),
        (
            "<pr:provide-unknown-attribute ns='urn:y' name='a'>true</pr:provide-unknown-attribute>",
            tuple("", ""),
        ),
        (
            "<pr:provide-unknown-attribute name='a'>true</pr:provide-unknown-attribute>",
            tuple("", ""),
        ),
        // What has a permission of its own is not unknown.
        (
            "<pr:provide-unknown-attribute ns='urn:ietf:params:xml:ns:pidf:rpid' name='mood'>true</pr:provide-unknown-attribute>",
            tuple("", ""),
        ),
        (
            "<pr:provide-unknown-attribute ns='urn:x' name='top'>true</pr:provide-unknown-attribute>",
            format!("{}<x:top/>", tuple("", "")),
        ),
        ("<pr:provide-all-attributes/>", document.clone()),
    ] {
        assert_eq!(
            shown(&format!("{ALL}{permission}"), &document),
            expected,
            "{permission}"
        );
    }
    // All attributes of nothing are nothing.
    assert_eq!(
        shown("<pr:provide-all-attributes/>", &tuple("<x:a/>", "")),
        ""
    );
}

#[test]
fn oma_attributes_have_permissions() {
    let person = |inside: &str| format!("<dm:person id='p'>{inside}</dm:person>");
    for (permission, element) in [
        (
            "<op:provide-willingness>true</op:provide-willingness>",
            "<op:willingness><op:basic>open</op:basic></op:willingness>",
        ),
        (
            "<op:provide-network-availability>true</op:provide-network-availability>",
            "<op:network-availability/>",
        ),
        (
            "<op:provide-session-participation>true</op:provide-session-participation>",
            "<op:session-participation/>",
        ),
        (
            "<op:provide-registration-state>true</op:provide-registration-state>",
            "<op:registration-state/>",
        ),
        (
            "<op:provide-barring-state>true</op:provide-barring-state>",
            "<op:barring-state/>",
        ),
        (
            "<op:provide-geopriv>full</op:provide-geopriv>",
            "<gp:geopriv>here</gp:geopriv>",
        ),
    ] {
        assert_eq!(
            shown(&format!("{ALL}{permission}"), &person(element)),
            person(element),
            "{permission}"
        );
        let refused = permission.replace("true", "false").replace("full", "false");
        assert_eq!(
            shown(&format!("{ALL}{refused}"), &person(element)),
            person(""),
            "{refused}"
        );
    }
    let tuple = "<tuple id='t'><status><basic>open</basic></status><op:service-description><op:service-id>org.x:im</op:service-id>\
        </op:service-description></tuple>";
    let by_id = |id: &str| {
        format!(
            "<pr:provide-services><op:service-id>{id}</op:service-id></pr:provide-services><pr:provide-all-attributes/>"
        )
    };
    assert_eq!(shown(&by_id("org.x:im"), tuple), tuple);
    assert_eq!(shown(&by_id("org.x:poc"), tuple), "");
}

#[test]
fn the_whole_document_is_handed_on_unread() {
    let everything = view(&format!("{ALL}<pr:provide-all-attributes/>"));
    assert!(everything.is_everything() && everything == View::everything());
    let document = Document::new("x/y".to_owned(), bytes(b"not xml at all"));
    let handed_on = everything.apply(PRESENTITY, &document);
    assert_eq!(handed_on, document);
    assert_eq!(handed_on.body.as_ptr(), document.body.as_ptr());
}

#[test]
fn what_cannot_be_read_shows_an_unavailable_presentity() {
    let polite = events::authorization::view::polite_block(PRESENTITY);
    assert_eq!(polite, merged(&[]), "as if nothing were published");
    assert!(
        std::str::from_utf8(&polite.body)
            .unwrap()
            .contains("<basic>closed</basic>")
    );
    for body in [
        &b""[..],
        b"\xff",
        b"<presence/>",
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf'>",
        b"<a/>",
    ] {
        let document = Document::new("application/pidf+xml".to_owned(), bytes(body));
        assert_eq!(view(ALL).apply(PRESENTITY, &document), polite);
    }
}

#[test]
fn kept_elements_keep_their_octets_and_hidden_places_their_secrets() {
    let document = Document::new("application/pidf+xml".to_owned(), bytes(
            b"<?xml version='1.0'?><!-- secret 1 --><p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' entity='e' hint='secret 2'>\
            <!-- secret 3 -->\n secret 4 <p:tuple  id='t'\thint='secret 5' ><p:status hint='secret 6'>\n<p:basic\n>open</p:basic ></p:status>\
            <!-- secret 7 --><p:contact\tpriority='1'>sip:a@b<!-- kept --></p:contact > </p:tuple ></p:presence>",
        ));
    let text = apply(&view(ALL), &document);
    assert!(!text.contains("secret"), "{text}");
    for kept in [
        "<p:basic\n>open</p:basic >",
        "<p:contact\tpriority='1'>sip:a@b<!-- kept --></p:contact >",
        "<p:tuple id='t'>",
        "</p:tuple >",
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
}

#[test]
fn views_are_texts_and_back() {
    for transformations in [
        "",
        ALL,
        "<pr:provide-all-attributes/>",
        "<pr:provide-services><pr:class>a b,c%d;\u{e9}</pr:class><pr:service-uri>sip:a@b;x=y</pr:service-uri>\
            <pr:service-uri-scheme>tel</pr:service-uri-scheme><op:service-id>s:1</op:service-id></pr:provide-services>\
            <pr:provide-devices><pr:deviceID>urn:uuid:1</pr:deviceID><pr:occurrence-id/></pr:provide-devices>\
            <pr:provide-persons><pr:all-persons/></pr:provide-persons><pr:provide-mood>true</pr:provide-mood>\
            <pr:provide-deviceID>true</pr:provide-deviceID><pr:provide-user-input>full</pr:provide-user-input>\
            <pr:provide-unknown-attribute ns='urn:x,y' name='n=1'>true</pr:provide-unknown-attribute>",
    ] {
        let view = view(transformations);
        assert_eq!(
            View::decode(&view.encode()).as_ref(),
            Some(&view),
            "{}",
            view.encode()
        );
    }
    assert_eq!(View::everything().encode(), "all");
    assert_eq!(View::nothing().encode(), "nothing");
    for text in [
        "",
        "everything",
        "services ",
        "services:class",
        "services:mode=x",
        "user-input=none",
        "mood=1",
        "unknown=x",
        "services:class=%zz;",
        "services:class=%41",
    ] {
        assert_eq!(View::decode(text), None, "{text}");
    }
}

fn bytes(octets: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(octets)
}
