//! `dialog` (RFC 4235).

use std::time::Duration;

use system_tests::phone::{Notify, Phone};
use system_tests::system;

use super::BOB;
use super::bodies::{dialog_info, dialogs};

fn shows(expected: &'static [(&'static str, &'static str)]) -> impl Fn(&Notify) -> bool {
    move |notify| {
        let mut found = dialogs(notify);
        found.sort();
        let expected = expected
            .iter()
            .map(|(id, state)| ((*id).to_owned(), (*state).to_owned()));
        !notify.body().is_empty() && found == expected.collect::<Vec<_>>()
    }
}

/// Two phones of one person, two lamps; each call is shown once, and goes with its publication.
#[tokio::test(flavor = "multi_thread")]
async fn two_phones_two_lamps() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (desk, mobile) = (Phone::udp("desk").await, Phone::udp("mobile").await);
    let (alice, carol) = (
        Phone::udp("alice").await,
        Phone::tcp("carol", system.tcp(1)).await,
    );
    let first = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    let dark = first.notify(1).await;
    assert!(shows(&[])(&dark), "{}", dark.body());

    let mut on_desk = desk.publisher_of(BOB, "dialog");
    let ringing = dialog_info("d1", "call-1", "early");
    assert_eq!(
        on_desk
            .publish(system.udp(1), &ringing, 3600)
            .await
            .status(),
        Some(200)
    );
    first.until("it rings", shows(&[("d1", "early")])).await;

    let mut on_mobile = mobile.publisher_of(BOB, "dialog");
    let talking = dialog_info("d2", "call-2", "confirmed");
    assert_eq!(
        on_mobile.publish(system.udp(0), &talking, 6).await.status(),
        Some(200)
    );
    let both: &[_] = &[("d1", "early"), ("d2", "confirmed")];
    first.until("both", shows(both)).await;
    let second = carol.subscribe_to(system.tcp(1), BOB, "dialog", 600).await;
    let at_once = second.notify(1).await;
    assert!(shows(both)(&at_once), "{}", at_once.body());
    assert_eq!(
        at_once.version,
        Some(0),
        "each subscription counts for itself"
    );

    for lamp in [&first, &second] {
        lamp.until("the second call expires", shows(&[("d1", "early")]))
            .await;
    }
    assert_eq!(on_desk.remove(system.udp(0)).await.status(), Some(200));
    for lamp in [&first, &second] {
        let dark = lamp.until("dark", shows(&[])).await;
        assert_eq!(dark.version, Some(dark.cseq - lamp.notifies()[0].cseq));
    }
    first.unsubscribe(system.udp(1)).await;
    second.unsubscribe(system.tcp(1)).await;
}

/// The lamp follows one call from ringing to its end, and does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_to_its_end() {
    let system = system::start();
    let (desk, alice) = (Phone::udp("desk").await, Phone::udp("alice").await);
    let lamp = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    let mut publisher = desk.publisher_of(BOB, "dialog");
    for state in ["trying", "early", "confirmed", "terminated"] {
        let body = dialog_info("d1", "call-1", state);
        let response = publisher.publish(system.udp(0), &body, 3600).await;
        assert_eq!(response.status(), Some(200), "{response}");
        lamp.until(state, |notify| {
            dialogs(notify) == [("d1".to_owned(), state.to_owned())]
        })
        .await;
    }
    // Another phone of Bob's that was slow still says that it rings.
    let slow = Phone::udp("slow").await;
    let late = dialog_info("d1", "call-1", "early");
    slow.publisher_of(BOB, "dialog")
        .publish(system.udp(0), &late, 3600)
        .await;
    let other = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    let shown = other.notify(1).await;
    assert!(!shown.body().contains("early"), "{}", shown.body());
}

/// RFC 4235 section 3.7.1: a call that was said to be over never rings again, whatever becomes of the publication that said so.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_outlives_its_publication() {
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Removed,
        AnotherCall,
        NoCall,
        Expired,
        BackToEarly,
    }
    let system = system::setup().servers(2).notifiers(2).start();
    let (desk, slow, alice) = (
        Phone::udp("desk").await,
        Phone::udp("slow").await,
        Phone::udp("alice").await,
    );
    let none = "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" entity=\"x\"/>";
    for (number, fate) in [
        Fate::Removed,
        Fate::AnotherCall,
        Fate::NoCall,
        Fate::Expired,
        Fate::BackToEarly,
    ]
    .into_iter()
    .enumerate()
    {
        let person = format!("sip:p{number}@example.org");
        let lamp = alice
            .subscribe_to(system.udp(0), &person, "dialog", 600)
            .await;
        // Without tags, as who knows of a call first does.
        let ringing =
            dialog_info("d1", "call-1", "early").replace(" local-tag=\"l\" remote-tag=\"r\"", "");
        let over = dialog_info("d1", "call-1", "terminated");
        let mut older = slow.publisher_of(&person, "dialog");
        older.publish(system.udp(1), &ringing, 3600).await;
        lamp.until("it rings", |notify| notify.body().contains("early"))
            .await;
        let mut ends = desk.publisher_of(&person, "dialog");
        let expires_s = if matches!(fate, Fate::Expired) {
            2
        } else {
            3600
        };
        ends.publish(system.udp(0), &over, expires_s).await;
        lamp.until("it is over", shows(&[("d1", "terminated")]))
            .await;
        let another = dialog_info("d2", "call-2", "confirmed");
        let shown: &[(&str, &str)] = match fate {
            Fate::Removed => {
                ends.remove(system.udp(1)).await;
                &[]
            }
            Fate::AnotherCall => {
                ends.publish(system.udp(1), &another, 3600).await;
                &[("d2", "confirmed")]
            }
            Fate::NoCall => {
                ends.publish(system.udp(1), none, 3600).await;
                &[]
            }
            Fate::Expired => &[],
            Fate::BackToEarly => {
                ends.publish(system.udp(1), &ringing, 3600).await;
                &[]
            }
        };
        lamp.until(&format!("{fate:?}: it stays over"), shows(shown))
            .await;
        // One that was on its way says it once more.
        let mut late = slow.publisher_of(&person, "dialog");
        late.publish(system.udp(0), &dialog_info("d1", "call-1", "early"), 3600)
            .await;
        let mut marker = slow.publisher_of(&person, "dialog");
        let mark = dialog_info("mark", "mark", "confirmed");
        marker.publish(system.udp(1), &mark, 3600).await;
        let last = lamp
            .until("the last word", |notify| notify.body().contains("mark"))
            .await;
        assert!(!last.body().contains("call-1"), "{fate:?}: {}", last.body());
    }
}

/// `max_early`: the lamp goes dark without any PUBLISH, for every watcher, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_rings_for_ever() {
    let system = system::setup()
        .set("dialog.max_early", 4)
        .notifiers(2)
        .start();
    let (desk, alice, carol) = (
        Phone::udp("desk").await,
        Phone::udp("alice").await,
        Phone::udp("carol").await,
    );
    let first = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    first.notify(1).await;
    let mut publisher = desk.publisher_of(BOB, "dialog");
    let ringing = dialog_info("d1", "call-1", "early");
    publisher.publish(system.udp(0), &ringing, 3600).await;
    let lit = first.until("it rings", shows(&[("d1", "early")])).await;
    let second = carol.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    assert!(shows(&[("d1", "early")])(&second.notify(1).await));
    for lamp in [&first, &second] {
        let dark = lamp.until("dark", shows(&[])).await;
        let after = dark.at - lit.at;
        assert!(after > Duration::from_millis(1500), "{after:?}");
    }
    // Nothing is owed any more, and the publication is still there.
    let idle = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'";
    system.until(system::STARTUP, idle, 0).await;
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        1
    );
    assert_eq!((first.count(), second.count()), (3, 2), "told once");
    let third = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    assert!(shows(&[])(&third.notify(1).await));
    // The same phone rings once more.
    let again = dialog_info("d2", "call-2", "early");
    publisher.publish(system.udp(0), &again, 3600).await;
    for lamp in [&first, &second, &third] {
        lamp.until("it rings again", shows(&[("d2", "early")]))
            .await;
    }
}
