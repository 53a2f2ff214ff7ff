//! `handle_publish(sender_uri)`: "notification of a change in published state is not sent to the respective uri even though a
//! subscription exists", and nobody else misses anything by that.

use system_tests::phone::{Dialog, Publisher};
use system_tests::system::System;

use super::*;

/// The header Sender says who publishes.
const BY_HEADER: &str = "function route(request)
    if request.method == 'PUBLISH' then
        xlog('answer ' .. handle_publish(request:header('Sender')))
    else
        default_route()
    end
end";

const PACKAGES: [&str; 4] = ["presence", "dialog", "dialog;sla", "message-summary"];

/// A document of the package that says this word.
fn body(event: &str, word: &str) -> (&'static str, String) {
    match event {
        "presence" => (
            "application/pidf+xml",
            system_tests::pidf::document(BOB, "t", "open", word),
        ),
        "message-summary" => (
            "application/simple-message-summary",
            format!(
                "Messages-Waiting: yes\r\nMessage-Account: {BOB}\r\nVoice-Message: {}/0\r\n",
                word.len()
            ),
        ),
        _ => (
            "application/dialog-info+xml",
            format!(
                "<?xml version=\"1.0\"?><dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
                 entity=\"{BOB}\"><dialog id=\"{word}\"><state>confirmed</state></dialog></dialog-info>"
            ),
        ),
    }
}

async fn publish(
    system: &System,
    phone: &Phone,
    publisher: &mut Publisher,
    (kind, body): (&str, String),
    sender: Option<&str>,
) -> Message {
    let draft = publisher.draft(Some(&body), Some(600));
    let mut request = draft
        .set("Content-Type", kind)
        .with("Contact", "<sip:proxy@192.0.2.77>");
    if let Some(sender) = sender {
        request = request.with("Sender", sender);
    }
    let response = phone.send(&request, system.udp(0)).await;
    if response.status() == Some(200) {
        publisher.learn(&response);
    }
    response
}

async fn quiet(system: &System) {
    let busy = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR owner IS NOT NULL";
    system.until(SOON, busy, 0).await;
}

/// By its address of record and by its Contact, in every package; the phone beside it is told, and so is he of what others change.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_is_not_told_what_it_said_itself() {
    let script = Script::new(BY_HEADER);
    let system = script.setup().start();
    let (desk, mobile, proxy) = (
        Phone::udp("desk").await,
        Phone::udp("mobile").await,
        Phone::udp("proxy").await,
    );
    for event in PACKAGES {
        let server = system.udp(0);
        let on_desk = desk.subscribe_to(server, BOB, event, 600).await;
        let on_mobile = mobile.subscribe_to(server, BOB, event, 600).await;
        on_desk.notify(1).await;
        on_mobile.notify(1).await;
        let mut publisher = proxy.publisher_of(BOB, event);
        let senders = [
            format!("\"Desk, <1>\" <{}>;tag=x", desk.contact()),
            "<sip:%64esk@EXAMPLE.org:5070>".to_owned(),
            "sip:desk@example.org".to_owned(),
        ];
        let mut told = 1;
        for (number, sender) in senders.iter().enumerate() {
            let words = body(event, &"w".repeat(number + 1));
            let answer = publish(&system, &proxy, &mut publisher, words, Some(sender)).await;
            assert_eq!(answer.status(), Some(200), "{event} {sender}: {answer}");
            told += 1;
            on_mobile.notify(told).await;
            quiet(&system).await;
            assert_eq!(on_desk.count(), 1, "{event} {sender}");
        }

        // Another's change, and one that nobody made, are told to him with the number that follows.
        let other = format!("<{}>", mobile.contact());
        for (number, sender) in [(4, Some(other.as_str())), (5, None)] {
            // In a shared line every PUBLISH has a sender, here its Contact.
            let words = body(event, &"w".repeat(number));
            let answer = publish(&system, &proxy, &mut publisher, words, sender).await;
            assert_eq!(answer.status(), Some(200), "{event}: {answer}");
            on_desk.notify(number as u64 - 2).await;
            quiet(&system).await;
        }
        assert_eq!(
            on_mobile.count(),
            told + 1,
            "{event}: his own change is one of them"
        );

        // In answer to a SUBSCRIBE he is told everything, his own words too.
        assert_eq!(on_desk.refresh(server, 600).await.status(), Some(200));
        on_desk.notify(4).await;
        ended(&system, [on_desk, on_mobile]).await;
    }
}

async fn ended(system: &System, dialogs: [Dialog; 2]) {
    for dialog in dialogs {
        dialog.unsubscribe(system.udp(0)).await;
    }
}

/// His own change and another's that coalesce into one NOTIFY are told to him: nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_coalesce_are_told_if_one_is_somebody_elses() {
    let script = Script::new(BY_HEADER);
    let system = script.setup().set("presence.waitn_time", 2).start();
    let (desk, proxy) = (Phone::udp("desk").await, Phone::udp("proxy").await);
    let on_desk = desk.subscribe(system.udp(0), BOB, 600).await;
    on_desk.notify(1).await;
    let own = format!("<{}>", desk.contact());
    let mut mine = proxy.publisher(BOB);
    let mut other = proxy.publisher(BOB);
    // It starts the pacing: what follows comes together.
    publish(&system, &proxy, &mut mine, body("presence", "first"), None).await;
    on_desk.until("first", |n| n.body().contains("first")).await;
    for round in 0..2 {
        let (theirs, his) = (format!("theirs {round}"), format!("his {round}"));
        let steps = [
            (&mut other, &theirs, None),
            (&mut mine, &his, Some(own.as_str())),
        ];
        let mut steps: Vec<_> = steps.into_iter().collect();
        if round == 1 {
            steps.reverse();
        }
        for (publisher, word, sender) in steps {
            let answer = publish(&system, &proxy, publisher, body("presence", word), sender).await;
            assert_eq!(answer.status(), Some(200), "{answer}");
        }
        on_desk
            .until("both", |n| {
                n.body().contains(&theirs) && n.body().contains(&his)
            })
            .await;
    }
}

/// What is no address is 400 and -1, and nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_sender_is_refused() {
    let script = Script::new(BY_HEADER);
    let mut system = script.setup().notifiers(0).start();
    let proxy = Phone::udp("proxy").await;
    for sender in [
        "the desk",
        "<sip:>",
        "<mailto:desk@example.org>",
        "<sip:desk@example.org",
        "sip:a b@example.org",
    ] {
        let mut publisher = proxy.publisher(BOB);
        let answer = publish(
            &system,
            &proxy,
            &mut publisher,
            body("presence", "x"),
            Some(sender),
        )
        .await;
        assert_eq!(answer.status(), Some(400), "{sender}: {answer}");
        assert_eq!(answer.reason(), "Bad Sender", "{sender}: {answer}");
        logged(&mut system.servers[0].process, "answer -1").await;
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
    let mut publisher = proxy.publisher(BOB);
    let answer = publish(&system, &proxy, &mut publisher, body("presence", "x"), None).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
}
