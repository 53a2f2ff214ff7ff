//! The judges judged: a phone that finds nothing wrong is worth something only if it finds what is wrong.
//! A little server of our own misbehaves in every way that the phones are to notice.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use system_tests::message::{self, Message};
use system_tests::phone::{Answer, PATIENCE, Phone};
use system_tests::pidf;
use system_tests::process::{Process, Sandbox};
use tokio::net::UdpSocket;

const BOB: &str = "sip:bob@example.org";

/// Answers one request with what `bend` makes of a good answer; returns the request and its source.
async fn answer(server: &UdpSocket, bend: impl Fn(Message) -> Message) -> (Message, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (count, from) = server.recv_from(&mut buffer).await.unwrap();
    let request = message::parse(&buffer[..count]).unwrap();
    let via = request.header("Via").unwrap().replace(
        ";rport",
        &format!(";received=127.0.0.1;rport={}", from.port()),
    );
    let mut to = request.header("To").unwrap().to_string();
    if request.tag("To").is_none() {
        to.push_str(";tag=server");
    }
    let good = Message {
        start: "SIP/2.0 200 OK".into(),
        headers: vec![],
        body: vec![],
    }
    .with("Via", via)
    .with("From", request.header("From").unwrap())
    .with("To", to)
    .with("Call-ID", request.header("Call-ID").unwrap())
    .with("CSeq", request.header("CSeq").unwrap())
    .with("Contact", format!("<sip:{}>", server.local_addr().unwrap()))
    .with("SIP-ETag", "tag")
    .with("Expires", "600");
    server.send_to(&bend(good).encode(), from).await.unwrap();
    (request, from)
}

/// A good first NOTIFY of the dialog that `request` made.
fn notify(server: &UdpSocket, request: &Message, cseq: u32) -> Message {
    let place = server.local_addr().unwrap();
    Message::request("NOTIFY", message::addr(request.header("Contact").unwrap()))
        .with(
            "Via",
            format!("SIP/2.0/UDP {place};branch=z9hG4bKnotify{cseq};rport"),
        )
        .with("Max-Forwards", "70")
        .with(
            "From",
            format!("{};tag=server", request.header("To").unwrap()),
        )
        .with("To", request.header("From").unwrap())
        .with("Call-ID", request.header("Call-ID").unwrap())
        .with("CSeq", format!("{cseq} NOTIFY"))
        .with("Contact", format!("<sip:{place}>"))
        .with("Event", "presence")
        .with("Subscription-State", "active;expires=600")
        .with_body(pidf::TYPE, pidf::document(BOB, "t", "open", "x"))
}

async fn server() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_answers_are_found() {
    type Bend = fn(Message) -> Message;
    let cases: [(&str, Bend); 10] = [
        ("rport", |m| {
            m.set(
                "Via",
                "SIP/2.0/UDP 127.0.0.1:1;branch=BRANCH;received=127.0.0.1",
            )
        }),
        ("Vias", |m| {
            m.with("Via", "SIP/2.0/UDP more;branch=z9hG4bKmore")
        }),
        ("From", |m| m.set("From", "<sip:eve@example.org>;tag=1")),
        ("CSeq", |m| m.set("CSeq", "9 PUBLISH")),
        ("To-tag", |m| m.set("To", format!("<{BOB}>"))),
        ("SIP-ETag", |m| m.without("SIP-ETag")),
        ("Expires", |m| m.set("Expires", "soon")),
        ("reason phrase", |m| Message {
            start: "SIP/2.0 200 ".into(),
            ..m
        }),
        ("Content-Length", |m| m.with("Content-Length", "7")),
        ("Retry-After", |m| Message {
            start: "SIP/2.0 503 Service Unavailable".into(),
            ..m
        }),
    ];
    for (what, bend) in cases {
        let (server, phone) = (server().await, Phone::udp("bob").await);
        let request = phone
            .publisher(BOB)
            .draft(Some(&pidf::document(BOB, "t", "open", "x")), Some(600));
        let branch = request.branch().unwrap().to_string();
        let to = [server.local_addr().unwrap()];
        let (_, _) = tokio::join!(
            answer(&server, |good| {
                let mut bent = bend(good);
                for (_, value) in &mut bent.headers {
                    *value = value.replace("BRANCH", &branch);
                }
                bent
            }),
            phone.try_send(&request, &to, Duration::from_millis(300))
        );
        let found = phone.violations();
        assert!(
            found.iter().any(|fault| fault.contains(what)),
            "{what} was not noticed: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_different_answers_are_found() {
    let (one, two, phone) = (server().await, server().await, Phone::udp("bob").await);
    let request = phone
        .publisher(BOB)
        .draft(Some(&pidf::document(BOB, "t", "open", "x")), Some(600));
    let both = [one.local_addr().unwrap(), two.local_addr().unwrap()];
    let (_, _, answers) = tokio::join!(
        answer(&one, |m| m),
        answer(&two, |m| m.set("SIP-ETag", "other")),
        phone.spray(&request, &both)
    );
    assert_eq!(answers.unwrap().len(), 2);
    let found = phone.violations();
    assert!(
        found.len() == 1 && found[0].contains("SIP-ETag differs"),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_notifies_are_found() {
    type Bend = fn(Message) -> Message;
    let cases: [(&str, Bend); 15] = [
        ("CSeq 7 right after", |m| m.set("CSeq", "7 NOTIFY")),
        ("CSeq 1 after", |m| m.set("CSeq", "1 NOTIFY")),
        ("two different NOTIFYs", |m| {
            m.set("CSeq", "2 NOTIFY").with_body(pidf::TYPE, "<x/>")
        }),
        ("two different NOTIFYs", |m| m.set("CSeq", "2 NOTIFY")),
        ("From-tag", |m| m.set("From", format!("<{BOB}>;tag=other"))),
        ("Request-URI", |m| Message {
            start: "NOTIFY sip:elsewhere SIP/2.0".into(),
            ..m
        }),
        ("Max-Forwards", |m| m.without("Max-Forwards")),
        ("Event", |m| m.set("Event", "presence;id=1")),
        ("Subscription-State", |m| {
            m.set("Subscription-State", "alive")
        }),
        ("no expires", |m| m.set("Subscription-State", "active")),
        ("no reason", |m| m.set("Subscription-State", "terminated")),
        ("were granted", |m| {
            m.set("Subscription-State", "active;expires=601")
        }),
        ("well-formed", |m| m.with_body(pidf::TYPE, "<presence>")),
        ("used twice", |m| {
            let body = pidf::document(BOB, "t", "open", "x");
            let tuple = "<tuple id=\"t\"><status/></tuple></presence>";
            m.with_body(pidf::TYPE, body.replace("</presence>", tuple))
        }),
        ("not of sip:bob", |m| {
            m.with_body(
                pidf::TYPE,
                pidf::document("sip:eve@example.org", "t", "open", "x"),
            )
        }),
    ];
    for (what, bend) in cases {
        let (server, phone) = (server().await, Phone::udp("alice").await);
        let at = server.local_addr().unwrap();
        let ((request, from), dialog) = tokio::join!(
            answer(&server, |m| m.without("SIP-ETag")),
            phone.subscribe(at, BOB, 600)
        );
        server
            .send_to(&notify(&server, &request, 2).encode(), from)
            .await
            .unwrap();
        dialog.notify(1).await;
        assert_eq!(phone.violations(), Vec::<String>::new());
        server
            .send_to(&bend(notify(&server, &request, 3)).encode(), from)
            .await
            .unwrap();
        let end = tokio::time::Instant::now() + PATIENCE;
        let found = loop {
            let found = phone.violations();
            if !found.is_empty() || tokio::time::Instant::now() > end {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let what = what.replace("not of sip:bob", "not of");
        assert!(
            found.iter().any(|fault| fault.contains(&what)),
            "{what} was not noticed: {found:?}"
        );
    }
}

/// Copies of one NOTIFY are one; a NOTIFY after the last one is noticed; answers are as told.
#[tokio::test(flavor = "multi_thread")]
async fn copies_and_the_last_one() {
    let (server, phone) = (server().await, Phone::udp("alice").await);
    let at = server.local_addr().unwrap();
    let ((request, from), dialog) = tokio::join!(
        answer(&server, |m| m.without("SIP-ETag")),
        phone.subscribe(at, BOB, 600)
    );
    phone.answers(Answer::AfterCopies(2));
    let first = notify(&server, &request, 1);
    for _ in 0..3 {
        server.send_to(&first.encode(), from).await.unwrap();
    }
    let mut buffer = vec![0; 65_535];
    let (count, _) = server.recv_from(&mut buffer).await.unwrap();
    assert_eq!(
        message::parse(&buffer[..count]).unwrap().status(),
        Some(200)
    );
    assert!(
        server.try_recv(&mut buffer).is_err(),
        "one answer, to the third copy"
    );
    assert_eq!(dialog.count(), 1);
    assert_eq!(phone.violations(), Vec::<String>::new());
    let last = notify(&server, &request, 2).set("Subscription-State", "terminated;reason=timeout");
    server.send_to(&last.encode(), from).await.unwrap();
    dialog.notify(2).await;
    assert_eq!(phone.violations(), Vec::<String>::new());
    server
        .send_to(&notify(&server, &request, 3).encode(), from)
        .await
        .unwrap();
    dialog.notify(3).await;
    assert!(phone.violations()[0].contains("after the last one"));
}

/// A test process that is killed leaves no child and no scratch directory behind. The process killed here
/// is this very test, started once more with a word that makes it wait.
#[test]
fn nothing_outlives_a_killed_test() {
    if std::env::var_os("HARNESS_VICTIM").is_some() {
        let sandbox = Sandbox::new();
        let child = Process::start(&sandbox, "sleeper", Command::new("sleep").arg("1000"));
        println!("VICTIM {} {}", child.pid(), sandbox.directory().display());
        std::thread::sleep(Duration::from_secs(100));
        return;
    }
    let sandbox = Sandbox::new();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args([
            "--exact",
            "harness::nothing_outlives_a_killed_test",
            "--nocapture",
        ])
        .env("HARNESS_VICTIM", "1");
    let mut victim = Process::start(&sandbox, "victim", &mut again);
    let line = victim
        .line(Duration::from_secs(20), |line| line.contains("VICTIM "))
        .unwrap();
    let mut words = line[line.find("VICTIM ").unwrap()..].split(' ').skip(1);
    let (pid, folder) = (
        words.next().unwrap().to_string(),
        words.next().unwrap().to_string(),
    );
    assert!(std::path::Path::new("/proc").join(&pid).exists());
    victim.kill9();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z ")) || std::path::Path::new(&folder).exists()
    };
    while alive() {
        assert!(
            std::time::Instant::now() < end,
            "{pid} or {folder} is still there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
