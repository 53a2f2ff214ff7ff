//! Where Kamailio's presence module is wrong, one test each, named after what it does; the test shows what is right.
//!
//! The list is that of what its modules presence_xml, presence_dialoginfo, presence_mwi and their kin do with publications.

use events::document::dialog_info::{self, Ended};
use events::document::feature_event::FeatureRequest;
use events::notification::SubscriptionStatus::{Active, Pending, Terminated, Waiting};
use events::package::{Authorization, SingleBody};
use events::{
    BodyFault, DocumentState, MergeInput, PackageOptions, Publication, Publisher, Registry,
    WatcherEvent, WatcherRecord,
};

const BOB: &str = "sip:bob@example.org";

fn row<'a>(id: i64, received_time: i64, body: &'a str) -> Publication<'a> {
    Publication {
        id,
        received_time,
        body: body.as_bytes(),
        ..Publication::default()
    }
}

fn shown_by(options: &PackageOptions, package: &str, rows: &[Publication<'_>]) -> String {
    let registry = Registry::new(options).unwrap();
    let input = MergeInput {
        presentity: BOB,
        publications: rows,
        ..MergeInput::default()
    };
    let document = registry.find_name(package).unwrap().merge(&input).unwrap();
    String::from_utf8(document.for_notify(1).into_owned()).unwrap()
}

fn shown(package: &str, rows: &[Publication<'_>]) -> String {
    shown_by(&PackageOptions::default(), package, rows)
}

fn pidf(inside: &str) -> String {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:bob@example.org'>{inside}</presence>"
    )
}

fn tuple(id: &str, note: &str) -> String {
    format!("<tuple id='{id}'><status><basic>open</basic></status><note>{note}</note></tuple>")
}

fn dialogs(inside: &str) -> String {
    format!(
        "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='sip:bob@example.org'>{inside}</dialog-info>"
    )
}

fn dialog(id: &str, state: &str) -> String {
    format!("<dialog id='{id}' call-id='c{id}'><state>{state}</state></dialog>")
}

// === presence ===

#[test]
fn presence_skips_a_whole_document_for_one_repeated_tuple_id() {
    let (old, new) = (
        pidf(&format!("{}{}", tuple("t", "old"), tuple("u", "other"))),
        pidf(&tuple("t", "new")),
    );
    let merged = shown("presence", &[row(1, 1, &old), row(2, 2, &new)]);
    for note in ["old", "other", "new"] {
        assert!(merged.contains(&format!("<note>{note}</note>")), "{merged}");
    }
    assert_eq!(merged.matches("id='t'").count(), 1, "{merged}");
}

#[test]
fn presence_compares_tuple_ids_without_case() {
    let (old, new) = (pidf(&tuple("T", "old")), pidf(&tuple("t", "new")));
    let merged = shown("presence", &[row(1, 1, &old), row(2, 2, &new)]);
    assert!(
        merged.contains("<tuple id='T'>") && merged.contains("<tuple id='t'>"),
        "{merged}"
    );
}

#[test]
fn presence_repeats_the_ids_of_persons_and_devices() {
    let of = |note: &str| {
        let inside = format!(
            "{}<d:person id='p'><d:note>{note}</d:note></d:person><d:device id='d'><d:deviceID>urn:{note}</d:deviceID></d:device>",
            tuple(note, note)
        );
        pidf(&inside).replacen(
            "<presence ",
            "<presence xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' ",
            1,
        )
    };
    let (old, new) = (of("old"), of("new"));
    let merged = shown("presence", &[row(1, 1, &old), row(2, 2, &new)]);
    let document = roxmltree::Document::parse(&merged).unwrap();
    let mut ids: Vec<_> = document
        .descendants()
        .filter_map(|node| node.attribute("id"))
        .collect();
    assert_eq!(ids.len(), 6, "{merged}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "{merged}");
}

/// Kamailio's document for the end of a publication has only its first tuple, said to be closed, and is hidden by the default
/// of `startup_mode`. What is left is what the others publish, whole.
#[test]
fn presence_when_offline_keeps_the_first_tuple_only() {
    let other = pidf(&format!(
        "{}{}<note>all</note>",
        tuple("a", "one"),
        tuple("b", "two")
    ));
    let gone = pidf(&tuple("c", "three"));
    let before = shown("presence", &[row(1, 1, &gone), row(2, 2, &other)]);
    let after = shown("presence", &[row(2, 2, &other)]);
    for note in ["one", "two", "all"] {
        assert!(before.contains(note) && after.contains(note), "{after}");
    }
    assert!(
        before.contains("three") && !after.contains("three"),
        "{after}"
    );
}

#[test]
fn presence_blanks_everything_for_one_unparsable_row() {
    let good = pidf(&tuple("t", "here"));
    let merged = shown("presence", &[row(1, 1, &good), row(2, 2, "<presence")]);
    assert!(merged.contains("here"), "{merged}");
}

#[test]
fn presence_loses_the_namespaces_of_all_documents_but_one() {
    let (a, b) = (
        "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns:x='urn:a' entity='e'><p:tuple id='a'><p:status><x:y/></p:status></p:tuple></p:presence>",
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:x='urn:b' entity='e'><tuple id='b'><status><x:y/></status></tuple></presence>",
    );
    let merged = shown("presence", &[row(1, 1, a), row(2, 2, b)]);
    let document = roxmltree::Document::parse(&merged).unwrap();
    for namespace in ["urn:a", "urn:b"] {
        assert!(
            document
                .descendants()
                .any(|n| n.has_tag_name((namespace, "y"))),
            "{merged}"
        );
    }
}

#[test]
fn presence_when_offline_is_an_error_for_a_body_without_basic() {
    // Whatever was published before it ended: the presentity is closed, and no tuple of it is made up.
    let merged = shown("presence", &[]);
    assert!(merged.contains("<basic>closed</basic>"), "{merged}");
    assert_eq!(merged.matches("<tuple").count(), 1);
}

#[test]
fn presence_dummy_is_for_the_user_part_only() {
    let mut options = PackageOptions::default();
    options.presence.force_dummy_presence = true;
    let merged = shown_by(&options, "presence", &[]);
    assert!(
        merged.contains("entity=\"sip:bob@example.org\""),
        "{merged}"
    );
    assert!(merged.contains("<basic>open</basic>") && merged.contains("Available"));
}

#[test]
fn presence_single_body_takes_part_of_a_word_for_a_priority() {
    let mut options = PackageOptions::default();
    options.presence.force_presence_single_body = Some(SingleBody::default());
    let (old, new) = (pidf(&tuple("a", "Phone")), pidf(&tuple("b", "Available")));
    let merged = shown_by(&options, "presence", &[row(1, 1, &old), row(2, 2, &new)]);
    assert!(
        merged.contains("Available") && !merged.contains("Phone"),
        "{merged}"
    );
}

// === winfo ===

fn watcher<'a>(id: i64, uri: &'a str, event: WatcherEvent) -> WatcherRecord<'a> {
    WatcherRecord {
        id,
        uri,
        display_name: "A. Lice",
        status: Active,
        event,
        expiration_s: Some(60),
        subscribed_s: Some(5),
    }
}

fn winfo(package: &str, state: DocumentState, watchers: &[WatcherRecord<'_>]) -> String {
    let registry = Registry::standard();
    let input = MergeInput {
        presentity: BOB,
        watchers,
        state,
        ..MergeInput::default()
    };
    let document = registry.find_name(package).unwrap().merge(&input).unwrap();
    String::from_utf8(document.body.to_vec()).unwrap()
}

#[test]
fn winfo_names_subscriptions_by_their_call_id() {
    // Two phones of one watcher are two subscriptions, and whoever learns a name can end nobody's dialog by it.
    let rows = [
        watcher(35, "sip:alice@x", WatcherEvent::Subscribe),
        watcher(36, "sip:alice@x", WatcherEvent::Subscribe),
    ];
    let text = winfo("presence.winfo", DocumentState::Full, &rows);
    assert!(
        text.contains("id=\"w35\"") && text.contains("id=\"w36\""),
        "{text}"
    );
}

#[test]
fn winfo_event_is_always_subscribe() {
    for (status, reason, expected) in [
        (Active, "approved", "approved"),
        (Terminated, "deactivated", "deactivated"),
        (Terminated, "probation", "probation"),
        (Terminated, "rejected", "rejected"),
        (Terminated, "timeout", "timeout"),
        (Terminated, "giveup", "giveup"),
        (Terminated, "noresource", "noresource"),
        (Pending, "", "subscribe"),
    ] {
        let mut row = watcher(1, "sip:alice@x", WatcherEvent::of(status, reason));
        row.status = status;
        let text = winfo("presence.winfo", DocumentState::Partial, &[row]);
        assert!(text.contains(&format!("event=\"{expected}\"")), "{text}");
    }
}

#[test]
fn winfo_has_no_display_name_expiration_or_duration() {
    let text = winfo(
        "presence.winfo",
        DocumentState::Full,
        &[watcher(1, "sip:a@x", WatcherEvent::Subscribe)],
    );
    for attribute in [
        "display-name=\"A. Lice\"",
        "expiration=\"60\"",
        "duration-subscribed=\"5\"",
    ] {
        assert!(text.contains(attribute), "{text}");
    }
}

#[test]
fn winfo_cuts_watchers_of_200_characters() {
    let uri = format!("sip:{}@example.org", "a".repeat(2000));
    let text = winfo(
        "presence.winfo",
        DocumentState::Full,
        &[watcher(1, &uri, WatcherEvent::Subscribe)],
    );
    assert!(text.contains(&uri));
}

#[test]
fn winfo_has_no_waiting_watchers() {
    let mut row = watcher(1, "sip:a@x", WatcherEvent::of(Waiting, ""));
    row.status = Waiting;
    row.expiration_s = None;
    let text = winfo("presence.winfo", DocumentState::Full, &[row]);
    assert!(
        text.contains("status=\"waiting\" event=\"timeout\""),
        "{text}"
    );
}

#[test]
fn winfo_is_for_everybody() {
    let registry = Registry::standard();
    for package in registry
        .packages()
        .filter(|package| package.watched_package().is_some())
    {
        assert_eq!(
            package.authorization,
            Authorization::Presentity,
            "{}",
            package.name
        );
    }
}

#[test]
fn winfo_works_for_presence_only() {
    for package in ["dialog", "message-summary", "reg", "conference"] {
        let rows = [watcher(1, "sip:a@x", WatcherEvent::Subscribe)];
        let text = winfo(&format!("{package}.winfo"), DocumentState::Full, &rows);
        assert!(text.contains(&format!("package=\"{package}\"")), "{text}");
    }
}

#[test]
fn winfo_versions_start_at_two() {
    let registry = Registry::standard();
    let document = registry
        .find_name("presence.winfo")
        .unwrap()
        .merge(&MergeInput::default())
        .unwrap();
    for (nth, version) in [
        (1, "version=\"0\""),
        (2, "version=\"1\""),
        (300, "version=\"299\""),
    ] {
        let text = String::from_utf8(document.for_notify(nth).into_owned()).unwrap();
        assert!(text.contains(version), "{text}");
    }
}

// === dialog ===

#[test]
fn dialog_shows_one_dialog_as_often_as_it_is_published() {
    let (a, b) = (
        dialogs(&dialog("1", "early")),
        dialogs(&dialog("1", "confirmed")),
    );
    let merged = shown("dialog", &[row(1, 2, &a), row(2, 1, &b)]);
    assert_eq!(merged.matches("<dialog ").count(), 1, "{merged}");
    assert!(merged.contains("confirmed"));
}

#[test]
fn dialog_early_from_a_slow_server_relights_the_lamp() {
    let (over, early) = (
        dialogs(&dialog("1", "terminated")),
        dialogs(&dialog("1", "early")),
    );
    for (over_at, early_at) in [(5, 5), (5, 6), (6, 5)] {
        let merged = shown(
            "dialog",
            &[row(1, over_at, &over), row(2, early_at, &early)],
        );
        assert!(
            merged.contains("terminated") && !merged.contains("early"),
            "{merged}"
        );
    }
    // And not when the publication that said so has gone.
    let registry = Registry::standard();
    let keys = dialog_info::note(over.as_bytes(), Publisher::Untold)
        .unwrap()
        .ended;
    let ended: Vec<Ended> = keys.iter().map(|&key| Ended { key, at_us: 7 }).collect();
    let rows = [row(2, 6, &early)];
    let input = MergeInput {
        publications: &rows,
        ended: &ended,
        ..MergeInput::default()
    };
    let document = registry.find_name("dialog").unwrap().merge(&input).unwrap();
    assert!(!document.body.windows(5).any(|word| word == b"early"));
}

#[test]
fn dialog_only_the_first_dialog_of_a_body_is_looked_at() {
    let stored = dialogs(&format!(
        "{}{}",
        dialog("1", "terminated"),
        dialog("2", "terminated")
    ));
    let back = dialogs(&format!(
        "{}{}",
        dialog("2", "early"),
        dialog("1", "terminated")
    ));
    let another = dialogs(&format!(
        "{}{}",
        dialog("1", "terminated"),
        dialog("3", "early")
    ));
    // Whatever stands first: each dialog that has ended is remembered, and stays away when the body is changed back.
    let keys = dialog_info::note(stored.as_bytes(), Publisher::Untold)
        .unwrap()
        .ended;
    assert_eq!(keys.len(), 2);
    let ended: Vec<Ended> = keys.iter().map(|&key| Ended { key, at_us: 7 }).collect();
    let shown = |body: &str| {
        let rows = [row(1, 6, body)];
        let input = MergeInput {
            publications: &rows,
            ended: &ended,
            ..MergeInput::default()
        };
        let registry = Registry::standard();
        let document = registry.find_name("dialog").unwrap().merge(&input).unwrap();
        String::from_utf8(document.body.to_vec()).unwrap()
    };
    assert!(!shown(&back).contains("early"));
    assert!(shown(&another).contains("early"));
    assert!(dialog_info::note(b"<torn", Publisher::Untold).is_err());
}

#[test]
fn dialog_the_end_of_a_branch_ends_the_call() {
    let leg = |tag: &str, state: &str| {
        format!(
            "<dialog id='f' call-id='c' local-tag='{tag}' remote-tag='r'><state>{state}</state></dialog>"
        )
    };
    let (lost, answered) = (
        dialogs(&leg("1", "terminated")),
        dialogs(&leg("2", "confirmed")),
    );
    let merged = shown("dialog", &[row(1, 1, &answered), row(2, 2, &lost)]);
    assert!(merged.contains("confirmed"), "{merged}");
}

#[test]
fn dialog_single_dialog_works_from_two_documents_on() {
    let mut options = PackageOptions::default();
    options.dialog.force_single_dialog = true;
    let body = dialogs(&format!(
        "{}{}{}",
        dialog("1", "terminated"),
        dialog("2", "confirmed"),
        dialog("3", "early")
    ));
    let merged = shown_by(&options, "dialog", &[row(1, 0, &body)]);
    assert_eq!(merged.matches("<dialog ").count(), 1, "{merged}");
    assert!(merged.contains("early"));
}

/// Kamailio adds up the states that an id has in several documents, so that one sum stands for several things.
#[test]
fn dialog_single_dialog_adds_up_the_states_of_an_id() {
    let mut options = PackageOptions::default();
    options.dialog.force_single_dialog = true;
    let (a, b, c) = (
        dialogs(&dialog("1", "trying")),
        dialogs(&dialog("1", "terminated")),
        dialogs(&dialog("2", "trying")),
    );
    let merged = shown_by(
        &options,
        "dialog",
        &[row(1, 0, &a), row(2, 0, &b), row(3, 0, &c)],
    );
    assert!(
        merged.contains("id=\"2\"") || merged.contains("id='2'"),
        "{merged}"
    );
    assert_eq!(merged.matches("<dialog ").count(), 1, "{merged}");
}

#[test]
fn dialog_is_not_checked_when_published() {
    let registry = Registry::standard();
    let package = registry.find_name("dialog").unwrap();
    for (body, fault) in [
        ("hello".to_owned(), BodyFault::NotWellFormed),
        (pidf(""), BodyFault::WrongRoot),
        (dialogs(&dialog("1", "busy")), BodyFault::Incomplete),
    ] {
        assert_eq!(package.check(body.as_bytes()), Err(fault), "{body}");
    }
}

#[test]
fn dialog_without_publications_is_an_empty_notify() {
    let merged = shown("dialog", &[]);
    assert!(
        merged.contains("state=\"full\"") && merged.contains(BOB),
        "{merged}"
    );
    let mut options = PackageOptions::default();
    options.dialog.force_dummy_dialog = true;
    for rows in [vec![], vec![row(1, 0, "<torn")]] {
        let merged = shown_by(&options, "dialog", &rows);
        assert!(merged.contains("<state>terminated</state>"), "{merged}");
    }
}

#[test]
fn dialog_trying_lasts_as_long_as_its_publication() {
    let registry = Registry::standard();
    let package = registry.find_name("dialog").unwrap();
    let body = dialogs(&format!(
        "{}{}",
        dialog("1", "trying"),
        dialog("2", "early")
    ));
    let rows = [row(1, 1000, &body)];
    let at = |now| MergeInput {
        publications: &rows,
        now,
        ..MergeInput::default()
    };
    for (now, count, next) in [
        (1000, 2, Some(1060)),
        (1059, 2, Some(1060)),
        (1060, 1, Some(1600)),
        (1599, 1, Some(1600)),
        (1600, 0, None),
    ] {
        let document = package.merge(&at(now)).unwrap();
        let text = std::str::from_utf8(&document.body).unwrap();
        assert_eq!(text.matches("<dialog ").count(), count, "{now}: {text}");
        assert_eq!(package.next_change(&at(now)), next, "{now}");
    }
    // The document changes at that second and at no other.
    assert_eq!(package.merge(&at(1059)), package.merge(&at(1000)));
}

#[test]
fn dialog_lamps_stay_lit_when_a_publication_expires() {
    let body = dialogs(&dialog("1", "confirmed"));
    assert!(shown("dialog", &[row(1, 0, &body)]).contains("<dialog "));
    assert!(!shown("dialog", &[]).contains("<dialog "));
}

#[test]
fn dialog_state_of_another_spelling_confuses_phones() {
    let merged = shown("dialog", &[row(1, 0, &dialogs(&dialog("1", " Trying\n")))]);
    assert!(merged.contains("<state>trying</state>"), "{merged}");
}

#[test]
fn dialog_version_is_the_same_for_all_watchers() {
    let registry = Registry::standard();
    let document = registry
        .find_name("dialog")
        .unwrap()
        .merge(&MergeInput::default())
        .unwrap();
    let (first, tenth) = (document.for_notify(1), document.for_notify(10));
    assert!(String::from_utf8_lossy(&first).contains("version=\"0\""));
    assert!(String::from_utf8_lossy(&tenth).contains("version=\"9\""));
}

// === dialog;sla ===

#[test]
fn sla_idle_phone_ends_the_call_of_another() {
    let (busy, idle) = (dialogs(&dialog("1", "confirmed")), dialogs(""));
    // What becomes of it, with the sender, is decided where the stored body is: publication.change_batch.
    let registry = Registry::standard();
    let has_dialog = |name: &str, body: &str| {
        let package = registry.find_name(name).unwrap();
        package
            .note(body.as_bytes(), Publisher::Untold)
            .unwrap()
            .has_dialog
    };
    assert!(has_dialog("dialog;sla", &busy) && !has_dialog("dialog;sla", &idle));
    assert!(!has_dialog("dialog", &busy), "each phone has its own there");
}

#[test]
fn sla_shows_the_last_phone_only() {
    let (a, b) = (
        dialogs(&dialog("a", "confirmed")),
        dialogs(&dialog("b", "early")),
    );
    let merged = shown("dialog;sla", &[row(1, 1, &a), row(2, 2, &b)]);
    assert!(
        merged.contains("confirmed") && merged.contains("early"),
        "{merged}"
    );
}

// === message-summary ===

#[test]
fn mwi_refuses_yes_in_capitals() {
    let merged = shown("message-summary", &[row(1, 1, "Messages-Waiting: YES\r\n")]);
    assert_eq!(merged, "Messages-Waiting: yes\r\n");
}

#[test]
fn mwi_takes_any_printable_line() {
    let registry = Registry::standard();
    let body = b"Messages-Waiting: yes\r\nhello world\r\n";
    assert_eq!(
        registry.find_name("message-summary").unwrap().check(body),
        Err(BodyFault::NotASummary)
    );
}

#[test]
fn mwi_shows_the_last_account_only() {
    let merged = shown(
        "message-summary",
        &[
            row(
                1,
                1,
                "Messages-Waiting: yes\r\nMessage-Account: sip:a@x\r\nVoice-Message: 1/2\r\n",
            ),
            row(
                2,
                2,
                "Messages-Waiting: no\r\nMessage-Account: sip:b@x\r\nVoice-Message: 0/3\r\n",
            ),
        ],
    );
    assert_eq!(
        merged,
        "Messages-Waiting: yes\r\nMessage-Account: sip:bob@example.org\r\nVoice-Message: 1/5\r\n"
    );
}

#[test]
fn mwi_has_nothing_to_do_with_accounts() {
    for account in ["alice", "<sip:a@x>", "sip:a@x sip:b@x"] {
        let body = format!("Messages-Waiting: yes\r\nMessage-Account: {account}\r\n");
        let registry = Registry::standard();
        assert_eq!(
            registry
                .find_name("message-summary")
                .unwrap()
                .check(body.as_bytes()),
            Err(BodyFault::NotASummary),
            "{body}"
        );
    }
}

#[test]
fn mwi_repeats_the_headers_of_messages_in_every_notify() {
    let body =
        "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\n\r\nFrom: <sip:a@x>\r\nSubject: secret\r\n";
    let merged = shown("message-summary", &[row(1, 1, body)]);
    assert_eq!(merged, "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\n");
}

#[test]
fn mwi_empty_notify_when_a_publication_ends() {
    assert_eq!(shown("message-summary", &[]), "Messages-Waiting: no\r\n");
}

// === the others ===

#[test]
fn conference_shows_the_oldest_publication() {
    let info = |count: u32| {
        format!(
            "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='sip:c@x' version='9'><conference-state><user-count>{count}</user-count></conference-state></conference-info>"
        )
    };
    let (old, new) = (info(1), info(2));
    let merged = shown("conference", &[row(1, 1, &old), row(2, 2, &new)]);
    assert!(
        merged.contains("<user-count>2<") && merged.contains("version=\"0\""),
        "{merged}"
    );
}

#[test]
fn reg_shows_one_address_as_often_as_it_is_published() {
    let info = |uri: &str| {
        format!(
            "<reginfo xmlns='urn:ietf:params:xml:ns:reginfo' version='0' state='full'><registration aor='sip:bob@example.org' id='r' state='active'><contact id='1' state='active' event='registered'><uri>{uri}</uri></contact></registration></reginfo>"
        )
    };
    let (a, b) = (info("sip:bob@192.0.2.1"), info("sip:bob@192.0.2.2"));
    let merged = shown("reg", &[row(1, 1, &a), row(2, 2, &b)]);
    assert_eq!(merged.matches("<registration ").count(), 1, "{merged}");
    assert_eq!(merged.matches("<contact ").count(), 2, "{merged}");
}

#[test]
fn feature_event_shows_the_last_feature_only() {
    let event = |inside: &str| {
        FeatureRequest::read(inside.as_bytes())
            .unwrap()
            .unwrap()
            .event()
    };
    let csta = "http://www.ecma-international.org/standards/ecma-323/csta/ed3";
    let dnd = event(&format!(
        "<?xml version='1.0' encoding='ISO-8859-1'?><SetDoNotDisturb xmlns='{csta}'><device/><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>"
    ));
    let fwd = event(&format!(
        "<SetForwarding xmlns='{csta}'><device>d</device><forwardingType>forwardNoAns</forwardingType><activateForward>true</activateForward><forwardDN>a&amp;b</forwardDN><ringCount>3</ringCount></SetForwarding>"
    ));
    assert!(
        fwd.contains("<forwardTo>a&amp;b</forwardTo>\n<ringCount>3</ringCount>"),
        "{fwd}"
    );
    let merged = shown("as-feature-event", &[row(1, 1, &dnd), row(2, 2, &fwd)]);
    assert!(
        merged.contains("<doNotDisturbOn>true<") && merged.contains("forwardNoAns"),
        "{merged}"
    );
}

#[test]
fn feature_event_bad_request_is_answered_twice() {
    let csta = "http://www.ecma-international.org/standards/ecma-323/csta/ed3";
    for (body, fault) in [
        ("<torn".to_owned(), BodyFault::NotWellFormed),
        ("<SetDoNotDisturb/>".to_owned(), BodyFault::WrongRoot),
        (
            format!("<SetDoNotDisturb xmlns='{csta}'/>"),
            BodyFault::Incomplete,
        ),
        (
            format!(
                "<SetForwarding xmlns='{csta}'><activateForward>true</activateForward></SetForwarding>"
            ),
            BodyFault::Incomplete,
        ),
        (
            format!(
                "<SetForwarding xmlns='{csta}'><activateForward>true</activateForward><forwardingType>x</forwardingType></SetForwarding>"
            ),
            BodyFault::Incomplete,
        ),
    ] {
        assert_eq!(FeatureRequest::read(body.as_bytes()), Err(fault), "{body}");
    }
    assert_eq!(FeatureRequest::read(b" \r\n"), Ok(None));
}
