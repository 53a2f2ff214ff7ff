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

/// Status, reason and notify in one line.
fn told(transition: &Transition) -> String {
    format!(
        "{:?} {:?} {:?}",
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
        (None, Occasion::Subscribe(&allow), r#"Active "" Owed"#),
        (None, Occasion::Subscribe(&polite), r#"Active "" Owed"#),
        (None, Occasion::Subscribe(&confirm), r#"Pending "" Owed"#),
        (
            None,
            Occasion::Subscribe(&block),
            r#"Terminated "rejected" Owed"#,
        ),
        (
            None,
            Occasion::Subscribe(&removed),
            r#"Terminated "probation;retry-after=30" Owed"#,
        ),
        // A refresh: a NOTIFY always.
        (
            Some(Active),
            Occasion::Subscribe(&allow),
            r#"Active "" Owed"#,
        ),
        (
            Some(Pending),
            Occasion::Subscribe(&confirm),
            r#"Pending "" Owed"#,
        ),
        (
            Some(Pending),
            Occasion::Subscribe(&allow),
            r#"Active "" Owed"#,
        ),
        (
            Some(Active),
            Occasion::Subscribe(&block),
            r#"Terminated "rejected" Owed"#,
        ),
        (
            Some(Active),
            Occasion::Subscribe(&confirm),
            r#"Terminated "deactivated" Owed"#,
        ),
        // Who waits and comes back begins anew.
        (
            Some(Waiting),
            Occasion::Subscribe(&confirm),
            r#"Pending "" Owed"#,
        ),
        (
            Some(Waiting),
            Occasion::Subscribe(&allow),
            r#"Active "" Owed"#,
        ),
        // One look, and gone.
        (
            None,
            Occasion::Fetch(&allow),
            r#"Terminated "timeout" Owed"#,
        ),
        (
            None,
            Occasion::Fetch(&confirm),
            r#"Terminated "timeout" Owed"#,
        ),
        (
            None,
            Occasion::Fetch(&block),
            r#"Terminated "rejected" Owed"#,
        ),
        (
            Some(Waiting),
            Occasion::Fetch(&confirm),
            r#"Terminated "timeout" Owed"#,
        ),
        (
            Some(Active),
            Occasion::Fetch(&block),
            r#"Active "" Nothing"#,
        ),
        // Rules changed.
        (
            Some(Pending),
            decided(&confirm, &allow),
            r#"Active "" Owed"#,
        ),
        (
            Some(Pending),
            decided(&confirm, &polite),
            r#"Active "" Owed"#,
        ),
        (
            Some(Pending),
            decided(&confirm, &confirm),
            r#"Pending "" Nothing"#,
        ),
        (
            Some(Pending),
            decided(&confirm, &block),
            r#"Terminated "rejected" Owed"#,
        ),
        (
            Some(Active),
            decided(&allow, &allow),
            r#"Active "" Nothing"#,
        ),
        (Some(Active), decided(&allow, &narrow), r#"Active "" Owed"#),
        (Some(Active), decided(&allow, &polite), r#"Active "" Owed"#),
        (
            Some(Active),
            decided(&polite, &polite),
            r#"Active "" Nothing"#,
        ),
        (
            Some(Active),
            decided(&allow, &block),
            r#"Terminated "rejected" Owed"#,
        ),
        (
            Some(Active),
            decided(&allow, &removed),
            r#"Terminated "probation;retry-after=30" Owed"#,
        ),
        (
            Some(Active),
            decided(&allow, &confirm),
            r#"Terminated "deactivated" Owed"#,
        ),
        (
            Some(Waiting),
            decided(&confirm, &confirm),
            r#"Waiting "" Nothing"#,
        ),
        (
            Some(Waiting),
            decided(&confirm, &allow),
            r#"Terminated "" Nothing"#,
        ),
        (
            Some(Waiting),
            decided(&confirm, &block),
            r#"Terminated "" Nothing"#,
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
    ] {
        assert_eq!(
            told(&step(Some(Terminated), occasion)),
            r#"Terminated "" Nothing"#
        );
    }
    let occasion = Occasion::Decide {
        before: &allow,
        after: &allow,
    };
    assert_eq!(step(None, occasion).notify, Nothing);
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
                ] {
                    let transition = step(status, occasion);
                    if transition.status == Terminated && transition.notify == Owed {
                        assert!(
                            ["rejected", "deactivated", "timeout"]
                                .contains(&transition.reason.as_str()),
                            "{status:?} {occasion:?}"
                        );
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
