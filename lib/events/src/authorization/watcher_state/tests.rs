use super::Notify::{Nothing, Owed};
use super::*;
use SubscriptionStatus::{Active, Pending, Terminated, Waiting};

fn row(status: SubscriptionStatus, reason: &str, view: &str) -> DecisionRow {
    DecisionRow {
        status,
        reason: reason.to_owned(),
        view: view.to_owned(),
    }
}

/// Status, reason, notify and watcher information in one line.
fn told(transition: &Transition) -> String {
    let watcherinfo = transition
        .watcherinfo
        .map_or("-".to_owned(), |(status, event)| {
            format!("{status:?} {}", event.name())
        });
    format!(
        "{:?} {:?} {:?} {watcherinfo}",
        transition.status, transition.reason, transition.notify
    )
}

#[test]
fn every_transition_is_as_rfc_3857_has_it() {
    let allow = row(Active, "", "all");
    let narrow = row(Active, "", "services");
    let polite = row(Active, POLITE_BLOCK, "nothing");
    let confirm = row(Pending, "", "nothing");
    let block = row(Terminated, "rejected", "nothing");
    let removed = row(Terminated, "probation;retry-after=30", "nothing");
    let decided = |before, after| Occasion::Decide { before, after };
    for (status, occasion, expected) in [
        // A first SUBSCRIBE.
        (
            None,
            Occasion::Subscribe(&allow),
            r#"Active "" Owed Active subscribe"#,
        ),
        (
            None,
            Occasion::Subscribe(&polite),
            r#"Active "" Owed Active subscribe"#,
        ),
        (
            None,
            Occasion::Subscribe(&confirm),
            r#"Pending "" Owed Pending subscribe"#,
        ),
        (
            None,
            Occasion::Subscribe(&block),
            r#"Terminated "rejected" Owed Terminated rejected"#,
        ),
        (
            None,
            Occasion::Subscribe(&removed),
            r#"Terminated "probation;retry-after=30" Owed Terminated probation"#,
        ),
        // A refresh: a NOTIFY always.
        (
            Some(Active),
            Occasion::Subscribe(&allow),
            r#"Active "" Owed -"#,
        ),
        (
            Some(Pending),
            Occasion::Subscribe(&confirm),
            r#"Pending "" Owed -"#,
        ),
        (
            Some(Pending),
            Occasion::Subscribe(&allow),
            r#"Active "" Owed Active approved"#,
        ),
        (
            Some(Active),
            Occasion::Subscribe(&block),
            r#"Terminated "rejected" Owed Terminated rejected"#,
        ),
        (
            Some(Active),
            Occasion::Subscribe(&confirm),
            r#"Terminated "deactivated" Owed Terminated deactivated"#,
        ),
        // Who waits and comes back begins anew.
        (
            Some(Waiting),
            Occasion::Subscribe(&confirm),
            r#"Pending "" Owed Pending subscribe"#,
        ),
        (
            Some(Waiting),
            Occasion::Subscribe(&allow),
            r#"Active "" Owed Active subscribe"#,
        ),
        // One look, and gone.
        (
            None,
            Occasion::Fetch(&allow),
            r#"Terminated "timeout" Owed Terminated timeout"#,
        ),
        (
            None,
            Occasion::Fetch(&confirm),
            r#"Terminated "timeout" Owed Waiting timeout"#,
        ),
        (
            None,
            Occasion::Fetch(&block),
            r#"Terminated "rejected" Owed Terminated rejected"#,
        ),
        (
            Some(Waiting),
            Occasion::Fetch(&confirm),
            r#"Terminated "timeout" Owed Waiting timeout"#,
        ),
        (
            Some(Active),
            Occasion::Fetch(&block),
            r#"Active "" Nothing -"#,
        ),
        // Rules changed.
        (
            Some(Pending),
            decided(&confirm, &allow),
            r#"Active "" Owed Active approved"#,
        ),
        (
            Some(Pending),
            decided(&confirm, &polite),
            r#"Active "" Owed Active approved"#,
        ),
        (
            Some(Pending),
            decided(&confirm, &confirm),
            r#"Pending "" Nothing -"#,
        ),
        (
            Some(Pending),
            decided(&confirm, &block),
            r#"Terminated "rejected" Owed Terminated rejected"#,
        ),
        (
            Some(Active),
            decided(&allow, &allow),
            r#"Active "" Nothing -"#,
        ),
        (
            Some(Active),
            decided(&allow, &narrow),
            r#"Active "" Owed -"#,
        ),
        (
            Some(Active),
            decided(&allow, &polite),
            r#"Active "" Owed -"#,
        ),
        (
            Some(Active),
            decided(&polite, &polite),
            r#"Active "" Nothing -"#,
        ),
        (
            Some(Active),
            decided(&allow, &block),
            r#"Terminated "rejected" Owed Terminated rejected"#,
        ),
        (
            Some(Active),
            decided(&allow, &removed),
            r#"Terminated "probation;retry-after=30" Owed Terminated probation"#,
        ),
        (
            Some(Active),
            decided(&allow, &confirm),
            r#"Terminated "deactivated" Owed Terminated deactivated"#,
        ),
        (
            Some(Waiting),
            decided(&confirm, &confirm),
            r#"Waiting "" Nothing -"#,
        ),
        (
            Some(Waiting),
            decided(&confirm, &allow),
            r#"Terminated "" Nothing Terminated approved"#,
        ),
        (
            Some(Waiting),
            decided(&confirm, &block),
            r#"Terminated "" Nothing Terminated rejected"#,
        ),
        // Time.
        (
            Some(Active),
            Occasion::Expire,
            r#"Terminated "timeout" Owed Terminated timeout"#,
        ),
        (
            Some(Pending),
            Occasion::Expire,
            r#"Terminated "timeout" Owed Waiting timeout"#,
        ),
        (Some(Waiting), Occasion::Expire, r#"Waiting "" Nothing -"#),
        (
            Some(Waiting),
            Occasion::End(Reason::GiveUp),
            r#"Terminated "" Nothing Terminated giveup"#,
        ),
        (
            Some(Pending),
            Occasion::End(Reason::GiveUp),
            r#"Terminated "giveup" Owed Terminated giveup"#,
        ),
        (
            Some(Active),
            Occasion::End(Reason::GiveUp),
            r#"Active "" Nothing -"#,
        ),
        // We end it.
        (
            Some(Active),
            Occasion::End(Reason::NoResource),
            r#"Terminated "noresource" Owed Terminated noresource"#,
        ),
        (
            Some(Waiting),
            Occasion::End(Reason::NoResource),
            r#"Terminated "" Nothing Terminated noresource"#,
        ),
        (
            Some(Pending),
            Occasion::End(Reason::Deactivated),
            r#"Terminated "deactivated" Owed Terminated deactivated"#,
        ),
        (
            Some(Active),
            Occasion::End(Reason::Probation),
            r#"Terminated "probation" Owed Terminated probation"#,
        ),
        (
            Some(Waiting),
            Occasion::End(Reason::Deactivated),
            r#"Waiting "" Nothing -"#,
        ),
    ] {
        assert_eq!(
            told(&step(status, occasion)),
            expected,
            "{status:?} {occasion:?}"
        );
    }
}

#[test]
fn what_is_over_stays_over() {
    let allow = row(Active, "", "all");
    for occasion in [
        Occasion::Subscribe(&allow),
        Occasion::Decide {
            before: &allow,
            after: &allow,
        },
        Occasion::Expire,
        Occasion::End(Reason::NoResource),
    ] {
        assert_eq!(
            told(&step(Some(Terminated), occasion)),
            r#"Terminated "" Nothing -"#
        );
    }
    for occasion in [
        Occasion::Decide {
            before: &allow,
            after: &allow,
        },
        Occasion::Expire,
    ] {
        assert_eq!(step(None, occasion).notify, Nothing);
    }
}

#[test]
fn a_termination_always_says_why() {
    let all = [
        row(Active, "", "all"),
        row(Pending, "", "nothing"),
        row(Terminated, "rejected", "nothing"),
    ];
    for status in [None, Some(Active), Some(Pending)] {
        for after in &all {
            for before in &all {
                for occasion in [
                    Occasion::Subscribe(after),
                    Occasion::Decide { before, after },
                    Occasion::Expire,
                ] {
                    let transition = step(status, occasion);
                    if transition.status == Terminated && transition.notify == Owed {
                        assert!(
                            Reason::of(&transition.reason).is_some(),
                            "{status:?} {occasion:?}"
                        );
                    }
                    // What watchers are told of, the presentity is told of, and nothing twice.
                    if transition.notify == Nothing {
                        assert_eq!(transition.watcherinfo, None, "{status:?} {occasion:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_keep_decisions() {
    let decision = |handling, basis| Decision {
        handling,
        view: View::nothing(),
        basis,
    };
    for (handling, basis, status, reason) in [
        (SubHandling::Allow, Basis::Rules, Active, ""),
        (
            SubHandling::PoliteBlock,
            Basis::Rules,
            Active,
            "polite-block",
        ),
        (SubHandling::Confirm, Basis::Default, Pending, ""),
        (SubHandling::Confirm, Basis::BrokenDocument, Pending, ""),
        (SubHandling::Block, Basis::Rules, Terminated, "rejected"),
        (SubHandling::Block, Basis::Default, Terminated, "rejected"),
        (
            SubHandling::Block,
            Basis::NoRule,
            Terminated,
            "probation;retry-after=30",
        ),
    ] {
        let row = DecisionRow::of(&decision(handling, basis), "probation;retry-after=30");
        assert_eq!((row.status, row.reason.as_str()), (status, reason));
        assert_eq!(row.view, "nothing");
    }
}

#[test]
fn what_is_shown_is_what_is_stored() {
    for (row, shown) in [
        (row(Active, "", "all"), Shown::Part(View::everything())),
        (row(Active, "", "nothing"), Shown::Part(View::nothing())),
        (
            row(Active, "", "what is this"),
            Shown::Part(View::nothing()),
        ),
        (row(Active, "", ""), Shown::Part(View::nothing())),
        (row(Active, "polite-block", "all"), Shown::Unavailable),
        (row(Pending, "", "all"), Shown::NoBody),
        (row(Terminated, "rejected", "all"), Shown::NoBody),
        (row(Waiting, "", "all"), Shown::NoBody),
    ] {
        assert_eq!(row.shown(), shown, "{row:?}");
    }
}

#[test]
fn waiting_ends() {
    assert!(!is_waiting_over(100, 159, 60));
    assert!(is_waiting_over(100, 160, 60));
    assert!(!is_waiting_over(i64::MAX, i64::MIN, 60));
}
