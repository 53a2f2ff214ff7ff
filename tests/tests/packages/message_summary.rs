//! `message-summary` (RFC 3842).

use system_tests::phone::Phone;
use system_tests::system;

use super::BOB;
use super::bodies::summary;

/// Two mail boxes, two phones: the sums, then one, then none; never an empty NOTIFY.
#[tokio::test(flavor = "multi_thread")]
async fn two_mail_boxes_two_phones() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (home, work) = (Phone::udp("home").await, Phone::udp("work").await);
    let (alice, carol) = (Phone::udp("alice").await, Phone::udp("carol").await);
    let watch = |phone: &Phone, server| {
        let phone = phone.clone();
        async move {
            phone
                .subscribe_to(server, BOB, "message-summary", 600)
                .await
        }
    };
    let first = watch(&alice, system.udp(0)).await;
    assert_eq!(first.notify(1).await.body(), "Messages-Waiting: no\r\n");

    let mut at_home = home.publisher_of(BOB, "message-summary");
    let body = summary("sip:home@example.org", 2, 1);
    assert_eq!(
        at_home.publish(system.udp(0), &body, 3600).await.status(),
        Some(200)
    );
    first
        .until("two new ones", |notify| notify.body() == body)
        .await;

    let mut at_work = work.publisher_of(BOB, "message-summary");
    at_work
        .publish(system.udp(1), &summary("sip:work@example.org", 1, 0), 6)
        .await;
    let sums = |body: &str| {
        body.starts_with("Messages-Waiting: yes\r\nMessage-Account: sip:bob@example.org\r\n")
            && body.contains("\r\nVoice-Message: 3/1")
    };
    first.until("the sums", |notify| sums(notify.body())).await;
    let second = watch(&carol, system.udp(1)).await;
    assert!(sums(second.notify(1).await.body()));
    for phone in [&first, &second] {
        phone
            .until("one expires", |notify| notify.body() == body)
            .await;
    }
    assert_eq!(at_home.remove(system.udp(1)).await.status(), Some(200));
    for phone in [&first, &second] {
        phone
            .until("none", |notify| notify.body() == "Messages-Waiting: no\r\n")
            .await;
        assert!(
            phone
                .notifies()
                .iter()
                .all(|notify| !notify.body().is_empty())
        );
    }
}

/// Lines that end in LF alone and states in capitals are taken; what is sent is as the RFC writes it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_as_the_rfc_writes_it() {
    let system = system::start();
    let (home, alice) = (Phone::udp("home").await, Phone::udp("alice").await);
    let phone = alice
        .subscribe_to(system.udp(0), BOB, "message-summary", 600)
        .await;
    let response = home
        .publisher_of(BOB, "message-summary")
        .publish(
            system.udp(0),
            "Messages-Waiting: YES\nVoice-Message: 4/8\n",
            60,
        )
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    phone
        .until("four", |notify| {
            notify.body() == "Messages-Waiting: yes\r\nVoice-Message: 4/8\r\n"
        })
        .await;
}
