//! Section 7.3 and 25: the many forms in which the same message may come.

use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

fn publish(phone: &Phone, note: &str) -> Message {
    let document = pidf::document(BOB, "t", "open", note);
    phone.publisher(BOB).draft(Some(&document), Some(600))
}

/// 7.3.3: "Implementations MUST accept both the long and short forms of each header name."
#[tokio::test(flavor = "multi_thread")]
async fn compact_forms() {
    let system = system::start();
    let phone = Phone::udp("bob").await;
    let short = |message: &Message| {
        let mut text = message.to_string();
        for (long, short) in [
            ("Via", "v"),
            ("From", "f"),
            ("To", "t"),
            ("Call-ID", "i"),
            ("Contact", "m"),
            ("Content-Type", "c"),
            ("Content-Length", "l"),
            ("Event", "o"),
        ] {
            text = text.replace(&format!("\r\n{long}: "), &format!("\r\n{short}: "));
        }
        text
    };
    let subscription = phone.subscription(BOB, Some(60));
    let dialog = phone.expect_dialog(&subscription);
    phone
        .raw(short(&subscription).as_bytes(), system.udp(0))
        .await;
    dialog.notify(1).await;
    phone
        .raw(short(&publish(&phone, "compact")).as_bytes(), system.udp(0))
        .await;
    dialog
        .until("the state", |notify| notify.note() == Some("compact"))
        .await;
    // The answers came to requests that the phone does not count among its own.
    for fault in phone.violations() {
        assert!(
            fault.starts_with("an answer to nothing:\nSIP/2.0 200 "),
            "{fault}"
        );
    }
}

/// 7.3.1: "(...) folding (...) MUST be accepted": a line that begins with white space continues the one
/// before. 7.3.1: "Any amount of white space" around the colon; names are case-insensitive.
#[tokio::test(flavor = "multi_thread")]
async fn folding_and_white_space() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::udp("bob").await;
    type Bend<'a> = (&'a str, &'a dyn Fn(&str) -> String);
    let bends: [Bend<'_>; 7] = [
        ("folded", &|text| {
            text.replace("\r\nFrom: ", "\r\nFrom:\r\n  \t")
                .replace(">;tag", ">\r\n ;tag")
        }),
        ("blank before colon", &|text| {
            text.replace("\r\nTo: ", "\r\nTo  : ")
                .replace("Event: ", "Event\t:\t")
        }),
        ("no blank after colon", &|text| {
            text.replace("\r\nEvent: ", "\r\nEvent:")
                .replace("\r\nCSeq: ", "\r\nCSeq:")
        }),
        ("blanks at the end", &|text| {
            text.replace("\r\nExpires: 600", "\r\nExpires: 600  \t")
        }),
        ("upper case", &|text| {
            text.replace("\r\nCall-ID", "\r\nCALL-ID")
                .replace("\r\nExpires", "\r\neXPIRES")
        }),
        ("blanks in CSeq", &|text| {
            text.replace("CSeq: 1 PUBLISH", "CSeq:   1 \t PUBLISH")
        }),
        ("empty lines first", &|text| format!("\r\n\r\n{text}")),
    ];
    for (number, (what, bend)) in bends.into_iter().enumerate() {
        let text = bend(&publish(&phone, what).to_string());
        phone.raw(text.as_bytes(), system.udp(0)).await;
        let wanted = i64::try_from(number).unwrap() + 1;
        system
            .until(
                std::time::Duration::from_secs(5),
                "SELECT count(*) FROM presentity",
                wanted,
            )
            .await;
    }
    for fault in phone.violations() {
        assert!(
            fault.starts_with("an answer to nothing:\nSIP/2.0 200 "),
            "{fault}"
        );
    }
}

/// 25.1: user parts with dots, escapes, semicolons and other marks; hosts as IPv6 references. What is
/// stored is what was meant.
#[tokio::test(flavor = "multi_thread")]
async fn users_and_hosts() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::udp("bob").await;
    for (uri, stored) in [
        ("sip:alice.smith@example.org", "sip:alice.smith@example.org"),
        ("sip:al;ice=1@example.org", "sip:al;ice=1@example.org"),
        (
            "sip:+1-212-555;x@example.org;user=phone",
            "sip:+1-212-555;x@example.org",
        ),
        ("sip:o'neill&co@Example.ORG", "sip:o'neill&co@example.org"),
        ("sip:a%20b@example.org", "sip:a%20b@example.org"),
        ("sip:%61lice@example.org", "sip:alice@example.org"),
        ("sip:bob@[2001:db8::1]:5070", "sip:bob@[2001:db8::1]"),
        ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1"),
        ("tel:+1-555-0100", "tel:+15550100"),
    ] {
        let document = pidf::document("sip:x@y", "t", "open", "x");
        let request = phone.publisher(uri).draft(Some(&document), Some(60));
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{uri}: {response}");
        let found = system.psql("SELECT presentity_uri FROM presentity ORDER BY id DESC LIMIT 1");
        assert_eq!(found, stored, "{uri}");
    }
}

/// 20.10 and 25.1: display names with anything in quotes, names without brackets, unknown parameters and
/// headers, bytes that are no UTF-8 where nobody looks.
#[tokio::test(flavor = "multi_thread")]
async fn names_and_unknown_things() {
    let system = system::start();
    let phone = Phone::udp("bob").await;
    for from in [
        "\"Bob <b>, \\\"the\\\" ;tag=no\" <sip:bob@example.org>;x=y;tag=1",
        "sip:bob@example.org;tag=2",
        "Bob B. Bobson <sip:bob@example.org;transport=udp?h=v>;tag=3;+sip.instance=\"<urn:uuid:1>\"",
        "<sip:bob@[::1]:5060>;tag=4",
        "\"\u{5f20}\u{4f1f}\" <sip:zhang@example.org>;tag=5",
        "<tel:+1-555-0100;ext=7>;tag=6",
    ] {
        let request = publish(&phone, "x")
            .set("From", from)
            .with("X-Whatever", "\u{1}, \"; <")
            .with("P-Empty", "");
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{from}: {response}");
    }
    let mut bytes = publish(&phone, "bytes").encode();
    let at = bytes
        .windows(12)
        .position(|window| window == b"User-Agent: ")
        .unwrap()
        + 12;
    bytes[at] = 0xff;
    phone.raw(&bytes, system.udp(0)).await;
    system
        .until(system::STARTUP, "SELECT count(*) FROM presentity", 7)
        .await;
    phone.violations(); // the answer to raw bytes
}

/// 20: a SUBSCRIBE whose names are hard to mirror gets a NOTIFY that the strict phone takes.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_dialogs() {
    let system = system::start();
    let phone = Phone::udp("alice").await;
    for (from, to) in [
        (
            "\"A, \\\"l\\\" <i>\" <sip:alice@example.org;x=1>;tag=a1",
            "\"B; o\" <sip:bob@example.org>",
        ),
        ("sip:alice@example.org;tag=a2", "sip:bob@example.org"),
        (
            "<sips:alice@example.org:5061>;tag=a3;y",
            "<sip:bob@example.org>;x=y",
        ),
        ("<tel:+15550100>;tag=a4", "<sip:bob@example.org>"),
    ] {
        let request = phone
            .subscription(BOB, Some(60))
            .set("From", from)
            .set("To", to);
        let (dialog, response) = phone.subscribe_with(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{from}: {response}");
        dialog.notify(1).await;
    }
}

/// 18.1.1 and RFC 4566-like reality: an IPv6 phone on an IPv6 server, publishing and watching.
#[tokio::test(flavor = "multi_thread")]
async fn ipv6() {
    let system = system::setup()
        .listen("udp:[::1]:0")
        .set("notifier.listen", "udp:[::]:0")
        .start();
    let server = system.servers[0].address6("udp");
    let (alice, bob) = (Phone::udp6("alice").await, Phone::udp6("bob").await);
    let dialog = alice.subscribe(server, BOB, 600).await;
    dialog.notify(1).await;
    bob.publisher(BOB).show(server, "open", "six").await;
    dialog
        .until("six", |notify| notify.note() == Some("six"))
        .await;
    dialog.unsubscribe(server).await;
}
