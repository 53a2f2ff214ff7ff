//! Each handling of a first SUBSCRIBE.

use system_tests::message::Message;
use system_tests::phone::{Notify, Phone};
use system_tests::system;

use super::{BOB, one, part, rule, state, store};

/// RFC 5025 section 3.2.1: allow, confirm, polite-block, block, and nobody's rule, which is block.
#[tokio::test(flavor = "multi_thread")]
async fn each_handling_is_told_by_the_first_notify() {
    let system = system::start();
    let server = system.udp(0);
    let rules = ["allow", "confirm", "polite-block", "block"].map(|handling| {
        rule(
            handling,
            &one(&format!("sip:{handling}@example.org")),
            handling,
        )
    });
    store(&system, &rules.concat());
    let bob = Phone::udp("bob").await;
    bob.publisher(BOB).show(server, "open", "seen").await;
    for (user, status, note) in [
        ("allow", "active", Some("seen")),
        ("confirm", "pending", None),
        ("polite-block", "active", None),
        ("block", "terminated;reason=rejected", None),
        ("stranger", "terminated;reason=probation", None),
    ] {
        let phone = Phone::udp(user).await;
        let dialog = phone.subscribe(server, BOB, 600).await;
        let notify = dialog.notify(1).await;
        assert!(
            state(&dialog).starts_with(status),
            "{user}: {}",
            state(&dialog)
        );
        assert_eq!(notify.note(), note, "{user}");
        let has_body = !notify.message.body.is_empty();
        assert_eq!(has_body, status == "active", "{user}: {}", notify.body());
        if user == "polite-block" {
            assert_eq!(notify.basic(), "closed", "{}", notify.body());
        }
        let asked = format!("SELECT pres_auth_status('sip:{user}@example.org', '{BOB}')::bigint");
        let number = match user {
            "allow" => 1,
            "confirm" => 2,
            "polite-block" => 5,
            _ => 3,
        };
        assert_eq!(system.count(&asked).await, number, "{user}");
    }
    assert_eq!(
        system
            .count(&format!(
                "SELECT pres_has_subscribers('{BOB}', 'presence')::int::bigint"
            ))
            .await,
        1
    );
    assert_eq!(
        system
            .count(
                "SELECT pres_auth_status('sip:nobody@example.org', 'sip:bob@example.org')::bigint"
            )
            .await,
        -1
    );
}

/// A fetch (RFC 6665 section 4.4.3) is decided about as well: it shows what its watcher may see, or says why not.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_shows_no_more_than_a_subscription() {
    let system = system::start();
    let server = system.udp(0);
    store(
        &system,
        &(rule("a", &one("sip:friend@example.org"), "allow")
            + &rule("b", &one("sip:maybe@example.org"), "confirm")),
    );
    let bob = Phone::udp("bob").await;
    bob.publisher(BOB).show(server, "open", "seen").await;
    for (user, status, note) in [
        ("friend", "terminated;reason=timeout", Some("seen")),
        ("maybe", "terminated;reason=timeout", None),
        ("stranger", "terminated;reason=probation", None),
    ] {
        let phone = Phone::udp(user).await;
        let dialog = phone.subscribe(server, BOB, 0).await;
        let notify = dialog.notify(1).await;
        assert_eq!(state(&dialog), status, "{user}");
        assert_eq!(notify.note(), note, "{user}");
    }
    system
        .until(
            std::time::Duration::from_secs(5),
            "SELECT count(*) FROM watchers WHERE watcher_username = 'maybe' AND status = 4",
            1,
        )
        .await;
}

/// RFC 5025 section 3.3: what is not provided is not shown, in the first NOTIFY and in every later one.
#[tokio::test(flavor = "multi_thread")]
async fn transformations_hold_in_every_notify() {
    let system = system::start();
    let server = system.udp(0);
    store(
        &system,
        &(part(
            "a",
            &one("sip:alice@example.org"),
            "allow",
            "<p:provide-services><p:all-services/></p:provide-services>",
        ) + &rule("c", &one("sip:carol@example.org"), "allow")),
    );
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(server, "open", "secret 1").await;
    let (alice, carol) = (Phone::udp("alice").await, Phone::udp("carol").await);
    let part = alice.subscribe(server, BOB, 600).await;
    let whole = carol.subscribe(server, BOB, 600).await;
    assert_eq!(part.notify(1).await.basic(), "open");
    assert_eq!(whole.notify(1).await.note(), Some("secret 1"));
    publisher.show(server, "closed", "secret 2").await;
    whole
        .until("changed", |n| n.note() == Some("secret 2"))
        .await;
    part.until("changed", |n| n.basic() == "closed").await;
    assert_eq!(part.refresh(server, 600).await.status(), Some(200));
    part.notify(3).await;
    part.unsubscribe(server).await;
    for notify in part.notifies() {
        assert!(notify.presence.is_some(), "a document each time");
        assert!(!notify.body().contains("secret"), "{}", notify.body());
    }
}

/// `force_active`, and what becomes of those whose presentity has no rules.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_what_happens_without_rules() {
    for (key, value, expected) in [
        ("presence.default_policy", "allow", "active"),
        ("presence.default_policy", "confirm", "pending"),
        (
            "presence.default_policy",
            "block",
            "terminated;reason=rejected",
        ),
        ("presence.force_active", "1", "active"),
    ] {
        let system = system::setup().set(key, value).start();
        if key == "presence.force_active" {
            store(&system, &rule("a", &one("sip:nobody@example.org"), "allow"));
        }
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        assert!(
            state(&dialog).starts_with(expected),
            "{key} {value}: {}",
            state(&dialog)
        );
    }
}

/// Kamailio keeps its decisions when `force_active` is switched, until somebody empties `watchers` by hand.
#[tokio::test(flavor = "multi_thread")]
async fn force_active_stands_until_watchers_is_emptied_by_hand() {
    let mut system = system::setup().errors_expected().start();
    let server = system.udp(0);
    store(
        &system,
        &rule("a", &one("sip:alice@example.org"), "confirm"),
    );
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(server, BOB, 600).await;
    dialog.notify(1).await;
    assert!(state(&dialog).starts_with("pending"), "{}", state(&dialog));
    // Switched on: whoever refreshes is let in. Switched off: the rules count again, for who comes and for who is there.
    system.reconfigure("presence.force_active", 1);
    assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
    let is_active = |notify: &Notify| {
        let header = notify.message.header("Subscription-State");
        header.is_some_and(|state| state.starts_with("active"))
    };
    dialog.until("active", is_active).await;
    system.reconfigure("presence.force_active", 0);
    assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
    dialog.until("the end", |notify| notify.ends()).await;
    assert_eq!(state(&dialog), "terminated;reason=deactivated");
    let again = alice.subscribe(server, BOB, 600).await;
    again.notify(1).await;
    assert!(state(&again).starts_with("pending"), "{}", state(&again));
}

/// Rules that cannot be read permit nothing and refuse nobody for good.
#[tokio::test(flavor = "multi_thread")]
async fn broken_rules_leave_watchers_pending() {
    let system = system::start();
    system.psql(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
         VALUES ('bob', 'example.org', '<ruleset', 2, 'e1', '/pres-rules/users/bob/index')",
    );
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    assert!(state(&dialog).starts_with("pending"), "{}", state(&dialog));
}

/// OMA's external list, whose owner's change of it is looked at at once (RFC 4826).
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_the_presentity_decides() {
    let system = system::start();
    let server = system.udp(0);
    let list = |entries: &str| {
        format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"friends\">{entries}</list></resource-lists>"
        )
    };
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '{}', 4, 'e1', \
         '/xcap/resource-lists/users/sip:bob@example.org/index')",
        list("")
    ));
    let condition = "<o:external-list xmlns:o=\"urn:oma:xml:xdm:common-policy\"><o:entry \
        anc=\"/xcap/resource-lists/users/sip:bob@example.org/index/~~/resource-lists/list%5B@name=%22friends%22%5D\"/></o:external-list>";
    store(
        &system,
        &(rule("l", condition, "allow") + &rule("all", "<identity><many/></identity>", "confirm")),
    );
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(server, BOB, 600).await;
    dialog.notify(1).await;
    assert!(state(&dialog).starts_with("pending"), "{}", state(&dialog));
    system.psql(&format!(
        "UPDATE xcap SET doc = '{}' WHERE doc_type = 4",
        list("<entry uri=\"sip:alice@example.org\"/>")
    ));
    let notify = dialog.notify(2).await;
    assert!(state(&dialog).starts_with("active"), "{}", state(&dialog));
    assert!(!notify.message.body.is_empty());
}

/// A declared package under rules: the same decisions, made by the same holder, though its queue row is another.
#[tokio::test(flavor = "multi_thread")]
async fn a_declared_package_may_be_under_rules() {
    for name in ["lamp", "signal-lamp"] {
        let declared = format!(
            "[{{ name = \"{name}\", content_types = [\"application/x-lamp+xml\"], authorization = 1 }}]"
        );
        let system = system::setup().set("packages.declared", declared).start();
        let server = system.udp(0);
        let rules = |handling| {
            rule("f", &one("sip:friend@example.org"), "allow")
                + &rule("p", &one("sip:polite@example.org"), "polite-block")
                + &rule("a", &one("sip:alice@example.org"), handling)
        };
        let bob = Phone::udp("bob").await;
        let lit = "<lamp xmlns=\"urn:example:lamps\">lit</lamp>";
        let mut publisher = bob.publisher_of(BOB, name);
        assert_eq!(
            publisher.publish(server, lit, 600).await.status(),
            Some(200)
        );
        store(&system, &rules("confirm"));
        let mut dialogs = Vec::new();
        for (user, status, body) in [
            ("friend", "active", lit),
            ("polite", "active", ""),
            ("alice", "pending", ""),
            ("stranger", "terminated;reason=probation", ""),
        ] {
            let phone = Phone::udp(user).await;
            let dialog = phone.subscribe_to(server, BOB, name, 600).await;
            let notify = dialog.notify(1).await;
            assert!(
                state(&dialog).starts_with(status),
                "{name} {user}: {}",
                state(&dialog)
            );
            assert_eq!(notify.body(), body, "{name} {user}");
            dialogs.push(dialog);
        }
        super::change(&system, &rules("allow"));
        assert_eq!(dialogs[2].notify(2).await.body(), lit, "{name}");
        assert_eq!(dialogs[0].count(), 1, "{name}");
    }
}

/// A SUBSCRIBE that is repeated is answered as it was, and makes no second dialog, decided or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_subscribe_is_decided_once() {
    let system = system::start();
    store(
        &system,
        &rule("a", &one("sip:alice@example.org"), "confirm"),
    );
    let alice = Phone::udp("alice").await;
    let request: Message = alice.subscription(BOB, Some(600));
    let (dialog, first) = alice.subscribe_with(&request, system.udp(0)).await;
    dialog.notify(1).await;
    let second = alice.send(&request, system.udp(0)).await;
    assert_eq!(first.status(), Some(200));
    assert_eq!(second.header("To"), first.header("To"));
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        1
    );
    assert_eq!(dialog.count(), 1);
}
