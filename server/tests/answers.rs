//! Every answer that the table of answers knows, asked for with raw SIP over UDP (RFC 3261 section 8.2, RFC 3903 section 6, RFC 6665 section 4.2.1).

use crate::support::{Database, Draft, Phone, Server, TcpPhone, header, within};
use sip::HeaderName;

/// RFC 6665 section 8.2.2: the packages that are served by default.
const ALLOW_EVENTS: &str = "presence, presence.winfo, dialog, dialog.winfo, message-summary, message-summary.winfo, \
    conference, conference.winfo, reg, reg.winfo, ua-profile, ua-profile.winfo, xcap-diff, xcap-diff.winfo, \
    as-feature-event, as-feature-event.winfo";
/// RFC 3261 section 11.2: what can be published.
const ACCEPT: &str = "application/pidf+xml, application/dialog-info+xml, application/simple-message-summary, \
    application/conference-info+xml, application/reginfo+xml, text/xml, application/xml, application/xcap-diff+xml, application/x-as-feature-event+xml";

/// A request, its status, and a header that must be in the answer.
type Case = (
    &'static str,
    Draft,
    u16,
    Option<(&'static str, &'static str)>,
);

fn publish() -> Draft {
    Draft::publish("case")
}

fn subscribe() -> Draft {
    Draft::subscribe("case", ([127, 0, 0, 1], 9).into())
}

fn cases() -> Vec<Case> {
    let other = |method: &str| Draft::new(method, "case");
    vec![
        (
            "capabilities",
            other("OPTIONS"),
            200,
            Some(("Allow", "OPTIONS, PUBLISH, SUBSCRIBE")),
        ),
        (
            "capabilities",
            other("OPTIONS"),
            200,
            Some(("Accept", ACCEPT)),
        ),
        (
            "capabilities",
            other("OPTIONS"),
            200,
            Some(("Allow-Events", ALLOW_EVENTS)),
        ),
        (
            "capabilities",
            other("OPTIONS"),
            200,
            Some(("Supported", "")),
        ),
        (
            "options at the last hop",
            other("OPTIONS").with("Max-Forwards", "0"),
            200,
            None,
        ),
        (
            "known, not ours",
            other("INVITE"),
            405,
            Some(("Allow", "OPTIONS, PUBLISH, SUBSCRIBE")),
        ),
        ("known, not ours", other("REGISTER"), 405, None),
        ("known, not ours", other("NOTIFY"), 405, None),
        ("known, not ours", other("MESSAGE"), 405, None),
        ("unknown method", other("FLY"), 501, None),
        ("methods are case-sensitive", other("publish"), 501, None),
        ("nothing to cancel", other("CANCEL"), 481, None),
        (
            "hops used up",
            publish().with("Max-Forwards", "0"),
            483,
            None,
        ),
        (
            "hops used up",
            subscribe().with("Max-Forwards", "0"),
            483,
            None,
        ),
        (
            "extension",
            publish().with("Require", "100rel, teleport"),
            420,
            Some(("Unsupported", "100rel, teleport")),
        ),
        (
            "extension",
            subscribe().with("Require", "teleport"),
            420,
            Some(("Unsupported", "teleport")),
        ),
        (
            "extension",
            other("OPTIONS").with("Require", "teleport"),
            420,
            Some(("Unsupported", "teleport")),
        ),
        (
            "no Event",
            publish().without("Event"),
            489,
            Some(("Allow-Events", ALLOW_EVENTS)),
        ),
        (
            "unknown Event",
            publish().with("Event", "weather"),
            489,
            Some(("Allow-Events", ALLOW_EVENTS)),
        ),
        (
            "no Event",
            subscribe().without("Event"),
            489,
            Some(("Allow-Events", ALLOW_EVENTS)),
        ),
        (
            "unknown Event",
            subscribe().with("Event", "weather"),
            489,
            Some(("Allow-Events", ALLOW_EVENTS)),
        ),
        (
            "foreign body",
            publish().with("Content-Type", "text/plain"),
            415,
            Some(("Accept", "application/pidf+xml")),
        ),
        (
            "encoded body",
            publish().with("Content-Encoding", "br"),
            415,
            Some(("Accept-Encoding", "gzip, deflate")),
        ),
        (
            "nothing acceptable",
            subscribe().with("Accept", "text/plain"),
            406,
            None,
        ),
        (
            "tag never issued",
            publish().with("SIP-If-Match", "nonesuch"),
            412,
            None,
        ),
        (
            "tag never issued",
            publish()
                .with("SIP-If-Match", "nonesuch")
                .body("")
                .without("Content-Type"),
            412,
            None,
        ),
        ("body is not XML", publish().body("not XML"), 400, None),
        ("no body", publish().body(""), 400, None),
        ("no number", publish().with("Expires", "soon"), 400, None),
        ("no number", subscribe().with("Expires", "-1"), 400, None),
        (
            "too many seconds",
            publish().with("Expires", "99999999999"),
            400,
            None,
        ),
        (
            "too short",
            publish().with("Expires", "29"),
            423,
            Some(("Min-Expires", "30")),
        ),
        (
            "too short",
            subscribe().with("Expires", "29"),
            423,
            Some(("Min-Expires", "30")),
        ),
        (
            "no such dialog",
            subscribe().with("To", "<sip:bob@example.org>;tag=nonesuch"),
            481,
            None,
        ),
        ("no Contact", subscribe().without("Contact"), 400, None),
        (
            "CSeq too large",
            publish().with("CSeq", "2147483648 PUBLISH"),
            400,
            None,
        ),
        (
            "CSeq of another method",
            publish().with("CSeq", "1 SUBSCRIBE"),
            400,
            None,
        ),
        ("no Call-ID", publish().without("Call-ID"), 400, None),
        (
            "a URI that is none of ours",
            publish().uri("http://example.org/"),
            416,
            None,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_condition_has_its_answer() {
    let database = Database::migrated().await;
    let server = Server::configured(&database.url, |config| {
        config.presence.min_expires = within(30)
    })
    .await;
    let phone = Phone::new().await;
    for (what, draft, status, wanted) in cases() {
        let text = draft.text();
        let answer = phone.ask(server.udp, &text).await;
        assert_eq!(
            answer.status().code(),
            status,
            "{what}: {}\n{text}",
            answer.reason()
        );
        if let Some((name, value)) = wanted {
            let found = answer
                .header_named(name)
                .map(|found| String::from_utf8_lossy(found).into_owned());
            assert_eq!(found.as_deref(), Some(value), "{what}: {name}");
        }
        let has_tag = answer.to().is_ok_and(|to| to.tag().is_some());
        assert!(
            has_tag,
            "{what}: every final answer has a To-tag (RFC 3261 section 8.2.6.2)"
        );
    }
    assert_eq!(database.number("SELECT count(*) FROM presentity").await, 0);
    assert_eq!(
        database
            .number("SELECT count(*) FROM active_watchers")
            .await,
        0
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_or_dropped() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let phone = Phone::new().await;
    let good = publish().text();
    for (what, text, status) in [
        (
            "another version of SIP",
            good.replacen("SIP/2.0\r\n", "SIP/3.0\r\n", 1),
            505,
        ),
        (
            "a body longer than the datagram",
            good.replace("Content-Length: ", "Content-Length: 9"),
            400,
        ),
        (
            "a header without colon",
            good.replacen("Expires: 600", "Expires 600", 1),
            400,
        ),
    ] {
        let answer = phone.ask(server.udp, &text).await;
        assert_eq!(
            answer.status().code(),
            status,
            "{what}: {}",
            answer.reason()
        );
    }
    for (what, text) in [
        (
            "not SIP",
            "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_owned(),
        ),
        ("keep-alive", "\r\n\r\n".to_owned()),
        ("no Via to answer to", publish().without("Via").text()),
        ("ACK", Draft::new("ACK", "case").text()),
        (
            "a response to nothing",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\n\r\n".to_owned(),
        ),
    ] {
        println!("{what}");
        phone.ask_in_vain(server.udp, &text).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_from_birth_to_death() {
    let database = Database::migrated().await;
    let server = Server::configured(&database.url, |config| {
        config.presence.expires_offset = within(10)
    })
    .await;
    let phone = Phone::new().await;

    let first = phone.ask(server.udp, publish().by(&phone).text()).await;
    assert_eq!(first.status().code(), 200, "{}", first.reason());
    assert_eq!(
        header(&first, HeaderName::Expires),
        "590",
        "less by expires_offset"
    );
    assert_eq!(
        database
            .number(
                "SELECT count(*) FROM presentity WHERE username = 'bob' AND domain = 'example.org'"
            )
            .await,
        1
    );

    let tag = first.sip_etag().expect("SIP-ETag").to_owned();
    let refresh = |tag: &str, cseq: u32| {
        publish()
            .by(&phone)
            .with("SIP-If-Match", tag)
            .with("CSeq", &format!("{cseq} PUBLISH"))
    };
    let second = phone
        .ask(
            server.udp,
            refresh(&tag, 2).body("").without("Content-Type").text(),
        )
        .await;
    assert_eq!(second.status().code(), 200);
    let newer = second.sip_etag().expect("SIP-ETag").to_owned();
    assert_ne!(newer, tag, "each success has a new entity-tag");

    let stale = phone.ask(server.udp, refresh(&tag, 3).text()).await;
    assert_eq!(stale.status().code(), 412);

    let removed = phone
        .ask(
            server.udp,
            refresh(&newer, 4)
                .body("")
                .without("Content-Type")
                .with("Expires", "0")
                .text(),
        )
        .await;
    assert_eq!(
        (
            removed.status().code(),
            header(&removed, HeaderName::Expires)
        ),
        (200, "0")
    );
    assert_eq!(
        database
            .number("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        0
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_from_birth_to_death() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let phone = Phone::new().await;
    let subscribe = || Draft::subscribe("dialog", phone.address()).by(&phone);

    let first = phone.ask(server.udp, subscribe().text()).await;
    assert_eq!(first.status().code(), 200, "{}", first.reason());
    assert_eq!(header(&first, HeaderName::Expires), "600");
    assert_eq!(
        header(&first, HeaderName::Contact),
        format!("<sip:{}>", server.udp)
    );
    let to = header(&first, HeaderName::To).to_owned();
    assert_eq!(
        database
            .text("SELECT contact || '|' || local_contact FROM active_watchers")
            .await,
        format!("sip:alice@{}|sip:{}", phone.address(), server.udp)
    );

    let inside = |cseq: u32, expires: &str| {
        subscribe()
            .with("To", &to)
            .with("CSeq", &format!("{cseq} SUBSCRIBE"))
            .with("Expires", expires)
    };
    let refreshed = phone.ask(server.udp, inside(5, "300").text()).await;
    assert_eq!(
        (
            refreshed.status().code(),
            header(&refreshed, HeaderName::Expires)
        ),
        (200, "300")
    );
    assert_eq!(header(&refreshed, HeaderName::To), to);

    let late = phone.ask(server.udp, inside(4, "300").text()).await;
    assert_eq!(late.status().code(), 500, "RFC 3261 section 12.2.2");

    let ended = phone.ask(server.udp, inside(6, "0").text()).await;
    assert_eq!(
        (ended.status().code(), header(&ended, HeaderName::Expires)),
        (200, "0")
    );
    let gone = phone.ask(server.udp, inside(7, "300").text()).await;
    assert_eq!(gone.status().code(), 481);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_tcp() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let mut phone = TcpPhone::connect(server.tcp).await;
    let published = phone.ask(publish().text()).await;
    assert_eq!(published.status().code(), 200, "{}", published.reason());

    let subscribed = phone.ask(subscribe().text()).await;
    assert_eq!(subscribed.status().code(), 200, "{}", subscribed.reason());
    assert_eq!(
        header(&subscribed, HeaderName::Contact),
        format!("<sip:{};transport=tcp>", server.tcp)
    );
    let flow = database.text("SELECT flow FROM active_watchers").await;
    assert!(
        flow.starts_with("<sip:")
            && flow.ends_with(&format!(
                "@{};transport=tcp;by=tcp;connect=127.0.0.1;lr>",
                server.internal
            )),
        "{flow}"
    );

    // Two requests in one segment, one in two.
    let options = Draft::new("OPTIONS", "one").text();
    phone.send(format!("{options}{}", &options[..40])).await;
    phone.receive().await;
    phone.send(&options[40..]).await;
    phone.receive().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_address_is_the_contact() {
    let database = Database::migrated().await;
    let server = Server::configured(&database.url, |config| {
        config.presence.server_address = Some("sip:presence.example.org".parse().expect("a URI"));
    })
    .await;
    let phone = Phone::new().await;
    let by_udp = phone
        .ask(server.udp, Draft::subscribe("udp", phone.address()).text())
        .await;
    assert_eq!(
        header(&by_udp, HeaderName::Contact),
        "<sip:presence.example.org>"
    );
    let by_tcp = TcpPhone::connect(server.tcp)
        .await
        .ask(subscribe().text())
        .await;
    assert_eq!(
        header(&by_tcp, HeaderName::Contact),
        "<sip:presence.example.org>",
        "as it is written"
    );
    let published = phone.ask(server.udp, publish().by(&phone).text()).await;
    assert_eq!(
        header(&published, HeaderName::Contact),
        "<sip:presence.example.org>"
    );
    server.stop().await;
}
