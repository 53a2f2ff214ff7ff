//! Each condition, alone and in company.

use super::support::*;
use events::BodyFault;
use events::authorization::*;

const BOB: &str = "sip:bob@example.com";

#[test]
fn identities() {
    for (identity, watcher, matches) in [
        ("<cr:one id='sip:bob@example.com'/>", BOB, true),
        ("<cr:one id='sip:bob@EXAMPLE.com:5060;x=y'/>", BOB, true),
        ("<cr:one id='sips:bob@example.com'/>", BOB, true),
        ("<cr:one id='pres:bob@example.com'/>", BOB, true),
        ("<cr:one id='bob@example.com'/>", BOB, true),
        ("<cr:one id='sip:Bob@example.com'/>", BOB, false),
        ("<cr:one id='sip:alice@example.com'/>", BOB, false),
        (
            "<cr:one id='sip:alice@example.com'/><cr:one id='sip:bob@example.com'/>",
            BOB,
            true,
        ),
        (
            "<cr:one id='tel:+1-212-555-1234'/>",
            "tel:+12125551234",
            true,
        ),
        (
            "<cr:one id='tel:+12125551234'/>",
            "sip:+12125551234@example.com",
            false,
        ),
        ("<cr:one id='mailto:bob@example.com'/>", BOB, false),
        ("<cr:one/>", BOB, false),
        ("<cr:one id=''/>", BOB, false),
        (
            "<cr:one id='sip:bob@example.com'><x:strongly/></cr:one>",
            BOB,
            false,
        ),
        ("<x:one id='sip:bob@example.com'/>", BOB, false),
        ("", BOB, false),
        ("<cr:many/>", BOB, true),
        ("<cr:many/>", "tel:+1", true),
        ("<cr:many/>", "anonymous", false),
        ("<cr:many domain='Example.COM'/>", BOB, true),
        ("<cr:many domain='example.com.'/>", BOB, true),
        ("<cr:many domain='example.org'/>", BOB, false),
        ("<cr:many domain='sub.example.com'/>", BOB, false),
        (
            "<cr:many domain='example.com'/>",
            "sip:bob@sub.example.com",
            false,
        ),
        ("<cr:many domain='example.com'/>", "tel:+1", false),
        ("<cr:many domain=''/>", BOB, false),
        (
            "<cr:many><cr:except id='sip:bob@example.com'/></cr:many>",
            BOB,
            false,
        ),
        (
            "<cr:many><cr:except id='bob@example.com'/></cr:many>",
            BOB,
            false,
        ),
        (
            "<cr:many><cr:except id='sip:alice@example.com'/></cr:many>",
            BOB,
            true,
        ),
        (
            "<cr:many><cr:except id='mailto:bob@example.com'/></cr:many>",
            BOB,
            true,
        ),
        (
            "<cr:many><cr:except domain='EXAMPLE.com'/></cr:many>",
            BOB,
            false,
        ),
        (
            "<cr:many><cr:except domain='example.org'/></cr:many>",
            BOB,
            true,
        ),
        (
            "<cr:many domain='example.com'><cr:except id='sip:bob@example.com'/></cr:many>",
            BOB,
            false,
        ),
        // Who is excepted from one may be meant by another.
        (
            "<cr:many><cr:except id='sip:bob@example.com'/></cr:many><cr:one id='sip:bob@example.com'/>",
            BOB,
            true,
        ),
        // An exception that is not understood might be anybody.
        ("<cr:many><cr:except id='bob'/></cr:many>", BOB, false),
        ("<cr:many><cr:except domain='a b'/></cr:many>", BOB, false),
        ("<cr:many><cr:except/></cr:many>", BOB, false),
        (
            "<cr:many><x:except id='sip:alice@example.com'/></cr:many>",
            BOB,
            false,
        ),
        (
            "<cr:many><cr:except id='sip:a@b'><x:y/></cr:except></cr:many>",
            BOB,
            false,
        ),
    ] {
        let rules = rule(
            &format!("<cr:identity>{identity}</cr:identity>"),
            "allow",
            "",
        );
        let expected = if matches { "allow" } else { "block" };
        assert_eq!(
            handling(&rules, &Scene::of(watcher)),
            expected,
            "{identity} {watcher}"
        );
    }
}

#[test]
fn users_are_compared_without_case_if_so_configured() {
    let document = ruleset(&rule(
        "<identity><one id='sip:BOB@example.com'/></identity>",
        "allow",
        "",
    ));
    for (fold_case, expected) in [(false, SubHandling::Block), (true, SubHandling::Allow)] {
        let rules = RuleSet::parse(document.as_bytes(), fold_case).unwrap();
        assert_eq!(Scene::of(BOB).decide(&rules).handling, expected);
    }
}

#[test]
fn spheres() {
    for (condition, sphere, matches) in [
        ("<cr:sphere value='work'/>", Some("work"), true),
        ("<cr:sphere>work</cr:sphere>", Some("work"), true),
        ("<cr:sphere value=' work '/>", Some("work"), true),
        ("<cr:sphere value='work'/>", Some("home"), false),
        // Letters are compared without case, and one of several words will do (RFC 4745 section 7.3).
        ("<cr:sphere value='work'/>", Some("Work"), true),
        ("<cr:sphere value='WORK'/>", Some("work"), true),
        ("<cr:sphere value='home work'/>", Some("work"), true),
        ("<cr:sphere value=' home  work '/>", Some("home"), true),
        ("<cr:sphere value='home work'/>", Some("travel"), false),
        ("<cr:sphere value='homework'/>", Some("work"), false),
        (
            "<cr:sphere value='bowling league'/>",
            Some("Bowling League"),
            true,
        ),
        (
            "<cr:sphere value='work bowling'/>",
            Some("bowling league"),
            false,
        ),
        ("<cr:sphere value='work'/>", None, false),
        ("<cr:sphere value=''/>", Some(""), false),
        ("<cr:sphere/>", None, false),
        (
            "<cr:sphere value='work'/><cr:sphere value='home'/>",
            Some("work"),
            false,
        ),
    ] {
        let scene = sphere.map_or_else(|| Scene::of(BOB), |sphere| Scene::of(BOB).within(sphere));
        let expected = if matches { "allow" } else { "block" };
        assert_eq!(
            handling(&rule(condition, "allow", ""), &scene),
            expected,
            "{condition} {sphere:?}"
        );
    }
    assert!(parse(&rule("<cr:sphere value='work'/>", "allow", "")).depends_on_sphere());
    assert!(!parse(&rule("", "allow", "")).depends_on_sphere());
}

#[test]
fn validity() {
    let pair =
        |from: &str, until: &str| format!("<cr:from>{from}</cr:from><cr:until>{until}</cr:until>");
    let day = pair("2026-05-01T08:00:00+02:00", "2026-05-01T17:30:00.5+02:00");
    let next_day = pair("2026-05-02T08:00:00+02:00", "2026-05-02T17:00:00+02:00");
    for (times, now, matches) in [
        (day.clone(), "2026-05-01T05:59:59.999Z", false),
        (day.clone(), "2026-05-01T06:00:00Z", true),
        (day.clone(), "2026-05-01T15:30:00.499Z", true),
        (day.clone(), "2026-05-01T15:30:00.5Z", false),
        (format!("{day}{next_day}"), "2026-05-02T10:00:00Z", true),
        (format!("{day}{next_day}"), "2026-05-01T20:00:00Z", false),
        (
            format!("{}{next_day}", pair("soon", "2027-01-01T00:00:00Z")),
            "2026-05-01T20:00:00Z",
            false,
        ),
        (
            format!("{}{next_day}", pair("soon", "2027-01-01T00:00:00Z")),
            "2026-05-02T10:00:00Z",
            true,
        ),
        (
            pair("2026-05-01T00:00:00", "2026-05-03T00:00:00"),
            "2026-05-02T00:00:00Z",
            false,
        ),
        (
            pair("2026-05-03T00:00:00Z", "2026-05-01T00:00:00Z"),
            "2026-05-02T00:00:00Z",
            false,
        ),
        (
            "<cr:from>2026-05-01T00:00:00Z</cr:from>".to_owned(),
            "2026-05-02T00:00:00Z",
            false,
        ),
        (
            "<cr:until>2026-06-01T00:00:00Z</cr:until>".to_owned(),
            "2026-05-02T00:00:00Z",
            false,
        ),
        // An until without its own from does not borrow another's.
        (
            format!("{day}<cr:until>2026-06-01T00:00:00Z</cr:until>"),
            "2026-05-20T00:00:00Z",
            false,
        ),
        (String::new(), "2026-05-02T00:00:00Z", false),
    ] {
        let rules = rule(&format!("<cr:validity>{times}</cr:validity>"), "allow", "");
        let expected = if matches { "allow" } else { "block" };
        assert_eq!(
            handling(&rules, &Scene::of(BOB).at(now)),
            expected,
            "{times} {now}"
        );
    }
}

#[test]
fn oma_conditions() {
    let anchor = "http://xcap.example.com/resource-lists/users/sip:p@x/index/~~/resource-lists/list%5B@name=%22f%22%5D";
    let list = format!("<ocp:external-list><ocp:entry anc='{anchor}'/></ocp:external-list>");
    let other_form = format!("<ocp:external-list><ocp:anc>{anchor}</ocp:anc></ocp:external-list>");
    let rules = |list: &str| {
        format!(
            "{}{}{}{}",
            rule(
                "<cr:identity><cr:one id='sip:blocked@example.com'/></cr:identity>",
                "block",
                ""
            ),
            rule(list, "allow", ""),
            rule("<ocp:other-identity/>", "confirm", ""),
            rule("<ocp:anonymous-request/>", "polite-block", ""),
        )
    };
    for rules in [rules(&list), rules(&other_form)] {
        for (watcher, expected) in [
            ("sip:friend@example.com", "allow"),
            // Named by one rule, listed by another: the name counts.
            ("sip:blocked@example.com", "block"),
            ("sip:stranger@example.com", "confirm"),
            ("anonymous", "polite-block"),
        ] {
            let scene = Scene::of(watcher).with_list(
                anchor,
                &["sip:friend@example.com", "sip:blocked@example.com"],
            );
            assert_eq!(handling(&rules, &scene), expected, "{watcher}");
        }
        // Without the list nobody is on it, and nobody is known not to be on it.
        for (watcher, expected) in [
            ("sip:friend@example.com", "block"),
            ("anonymous", "polite-block"),
        ] {
            assert_eq!(handling(&rules, &Scene::of(watcher)), expected, "{watcher}");
        }
        assert_eq!(parse(&rules).anchors().collect::<Vec<_>>(), [anchor]);
    }
    // Referred to is also who is referred to by a rule that does not apply now.
    let rules = format!(
        "{}{}",
        rule(
            "<cr:identity><cr:one id='sip:bob@example.com'/></cr:identity><cr:sphere value='work'/>",
            "allow",
            ""
        ),
        rule("<ocp:other-identity/>", "confirm", ""),
    );
    assert_eq!(handling(&rules, &Scene::of(BOB)), "block");
    assert_eq!(
        handling(&rules, &Scene::of("sip:alice@example.com")),
        "confirm"
    );
}

#[test]
fn all_conditions_must_hold_and_unknown_ones_do_not() {
    let bob = "<cr:identity><cr:one id='sip:bob@example.com'/></cr:identity>";
    for (conditions, expected) in [
        (format!("{bob}<cr:sphere value='work'/>"), "allow"),
        (format!("{bob}<cr:sphere value='home'/>"), "block"),
        (format!("{bob}<x:mood/>"), "block"),
        (format!("{bob}<cr:mood/>"), "block"),
        (format!("{bob}<ocp:mood/>"), "block"),
        (format!("{bob}<!-- remark -->"), "allow"),
        (
            "<identity xmlns=''><one id='sip:bob@example.com'/></identity>".to_owned(),
            "block",
        ),
    ] {
        let rules = rule(&conditions, "allow", "");
        assert_eq!(
            handling(&rules, &Scene::of(BOB).within("work")),
            expected,
            "{conditions}"
        );
    }
}

#[test]
fn documents_that_cannot_be_read_leave_watchers_pending() {
    use events::authorization::evaluate::decide;
    for (document, fault) in [
        ("", RulesFault::Body(BodyFault::NotWellFormed)),
        ("<cr:ruleset", RulesFault::Body(BodyFault::NotWellFormed)),
        ("<ruleset/>", RulesFault::NotRules),
        (
            "<x xmlns='urn:ietf:params:xml:ns:common-policy'/>",
            RulesFault::NotRules,
        ),
        (
            "<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>",
            RulesFault::Body(BodyFault::HasDtd),
        ),
    ] {
        assert_eq!(
            RuleSet::parse(document.as_bytes(), false),
            Err(fault),
            "{document}"
        );
    }
    let scene = Scene::of(BOB);
    for default_handling in [SubHandling::Allow, SubHandling::Confirm, SubHandling::Block] {
        let policy = AuthorizationPolicy {
            default_handling,
            force_active: false,
        };
        let broken = decide(
            &policy,
            &Rules::Broken(RulesFault::NotRules),
            &scene.circumstances(),
        );
        assert_eq!(
            (broken.handling, broken.view),
            (SubHandling::Confirm, View::nothing())
        );
        let absent = decide(&policy, &Rules::Absent, &scene.circumstances());
        assert_eq!(absent.handling, default_handling);
        assert_eq!(
            absent.view.is_everything(),
            default_handling == SubHandling::Allow
        );
        let forced = AuthorizationPolicy {
            force_active: true,
            ..policy
        };
        let block = parse(&rule("", "block", ""));
        for rules in [
            Rules::Absent,
            Rules::Broken(RulesFault::NotRules),
            Rules::Stored(block.clone()),
        ] {
            let decision = decide(&forced, &rules, &scene.circumstances());
            assert!(decision.handling == SubHandling::Allow && decision.view.is_everything());
        }
    }
}

#[test]
fn the_next_change_is_when_the_outcome_changes() {
    let valid = |from: u32, until: u32, handling: &str| {
        let time = |hour| format!("2026-05-01T{hour:02}:00:00Z");
        rule(
            &format!(
                "<cr:validity><cr:from>{}</cr:from><cr:until>{}</cr:until></cr:validity>",
                time(from),
                time(until)
            ),
            handling,
            "<pr:provide-note>true</pr:provide-note>",
        )
    };
    let next = |rules: &str, now: &str| {
        let scene = Scene::of(BOB).at(&format!("2026-05-01T{now}:00:00Z"));
        scene.next_change(&parse(rules)).map(|moment| {
            let midnight = Moment::parse("2026-05-01T00:00:00Z").unwrap();
            (moment.epoch_s_rounded_up() - midnight.epoch_s_rounded_up()) / 3600
        })
    };
    assert_eq!(next(&valid(8, 17, "allow"), "06"), Some(8));
    assert_eq!(next(&valid(8, 17, "allow"), "08"), Some(17));
    assert_eq!(next(&valid(8, 17, "allow"), "17"), None);
    // Back to back, and one inside the other: nothing changes where they meet.
    let both = format!("{}{}", valid(8, 12, "allow"), valid(12, 17, "allow"));
    assert_eq!(next(&both, "09"), Some(17));
    let nested = format!("{}{}", valid(8, 17, "allow"), valid(10, 12, "confirm"));
    assert_eq!(next(&nested, "09"), Some(17));
    // A rule for others changes nothing.
    let others = format!(
        "<cr:rule id='o'><cr:conditions><cr:identity><cr:one id='sip:x@y'/></cr:identity><cr:validity>\
        <cr:from>2026-05-01T07:00:00Z</cr:from><cr:until>2026-05-01T09:00:00Z</cr:until></cr:validity></cr:conditions></cr:rule>{}",
        valid(8, 17, "allow")
    );
    assert_eq!(next(&others, "06"), Some(8));
    // Hundreds of moments that change nothing cost a bounded look, and an early second one.
    let many: String = (0..200)
        .map(|n| {
            format!(
                "<cr:from>2026-05-01T07:{:02}:{:02}Z</cr:from><cr:until>2026-05-01T07:{:02}:{:02}Z</cr:until>",
                n / 60, n % 60, (n + 1) / 60, (n + 1) % 60
            )
        })
        .collect();
    let many = rule(
        &format!(
            "<cr:identity><cr:one id='sip:x@y'/></cr:identity><cr:validity>{many}</cr:validity>"
        ),
        "allow",
        "",
    );
    let scene = Scene::of(BOB).at("2026-05-01T06:00:00Z");
    assert_eq!(
        scene.next_change(&parse(&many)),
        Moment::parse("2026-05-01T07:01:04Z")
    );
}

/// RFC 5025 section 9.7: all documents of the presentity count.
#[test]
fn all_documents_are_one_set_of_rules() {
    let allow = ruleset(&rule(
        "<identity><one id='sip:bob@example.com'/></identity>",
        "allow",
        "<pr:provide-note>true</pr:provide-note>",
    ));
    let others = ruleset(&rule(
        "<ocp:other-identity/>",
        "confirm",
        "<pr:provide-mood>true</pr:provide-mood>",
    ));
    let all = ruleset(&rule(
        "",
        "polite-block",
        "<pr:provide-mood>true</pr:provide-mood>",
    ));
    let read = |documents: &[&str]| {
        Rules::read(documents.iter().map(|document| document.as_bytes()), false)
    };
    let Rules::Stored(rules) = read(&[&allow, &others, &all]) else {
        panic!("not read");
    };
    let bob = Scene::of(BOB).decide(&rules);
    assert_eq!(
        (bob.handling, bob.view.encode().as_str()),
        (SubHandling::Allow, "mood note")
    );
    assert_eq!(
        Scene::of("sip:eve@example.com").decide(&rules).handling,
        SubHandling::PoliteBlock
    );
    assert_eq!(read(&[]), Rules::Absent);
    assert_eq!(read(&[&allow, "<a/>"]), Rules::Broken(RulesFault::NotRules));
}
