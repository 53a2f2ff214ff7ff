//! The examples of RFC 3842, 3857, 3858 and 4235, with the results that they state. Those of RFC 4745, 5025 and 4827 are in
//! `authorization/rfc.rs`.
//!
//! `tests/rfc/NUMBER/SECTION.xml` is word for word the example of that section. Some break rules of their own RFC; what is wrong
//! is said beside the test, and what we make of it.

use events::document::dialog_info::{self, Ended};
use events::notification::SubscriptionStatus;
use events::{
    BodyFault, DocumentState, MergeInput, Publication, Publisher, Registry, WatcherEvent,
    WatcherRecord,
};

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("rfc/", $path, ".xml"))
    };
}

/// The document that an event package makes of one publication, as the `nth` NOTIFY.
fn notified(package: &str, presentity: &str, body: &str, ended: &[Ended], nth: u32) -> String {
    let registry = Registry::standard();
    let publications = [Publication {
        id: 1,
        body: body.as_bytes(),
        ..Publication::default()
    }];
    let input = MergeInput {
        presentity,
        publications: &publications,
        ended,
        ..MergeInput::default()
    };
    let document = registry.find_name(package).unwrap().merge(&input).unwrap();
    String::from_utf8(document.for_notify(nth).into_owned()).unwrap()
}

// === RFC 4235: dialog ===

const ALICE: &str = "sip:alice@example.com";

/// Id, tags and state of each dialog, in document order.
fn dialogs(text: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let element = |node: &roxmltree::Node<'_, '_>| node.is_element();
    let root = document.root_element();
    assert_eq!(root.attribute("state"), Some("full"), "{text}");
    assert_eq!(root.attribute("entity"), Some(ALICE), "{text}");
    root.children()
        .filter(element)
        .map(|dialog| {
            let state = dialog.children().find(element).unwrap();
            let named = |name| dialog.attribute(name).unwrap_or("-");
            format!(
                "{} {} {} {}",
                named("id"),
                named("local-tag"),
                named("remote-tag"),
                state.text().unwrap_or_default()
            )
        })
        .collect()
}

/// The examples are NOTIFYs, most of them in partial state. Who publishes says everything: partial state is refused, and what follows is
/// about the same dialogs as full state.
fn in_full(body: &str) -> String {
    let full = body.replace("state=\"partial\"", "state=\"full\"");
    let refused = if full == body {
        Ok(())
    } else {
        Err(BodyFault::PartialState)
    };
    assert_eq!(dialog_info::check(body.as_bytes()), refused, "{body}");
    full
}

/// What alice's watchers are told when her phone publishes these bodies one after the other, each in the place of the one
/// before, and the database remembers the ends.
fn told(bodies: &[&str]) -> Vec<Vec<String>> {
    let mut ended = Vec::new();
    bodies
        .iter()
        .map(|body| in_full(body))
        .zip(1..)
        .map(|(body, nth)| {
            let note = dialog_info::note(body.as_bytes(), Publisher::Untold)
                .unwrap_or_else(|e| panic!("{e:?}: {body}"));
            let text = notified("dialog", ALICE, &body, &ended, nth);
            assert!(text.contains(&format!("version=\"{}\"", nth - 1)), "{text}");
            ended.extend(note.ended.iter().map(|&key| Ended {
                key,
                at_us: i64::from(nth),
            }));
            dialogs(&text)
        })
        .collect()
}

#[test]
fn rfc_4235_section_3_6_a_virtual_dialog() {
    assert_eq!(
        told(&[example!("4235/3.6")]),
        [["as7d900as8 - - confirmed"]]
    );
}

/// The example has `notify-state`, where the schema wants `state`. It has no dialogs either, so nobody misses anything.
#[test]
fn rfc_4235_section_4_1_no_dialogs() {
    assert_eq!(told(&[example!("4235/4.1")]), [Vec::<String>::new()]);
}

/// The example leaves out what is inside the dialog. "The only mandatory sub-element is the state element."
#[test]
fn rfc_4235_section_4_1_1_a_dialog_without_a_state() {
    let body = &in_full(example!("4235/4.1.1"));
    assert_eq!(
        dialog_info::check(body.as_bytes()),
        Err(BodyFault::Incomplete)
    );
    let with_state = body.replace("...", "<state>trying</state>");
    assert_eq!(told(&[&with_state]), [["as7d900as8 1928301774 - trying"]]);
}

/// The example lacks the mandatory `entity`. Whose dialogs they are is known from the request.
#[test]
fn rfc_4235_section_4_2_sample_body() {
    let body = example!("4235/4.2");
    assert_eq!(told(&[body]), [["123456 - - confirmed"]]);
    let text = notified("dialog", ALICE, body, &[], 1);
    let (_, dialog) = body.split_once("  <dialog ").unwrap();
    let (dialog, _) = dialog.split_once("</dialog-info>").unwrap();
    assert!(text.contains(dialog.trim_end()), "{text}");
}

/// An INVITE, two branches that ring, and the second one answers. Two dialogs of the third document have one id, against section
/// 4.1.1 ("MUST be unique"): the second is given another. The last document ends the branch that was answered, where its
/// text means the other one (erratum): what it says is what is told.
#[test]
fn rfc_4235_section_6_1_basic_example() {
    let told = told(&[
        example!("4235/6.1-0"),
        example!("4235/6.1-1"),
        example!("4235/6.1-2"),
        example!("4235/6.1-3"),
        example!("4235/6.1-4"),
    ]);
    assert_eq!(told[0], ["as7d900as8 1928301774 - trying"]);
    assert_eq!(told[1], ["as7d900as8 1928301774 456887766 early"]);
    assert_eq!(told[2].len(), 2);
    assert_eq!(told[2][0], "as7d900as8 1928301774 456887766 early");
    let (id, rest) = told[2][1].split_once(' ').unwrap();
    assert_eq!(rest, "1928301774 hh76a early");
    assert_ne!(id, "as7d900as8");
    assert_eq!(told[3], ["as7d900as8 1928301774 hh76a confirmed"]);
    assert_eq!(told[4], ["as7d900as8 1928301774 hh76a terminated"]);
}

/// What its text means: the branch that nobody answered ends, and the call goes on. Whoever still says that it rings is late.
#[test]
fn rfc_4235_section_6_1_the_other_branch_ends() {
    let both = &in_full(example!("4235/6.1-2"));
    let last = in_full(example!("4235/6.1-4")).replace("hh76a", "456887766");
    let confirmed = &in_full(example!("4235/6.1-3"));
    let keys = dialog_info::note(last.as_bytes(), Publisher::Untold)
        .unwrap()
        .ended;
    let ended: Vec<Ended> = keys.iter().map(|&key| Ended { key, at_us: 5 }).collect();
    let after = |body: &str| dialogs(&notified("dialog", ALICE, body, &ended, 6));
    assert_eq!(after(confirmed), ["as7d900as8 1928301774 hh76a confirmed"]);
    assert_eq!(after(both), ["as7d900as8 1928301774 hh76a early"]);
}

/// A line is seized, calls Bob, gets his voicemail, then his assistant, and hangs up.
///
/// The documents use values that the schema does not have (`reason`, `receiver`), which are handed on as they are; that of the
/// line on hold is not well-formed, so it is refused and the one before stands.
#[test]
fn rfc_4235_section_6_2_shared_line() {
    let steps: [(&str, &[&str]); 9] = [
        (example!("4235/6.2-0"), &[]),
        (example!("4235/6.2-1"), &["as7d900as8 - - trying"]),
        (example!("4235/6.2-2"), &["as7d900as8 1928301774 - trying"]),
        (
            example!("4235/6.2-3"),
            &["as7d900as8 1928301774 07346y131 early"],
        ),
        (
            example!("4235/6.2-4"),
            &[
                "as7d900as8 1928301774 07346y131 terminated",
                "zxcvbnm3 1928301774 8736347 confirmed",
            ],
        ),
        (
            example!("4235/6.2-5"),
            &[
                "zxcvbnm3 1928301774 8736347 terminated",
                "sfhjsjk12 8903j4 78cjkus confirmed",
            ],
        ),
        (
            example!("4235/6.2-6"),
            &["sfhjsjk12 8903j4 78cjkus confirmed"],
        ),
        (
            example!("4235/6.2-8"),
            &[
                "sfhjsjk12 8903j4 78cjkus terminated",
                "08hjh1345 - - trying",
            ],
        ),
        (example!("4235/6.2-9"), &[]),
    ];
    let bodies = steps.map(|(body, _)| body);
    let told = told(&bodies);
    for ((body, expected), told) in steps.iter().zip(&told) {
        assert_eq!(told, expected, "{body}");
    }
    assert_eq!(
        dialog_info::check(example!("4235/6.2-7").as_bytes()),
        Err(BodyFault::NotWellFormed)
    );
    let text = notified("dialog", ALICE, &in_full(example!("4235/6.2-5")), &[], 6);
    assert!(
        text.contains("<state reason=\"replaced\">confirmed</state>")
            && text.contains("remote-tag=\"78cjkus\" direction=\"receiver\">"),
        "{text}"
    );
}

#[test]
fn rfc_4235_section_6_3_privacy() {
    let told = told(&[
        example!("4235/6.3-0"),
        example!("4235/6.3-1"),
        example!("4235/6.3-2"),
    ]);
    assert_eq!(told, [vec![], vec!["1 - - confirmed".to_owned()], vec![]]);
}

// === RFC 3857 and 3858: watcher information ===

/// All that a document of watcher information says, but for the ids, which are the notifier's to choose (RFC 3858 section 3).
/// Checks the schema (section 6) on the way.
fn watcher_information(text: &str) -> Vec<String> {
    const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";
    let document = roxmltree::Document::parse(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let elements = |node: roxmltree::Node<'_, '_>| -> Vec<_> {
        node.children()
            .filter(|n| n.is_element())
            .map(|n| n.id())
            .collect()
    };
    let root = document.root_element();
    assert!(root.has_tag_name((NAMESPACE, "watcherinfo")), "{text}");
    let attribute = |node: roxmltree::Node<'_, '_>, name: &str| {
        node.attribute(name)
            .unwrap_or_else(|| panic!("no {name}: {text}"))
            .to_owned()
    };
    let version: u32 = attribute(root, "version").parse().unwrap();
    let state = attribute(root, "state");
    assert!(["full", "partial"].contains(&&*state), "{text}");
    let mut said = vec![format!("version={version} state={state}")];
    let mut ids = Vec::new();
    for list in elements(root) {
        let list = document.get_node(list).unwrap();
        assert!(list.has_tag_name((NAMESPACE, "watcher-list")), "{text}");
        let (resource, package) = (attribute(list, "resource"), attribute(list, "package"));
        said.push(format!("resource={resource} package={package}"));
        for watcher in elements(list) {
            let watcher = document.get_node(watcher).unwrap();
            assert!(watcher.has_tag_name((NAMESPACE, "watcher")), "{text}");
            let id = attribute(watcher, "id");
            let is_token = |id: &str| {
                let is_mark = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
                !id.is_empty() && id.bytes().all(is_mark)
            };
            assert!(is_token(&id) && !ids.contains(&id), "{id}: {text}");
            ids.push(id);
            let (status, event) = (attribute(watcher, "status"), attribute(watcher, "event"));
            assert!(
                ["pending", "active", "waiting", "terminated"].contains(&&*status)
                    && [
                        "subscribe",
                        "approved",
                        "deactivated",
                        "probation",
                        "rejected",
                        "timeout",
                        "giveup",
                        "noresource"
                    ]
                    .contains(&&*event),
                "{text}"
            );
            let mut line = format!(
                "{} status={status} event={event}",
                watcher.text().unwrap_or_default()
            );
            for name in ["display-name", "expiration", "duration-subscribed"] {
                if let Some(value) = watcher.attribute(name) {
                    line.push_str(&format!(" {name}={value}"));
                }
            }
            said.push(line);
        }
    }
    said
}

fn watchers_of(
    presentity: &str,
    state: DocumentState,
    nth: u32,
    watchers: &[WatcherRecord<'_>],
) -> Vec<String> {
    let registry = Registry::standard();
    let input = MergeInput {
        presentity,
        watchers,
        state,
        ..MergeInput::default()
    };
    let package = registry.find_name("presence.winfo").unwrap();
    let document = package.merge(&input).unwrap();
    watcher_information(std::str::from_utf8(&document.for_notify(nth)).unwrap())
}

fn watcher(uri: &str, status: SubscriptionStatus, reason: &str) -> WatcherRecord<'static> {
    WatcherRecord {
        id: 1,
        uri: uri.to_owned().leak(),
        display_name: "",
        status,
        event: WatcherEvent::of(status, reason),
        expiration_s: None,
        subscribed_s: None,
    }
}

#[test]
fn rfc_3858_section_5_example() {
    let watchers = [
        WatcherRecord {
            subscribed_s: Some(509),
            ..watcher(
                "sip:userA@example.net",
                SubscriptionStatus::Active,
                "approved",
            )
        },
        WatcherRecord {
            id: 2,
            display_name: "Mr. Subscriber",
            ..watcher("sip:userB@example.org", SubscriptionStatus::Pending, "")
        },
    ];
    assert_eq!(
        watchers_of(
            "sip:professor@example.net",
            DocumentState::Full,
            1,
            &watchers
        ),
        watcher_information(example!("3858/5"))
    );
}

/// Joe is told that A waits for a decision, in full state; then that he has approved A, in partial state, of the same id.
#[test]
fn rfc_3857_section_5_example_usage() {
    let a = "sip:A@example.com";
    let pending = watcher(a, SubscriptionStatus::Pending, "");
    assert_eq!(
        watchers_of("sip:joe@example.com", DocumentState::Full, 1, &[pending]),
        watcher_information(example!("3857/5-pending"))
    );
    let active = watcher(a, SubscriptionStatus::Active, "approved");
    assert_eq!(
        watchers_of("sip:joe@example.com", DocumentState::Partial, 2, &[active]),
        watcher_information(example!("3857/5-approved"))
    );
}

// === RFC 3842: message-summary ===

const SUMMARY_A3: &str = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\nVoice-Message: 2/8 (0/2)\r\n";
const SUMMARY_A9: &str = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\nVoice-Message: 4/8 (1/2)\r\n";
const HEADERS_A5: &str = "\r\nTo: <alice@atlanta.example.com>\r\nFrom: <bob@biloxi.example.com>\r\nSubject: carpool tomorrow?\r\n\
    Date: Sun, 09 Jul 2000 21:23:01 -0700\r\nPriority: normal\r\nMessage-ID: 13784434989@vmail.example.com\r\n\r\n\
    To: <alice@example.com>\r\nFrom: <cathy-the-bob@example.com>\r\nSubject: HELP! at home ill, present for me please\r\n\
    Date: Sun, 09 Jul 2000 21:25:12 -0700\r\nPriority: urgent\r\nMessage-ID: 13684434990@vmail.example.com\r\n";

#[test]
fn rfc_3842_section_3_5_lines() {
    let registry = Registry::standard();
    let package = registry.find_name("message-summary").unwrap();
    for line in [
        "",
        "Message-Account: sip:alice@example.com\r\n",
        "Fax-Message: 2/4\r\n",
        "Voice-Message: 1/3 (0/1)\r\n",
    ] {
        let body = format!("Messages-Waiting: yes\r\n{line}");
        assert_eq!(package.check(body.as_bytes()), Ok(()));
        assert_eq!(
            notified("message-summary", "sip:alice@example.com", &body, &[], 1),
            body
        );
    }
}

/// "All counters have a maximum value of 4,294,967,295 … Subscribers MUST treat a larger value as 2^32-1."
#[test]
fn rfc_3842_section_3_5_largest_counts() {
    for (published, shown) in [
        ("4294967295/0", "4294967295/0"),
        (
            "4294967296/0 (99999999999999999999999/1)",
            "4294967295/0 (4294967295/1)",
        ),
    ] {
        let body = |counts: &str| format!("Messages-Waiting: yes\r\nVoice-Message: {counts}\r\n");
        assert_eq!(
            notified("message-summary", "sip:a@b", &body(published), &[], 1),
            body(shown)
        );
    }
}

/// The bodies of A3 and A9 (A13 has the same) are told as they are published. A5 appends headers of the new messages: "Message headers MUST NOT be
/// included in an initial NOTIFY", and later ones "MUST only correspond to messages added since the previous notification for that
/// subscription" (section 3.5), so they are left out, and watchers are told what A9 says.
#[test]
fn rfc_3842_section_4_1_message_flow() {
    let alice = "sip:alice@example.com";
    for summary in [SUMMARY_A3, SUMMARY_A9] {
        assert_eq!(notified("message-summary", alice, summary, &[], 1), summary);
    }
    let a5 = format!("{SUMMARY_A9}{HEADERS_A5}");
    let registry = Registry::standard();
    let package = registry.find_name("message-summary").unwrap();
    assert_eq!(package.check(a5.as_bytes()), Ok(()));
    for nth in [1, 2] {
        assert_eq!(
            notified("message-summary", alice, &a5, &[], nth),
            SUMMARY_A9
        );
    }
}
