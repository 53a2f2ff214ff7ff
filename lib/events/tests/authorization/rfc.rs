//! The examples of the RFCs, with the results that they state.

use super::support::*;
use events::PublishedBody;
use events::authorization::*;
use events::document::pidf;

/// RFC 4745 section 7.1: whom `one`, `many` and `except` mean.
#[test]
fn rfc_4745_identity_examples() {
    let identity = |inside: &str| rule(&format!("<identity>{inside}</identity>"), "allow", "");
    let two = identity("<one id='sip:alice@example.org'/><one id='tel:+1-212-555-1234'/>");
    let anyone = identity("<many/>");
    let domain = identity("<many domain='example.com'/><many domain='example.org'/>");
    let but = identity(
        "<many><except domain='example.com'/><except domain='example.org'/><except id='sip:alice@bad.example.net'/>\
        <except id='sip:bob@good.example.net'/><except id='tel:+1-212-555-1234'/><except id='sip:alice@example.com'/></many>",
    );
    let within = identity(
        "<many domain='example.com'><except id='sip:alice@example.com'/><except id='sip:bob@example.com'/></many>",
    );
    for (rules, watcher, expected) in [
        (&two, "sip:alice@example.org", "allow"),
        (&two, "tel:+12125551234", "allow"),
        (&two, "sip:bob@example.org", "block"),
        (&anyone, "sip:anyone@anywhere", "allow"),
        (&anyone, "anonymous", "block"),
        (&domain, "sip:x@example.com", "allow"),
        (&domain, "sip:x@example.org", "allow"),
        (&domain, "sip:x@example.net", "block"),
        (&but, "sip:x@example.com", "block"),
        (&but, "sip:x@example.org", "block"),
        (&but, "sip:alice@bad.example.net", "block"),
        (&but, "sip:bob@bad.example.net", "allow"),
        (&but, "sip:bob@good.example.net", "block"),
        (&but, "tel:+12125551234", "block"),
        (&within, "sip:carol@example.com", "allow"),
        (&within, "sip:bob@example.com", "block"),
        (&within, "sip:carol@example.org", "block"),
    ] {
        assert_eq!(
            handling(rules, &Scene::of(watcher)),
            expected,
            "{rules} {watcher}"
        );
    }
}

/// RFC 4745 section 10.3: six rules, of which the third and the fifth apply to Bob, at work, at a quarter past five.
///
/// Its permissions are a boolean, an integer and a set. Here they are: an attribute (undefined and false provide the same); the
/// handling, block for 3, confirm for 5, polite-block for 10 and allow for 12; and a set of classes.
#[test]
fn rfc_4745_combining_example() {
    let row = |who: &str, sphere: &str, from: &str, until: &str, x: &str, y: &str, z: &str| {
        let conditions = format!(
            "<identity><one id='sip:{who}@example.com'/></identity><sphere value='{sphere}'/>\
            <validity><from>{from}</from><until>{until}</until></validity>"
        );
        let x = match x {
            "undef" => String::new(),
            value => format!("<pr:provide-mood>{value}</pr:provide-mood>"),
        };
        let z = format!("<pr:provide-services><pr:class>{z}</pr:class></pr:provide-services>");
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
            row("bob", "home", a1, a2, "true", "polite-block", "o1"),
            row("alice", "work", a1, a2, "false", "confirm", "+"),
            row("bob", "work", a1, a2, "true", "block", "-"),
            row("tom", "work", a1, a2, "true", "confirm", "+"),
            row("bob", "work", a1, a3, "undef", "allow", "o"),
            row("bob", "work", b1, b2, "false", "polite-block", "="),
        ]
        .concat(),
    );
    let scene = Scene::of("sip:bob@example.com")
        .within("work")
        .at("2003-12-24T17:15:00+01:00");
    let decision = scene.decide(&rules);
    assert_eq!(decision.handling, SubHandling::Allow);
    assert_eq!(
        decision.view.encode(),
        "services:class=- services:class=o mood"
    );
    // When the third rule is over, its permissions are gone.
    assert_eq!(scene.next_change(&rules), Moment::parse(a2));
    let later = Scene::of("sip:bob@example.com").within("work").at(a2);
    assert_eq!(later.decide(&rules).view.encode(), "services:class=o");
    assert_eq!(later.next_change(&rules), Moment::parse(a3));
    let over = Scene::of("sip:bob@example.com").within("work").at(a3);
    assert_eq!(
        (over.decide(&rules).handling, over.next_change(&rules)),
        (SubHandling::Block, None)
    );
}

/// RFC 5025 section 6: one user sees the services by SIP and mail, all persons, their activities, a bare user-input, and `foo`.
#[test]
fn rfc_5025_example_document() {
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cr:ruleset xmlns=\"urn:ietf:params:xml:ns:pres-rules\"\n \
        xmlns:pr=\"urn:ietf:params:xml:ns:pres-rules\"\n xmlns:cr=\"urn:ietf:params:xml:ns:common-policy\">\n<cr:rule id=\"a\">\n\
        <cr:conditions><cr:identity><cr:one id=\"sip:user@example.com\"/></cr:identity></cr:conditions>\n\
        <cr:actions><pr:sub-handling>allow</pr:sub-handling></cr:actions>\n<cr:transformations>\n\
        <pr:provide-services><pr:service-uri-scheme>sip</pr:service-uri-scheme>\
        <pr:service-uri-scheme>mailto</pr:service-uri-scheme></pr:provide-services>\n\
        <pr:provide-persons><pr:all-persons/></pr:provide-persons>\n<pr:provide-activities>true</pr:provide-activities>\n\
        <pr:provide-user-input>bare</pr:provide-user-input>\n<pr:provide-unknown-attribute \
        ns=\"urn:vendor-specific:foo-namespace\" name=\"foo\">true</pr:provide-unknown-attribute>\n\
        </cr:transformations></cr:rule></cr:ruleset>";
    let rules = RuleSet::parse(document.as_bytes(), false).unwrap();
    let decision = Scene::of("sip:user@example.com").decide(&rules);
    assert_eq!(decision.handling, SubHandling::Allow);
    assert_eq!(
        Scene::of("sip:other@example.com").decide(&rules).handling,
        SubHandling::Block
    );

    let input = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
        xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:v='urn:vendor-specific:foo-namespace' entity='sip:p@x'>\
        <tuple id='s'><status><basic>open</basic><v:bar/></status><r:class>c</r:class><r:user-input idle-threshold='600' \
        last-input='2004-10-21T13:20:00-05:00'>idle</r:user-input><v:foo>1</v:foo><v:bar/><contact>sip:p@x</contact></tuple>\
        <tuple id='t'><status><basic>open</basic></status><contact>tel:+1</contact></tuple>\
        <tuple id='m'><status><basic>closed</basic></status><contact>mailto:p@x</contact></tuple>\
        <dm:person id='p'><r:activities><r:away/></r:activities><r:mood><r:happy/></r:mood></dm:person>\
        <dm:device id='d'><dm:deviceID>urn:d</dm:deviceID></dm:device></presence>";
    let shown = apply(&decision.view, &merged(&[input]));
    assert_eq!(
        shown.split_once(">\n<tuple").unwrap().1,
        " id='s'><status><basic>open</basic></status><r:user-input>idle</r:user-input><v:foo>1</v:foo>\
        <contact>sip:p@x</contact></tuple>\n\
        <tuple id='m'><status><basic>closed</basic></status><contact>mailto:p@x</contact></tuple>\n\
        <dm:person id='p'><r:activities><r:away/></r:activities></dm:person>\n</presence>\n"
    );
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

/// RFC 4827 section 11: the manipulated document, alone and beside what is published.
#[test]
fn rfc_4827_example_document() {
    let hard = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\n \
        xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rp=\"urn:ietf:params:xml:ns:pidf:rpid\"\n \
        entity=\"sip:someone@example.com\">\n<tuple id=\"x8eg92m\"><status><basic>closed</basic></status>\
        <rp:class>auth-1</rp:class><contact priority=\"0.5\">sip:user@example.com</contact>\
        <note>I'm available only by e-mail.</note></tuple>\n<tuple id=\"x8eg92n\"><status><basic>open</basic></status>\
        <contact priority=\"1.0\">mailto:someone@example.com</contact><note>I'm reading mail a couple of times a week</note>\
        </tuple>\n<dm:person id=\"p1\"><rp:activities><rp:vacation/></rp:activities></dm:person>\n</presence>";
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
    assert!(
        alone.contains("<tuple id=\"x8eg92m\">") && alone.contains("<rp:vacation/>"),
        "{alone}"
    );

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
