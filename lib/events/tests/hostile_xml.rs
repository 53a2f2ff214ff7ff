//! Bodies made to hurt: refused before they cost anything, or harmless.
//!
//! No clocks here: what is refused is refused by counting octets, and what passes the guard has been measured to take a
//! few milliseconds at worst.

use events::document::{pidf, xml};
use events::{BodyFault, PublishedBody};

const ROOT: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='e'";

fn in_root(inside: &str) -> String {
    format!("{ROOT}>{inside}</presence>")
}

#[test]
fn hostile_bodies_are_refused() {
    let entities: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} '{}'>", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let laughs = format!(
        "<!DOCTYPE presence [<!ENTITY l0 'ha'>{entities}]>{}",
        in_root("<note>&l9;</note>")
    );
    let external = format!(
        "<!DOCTYPE presence SYSTEM 'file:///etc/passwd'>{}",
        in_root("")
    );
    let declarations: String = (0..1000).map(|n| format!(" xmlns:n{n}='u'")).collect();
    let namespaces = format!(
        "{ROOT}{declarations}>{}</presence>",
        "<a xmlns:b='c'/>".repeat(1000)
    );
    let attributes = in_root(&format!(
        "<note {}/>",
        (0..5000)
            .map(|n| format!("a{n}=''"))
            .collect::<Vec<_>>()
            .join(" ")
    ));
    let deep = in_root(&format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000)));
    let wide = in_root(&"<a/>".repeat(11_000));
    let large = in_root(&"x".repeat(xml::MAX_BYTES));
    // Small elements under long declarations would each have to repeat them when another document disagrees.
    let long = "u".repeat(20_000);
    let repeated = format!(
        "{ROOT} xmlns:p='{long}'>{}</presence>",
        "<p:a/>".repeat(3000)
    );
    let language = format!(
        "{ROOT} xml:lang='{long}'>{}</presence>",
        "<a/>".repeat(3000)
    );
    let default = format!(
        "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns='{long}'>{}</p:presence>",
        "<a/>".repeat(3000)
    );

    for (name, body, fault) in [
        ("billion laughs", laughs, BodyFault::HasDtd),
        ("external entity", external, BodyFault::HasDtd),
        ("namespaces", namespaces, BodyFault::TooComplex),
        ("attributes", attributes, BodyFault::TooComplex),
        ("nesting", deep, BodyFault::TooComplex),
        ("elements", wide, BodyFault::TooComplex),
        ("size", large, BodyFault::TooLarge),
        ("repeated declarations", repeated, BodyFault::TooComplex),
        ("repeated language", language, BodyFault::TooComplex),
        ("repeated default", default, BodyFault::TooComplex),
        ("another root", "<html/>".to_owned(), BodyFault::WrongRoot),
        (
            "another namespace",
            "<presence entity='e'/>".to_owned(),
            BodyFault::WrongRoot,
        ),
        ("no text", String::new(), BodyFault::NotWellFormed),
    ] {
        assert_eq!(pidf::check(body.as_bytes()), Err(fault), "{name}");
        let rows = [PublishedBody {
            id: 1,
            content_type: "",
            body: body.as_bytes(),
        }];
        let merged = pidf::merge("sip:bob@example.org", &rows);
        assert_eq!(
            merged,
            pidf::merge("sip:bob@example.org", &[]),
            "{name}: left out"
        );
    }
}

#[test]
fn what_passes_stays_small() {
    // As many declarations and elements as may pass, in two documents that disagree about every prefix.
    let body = |uri: &str| {
        let declarations: String = (0..60).map(|n| format!(" xmlns:n{n}='{uri}{n}'")).collect();
        let elements: String = (0..900)
            .map(|n| format!("<n{}:a/><tuple id='t'/>", n % 60))
            .collect();
        format!("{ROOT}{declarations}>{elements}</presence>")
    };
    let (one, two) = (body("urn:one"), body("urn:two"));
    assert_eq!(pidf::check(one.as_bytes()), Ok(()));
    let rows = [
        PublishedBody {
            id: 1,
            content_type: "",
            body: one.as_bytes(),
        },
        PublishedBody {
            id: 2,
            content_type: "",
            body: two.as_bytes(),
        },
    ];
    let merged = pidf::merge("sip:bob@example.org", &rows);
    assert!(
        merged.body.len() < 6 * (one.len() + two.len()),
        "{}",
        merged.body.len()
    );
    let text = std::str::from_utf8(&merged.body).unwrap();
    assert_eq!(text.matches("<tuple id='").count(), 1800);
    assert!(roxmltree::Document::parse(text).is_ok());
}
