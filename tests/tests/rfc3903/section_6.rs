//! Section 6: processing PUBLISH, step by step.

use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::system::System;
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

async fn quiet() -> (System, Phone) {
    (
        system::setup().notifiers(0).start(),
        Phone::udp("bob").await,
    )
}

fn initial(phone: &Phone) -> Message {
    let document = pidf::document(BOB, "t", "open", "hello");
    phone.publisher(BOB).draft(Some(&document), Some(600))
}

/// Step 2: "If the event package in the Event header is not supported, the ESC MUST return a 489
/// (Bad Event) response." With Allow-Events (RFC 6665 8.3.2, checked by the phone).
#[tokio::test(flavor = "multi_thread")]
async fn unknown_package() {
    let (system, phone) = quiet().await;
    let response = phone
        .send(&initial(&phone).set("Event", "weather"), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(489), "{response}");
    assert!(
        response
            .header("Allow-Events")
            .is_some_and(|events| events.contains("presence")),
        "{response}"
    );
}

/// Step 2: "the ESC examines the Event header field of the PUBLISH request. If the Event header
/// field is missing (...) the ESC MUST return a 489 (Bad Event)".
#[tokio::test(flavor = "multi_thread")]
async fn missing_event() {
    let (system, phone) = quiet().await;
    let response = phone
        .send(&initial(&phone).without("Event"), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(489), "{response}");
}

/// Step 3: "the ESC checks if the header field contains a single entity-tag. If not, the request
/// is invalid, and the ESC MUST return with a 400 (Invalid Request) response".
#[tokio::test(flavor = "multi_thread")]
async fn two_entity_tags() {
    let (system, phone) = quiet().await;
    let request = initial(&phone);
    for bent in [
        request.clone().with("SIP-If-Match", "one, two"),
        request
            .with("SIP-If-Match", "one")
            .with("SIP-If-Match", "two")
            .set("Call-ID", "another"),
    ] {
        let bent = bent.set("Via", phone.via());
        let response = phone.send(&bent, system.udp(0)).await;
        assert_eq!(response.status(), Some(400), "{bent}{response}");
    }
}

/// Step 3: "If no match is found, the ESC MUST reject the publication with a response of 412
/// (Conditional Request Failed)". Unknown, replaced, another presentity's, removed: all of them.
#[tokio::test(flavor = "multi_thread")]
async fn entity_tags_that_do_not_match() {
    let (system, phone) = quiet().await;
    let server = system.udp(0);
    let mut bob = phone.publisher(BOB);
    let mut carol = phone.publisher("sip:carol@example.org");
    bob.show(server, "open", "bob").await;
    carol.show(server, "open", "carol").await;
    let (first, carols) = (bob.etag.clone(), carol.etag.clone());
    bob.show(server, "open", "bob again").await;
    let second = bob.etag.clone();

    for (what, etag) in [
        ("replaced", first),
        ("foreign", carols),
        ("unknown", Some("nonsense".into())),
    ] {
        let mut other = phone.publisher(BOB);
        other.etag = etag;
        let response = other.refresh(server, 600).await;
        assert_eq!(response.status(), Some(412), "{what}: {response}");
        assert_eq!(response.header("SIP-ETag"), None, "{what}: {response}");
    }
    bob.remove(server).await;
    bob.etag = second;
    let response = bob.refresh(server, 600).await;
    assert_eq!(response.status(), Some(412), "removed: {response}");
}

/// Step 3, of a publication whose time is over: "(...) event state has expired" counts as no match.
#[tokio::test(flavor = "multi_thread")]
async fn entity_tag_of_an_expired_publication() {
    let (system, phone) = quiet().await;
    let mut publisher = phone.publisher(BOB);
    publisher
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "short"), 1)
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM presentity WHERE expires > extract(epoch FROM now())",
            0,
        )
        .await;
    let response = publisher.refresh(system.udp(0), 600).await;
    assert_eq!(response.status(), Some(412), "{response}");
}

/// Step 4: "If the request has an Expires header field, and that value is less than the minimum
/// (...) the ESC MAY return an error response of 423 (Interval Too Brief) (...) with Min-Expires".
#[tokio::test(flavor = "multi_thread")]
async fn interval_too_brief() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.min_expires", 60)
        .start();
    let phone = Phone::udp("bob").await;
    let response = phone
        .send(&initial(&phone).set("Expires", "59"), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(423), "{response}");
    assert_eq!(response.header("Min-Expires"), Some("60"));
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
    // 0 is no interval but a removal: it is never too brief.
    let mut publisher = phone.publisher(BOB);
    publisher.show(system.udp(0), "open", "x").await;
    assert_eq!(publisher.remove(system.udp(0)).await.status(), Some(200));
}

/// Step 4: "(...) the ESC uses that value as the suggested expiration (...) the ESC MUST NOT grant
/// a longer one"; more than the maximum is shortened to it, an absent header means the package's default.
#[tokio::test(flavor = "multi_thread")]
async fn granted_time() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.max_expires", 1000)
        .start();
    let phone = Phone::udp("bob").await;
    for (asked, granted) in [
        (Some("999"), "999"),
        (Some("1001"), "1000"),
        (Some("4294967295"), "1000"),
        (None, "1000"),
    ] {
        let mut request = initial(&phone).without("Expires");
        if let Some(asked) = asked {
            request = request.with("Expires", asked);
        }
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{response}");
        assert_eq!(
            response.header("Expires"),
            Some(granted),
            "asked for {asked:?}"
        );
    }
    let rows = system.count("SELECT count(*) FROM presentity WHERE expires - extract(epoch FROM now()) BETWEEN 900 AND 1001").await;
    assert_eq!(rows, 4);
}

/// A malformed Expires is an error, never "0": else a refresh would become a removal.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_expires() {
    let (system, phone) = quiet().await;
    let mut publisher = phone.publisher(BOB);
    publisher.show(system.udp(0), "open", "x").await;
    for nonsense in [
        "abc",
        "-1",
        "",
        "4294967296",
        "99999999999999999999",
        "10 20",
        "0x10",
        "1.5",
    ] {
        let request = publisher.draft(None, None).with("Expires", nonsense);
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(
            response.status(),
            Some(400),
            "Expires: {nonsense:?}: {response}"
        );
    }
    assert_eq!(
        publisher.refresh(system.udp(0), 60).await.status(),
        Some(200),
        "the publication has not changed"
    );
}

/// Step 5: "If the content type of the request does not match the event package, or is not understood
/// by the ESC, the ESC MUST reject the request with an appropriate response, such as 415 (Unsupported
/// Media Type)". With Accept (RFC 3261 21.4.13, checked by the phone).
#[tokio::test(flavor = "multi_thread")]
async fn wrong_body_type() {
    let (system, phone) = quiet().await;
    for wrong in ["text/plain", "application/dialog-info+xml"] {
        let response = phone
            .send(&initial(&phone).set("Content-Type", wrong), system.udp(0))
            .await;
        assert_eq!(response.status(), Some(415), "{wrong}: {response}");
        assert!(
            response
                .header("Accept")
                .is_some_and(|types| types.contains(pidf::TYPE)),
            "{response}"
        );
    }
    // The type's case and parameters do not matter.
    let request = initial(&phone).set("Content-Type", "Application/PIDF+XML;charset=\"utf-8\"");
    assert_eq!(
        phone.send(&request, system.udp(0)).await.status(),
        Some(200)
    );
}

/// RFC 5621 section 4.2: all user agents "MUST be able to parse 'multipart' message bodies". What watchers are shown is the part that is the
/// document; a part that is not understood and must be (RFC 3261 20.11, the default) is answered 415 with Accept, and nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_several_parts() {
    let system = system::setup().set("presence.waitn_time", 0).start();
    let (phone, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let document = |note: &str| pidf::document(BOB, "t", "open", note).to_string();
    let part = |headers: &str, body: &str| format!("\r\n--=_b 1\r\n{headers}\r\n\r\n{body}");
    let body = |parts: &[String]| format!("preamble{}\r\n--=_b 1--\r\nepilogue", parts.concat());
    let pidf = "Content-Type: application/pidf+xml;charset=utf-8\r\nContent-ID: <doc@bob>";
    let icon = "Content-Type: image/png\r\nContent-ID: <icon@bob>";
    let optional = "Content-Type: image/png\r\nContent-Disposition: icon;handling=optional";
    let mut publisher = phone.publisher(BOB);
    let gzip = |text: &str| {
        use std::io::Write;
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    for (note, kind, parts, is_packed) in [
        ("one", "mixed", vec![part(pidf, &document("one"))], false),
        (
            "optional",
            "mixed",
            vec![
                part(optional, "\u{1}\r\n--"),
                part(pidf, &document("optional")),
            ],
            false,
        ),
        (
            "related",
            "related;start=\"<doc@bob>\"",
            vec![part(icon, "x"), part(pidf, &document("related"))],
            false,
        ),
        (
            "alternative",
            "alternative",
            vec![part("", "text"), part(pidf, &document("alternative"))],
            false,
        ),
        (
            "packed",
            "mixed",
            vec![part(pidf, &document("packed"))],
            true,
        ),
    ] {
        let octets = body(&parts);
        let octets = if is_packed {
            gzip(&octets)
        } else {
            octets.into_bytes()
        };
        let request = publisher
            .draft(None, Some(600))
            .with_body(&format!("multipart/{kind};boundary=\"=_b 1\""), octets);
        let request = match is_packed {
            true => request.with("Content-Encoding", "gzip"),
            false => request,
        };
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{note}: {response}");
        publisher.learn(&response);
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
    }
    assert_eq!(
        system.psql("SELECT content_type FROM presentity"),
        pidf::TYPE
    );

    let good = part(pidf, &document("bad"));
    let alone = body(std::slice::from_ref(&good));
    for (what, media, octets, status) in [
        (
            "not understood",
            "multipart/mixed;boundary=\"=_b 1\"",
            body(&[good.clone(), part(icon, "x")]),
            415,
        ),
        (
            "none is taken",
            "multipart/mixed;boundary=\"=_b 1\"",
            body(&[part(optional, "x")]),
            415,
        ),
        (
            "the root is not taken",
            "multipart/related;boundary=\"=_b 1\"",
            body(&[part(icon, "x"), good.clone()]),
            415,
        ),
        (
            "no root",
            "multipart/related;boundary=\"=_b 1\";start=\"<a@b>\"",
            alone.clone(),
            400,
        ),
        ("no boundary", "multipart/mixed", alone.clone(), 400),
        (
            "another boundary",
            "multipart/mixed;boundary=b",
            alone.clone(),
            400,
        ),
        (
            "no end",
            "multipart/mixed;boundary=\"=_b 1\"",
            good.clone(),
            400,
        ),
        (
            "too many",
            "multipart/mixed;boundary=\"=_b 1\"",
            body(&vec![good.clone(); 17]),
            400,
        ),
    ] {
        let request = phone
            .publisher(BOB)
            .draft(None, Some(600))
            .with_body(media, octets);
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "{what}: {response}");
        let accept = response.header("Accept").unwrap_or_default();
        assert_eq!(
            accept.contains(pidf::TYPE),
            status == 415,
            "{what}: {response}"
        );
    }
    let stored = "SELECT count(*) FILTER (WHERE convert_from(body, 'UTF8') LIKE '%packed%') || ' of ' || count(*) FROM presentity";
    assert_eq!(system.psql(stored), "1 of 1");
}

/// RFC 3261 8.2.3: "If there are any bodies whose (...) encoding (Content-Encoding) [is] not
/// understood (...) the UAS MUST reject the request with a 415 (Unsupported Media Type)".
#[tokio::test(flavor = "multi_thread")]
async fn unknown_encoding() {
    let (system, phone) = quiet().await;
    let response = phone
        .send(
            &initial(&phone).with("Content-Encoding", "br"),
            system.udp(0),
        )
        .await;
    assert_eq!(response.status(), Some(415), "{response}");
}

/// Step 5: "(...) the ESC MUST either complete the processing of the whole request, or leave the state
/// as it was": a body that is broken is refused and changes nothing, not even the entity-tag.
#[tokio::test(flavor = "multi_thread")]
async fn broken_body() {
    let (system, phone) = quiet().await;
    let mut publisher = phone.publisher(BOB);
    publisher.show(system.udp(0), "open", "good").await;
    let good = pidf::document(BOB, "t", "open", "x");
    let bomb = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE presence [<!ENTITY a \"aaaa\">]>{}",
        &good[40..]
    );
    for (what, body) in [
        ("cut off", good[..good.len() - 20].to_string()),
        ("no XML", "hello".to_string()),
        ("another root", good.replace("presence", "absence")),
        ("another namespace", good.replace("ns:pidf", "ns:other")),
        ("a document type", bomb),
        (
            "an undeclared prefix",
            good.replace("<note>", "<x:note>")
                .replace("</note>", "</x:note>"),
        ),
    ] {
        let request = publisher.draft(Some(&body), Some(600));
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(400), "{what}: {response}");
    }
    let request = publisher
        .draft(None, Some(600))
        .with_body(pidf::TYPE, b"<presence \xff\xfe/>".to_vec());
    assert_eq!(
        phone.send(&request, system.udp(0)).await.status(),
        Some(400),
        "not UTF-8"
    );
    assert_eq!(
        publisher.refresh(system.udp(0), 60).await.status(),
        Some(200),
        "the old entity-tag still counts"
    );
    assert_eq!(
        system.psql("SELECT convert_from(body, 'UTF8') LIKE '%good%' FROM presentity"),
        "t"
    );
}

/// A body made to be expensive costs its sender a 400 or 413, and nobody else's time.
#[tokio::test(flavor = "multi_thread")]
async fn expensive_body() {
    let (system, phone) = quiet().await;
    let names: String = (0..900).map(|i| format!(" xmlns:n{i}=\"u{i}\"")).collect();
    let children: String = (0..900).map(|i| format!("<a xmlns=\"v{i}\"/>")).collect();
    let body = format!(
        "<presence xmlns=\"{}\" entity=\"{BOB}\"{names}>{children}</presence>",
        pidf::NAMESPACE
    );
    assert!(body.len() < 60_000);
    let begin = std::time::Instant::now();
    let request = phone.publisher(BOB).draft(Some(&body), Some(600));
    let response = phone.send(&request, system.udp(0)).await;
    assert!(
        matches!(response.status(), Some(400 | 413)),
        "{}",
        response.start
    );
    assert!(begin.elapsed().as_millis() < 500, "{:?}", begin.elapsed());
}

/// 4.1: "An initial PUBLISH request MUST contain a body"; without one there is nothing to store.
#[tokio::test(flavor = "multi_thread")]
async fn initial_without_body() {
    let (system, phone) = quiet().await;
    let request = phone.publisher(BOB).draft(None, Some(600));
    let response = phone.send(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(400), "{response}");
}

/// Step 6: "(...) the response MUST contain a SIP-ETag header with a new entity-tag for each
/// successful publication" and "MUST contain the Expires header field" (the phone checks both are there).
#[tokio::test(flavor = "multi_thread")]
async fn every_success_has_its_own_entity_tag() {
    let (system, phone) = quiet().await;
    let mut publisher = phone.publisher(BOB);
    let mut seen = std::collections::HashSet::new();
    for round in 0..5 {
        publisher
            .show(system.udp(0), "open", &format!("{round}"))
            .await;
        assert!(seen.insert(publisher.etag.clone()));
        publisher.refresh(system.udp(0), 60).await;
        assert!(seen.insert(publisher.etag.clone()));
    }
}

/// The same bytes again, at once and later, change nothing and are answered the same: initial,
/// modification, refresh and removal.
#[tokio::test(flavor = "multi_thread")]
async fn retransmissions() {
    let system = system::setup().servers(2).notifiers(0).start();
    let phone = Phone::udp("bob").await;
    let mut publisher = phone.publisher(BOB);
    let mut sent = Vec::new();
    for (body, expires) in [
        (Some("one"), 600),
        (Some("two"), 600),
        (None, 500),
        (Some("three"), 600),
        (None, 0),
    ] {
        let document = body.map(|note| pidf::document(BOB, "t", "open", note));
        let request = publisher.draft(document.as_deref(), Some(expires));
        let answers = phone.spray(&request, &system.all_udp()).await.unwrap();
        assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
        publisher.learn(&answers[0]);
        sent.push(request);
        assert!(system.count("SELECT count(*) FROM presentity").await <= 1);
    }
    // The phone compares the answers. A late one, after all that, is still no 412.
    for request in sent.iter().skip(1) {
        phone.spray(request, &system.all_udp()).await.unwrap();
    }
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        0
    );
}

/// 8.2 of RFC 3261 and 6, 1: one resource, however its URI is written.
#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_one_presentity() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    for (number, spelling) in [
        "sip:bob@EXAMPLE.org",
        "sip:b%6Fb@example.org",
        "sips:bob@example.org",
        "sip:bob@example.org:5060;transport=udp",
    ]
    .into_iter()
    .enumerate()
    {
        let note = format!("spelling {number}");
        let document = pidf::document(BOB, "t", "open", &note);
        let request = bob.publisher(spelling).draft(Some(&document), Some(600));
        assert_eq!(
            bob.send(&request, system.udp(0)).await.status(),
            Some(200),
            "{spelling}"
        );
        dialog
            .until(&note, |notify| notify.note() == Some(&note))
            .await;
    }
    assert_eq!(
        system.psql("SELECT DISTINCT presentity_uri FROM presentity"),
        BOB
    );
}
