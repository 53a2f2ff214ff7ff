//! `as-feature-event`: do-not-disturb and call forwarding, kept alike on all phones of a line.

use system_tests::message::Message;
use system_tests::phone::{Dialog, Notify, Phone};
use system_tests::system::{self, System};

use super::BOB;

const EVENT: &str = "as-feature-event";
const TYPE: &str = "application/x-as-feature-event+xml";
const CSTA: &str = "http://www.ecma-international.org/standards/ecma-323/csta/ed3";

fn do_not_disturb(on: bool) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<SetDoNotDisturb xmlns=\"{CSTA}\"><device></device>\
         <doNotDisturbOn>{on}</doNotDisturbOn></SetDoNotDisturb>"
    )
}

fn forward(kind: &str, to: &str) -> String {
    format!(
        "<SetForwarding xmlns=\"{CSTA}\"><device/><forwardingType>{kind}</forwardingType>\
         <activateForward>true</activateForward><forwardDN>{to}</forwardDN></SetForwarding>"
    )
}

fn with_body(request: Message, body: &str) -> Message {
    request.with_body(TYPE, body)
}

/// A refresh within the dialog that sets something.
fn set(dialog: &Dialog, body: &str) -> Message {
    with_body(dialog.request("SUBSCRIBE").with("Expires", "600"), body)
}

fn says(notify: &Notify, what: &str) -> bool {
    notify.body().contains(what)
}

const ON: &str = "<doNotDisturbOn>true</doNotDisturbOn>";
const OFF: &str = "<doNotDisturbOn>false</doNotDisturbOn>";

async fn watch(phone: &Phone, system: &System, server: usize) -> Dialog {
    phone
        .subscribe_to(system.udp(server), BOB, EVENT, 600)
        .await
}

/// A key on one phone, the lamp on both; each feature by itself; a phone that starts knows all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_on_one_phone_lights_the_lamps_of_all() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (desk, soft) = (Phone::udp("bob").await, Phone::udp("bob").await);
    let on_desk = watch(&desk, &system, 0).await;
    let on_soft = watch(&soft, &system, 1).await;
    for dialog in [&on_desk, &on_soft] {
        assert_eq!(dialog.notify(1).await.body(), "", "nothing is known");
    }
    let pressed = set(&on_desk, &do_not_disturb(true));
    let response = desk.send(&pressed, system.udp(1)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    on_desk.learn(&response);
    for dialog in [&on_desk, &on_soft] {
        let notify = dialog
            .until("do not disturb", |notify| says(notify, ON))
            .await;
        assert!(says(&notify, "<DoNotDisturbEvent "), "{}", notify.body());
    }
    // The NOTIFY that answers the SUBSCRIBE shows it already: the lamp does not flicker.
    assert!(
        on_desk
            .notifies()
            .iter()
            .skip(1)
            .all(|notify| says(notify, ON))
    );

    // The other phone sets something else, with the SUBSCRIBE that makes its second dialog.
    let request = with_body(
        soft.subscription_to(BOB, EVENT, Some(600)),
        &forward("forwardBusy", "sip:mail@example.org"),
    );
    let (second, response) = soft.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    assert!(says(&second.notify(1).await, "forwardBusy"));
    let both = |notify: &Notify| {
        says(notify, ON)
            && says(notify, "<forwardTo>sip:mail@example.org</forwardTo>")
            && says(notify, "<forwardStatus>true</forwardStatus>")
    };
    for dialog in [&on_desk, &on_soft, &second] {
        dialog.until("both", both).await;
    }
    let third = watch(&desk, &system, 1).await;
    assert!(both(&third.notify(1).await));

    // Off again; what the first request said is not said once more by a late copy of it.
    let response = desk
        .send(&set(&on_desk, &do_not_disturb(false)), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    for dialog in [&on_desk, &on_soft, &second, &third] {
        dialog.until("off", |notify| says(notify, OFF)).await;
    }
    let late = pressed.clone().set("Via", desk.via());
    let response = desk.send(&late, system.udp(0)).await;
    assert_eq!(
        response.status(),
        Some(500),
        "CSeq out of order: {response}"
    );
    let response = soft.send(&request, system.udp(1)).await;
    assert_eq!(response.status(), Some(200), "a copy: {response}");
    let rows = "SELECT count(*) FROM presentity WHERE event = 'as-feature-event'";
    assert_eq!(system.count(rows).await, 2, "one row for each feature");
    let on = "SELECT count(*) FROM presentity WHERE convert_from(body, 'UTF8') LIKE '%doNotDisturbOn>true%'";
    assert_eq!(system.count(on).await, 0);
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE expires = -1")
            .await,
        2,
        "known until they are set again"
    );
}

/// Everybody may watch; only the line itself may set its features, and nobody by another's dialog.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_line_itself_sets_its_features() {
    let system = system::start();
    let (desk, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let on_desk = watch(&desk, &system, 0).await;
    let request = with_body(
        alice.subscription_to(BOB, EVENT, Some(600)),
        &do_not_disturb(true),
    );
    let response = alice.send(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(403), "{response}");
    let watched = watch(&alice, &system, 0).await;
    watched.notify(1).await;
    let response = alice
        .send(&set(&watched, &do_not_disturb(true)), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(403), "{response}");
    // Who lies about From within her own dialog gets her refresh, and nothing is set.
    let from = format!("<{BOB}>;tag={}", request_tag(&watched));
    let lie = set(&watched, &do_not_disturb(true)).set("From", from);
    let response = alice.send(&lie, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    // Who lies about To sets nothing of the other line either.
    let to = format!(
        "<sip:alice@example.org>;tag={}",
        watched.remote_tag().unwrap()
    );
    let lie = set(&watched, &do_not_disturb(true)).set("To", to);
    let response = alice.send(&lie, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    // Nor who has no dialog, nor who asks for what nobody knows.
    let stranger = set(&on_desk, &do_not_disturb(true)).set("Call-ID", "nobody");
    let response = desk.send(&stranger, system.udp(0)).await;
    assert_eq!(response.status(), Some(481), "{response}");
    for (body, kind, status) in [
        (do_not_disturb(true), "text/plain", 415),
        ("<torn".to_owned(), TYPE, 400),
        ("<SetLights/>".to_owned(), TYPE, 400),
        (forward("forwardSometimes", "x"), TYPE, 400),
    ] {
        let request = on_desk.request("SUBSCRIBE").with("Expires", "600");
        let response = desk
            .send(&request.with_body(kind, body.clone()), system.udp(0))
            .await;
        assert_eq!(response.status(), Some(status), "{body}: {response}");
        if status == 415 {
            assert_eq!(response.header("Accept"), Some(TYPE));
        }
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
    // And the line itself can, after all that.
    let response = desk
        .send(&set(&on_desk, &do_not_disturb(true)), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    for dialog in [&on_desk, &watched] {
        dialog
            .until("do not disturb", |notify| says(notify, ON))
            .await;
    }
}

/// The From-tag of a dialog.
fn request_tag(dialog: &Dialog) -> String {
    let request = dialog.request("SUBSCRIBE");
    request.tag("From").unwrap().to_owned()
}

/// `feature_expires`: what a phone has set is known for so long. `features`: all, or the one that changed last.
#[tokio::test(flavor = "multi_thread")]
async fn feature_expires_and_features() {
    let system = system::setup()
        .set("feature_event.feature_expires", 3)
        .set("feature_event.features", "newest")
        .start();
    let desk = Phone::udp("bob").await;
    let dialog = watch(&desk, &system, 0).await;
    for body in [do_not_disturb(true), forward("forwardNoAns", "sip:x@y")] {
        let response = desk.send(&set(&dialog, &body), system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{response}");
    }
    let shown = dialog
        .until("the newest", |notify| says(notify, "forwardNoAns"))
        .await;
    assert!(!says(&shown, ON), "{}", shown.body());
    dialog
        .until("forgotten", |notify| notify.body().is_empty())
        .await;
}

/// A server can set a feature as well, by PUBLISH: the web page where the user does it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_sets_a_feature() {
    let system = system::start();
    let (desk, web) = (Phone::udp("bob").await, Phone::udp("web").await);
    let dialog = watch(&desk, &system, 0).await;
    let mut publisher = web.publisher_of(BOB, EVENT);
    let body = format!(
        "<DoNotDisturbEvent xmlns=\"{CSTA}\"><device/><doNotDisturbOn>true</doNotDisturbOn></DoNotDisturbEvent>"
    );
    let response = publisher.publish(system.udp(0), &body, 600).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.until("on", |notify| says(notify, ON)).await;
    // What the phone says afterwards is newer.
    let response = desk
        .send(&set(&dialog, &do_not_disturb(false)), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog
        .until("off", |notify| says(notify, OFF) && !says(notify, ON))
        .await;
}

/// `cseq_offset`: what a request sets that is behind, and taken all the same, is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_behind_and_taken_sets_its_feature() {
    let system = system::setup().set("presence.cseq_offset", 5).start();
    let desk = Phone::udp("bob").await;
    let dialog = watch(&desk, &system, 0).await;
    let ahead = set(&dialog, &do_not_disturb(false)).set("CSeq", "100 SUBSCRIBE");
    let response = desk.send(&ahead, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    let behind = set(&dialog, &do_not_disturb(true)).set("CSeq", "96 SUBSCRIBE");
    let response = desk.send(&behind, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog
        .until("do not disturb", |notify| says(notify, ON))
        .await;
    let older = set(&dialog, &do_not_disturb(false)).set("CSeq", "94 SUBSCRIBE");
    let response = desk.send(&older, system.udp(0)).await;
    assert_eq!(response.status(), Some(500), "{response}");
    let body = "SELECT count(*) FROM presentity WHERE convert_from(body, 'UTF8') LIKE '%>true<%'";
    assert_eq!(system.count(body).await, 1);
}
