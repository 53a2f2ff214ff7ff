//! What is the same in all packages: body types, Accept, the Event header's parameters, and what is not served.

use system_tests::document::media_type;
use system_tests::phone::{Phone, Tolerance};
use system_tests::{pidf, system};

use super::BOB;
use super::bodies::{conference_info, dialog_info, reginfo, summary};

const XCAP_DIFF: &str = "<xcap-diff xmlns=\"urn:ietf:params:xml:ns:xcap-diff\" xcap-root=\"http://xcap.example.org/\"/>";

const FEATURE: &str = "<DoNotDisturbEvent xmlns=\"http://www.ecma-international.org/standards/ecma-323/csta/ed3\">\
    <doNotDisturbOn>true</doNotDisturbOn></DoNotDisturbEvent>";

/// A package, and a body that can be published.
fn packages() -> [(&'static str, String); 9] {
    [
        ("presence", pidf::document(BOB, "t", "open", "x")),
        ("dialog", dialog_info("d1", "call-1", "confirmed")),
        ("message-summary", summary("sip:home@example.org", 1, 2)),
        ("conference", conference_info(BOB, "sip:al@example.org")),
        ("reg", reginfo(BOB, "sip:bob@192.0.2.7")),
        ("ua-profile", "<profile/>".to_owned()),
        ("xcap-diff", XCAP_DIFF.to_owned()),
        ("dialog;sla", dialog_info("d1", "call-1", "confirmed")),
        ("as-feature-event", FEATURE.to_owned()),
    ]
}

/// RFC 3903 section 6 step 5, RFC 3261 21.4.13 and 21.4.7: 415 with Accept, 400, 406; nothing of it leaves a trace.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_accept() {
    let system = system::start();
    let phone = Phone::udp("phone").await;
    for (event, body) in packages() {
        let own = media_type(event);
        for wrong in ["text/plain", "application/x-other+xml"] {
            let mut publisher = phone.publisher_of(BOB, event);
            let request = publisher
                .draft(Some(&body), Some(60))
                .set("Content-Type", wrong);
            let response = phone.send(&request, system.udp(0)).await;
            assert_eq!(response.status(), Some(415), "{event} {wrong}: {response}");
            let accept = response.header("Accept").unwrap_or_default();
            assert!(
                accept.split(", ").any(|kind| kind == own),
                "{event}: {accept}"
            );
        }
        let mut publisher = phone.publisher_of(BOB, event);
        let request = publisher.draft(Some("<"), Some(60));
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(400), "{event}: {response}");

        for (accept, status) in [
            ("image/png", 406),
            ("text/plain, application/x-other+xml", 406),
            (own, 200),
            ("image/png, */*", 200),
        ] {
            let request = phone
                .subscription_to(BOB, event, Some(60))
                .set("Accept", accept);
            let (dialog, response) = phone.subscribe_with(&request, system.udp(0)).await;
            assert_eq!(
                response.status(),
                Some(status),
                "{event} {accept}: {response}"
            );
            if status == 200 {
                dialog.notify(1).await;
            }
        }
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        18,
        "those that were accepted"
    );
}

/// What an RFC leaves no choice about is asked for in every package, and the reason phrase says what it was.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_told() {
    let system = system::start();
    let phone = Phone::udp("phone").await;
    let dialog = dialog_info("d1", "call-1", "confirmed");
    let presence = pidf::document(BOB, "t", "open", "x");
    let partial = |body: String| body.replacen("state=\"full\"", "state=\"partial\"", 1);
    for (event, body, reason) in [
        ("dialog", partial(dialog.clone()), "Body Is Partial State"),
        ("dialog;sla", partial(dialog), "Body Is Partial State"),
        (
            "conference",
            partial(conference_info(BOB, "sip:al@example.org")),
            "Body Is Partial State",
        ),
        (
            "reg",
            partial(reginfo(BOB, "sip:bob@192.0.2.7")),
            "Body Is Partial State",
        ),
        (
            "presence",
            presence.replace("<tuple id=\"t\">", "<tuple>"),
            "Tuple Without ID",
        ),
        (
            "presence",
            presence.replace(">open<", ">busy<"),
            "Basic Status Is Neither Open Nor Closed",
        ),
    ] {
        for (_, whole) in packages().iter().filter(|(name, _)| *name == event) {
            // Neither at first nor in the place of what is there.
            let mut publisher = phone.publisher_of(BOB, event);
            for _ in 0..2 {
                let request = publisher.draft(Some(&body), Some(60));
                let response = phone.send(&request, system.udp(0)).await;
                assert_eq!(response.status(), Some(400), "{event}: {response}");
                assert!(response.to_string().contains(reason), "{event}: {response}");
                let response = publisher.publish(system.udp(0), whole, 60).await;
                assert_eq!(response.status(), Some(200), "{event}: {response}");
            }
            publisher.remove(system.udp(0)).await;
        }
    }
}

/// RFC 6665 8.2.1: `id` is part of the subscription, and in each of its NOTIFYs (the phone checks that). Parameters that
/// nobody knows are no reason to refuse a request.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_event() {
    let system = system::start();
    let (phone, source) = (Phone::udp("phone").await, Phone::udp("source").await);
    // Of the dialogs that are made without being written down.
    phone.tolerates(Tolerance {
        strays: true,
        ..Tolerance::default()
    });
    for (event, body) in packages() {
        let seven = phone
            .subscribe_to(system.udp(0), BOB, &format!("{event};id=7"), 600)
            .await;
        let request = phone.subscription_to(BOB, &format!("{event};flavour=\"odd\""), Some(600));
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{event}: {response}");
        seven.notify(1).await;
        let mut publisher = source.publisher_of(BOB, event);
        let response = publisher.publish(system.udp(0), &body, 600).await;
        assert_eq!(response.status(), Some(200), "{event}: {response}");
        seven
            .until("the publication", |notify| notify.message.body.len() > 9)
            .await;
        seven.unsubscribe(system.udp(0)).await;
    }
}

/// What there is not is refused, and not offered (RFC 6665 4.2.1.1).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served() {
    let system = system::start();
    let phone = Phone::udp("phone").await;
    let served = "presence, presence.winfo, dialog, dialog.winfo, message-summary, message-summary.winfo, conference, \
        conference.winfo, reg, reg.winfo, ua-profile, ua-profile.winfo, xcap-diff, xcap-diff.winfo, as-feature-event, as-feature-event.winfo";
    for event in ["presence.winfo.winfo", "refer"] {
        let requests = [
            phone.subscription_to(BOB, event, Some(60)),
            phone
                .publisher_of(BOB, event)
                .draft(Some(&dialog_info("d", "c", "early")), Some(60)),
        ];
        for request in requests {
            let response = phone.send(&request, system.udp(0)).await;
            assert_eq!(response.status(), Some(489), "{event}: {response}");
            assert_eq!(response.header("Allow-Events"), Some(served), "{event}");
        }
    }
    let options = phone.request("OPTIONS", "sip:example.org");
    let response = phone.send(&options, system.udp(0)).await;
    assert_eq!(response.header("Allow-Events"), Some(served));
}
