//! Acting for others: rows of `presence_delegate`.

use system_tests::phone::Phone;

use super::{ALICE, BOB, login, publication, start, status, with_digest};

/// A secretary publishes for her boss, sees who watches him, and is known by his name where she uses it; a PBX does so for a whole domain.
#[tokio::test(flavor = "multi_thread")]
async fn a_delegate_acts_for_another() {
    let system = start(with_digest());
    let phone = Phone::udp("alice").await;
    let mut alices = login("alice");
    let winfo = phone.subscription_to(BOB, "presence.winfo", Some(0));
    let publish = publication(&phone, BOB);
    assert_eq!(
        status(&phone, &mut alices, &publish, system.udp(0)).await,
        403
    );
    assert_eq!(
        status(&phone, &mut alices, &winfo, system.udp(0)).await,
        403
    );

    // Only in one package; the URIs need not be canonical.
    system.psql("INSERT INTO presence_delegate VALUES ('SIP:alice@Example.ORG:5060', 'sip:%62ob@example.org', 'presence')");
    assert_eq!(
        status(&phone, &mut alices, &phone.again(&publish), system.udp(0)).await,
        200
    );
    assert_eq!(
        status(&phone, &mut alices, &phone.again(&winfo), system.udp(0)).await,
        403
    );
    system.psql("UPDATE presence_delegate SET event = '*'");
    let (_dialog, response) = phone
        .subscribe_as(
            &mut alices,
            &phone.subscription_to(BOB, "presence.winfo", Some(600)),
            system.udp(0),
        )
        .await;
    assert_eq!(response.status(), Some(200), "{response}");

    // She uses his name.
    let request = phone
        .subscription(ALICE, Some(600))
        .set("From", format!("<{BOB}>;tag=secretary"));
    let (_dialog, response) = phone
        .subscribe_as(&mut alices, &request, system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    let as_bob = format!(
        "SELECT count(*) FROM active_watchers WHERE watcher_username = 'bob' AND presentity_uri = '{ALICE}'"
    );
    assert_eq!(system.count(&as_bob).await, 1);

    system.psql("DELETE FROM presence_delegate");
    assert_eq!(
        status(
            &phone,
            &mut alices,
            &publication(&phone, BOB),
            system.udp(0)
        )
        .await,
        403
    );
    system.psql(&format!("INSERT INTO presence_delegate (identity, presentity_uri) VALUES ('{ALICE}', 'sip:*@example.org')"));
    assert_eq!(
        status(
            &phone,
            &mut alices,
            &publication(&phone, BOB),
            system.udp(0)
        )
        .await,
        200
    );
    let elsewhere = publication(&phone, "sip:bob@example.com");
    assert_eq!(
        status(&phone, &mut alices, &elsewhere, system.udp(0)).await,
        403
    );
}
