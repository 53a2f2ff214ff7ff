//! Bodies made to hurt, for every package: refused with the right word, and left out of what watchers are shown.

use events::document::xml;
use events::package::{MaxDocument, PackageOptions, StateSource};
use events::{BodyFault, MergeInput, Publication, Registry};

/// An honest body of each package.
const HONEST: [(&str, &str); 8] = [
    (
        "presence",
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='e'></presence>",
    ),
    (
        "dialog",
        "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='e'></dialog-info>",
    ),
    (
        "dialog;sla",
        "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='e'></dialog-info>",
    ),
    (
        "conference",
        "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='e'></conference-info>",
    ),
    (
        "reg",
        "<reginfo xmlns='urn:ietf:params:xml:ns:reginfo' version='0' state='full'></reginfo>",
    ),
    ("ua-profile", "<profile></profile>"),
    (
        "xcap-diff",
        "<xcap-diff xmlns='urn:ietf:params:xml:ns:xcap-diff' xcap-root='r'></xcap-diff>",
    ),
    (
        "as-feature-event",
        "<DoNotDisturbEvent xmlns='http://www.ecma-international.org/standards/ecma-323/csta/ed3'></DoNotDisturbEvent>",
    ),
];

#[test]
fn every_xml_package_refuses_hostile_bodies() {
    let registry = Registry::standard();
    for (name, honest) in HONEST {
        let package = registry.find_name(name).unwrap();
        assert_eq!(package.check(honest.as_bytes()), Ok(()), "{name}");
        let inside = |text: &str| honest.replacen("></", &format!(">{text}</"), 1);
        let neutral = package.merge(&MergeInput::default());
        for (what, body, fault) in [
            (
                "DTD",
                format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", inside("&a;")),
                BodyFault::HasDtd,
            ),
            (
                "external",
                format!("<!DOCTYPE x SYSTEM 'file:///etc/passwd'>{honest}"),
                BodyFault::HasDtd,
            ),
            (
                "deep",
                inside(&format!("{}{}", "<a>".repeat(8000), "</a>".repeat(8000))),
                BodyFault::TooComplex,
            ),
            (
                "wide",
                inside(&"<a/>".repeat(11_000)),
                BodyFault::TooComplex,
            ),
            (
                "huge",
                inside(&"x".repeat(xml::MAX_BYTES)),
                BodyFault::TooLarge,
            ),
            (
                "namespaces",
                inside(&"<a xmlns:b='c'/>".repeat(100)),
                BodyFault::TooComplex,
            ),
            (
                "torn",
                honest[..honest.len() - 3].to_owned(),
                BodyFault::NotWellFormed,
            ),
            ("nothing", String::new(), BodyFault::NotWellFormed),
            (
                "latin",
                format!("<?xml version='1.0' encoding='UTF-16'?>{honest}"),
                BodyFault::NotUtf8,
            ),
        ] {
            assert_eq!(package.check(body.as_bytes()), Err(fault), "{name}: {what}");
            let rows = [Publication {
                id: 1,
                body: body.as_bytes(),
                ..Publication::default()
            }];
            let merged = package.merge(&MergeInput {
                publications: &rows,
                ..MergeInput::default()
            });
            assert_eq!(merged, neutral, "{name}: {what} is left out");
        }
        if name != "ua-profile" {
            let namespace = honest.split('\'').nth(1).unwrap();
            for body in [
                honest.replace(namespace, "urn:other"),
                honest.replace(&format!(" xmlns='{namespace}'"), ""),
                "<html/>".to_owned(),
            ] {
                assert_eq!(
                    package.check(body.as_bytes()),
                    Err(BodyFault::WrongRoot),
                    "{name}: {body}"
                );
            }
        }
    }
    let tested =
        |name: &str| HONEST.iter().any(|(known, _)| *known == name) || name == "message-summary";
    for package in registry.packages() {
        assert!(
            package.source == StateSource::Watchers || tested(&package.name),
            "{}",
            package.name
        );
    }
}

#[test]
fn what_a_kind_must_have_is_asked_for() {
    let registry = Registry::standard();
    let dialog = |inside: &str| HONEST[1].1.replace("></", &format!(">{inside}</"));
    let reg = |inside: &str| HONEST[4].1.replace("></", &format!(">{inside}</"));
    let pidf = |inside: &str| HONEST[0].1.replace("></", &format!(">{inside}</"));
    for (name, body, fault) in [
        (
            "dialog",
            dialog("<dialog><state>early</state></dialog>"),
            BodyFault::Incomplete,
        ),
        ("dialog", dialog("<dialog id='1'/>"), BodyFault::Incomplete),
        (
            "dialog",
            dialog("<dialog id='1'><state>ringing</state></dialog>"),
            BodyFault::Incomplete,
        ),
        (
            "dialog",
            dialog("<dialog id='1'><state xmlns='x'>early</state></dialog>"),
            BodyFault::Incomplete,
        ),
        (
            "dialog",
            HONEST[1].1.replace("full", "partial"),
            BodyFault::PartialState,
        ),
        (
            "dialog;sla",
            HONEST[1].1.replace("full", "partial"),
            BodyFault::PartialState,
        ),
        ("presence", pidf("<tuple/>"), BodyFault::TupleWithoutId),
        (
            "presence",
            pidf("<tuple id='1'/><tuple id=' '><status/></tuple>"),
            BodyFault::TupleWithoutId,
        ),
        (
            "presence",
            pidf("<tuple id='1'><status><basic>busy</basic></status></tuple>"),
            BodyFault::UnknownBasicStatus,
        ),
        (
            "presence",
            pidf("<tuple id='1'><status><basic>Open</basic></status></tuple>"),
            BodyFault::UnknownBasicStatus,
        ),
        (
            "presence",
            pidf("<tuple id='1'><status><basic/></status></tuple>"),
            BodyFault::UnknownBasicStatus,
        ),
        (
            "reg",
            reg("<registration aor='a' id='1'/>"),
            BodyFault::Incomplete,
        ),
        (
            "reg",
            reg("<registration aor='a' id='1' state='on'/>"),
            BodyFault::Incomplete,
        ),
        (
            "reg",
            reg(
                "<registration aor='a' id='1' state='active'><contact id='1' state='init' event='x'/></registration>",
            ),
            BodyFault::Incomplete,
        ),
        (
            "reg",
            HONEST[4].1.replace("full", "partial"),
            BodyFault::PartialState,
        ),
        (
            "conference",
            HONEST[3].1.replace(" entity='e'", ""),
            BodyFault::Incomplete,
        ),
        (
            "conference",
            HONEST[3].1.replace("entity", "state='partial' entity"),
            BodyFault::PartialState,
        ),
        (
            "xcap-diff",
            HONEST[6].1.replace(" xcap-root='r'", ""),
            BodyFault::Incomplete,
        ),
        (
            "as-feature-event",
            HONEST[7].1.replace("DoNotDisturbEvent", "ForwardingEvent"),
            BodyFault::Incomplete,
        ),
        (
            "as-feature-event",
            HONEST[7].1.replace("DoNotDisturbEvent", "SetDoNotDisturb"),
            BodyFault::WrongRoot,
        ),
    ] {
        let package = registry.find_name(name).unwrap();
        assert_eq!(package.check(body.as_bytes()), Err(fault), "{name}: {body}");
    }
}

/// Thousands of dialogs with one id, each naming something else: what is compared with what must not grow with the square.
#[test]
fn many_dialogs_of_one_id_stay_small() {
    let options = PackageOptions {
        max_document: MaxDocument(1_000_000),
        ..PackageOptions::default()
    };
    let registry = Registry::new(&options).unwrap();
    let package = registry.find_name("dialog").unwrap();
    let body = |from: usize| {
        let dialogs: String = (from..from + 240)
            .map(|n| match n % 4 {
                0 => format!("<dialog id='x' call-id='{n}'><state>early</state></dialog>"),
                1 => format!("<dialog id='x' local-tag='{n}'><state>trying</state></dialog>"),
                2 => format!("<dialog id='x' call-id='{n}' remote-tag='r'><state>confirmed</state></dialog>"),
                _ => format!("<dialog id='x' call-id='{n}' local-tag='l' remote-tag='r'><state>terminated</state></dialog>"),
            })
            .collect();
        HONEST[1].1.replace("></", &format!(">{dialogs}</"))
    };
    let bodies: Vec<String> = (0..20).map(|n| body(n * 240)).collect();
    let rows: Vec<Publication<'_>> = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| Publication {
            id: n as i64,
            body: body.as_bytes(),
            ..Publication::default()
        })
        .collect();
    let document = package
        .merge(&MergeInput {
            publications: &rows,
            ..MergeInput::default()
        })
        .unwrap();
    let text = std::str::from_utf8(&document.body).unwrap();
    assert_eq!(text.matches("<dialog ").count(), 20 * 240);
    let input: usize = bodies.iter().map(String::len).sum();
    assert!(text.len() < 2 * input, "{} of {input}", text.len());
    roxmltree::Document::parse(text).unwrap();
}
