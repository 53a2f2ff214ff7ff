//! `reg` (RFC 3680).

use system_tests::phone::{Notify, Phone};
use system_tests::system;

use super::BOB;
use super::bodies::{reginfo, registrations};

const DESK: &str = "sip:bob@192.0.2.7";
const MOBILE: &str = "sip:bob@192.0.2.8";

fn has(state: &'static str, contacts: &'static [&'static str]) -> impl Fn(&Notify) -> bool {
    move |notify| {
        let contacts = contacts.iter().map(|uri| (*uri).to_owned()).collect();
        registrations(notify) == [(BOB.to_owned(), state.to_owned(), contacts)]
    }
}

/// Two registrars know Bob: one registration with the contacts of both.
#[tokio::test(flavor = "multi_thread")]
async fn two_registrars_two_watchers() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (east, west) = (Phone::udp("east").await, Phone::udp("west").await);
    let (alice, carol) = (Phone::udp("alice").await, Phone::udp("carol").await);
    let first = alice.subscribe_to(system.udp(0), BOB, "reg", 600).await;
    let none = first.notify(1).await;
    assert!(has("init", &[])(&none), "{}", none.body());

    let mut in_east = east.publisher_of(BOB, "reg");
    let response = in_east
        .publish(system.udp(0), &reginfo(BOB, DESK), 3600)
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    first.until("the desk", has("active", &[DESK])).await;
    let mut in_west = west.publisher_of(BOB, "reg");
    in_west
        .publish(system.udp(1), &reginfo(BOB, MOBILE), 6)
        .await;
    first.until("both", has("active", &[DESK, MOBILE])).await;
    let second = carol.subscribe_to(system.udp(1), BOB, "reg", 600).await;
    assert!(has("active", &[DESK, MOBILE])(&second.notify(1).await));
    for watcher in [&first, &second] {
        watcher
            .until("the mobile expires", has("active", &[DESK]))
            .await;
    }
    in_east.remove(system.udp(1)).await;
    for watcher in [&first, &second] {
        let last = watcher.until("nowhere", has("init", &[])).await;
        assert_eq!(last.version, Some(last.cseq - watcher.notifies()[0].cseq));
    }
}
