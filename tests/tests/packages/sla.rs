//! `dialog;sla`: one line that appears on several phones (bridged line appearance).

use system_tests::message::Message;
use system_tests::phone::{Dialog, Notify, Phone, Publisher};
use system_tests::system::{self, System};

use super::BOB;
use super::bodies::{dialog_info, dialogs};

const SLA: &str = "dialog;sla";
const IDLE: &str = "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
    entity=\"sip:bob@example.org\"/>";

/// This dialog alone.
fn shows(id: &'static str, state: &'static str) -> impl Fn(&Notify) -> bool {
    move |notify| dialogs(notify) == [(id.to_owned(), state.to_owned())]
}

fn is_dark(notify: &Notify) -> bool {
    !notify.body().is_empty() && dialogs(notify).is_empty()
}

/// A PUBLISH with the Contact of the phone that sends it.
fn by(phone: &Phone, publisher: &mut Publisher, body: &str) -> Message {
    let request = publisher.draft(Some(body), Some(3600));
    request.with("Contact", format!("<{}>", phone.contact()))
}

async fn publish(
    phone: &Phone,
    publisher: &mut Publisher,
    system: &System,
    server: usize,
    body: &str,
) -> Message {
    let request = by(phone, publisher, body);
    let response = phone.send(&request, system.udp(server)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    publisher.learn(&response);
    response
}

/// Nothing is owed to anybody any more, but for the end of a call that rings for too long.
async fn quiet(system: &System) {
    let busy = "SELECT count(*) FROM notify_queue WHERE due < now() + interval '10 seconds' OR owner IS NOT NULL";
    system.until(system::STARTUP, busy, 0).await;
}

/// Two phones of one line share a publication, its entity-tag stays, and nobody is told its own words again.
#[tokio::test(flavor = "multi_thread")]
async fn two_phones_share_a_line() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (desk, mobile) = (Phone::udp("bob").await, Phone::udp("bob").await);
    let carol = Phone::udp("carol").await;
    let on_desk = desk.subscribe_to(system.udp(0), BOB, SLA, 600).await;
    let on_mobile = mobile.subscribe_to(system.udp(1), BOB, SLA, 600).await;
    let lamp = carol.subscribe_to(system.udp(0), BOB, SLA, 600).await;
    for dialog in [&on_desk, &on_mobile, &lamp] {
        assert!(is_dark(&dialog.notify(1).await));
    }

    let mut line = desk.publisher_of(BOB, SLA);
    let talks = dialog_info("d1", "call-1", "confirmed");
    publish(&desk, &mut line, &system, 0, &talks).await;
    let etag = line.etag.clone().unwrap();
    for dialog in [&on_mobile, &lamp] {
        dialog
            .until("the desk talks", shows("d1", "confirmed"))
            .await;
    }
    quiet(&system).await;
    assert_eq!(on_desk.count(), 1, "nothing that it does not know");

    // The other phone publishes with the same tag, through the other server. Its own publisher, so its own Call-ID.
    let mut other = mobile.publisher_of(BOB, SLA);
    other.etag = Some(etag.clone());
    let rings = dialog_info("d2", "call-2", "early");
    let from_mobile = by(&mobile, &mut other, &rings);
    let response = mobile.send(&from_mobile, system.udp(1)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    assert_eq!(response.header("SIP-ETag"), Some(etag.as_str()));
    for dialog in [&on_desk, &lamp] {
        dialog.until("the mobile rings", shows("d2", "early")).await;
    }
    quiet(&system).await;
    assert_eq!(on_mobile.count(), 2, "nothing that it does not know");

    // Who asks is told everything, its own words too.
    on_mobile.refresh(system.udp(0), 600).await;
    on_mobile.until("everything", shows("d2", "early")).await;

    // The desk goes on with the same tag; a late copy of the mobile's request does not undo that.
    let talks = dialog_info("d3", "call-3", "confirmed");
    let response = publish(&desk, &mut line, &system, 1, &talks).await;
    assert_eq!(response.header("SIP-ETag"), Some(etag.as_str()));
    for dialog in [&on_mobile, &lamp] {
        dialog
            .until("the desk talks again", shows("d3", "confirmed"))
            .await;
    }
    let copy = mobile.send(&from_mobile, system.udp(0)).await;
    assert_eq!(copy.status(), Some(200), "{copy}");
    quiet(&system).await;
    assert!(shows("d3", "confirmed")(&lamp.last().unwrap()));
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);
}

/// A phone that is idle does not end the call of the phone beside it: answered 200, and not stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_phone_does_not_end_the_call_of_another() {
    let system = system::setup().servers(2).start();
    let (desk, mobile) = (Phone::udp("bob").await, Phone::udp("bob").await);
    let carol = Phone::udp("carol").await;
    let lamp = carol.subscribe_to(system.udp(0), BOB, SLA, 600).await;
    let mut line = desk.publisher_of(BOB, SLA);
    let talks = dialog_info("d1", "call-1", "confirmed");
    publish(&desk, &mut line, &system, 0, &talks).await;
    lamp.until("the desk talks", shows("d1", "confirmed")).await;
    quiet(&system).await;
    let told = lamp.count();

    let mut other = mobile.publisher_of(BOB, SLA);
    other.etag = line.etag.clone();
    publish(&mobile, &mut other, &system, 1, IDLE).await;
    quiet(&system).await;
    assert_eq!(lamp.count(), told, "nobody is told anything");
    let again = carol.subscribe_to(system.udp(1), BOB, SLA, 600).await;
    assert!(shows("d1", "confirmed")(&again.notify(1).await));

    // The phone that talks may end its own call.
    publish(&desk, &mut line, &system, 1, IDLE).await;
    for dialog in [&lamp, &again] {
        dialog.until("dark", is_dark).await;
    }
}

/// `trust_sender`: the header says who published, not the Contact of the server that publishes for the phones.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_publishes_for_the_phones() {
    for trust in [0, 1] {
        let system = system::setup().set("sla.trust_sender", trust).start();
        let (desk, pbx) = (Phone::udp("bob").await, Phone::udp("pbx").await);
        let on_desk = desk.subscribe_to(system.udp(0), BOB, SLA, 600).await;
        on_desk.notify(1).await;
        let mut line = pbx.publisher_of(BOB, SLA);
        let body = dialog_info("d1", "call-1", "confirmed");
        let request = by(&pbx, &mut line, &body).with("Sender", format!("<{}>", desk.contact()));
        let response = pbx.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{response}");
        quiet(&system).await;
        assert_eq!(on_desk.count(), 2 - trust, "its own words");
        if trust == 0 {
            assert!(shows("d1", "confirmed")(&on_desk.notify(2).await));
            continue;
        }
        // Whose words they are is not to be guessed.
        let request = by(&pbx, &mut line, &body).with("Sender", "the desk");
        let response = pbx.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(400), "{response}");
        assert_eq!(
            system.count("SELECT count(*) FROM presentity").await,
            1,
            "nothing is stored"
        );
    }
}

/// Two phones press a key in the same instant, at two servers: both are stored, one after the other, and all phones agree.
#[tokio::test(flavor = "multi_thread")]
async fn two_phones_publish_in_the_same_instant() {
    let system = system::setup().servers(2).notifiers(2).start();
    let phones = [Phone::udp("bob").await, Phone::udp("bob").await];
    let carol = Phone::udp("carol").await;
    let lamps: [Dialog; 2] = [
        carol.subscribe_to(system.udp(0), BOB, SLA, 600).await,
        carol.subscribe_to(system.udp(1), BOB, SLA, 600).await,
    ];
    let mut first = phones[0].publisher_of(BOB, SLA);
    publish(&phones[0], &mut first, &system, 0, IDLE).await;
    let mut second = phones[1].publisher_of(BOB, SLA);
    second.etag = first.etag.clone();
    for round in 0..20 {
        let bodies = [0, 1].map(|phone| {
            dialog_info(
                &format!("r{round}p{phone}"),
                &format!("call-{round}-{phone}"),
                "confirmed",
            )
        });
        let one = by(&phones[0], &mut first, &bodies[0]);
        let two = by(&phones[1], &mut second, &bodies[1]);
        let (one, two) = tokio::join!(
            phones[0].send(&one, system.udp(0)),
            phones[1].send(&two, system.udp(1))
        );
        for response in [one, two] {
            assert_eq!(response.status(), Some(200), "{response}");
            assert_eq!(response.header("SIP-ETag"), first.etag.as_deref());
        }
    }
    quiet(&system).await;
    let shown = lamps.each_ref().map(|lamp| dialogs(&lamp.last().unwrap()));
    assert_eq!(shown[0], shown[1]);
    assert!(shown[0][0].0.starts_with("r19"), "{shown:?}");
}
