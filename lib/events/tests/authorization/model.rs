//! Where Kamailio's presence module errs: one test for each deviation concerning rules, named after what it does, showing what is right.

use super::support::*;
use events::authorization::evaluate::decide;
use events::authorization::watcher_state::{DecisionRow, Notify, Occasion, Shown, step};
use events::authorization::*;
use events::notification::SubscriptionStatus;

const BOB: &str = "sip:bob@example.com";
const ALICE: &str = "sip:alice@example.com";

fn one(id: &str) -> String {
    format!("<identity><one id='{id}'/></identity>")
}

#[test]
fn first_matching_rule_wins() {
    let rules = [
        rule(&one(BOB), "confirm", ""),
        rule(&one(BOB), "allow", ""),
        rule(&one(BOB), "block", ""),
    ];
    assert_eq!(handling(&rules.concat(), &Scene::of(BOB)), "allow");
}

#[test]
fn sub_handling_is_compared_by_prefix() {
    for text in ["allowed", "allow-not", "blockade", "confirmed", "", "ALLOW"] {
        assert_eq!(
            handling(&rule("", text, ""), &Scene::of(BOB)),
            "block",
            "{text}"
        );
    }
    assert_eq!(
        handling(&rule("", " allow\n", ""), &Scene::of(BOB)),
        "allow"
    );
}

#[test]
fn unknown_sub_handling_is_an_error() {
    // The other rules still count.
    let rules = [rule("", "perhaps", ""), rule("", "confirm", "")];
    assert_eq!(handling(&rules.concat(), &Scene::of(BOB)), "confirm");
}

#[test]
fn a_matching_rule_without_actions_is_pending() {
    assert_eq!(handling("<cr:rule id='r'/>", &Scene::of(BOB)), "block");
}

#[test]
fn no_matching_rule_leaves_pending_what_was_pending() {
    let rules = parse(&rule(&one(ALICE), "allow", ""));
    let decision = Scene::of(BOB).decide(&rules);
    assert_eq!(
        (decision.handling, decision.basis),
        (SubHandling::Block, Basis::NoRule)
    );
    let pending = DecisionRow {
        status: SubscriptionStatus::Pending,
        reason: String::new(),
        view: "nothing".to_owned(),
    };
    let after = DecisionRow::of(&decision, "probation;retry-after=30");
    let transition = step(
        Some(SubscriptionStatus::Pending),
        Occasion::Decide {
            before: &pending,
            after: &after,
        },
    );
    assert_eq!(transition.status, SubscriptionStatus::Terminated);
    assert_eq!(transition.reason, "probation;retry-after=30");
}

#[test]
fn a_rule_without_conditions_stops_the_evaluation() {
    let bare = "<cr:rule id='r'><cr:actions><pr:sub-handling>confirm</pr:sub-handling></cr:actions></cr:rule>";
    assert_eq!(handling(bare, &Scene::of(BOB)), "confirm");
    assert_eq!(
        handling(
            &format!("{bare}{}", rule(&one(BOB), "allow", "")),
            &Scene::of(BOB)
        ),
        "allow"
    );
    assert_eq!(handling(bare, &Scene::of("anonymous")), "confirm");
}

#[test]
fn a_rule_without_identity_never_matches() {
    assert_eq!(
        handling(
            &rule("<sphere value='work'/>", "allow", ""),
            &Scene::of(BOB).within("work")
        ),
        "allow"
    );
    assert_eq!(handling(&rule("", "allow", ""), &Scene::of(BOB)), "allow");
}

#[test]
fn sphere_is_read_from_the_text() {
    let rules = rule("<sphere value='work'>home</sphere>", "allow", "");
    assert_eq!(handling(&rules, &Scene::of(BOB).within("work")), "allow");
    assert_eq!(handling(&rules, &Scene::of(BOB).within("home")), "block");
}

#[test]
fn an_unknown_sphere_is_every_sphere() {
    assert_eq!(
        handling(
            &rule("<sphere value='work'/>", "allow", ""),
            &Scene::of(BOB)
        ),
        "block"
    );
}

#[test]
fn sphere_is_found_by_prefix() {
    let document = merged(&[
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
        xmlns:any='urn:ietf:params:xml:ns:pidf:rpid' entity='e'><d:person id='p'><any:sphere>work</any:sphere></d:person></presence>",
    ]);
    assert_eq!(
        sphere::sphere_of(&document.body, Moment::from_epoch_us(0)).as_deref(),
        Some("work")
    );
}

#[test]
fn any_domain_of_equal_length_passes() {
    let rules = rule(
        "<identity><many domain='example.org'/></identity>",
        "allow",
        "",
    );
    assert_eq!(handling(&rules, &Scene::of("sip:bob@example.com")), "block");
    let rules = rule(
        "<identity><many><except domain='example.org'/></many></identity>",
        "allow",
        "",
    );
    assert_eq!(handling(&rules, &Scene::of("sip:bob@example.com")), "allow");
}

#[test]
fn except_id_is_ignored() {
    let rules = rule(
        "<identity><many><except id='sip:bob@example.com'/></many></identity>",
        "allow",
        "",
    );
    assert_eq!(handling(&rules, &Scene::of(BOB)), "block");
    assert_eq!(handling(&rules, &Scene::of(ALICE)), "allow");
}

#[test]
fn results_of_one_rule_leak_into_the_next() {
    let rules = [
        rule(
            "<identity><many><except id='sip:bob@example.com'/></many></identity>",
            "confirm",
            "",
        ),
        rule(
            "<validity><from>2030-01-01T00:00:00Z</from><until>2031-01-01T00:00:00Z</until></validity>",
            "block",
            "",
        ),
        rule(&one(BOB), "allow", ""),
    ];
    assert_eq!(handling(&rules.concat(), &Scene::of(BOB)), "allow");
}

#[test]
fn times_are_in_the_zone_of_the_server_and_nonsense_is_1970() {
    let until = |text: &str| {
        rule(
            &format!("<validity><from>1960-01-01T00:00:00Z</from><until>{text}</until></validity>"),
            "allow",
            "",
        )
    };
    let now = Scene::of(BOB).at("2026-05-01T12:00:00Z");
    assert_eq!(handling(&until("2026-05-01T12:30:00+01:00"), &now), "block");
    assert_eq!(handling(&until("2026-05-01T12:30:00-01:00"), &now), "allow");
    let from = rule(
        "<validity><from>tomorrow</from><until>2031-01-01T00:00:00Z</until></validity>",
        "allow",
        "",
    );
    assert_eq!(handling(&from, &now), "block");
}

#[test]
fn names_of_elements_are_compared_without_case_and_namespace() {
    let upper = ruleset(
        "<cr:RULE id='r'><cr:actions><pr:sub-handling>allow</pr:sub-handling></cr:actions></cr:RULE>",
    );
    let foreign = ruleset(
        "<x:rule id='r'><cr:actions><pr:sub-handling>allow</pr:sub-handling></cr:actions></x:rule>",
    );
    let action = ruleset(
        "<cr:rule id='r'><cr:actions><x:sub-handling>allow</x:sub-handling></cr:actions></cr:rule>",
    );
    for document in [upper, foreign, action] {
        let rules = RuleSet::parse(document.as_bytes(), false).unwrap();
        assert_eq!(Scene::of(BOB).decide(&rules).handling, SubHandling::Block);
    }
}

#[test]
fn domains_are_compared_with_case() {
    assert_eq!(
        handling(
            &rule(&one("sip:bob@Example.COM"), "allow", ""),
            &Scene::of(BOB)
        ),
        "allow"
    );
}

#[test]
fn the_default_of_transformations_is_to_permit() {
    let document = merged(&[
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='e'><tuple id='t'><status><basic>open</basic>\
        </status></tuple><note>n</note></presence>",
    ]);
    let bare = "<cr:rule id='r'><cr:actions><pr:sub-handling>allow</pr:sub-handling></cr:actions></cr:rule>";
    let decision = Scene::of(BOB).decide(&parse(bare));
    assert_eq!(decision.handling, SubHandling::Allow);
    let shown = apply(&decision.view, &document);
    assert!(
        !shown.contains("tuple") && !shown.contains("note"),
        "{shown}"
    );
    // Naming one thing does not let the others through.
    let shown = apply(&view("<pr:provide-note>true</pr:provide-note>"), &document);
    assert!(
        !shown.contains("tuple") && shown.contains("<note>n</note>"),
        "{shown}"
    );
}

/// Kamailio takes a permission's name for that of an element, if it has fewer than 24 characters: `provide-tuple` would do.
#[test]
fn permissions_are_named_after_elements_in_23_characters() {
    let tuple = "<tuple id='t'><status><basic>open</basic></status><note>n</note></tuple>";
    let document = merged(&[&format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='e'>{tuple}</presence>"
    )]);
    let long = format!("<pr:provide-{0}>true</pr:provide-{0}>", "x".repeat(40));
    for transformations in ["<pr:provide-tuple>TRUE</pr:provide-tuple>", &long] {
        let shown = apply(&view(transformations), &document);
        assert!(!shown.contains("<tuple"), "{transformations}: {shown}");
    }
}

#[test]
fn provide_devices_does_nothing() {
    let document = merged(&[
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' entity='e'>\
        <d:device id='a'><d:deviceID>urn:a</d:deviceID></d:device><d:device id='b'><d:deviceID>urn:b</d:deviceID></d:device></presence>",
    ]);
    let shown = apply(
        &view("<pr:provide-devices><pr:deviceID>urn:b</pr:deviceID></pr:provide-devices>"),
        &document,
    );
    assert!(
        !shown.contains("urn:a") && shown.contains("urn:b"),
        "{shown}"
    );
}

#[test]
fn polite_block_has_no_body() {
    let polite = DecisionRow {
        status: SubscriptionStatus::Active,
        reason: "polite-block".to_owned(),
        view: "nothing".to_owned(),
    };
    assert_eq!(polite.shown(), Shown::Unavailable);
    let document = view::polite_block(PRESENTITY);
    assert_eq!(document.content_type, "application/pidf+xml");
    let text = apply(&View::everything(), &document);
    assert!(
        text.contains("entity=\"sip:presentity@example.com\"")
            && text.contains("<basic>closed</basic>"),
        "{text}"
    );
    let row = DecisionRow::of(
        &Scene::of(BOB).decide(&parse(&rule("", "polite-block", ""))),
        "probation",
    );
    assert_eq!(
        (row.status, row.reason.as_str()),
        (SubscriptionStatus::Active, "polite-block")
    );
    assert_eq!(auth_status::of_row(row.status.code(), &row.reason), 5);
}

#[test]
fn transformations_are_skipped_for_watchers_that_are_known() {
    // What a known watcher sees is stored with the decision, so that every NOTIFY can obey it.
    let decision = Scene::of(BOB).decide(&parse(&rule(
        "",
        "allow",
        "<pr:provide-note>true</pr:provide-note>",
    )));
    assert_eq!(
        DecisionRow::of(&decision, "probation").shown(),
        Shown::Part(decision.view)
    );
}

#[test]
fn a_changed_view_tells_nobody() {
    let row = |transformations: &str| {
        DecisionRow::of(
            &Scene::of(BOB).decide(&parse(&rule("", "allow", transformations))),
            "",
        )
    };
    let (before, after) = (row(""), row("<pr:provide-note>true</pr:provide-note>"));
    let told = |after| {
        step(
            Some(SubscriptionStatus::Active),
            Occasion::Decide {
                before: &before,
                after,
            },
        )
        .notify
    };
    assert_eq!(told(&after), Notify::Owed);
    assert_eq!(told(&before), Notify::Nothing);
}

#[test]
fn a_document_that_cannot_be_read_blocks_or_crashes() {
    assert!(RuleSet::parse(b"<ruleset", false).is_err());
    let decision = decide(
        &AuthorizationPolicy::default(),
        &Rules::Broken(RulesFault::NotRules),
        &Scene::of(BOB).circumstances(),
    );
    assert_eq!(
        (decision.handling, decision.basis),
        (SubHandling::Confirm, Basis::BrokenDocument)
    );
}

#[test]
fn oma_conditions_and_lists_are_not_supported() {
    let rules = rule(
        "<ocp:external-list><ocp:entry anc='l'/></ocp:external-list>",
        "allow",
        "",
    );
    assert_eq!(
        handling(&rules, &Scene::of(BOB).with_list("l", &[BOB])),
        "allow"
    );
    assert_eq!(
        handling(
            &rule("<ocp:other-identity/>", "confirm", ""),
            &Scene::of(BOB)
        ),
        "confirm"
    );
    assert_eq!(
        handling(
            &rule("<ocp:anonymous-request/>", "polite-block", ""),
            &Scene::of("anonymous")
        ),
        "polite-block"
    );
}

#[test]
fn occurrence_id_is_misspelt() {
    for name in ["occurrence-id", "occurence-id"] {
        let view = view(&format!(
            "<pr:provide-services><pr:{name}>t</pr:{name}></pr:provide-services>"
        ));
        assert_eq!(view.encode(), "services:id=t");
    }
}

#[test]
fn only_the_first_document_counts() {
    let documents =
        [rule(&one(ALICE), "block", ""), rule(&one(BOB), "allow", "")].map(|rule| ruleset(&rule));
    let rules = Rules::read(documents.iter().map(|document| document.as_bytes()), false);
    let decision = decide(
        &AuthorizationPolicy::default(),
        &rules,
        &Scene::of(BOB).circumstances(),
    );
    assert_eq!(decision.handling, SubHandling::Allow);
}
