//! What real phones write, and what is made of it.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::{pidf, system};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const BOB: &str = "sip:bob@example.org";
const PIDF: &str = "application/pidf+xml";

/// 20.10: "If the URI is not enclosed in angle brackets, any semicolon-delimited parameters are header-parameters". A quoted
/// one may hold brackets.
#[tokio::test(flavor = "multi_thread")]
async fn contact_without_brackets() {
    let system = system::start();
    let phone = Phone::udp("alice").await;
    let request = phone.subscription(BOB, Some(600));
    let dialog = phone.expect_dialog(&request);
    let bare = format!("{};+sip.instance=\"<urn:uuid:0000>\"", phone.contact());
    let response = phone
        .send(&request.set("Contact", bare), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.learn(&response);
    dialog.notify(1).await;
    assert_eq!(phone.violations(), Vec::<String>::new());
}

/// 12.1.1: "A UAS MUST be prepared to receive a request without a tag in the From field, in which case the tag is considered to
/// have a value of null."
#[tokio::test(flavor = "multi_thread")]
async fn from_without_a_tag() {
    let system = system::start();
    let phone = Phone::udp("alice").await;
    let from = format!("<{}>", phone.aor());
    let request = phone.subscription(BOB, Some(600)).set("From", from.clone());
    let (dialog, response) = phone.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.notify(1).await;
    let refresh = dialog.request("SUBSCRIBE").with("Expires", "300");
    let response = phone.send(&refresh.set("From", from), system.udp(0)).await;
    dialog.learn(&response);
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.notify(2).await;
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE from_tag = ''")
            .await,
        1
    );
}

/// Documents in the encodings of their countries, and compressed ones (20.12), are told in UTF-8.
#[tokio::test(flavor = "multi_thread")]
async fn encodings_and_codings() {
    let system = system::setup().set("presence.waitn_time", 0).start();
    let phone = Phone::udp("bob").await;
    let dialog = phone.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let document = |encoding: &str, note: &str| {
        pidf::document(BOB, "t", "open", note).replace(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            &format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>"),
        )
    };
    assert!(document("x", "y").starts_with("<?xml version=\"1.0\" encoding=\"x\"?>"));
    let latin = |text: String| -> Vec<u8> {
        text.chars()
            .map(|letter| u8::try_from(u32::from(letter)).unwrap())
            .collect()
    };
    let wide = |text: String| -> Vec<u8> {
        let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
        units.flat_map(u16::to_be_bytes).collect()
    };
    let gzip = |body: Vec<u8>| {
        let mut writer = GzEncoder::new(Vec::new(), Compression::default());
        writer.write_all(&body).unwrap();
        writer.finish().unwrap()
    };
    let zlib = |body: Vec<u8>| {
        let mut writer = ZlibEncoder::new(Vec::new(), Compression::default());
        writer.write_all(&body).unwrap();
        writer.finish().unwrap()
    };
    let mut publisher = phone.publisher(BOB);
    for (body, coding, note) in [
        (
            latin(document("ISO-8859-1", "J\u{fc}rgen 1")),
            None,
            "J\u{fc}rgen 1",
        ),
        (
            document("ISO-8859-1", "J\u{fc}rgen 2").into_bytes(),
            None,
            "J\u{fc}rgen 2",
        ),
        (
            wide(document("UTF-16", "J\u{fc}rgen 3")),
            None,
            "J\u{fc}rgen 3",
        ),
        (
            gzip(document("UTF-8", "J\u{fc}rgen 4").into_bytes()),
            Some("gzip"),
            "J\u{fc}rgen 4",
        ),
        (
            zlib(latin(document("windows-1252", "J\u{fc}rgen 5"))),
            Some("deflate"),
            "J\u{fc}rgen 5",
        ),
    ] {
        let request = publisher.draft(None, Some(600)).with_body(PIDF, body);
        let request = match coding {
            Some(coding) => request.with("Content-Encoding", coding),
            None => request,
        };
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{note}: {response}");
        publisher.learn(&response);
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
    }
    let bad = |body: Vec<u8>, coding: &str| -> Message {
        let request = phone
            .publisher(BOB)
            .draft(None, Some(600))
            .with_body(PIDF, body);
        request.with("Content-Encoding", coding)
    };
    let honest = || document("UTF-8", "x").into_bytes();
    for (request, status) in [
        (bad(honest(), "br"), 415),
        (bad(honest(), "gzip"), 400),
        (bad(gzip(vec![b' '; 1_000_000]), "gzip"), 413),
        (
            bad(latin(document("UTF-8", "J\u{fc}rgen")), "identity"),
            400,
        ),
        (
            bad(document("UTF-8", "&#xD800;").into_bytes(), "identity"),
            400,
        ),
    ] {
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "{response}");
        if status == 415 {
            assert_eq!(response.header("Accept-Encoding"), Some("gzip, deflate"));
        }
    }
    // By hand it comes another way, and is read the same.
    system.psql(
        "UPDATE presentity SET body = convert_to('<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>' \
             || substr(convert_from(body, 'UTF8'), strpos(convert_from(body, 'UTF8'), '?>') + 2), 'LATIN1') WHERE username = 'bob'; \
         UPDATE presentity SET body = decode(replace(encode(body, 'hex'), '2035', '2036'), 'hex')",
    );
    dialog
        .until("what was written by hand", |notify| {
            notify.note() == Some("J\u{fc}rgen 6")
        })
        .await;
    assert_eq!(phone.violations(), Vec::<String>::new());
}

/// PIDF under the name that it had before RFC 3863, and Accept with odd separators.
#[tokio::test(flavor = "multi_thread")]
async fn names_in_accept() {
    let system = system::start();
    let phone = Phone::udp("alice").await;
    for (accept, status, content_type) in [
        (
            "application/cpim-pidf+xml",
            200,
            "application/cpim-pidf+xml",
        ),
        ("application/cpim-pidf+xml, application/pidf+xml", 200, PIDF),
        ("text/plain; application/pidf+xml", 200, PIDF),
        ("application/pidf+xml application/xpidf+xml", 200, PIDF),
        ("nonsense", 200, PIDF),
        ("text/plain", 406, ""),
    ] {
        let request = phone.subscription(BOB, Some(600)).set("Accept", accept);
        let (dialog, response) = phone.subscribe_with(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "{accept}: {response}");
        if status == 200 {
            let first = dialog.notify(1).await;
            assert_eq!(
                first.message.header("Content-Type"),
                Some(content_type),
                "{accept}"
            );
        }
    }
}

/// On a stream, too, CR LF NUL and a lone NUL keep a flow alive.
#[tokio::test(flavor = "multi_thread")]
async fn keep_alives_with_nul() {
    let system = system::start();
    let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
    stream.write_all(b"\r\n\0").await.unwrap();
    let phone = Phone::connected("alice", stream);
    let dialog = phone.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    for (count, keep_alive) in [&b"\r\n\0"[..], b"\0", b"\0\r\n"].into_iter().enumerate() {
        phone.raw(keep_alive, system.tcp(0)).await;
        let answer =
            tokio::time::timeout(Duration::from_secs(10), dialog.refresh(system.tcp(0), 600));
        assert_eq!(answer.await.unwrap().status(), Some(200));
        dialog.notify(count as u64 + 2).await;
    }
}
