//! The configuration keys of the event packages, each by its effect on the wire.

use system_tests::phone::{Notify, Phone};
use system_tests::{pidf, system};

use super::BOB;
use super::bodies::{dialog_info, dialogs, reginfo, registrations, summary};

const PACKAGES: [(&str, &str, &str); 9] = [
    (
        "presence",
        "presence.disable_presence",
        "presence.default_expires",
    ),
    ("dialog", "dialog.disable", "dialog.default_expires"),
    ("dialog;sla", "sla.disable_bla", "sla.default_expires"),
    (
        "message-summary",
        "message_summary.disable",
        "message_summary.default_expires",
    ),
    (
        "conference",
        "conference.disable",
        "conference.default_expires",
    ),
    ("reg", "reginfo.disable", "reginfo.default_expires"),
    ("ua-profile", "profile.disable", "profile.default_expires"),
    (
        "xcap-diff",
        "xcap_diff.disable_xcapdiff",
        "xcap_diff.default_expires",
    ),
    (
        "as-feature-event",
        "feature_event.disable",
        "feature_event.default_expires",
    ),
];

/// `disable`, `disable_presence`, `disable_xcapdiff`: 489, and not in Allow-Events.
#[tokio::test(flavor = "multi_thread")]
async fn disable() {
    // One server for the first half, one for the second: what the other half may do is seen as well.
    for half in [&PACKAGES[..4], &PACKAGES[4..]] {
        let mut setup = system::setup().notifiers(0);
        for (_, key, _) in half {
            setup = setup.set(key, 1);
        }
        let system = setup.start();
        let phone = Phone::udp("phone").await;
        for (name, ..) in PACKAGES {
            let off = half.iter().any(|(of_half, ..)| *of_half == name);
            let request = phone.subscription_to(BOB, name, Some(60));
            let response = phone.send(&request, system.udp(0)).await;
            let expected = if off { 489 } else { 200 };
            assert_eq!(response.status(), Some(expected), "{name}: {response}");
            if off {
                let allowed = response.header("Allow-Events").unwrap_or_default();
                assert!(!allowed.split(", ").any(|event| event == name), "{allowed}");
            }
        }
    }
}

/// `default_expires`: granted to a SUBSCRIBE and a PUBLISH without Expires.
#[tokio::test(flavor = "multi_thread")]
async fn default_expires() {
    let mut setup = system::setup().notifiers(0);
    for (at, (.., key)) in PACKAGES.into_iter().enumerate() {
        setup = setup.set(key, 100 + at);
    }
    let system = setup.start();
    let phone = Phone::udp("phone").await;
    for (at, (name, ..)) in PACKAGES.into_iter().enumerate() {
        let request = phone.subscription_to(BOB, name, None);
        let response = phone.send(&request, system.udp(0)).await;
        let expected = (100 + at).to_string();
        assert_eq!(
            response.header("Expires"),
            Some(expected.as_str()),
            "{name}"
        );
    }
    let mut publisher = phone.publisher_of(BOB, "dialog");
    let request = publisher.draft(Some(&dialog_info("d", "c", "early")), None);
    let response = phone.send(&request, system.udp(0)).await;
    assert_eq!(response.header("Expires"), Some("101"), "{response}");
}

/// Publishes two presence documents, the second a moment later; what a watcher is shown in the end.
async fn two_notes(system: &system::System, notes: [&str; 2]) -> Notify {
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    for (at, note) in notes.into_iter().enumerate() {
        let body = pidf::document(BOB, &format!("t{at}"), "open", note);
        let response = bob.publisher(BOB).publish(system.udp(0), &body, 600).await;
        assert_eq!(response.status(), Some(200), "{response}");
    }
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await
}

fn notes(notify: &Notify) -> Vec<String> {
    let tuples = notify.presence.iter().flat_map(|presence| &presence.tuples);
    tuples.filter_map(|tuple| tuple.note.clone()).collect()
}

/// `force_dummy_presence`: of whom nothing is published is open and "Available".
#[tokio::test(flavor = "multi_thread")]
async fn force_dummy_presence() {
    for (value, basic) in [(0, "closed"), (1, "open")] {
        let system = system::setup()
            .set("presence.force_dummy_presence", value)
            .start();
        let alice = Phone::udp("alice").await;
        let shown = alice
            .subscribe(system.udp(0), BOB, 600)
            .await
            .notify(1)
            .await;
        assert_eq!(shown.basic(), basic, "{}", shown.body());
        assert_eq!(shown.body().contains("Available"), value == 1);
    }
}

/// `force_presence_single_body` and its priorities: the last text of the list wins; without the key both are shown.
#[tokio::test(flavor = "multi_thread")]
async fn force_presence_single_body() {
    let both = system::start();
    assert_eq!(
        notes(&two_notes(&both, ["On the Phone", "Available"]).await),
        ["Available", "On the Phone"],
        "newest first"
    );
    let single = system::setup()
        .set("presence.force_presence_single_body", 1)
        .start();
    let shown = two_notes(&single, ["On the Phone", "Available"]).await;
    assert_eq!(notes(&shown), ["On the Phone"]);
    let own = system::setup()
        .set("presence.force_presence_single_body", 1)
        .set("presence.presence_single_body_priorities", "out|in")
        .start();
    assert_eq!(notes(&two_notes(&own, ["in", "out"]).await), ["in"]);
    let element = system::setup()
        .set("presence.force_presence_single_body", 1)
        .set("presence.presence_single_body_lookup_element", "basic")
        .set("presence.presence_single_body_priorities", "open|closed")
        .start();
    assert_eq!(
        notes(&two_notes(&element, ["first", "second"]).await).len(),
        1
    );
}

/// `retrieve_order`, `retrieve_order_by`: the highest priority first, although it is not the newest.
#[tokio::test(flavor = "multi_thread")]
async fn retrieve_order() {
    for (order, by, expected) in [
        (0, "priority", ["new", "old"]),
        (1, "priority", ["old", "new"]),
        (1, "priority desc, id", ["new", "old"]),
        (1, "id desc", ["old", "new"]),
    ] {
        let system = system::setup()
            .set("presence.retrieve_order", order)
            .set("presence.retrieve_order_by", by)
            .start();
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        for (at, note) in ["old", "new"].into_iter().enumerate() {
            let body = pidf::document(BOB, &format!("t{at}"), "open", note);
            bob.publisher(BOB).publish(system.udp(0), &body, 600).await;
        }
        let priority =
            "UPDATE presentity SET priority = 9 WHERE id = (SELECT min(id) FROM presentity)";
        system.psql(priority);
        let shown = alice
            .subscribe(system.udp(0), BOB, 600)
            .await
            .notify(1)
            .await;
        assert_eq!(notes(&shown), expected, "{order} {by}");
    }
}

/// `force_single_dialog`, `force_dummy_dialog`.
#[tokio::test(flavor = "multi_thread")]
async fn force_single_and_dummy_dialog() {
    let system = system::setup()
        .set("dialog.force_single_dialog", 1)
        .set("dialog.force_dummy_dialog", 1)
        .start();
    let (alice, desk) = (Phone::udp("alice").await, Phone::udp("desk").await);
    let lamp = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    let states = |notify: &Notify| -> Vec<String> {
        dialogs(notify)
            .into_iter()
            .map(|(_, state)| state)
            .collect()
    };
    assert_eq!(states(&lamp.notify(1).await), ["terminated"], "a dummy");
    for (id, state) in [("d1", "early"), ("d2", "confirmed")] {
        desk.publisher_of(BOB, "dialog")
            .publish(system.udp(0), &dialog_info(id, id, state), 600)
            .await;
    }
    let other = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    assert_eq!(states(&other.notify(1).await), ["early"], "one of two");
}

/// `max_trying`, `max_proceeding`, `max_early`: each state has its own; 0 is for ever.
#[tokio::test(flavor = "multi_thread")]
async fn max_of_each_state() {
    let system = system::setup()
        .set("dialog.max_trying", 2)
        .set("dialog.max_proceeding", 4)
        .set("dialog.max_early", 0)
        .start();
    let (alice, desk) = (Phone::udp("alice").await, Phone::udp("desk").await);
    let states = ["early", "proceeding", "trying"];
    for state in states {
        desk.publisher_of(BOB, "dialog")
            .publish(system.udp(0), &dialog_info(state, state, state), 600)
            .await;
    }
    let lamp = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    for left in [&states[..2], &states[..1]] {
        lamp.until("fewer", |notify| {
            let mut found: Vec<String> = dialogs(notify).into_iter().map(|(id, _)| id).collect();
            found.sort();
            found == left
        })
        .await;
    }
}

/// `accounts`: each account in a block of its own. `neutral`: nothing at all of whom nothing is published.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_neutral() {
    let system = system::setup()
        .set("message_summary.accounts", "each")
        .set("message_summary.neutral", "omitted")
        .start();
    let (alice, home) = (Phone::udp("alice").await, Phone::udp("home").await);
    let watch = |server| {
        let alice = alice.clone();
        async move {
            alice
                .subscribe_to(server, BOB, "message-summary", 600)
                .await
        }
    };
    let early = watch(system.udp(0)).await.notify(1).await;
    assert_eq!(early.body(), "");
    for account in ["sip:home@example.org", "sip:work@example.org"] {
        home.publisher_of(BOB, "message-summary")
            .publish(system.udp(0), &summary(account, 1, 0), 600)
            .await;
    }
    let shown = watch(system.udp(0)).await.notify(1).await;
    assert_eq!(
        shown.body().matches("Message-Account: ").count(),
        2,
        "{}",
        shown.body()
    );
    assert_eq!(
        shown.body().matches("Voice-Message: 1/0").count(),
        2,
        "{}",
        shown.body()
    );
}

/// `aggregate_presentities = 0`: only what the newest publication says.
#[tokio::test(flavor = "multi_thread")]
async fn aggregate_presentities() {
    for (value, contacts) in [(0, 1), (1, 2)] {
        let system = system::setup()
            .set("reginfo.aggregate_presentities", value)
            .start();
        let (alice, registrar) = (Phone::udp("alice").await, Phone::udp("registrar").await);
        for contact in ["sip:bob@192.0.2.7", "sip:bob@192.0.2.8"] {
            registrar
                .publisher_of(BOB, "reg")
                .publish(system.udp(0), &reginfo(BOB, contact), 600)
                .await;
        }
        let dialog = alice.subscribe_to(system.udp(0), BOB, "reg", 600).await;
        let shown = registrations(&dialog.notify(1).await);
        assert_eq!(shown[0].2.len(), contacts, "{shown:?}");
    }
}

/// `packages.declared`: a package without code, its body type, its merge, its interval.
#[tokio::test(flavor = "multi_thread")]
async fn declared() {
    let lamp = "[{ name = \"lamp\", content_types = [\"application/x-lamp+xml\"], merge = \"all\", default_expires = 90 }]";
    let system = system::setup().set("packages.declared", lamp).start();
    let (alice, desk) = (Phone::udp("alice").await, Phone::udp("desk").await);
    let request = alice.subscription_to(BOB, "lamp", None);
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.header("Expires"), Some("90"), "{response}");
    for colour in ["red", "green"] {
        let body = format!("<lamps xmlns=\"urn:example:lamps\"><lamp>{colour}</lamp></lamps>");
        let response = desk
            .publisher_of(BOB, "lamp")
            .publish(system.udp(0), &body, 60)
            .await;
        assert_eq!(response.status(), Some(200), "{response}");
    }
    dialog
        .until("both", |notify| {
            notify.body().contains("red") && notify.body().contains("green")
        })
        .await;
    let mut publisher = desk.publisher_of(BOB, "lamp");
    let wrong = publisher
        .draft(Some("x"), Some(60))
        .set("Content-Type", "text/plain");
    let response = desk.send(&wrong, system.udp(0)).await;
    assert_eq!(response.status(), Some(415), "{response}");
}

/// `pidf_manipulation`: with 0 a document of type 16 is not looked at; with 1, the default, it is hard state.
#[tokio::test(flavor = "multi_thread")]
async fn pidf_manipulation() {
    for (value, shown) in [(0, "closed"), (1, "open")] {
        let system = system::setup()
            .set("presence.pidf_manipulation", value)
            .start();
        let document = pidf::document(BOB, "hard", "open", "always");
        system.psql(&format!(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
             VALUES ('bob', 'example.org', '{document}', 16, 'e', '/pidf-manipulation/users/bob/index')"
        ));
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        assert_eq!(dialog.notify(1).await.basic(), shown, "{value}");
        let mut explain = system.command("explain");
        explain.arg(BOB);
        let (status, out, err) = system_tests::process::run(&mut explain, system::STARTUP);
        assert!(status.success(), "{out}{err}");
        assert_eq!(out.contains("always"), value == 1, "{out}");
    }
}
