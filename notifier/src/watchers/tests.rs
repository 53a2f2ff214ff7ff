use super::*;
use std::time::Duration;

fn resource(event: &str) -> Resource {
    Resource {
        presentity_uri: "sip:bob@example.org".into(),
        event: event.into(),
    }
}

fn dialog(partial_since_s: Option<u64>) -> TakenDialog {
    TakenDialog {
        partial_since: partial_since_s.map(at),
        status: 1,
        view: "all".into(),
        ..TakenDialog::default()
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn wanted(dialogs: &[TakenDialog]) -> Wanted {
    let registry = Registry::standard();
    Wanted::of(&registry, &resource("dialog.winfo"), dialogs.iter()).unwrap()
}

#[test]
fn other_packages_are_none_of_its_business() {
    let registry = Registry::standard();
    for event in ["presence", "presence.winfo.winfo", "unknown"] {
        assert!(
            Wanted::of(&registry, &resource(event), std::iter::empty()).is_none(),
            "{event}"
        );
    }
}

#[test]
fn the_partial_document_reaches_back_as_far_as_any_dialog_needs() {
    for (dialogs, all_live, since) in [
        (vec![dialog(None)], true, None),
        (vec![dialog(Some(7))], false, Some(at(7))),
        (
            vec![
                dialog(Some(9)),
                dialog(None),
                dialog(Some(7)),
                dialog(Some(8)),
            ],
            true,
            Some(at(7)),
        ),
    ] {
        let question = |all_live, since| WatchedResource {
            resource: resource("dialog"),
            all_live,
            since,
            after: None,
        };
        let full = all_live.then(|| question(true, None));
        let partial = since.map(|since| question(false, Some(since)));
        let expected: Vec<WatchedResource> = full.into_iter().chain(partial).collect();
        assert!(wanted(&dialogs).questions().eq(expected), "{dialogs:?}");
    }
}

fn watcher(id: i64, status: i16, changed: bool) -> Watcher {
    Watcher {
        resource_index: 0,
        id,
        watcher_username: format!("w{id}"),
        watcher_domain: "example.org".into(),
        display_name: String::new(),
        status,
        event: String::new(),
        expires_s: Some(60),
        subscribed_s: None,
        changed,
    }
}

#[test]
fn full_lists_who_watches_and_partial_lists_what_changed() {
    let registry = Registry::standard();
    let watchers = [
        watcher(1, 1, false),
        watcher(2, 1, true),
        watcher(3, 3, true),
        watcher(4, 77, true),
    ];
    let text = |dialog: &TakenDialog| {
        // As the database answers.
        let is_asked_for = |watcher: &&Watcher| match dialog.partial_since {
            None => watcher.status == 1,
            Some(_) => watcher.changed,
        };
        let watchers: Vec<&Watcher> = watchers.iter().filter(is_asked_for).collect();
        let wanted = wanted(std::slice::from_ref(dialog));
        let (resource, view) = wanted.render(&registry, &[watchers]);
        assert_eq!(resource.event, "dialog.winfo");
        let document = view.document_for(dialog).unwrap();
        String::from_utf8(document.for_notify(1).into_owned()).unwrap()
    };
    let (full, partial) = (text(&dialog(None)), text(&dialog(Some(7))));
    for (user, in_full, in_partial) in [
        ("w1", true, false),
        ("w2", true, true),
        ("w3", false, true),
        ("w4", false, true),
    ] {
        let line = format!(">sip:{user}@example.org<");
        assert_eq!(full.contains(&line), in_full, "{full}");
        assert_eq!(partial.contains(&line), in_partial, "{partial}");
    }
    assert!(full.contains("state=\"full\"") && partial.contains("state=\"partial\""));
    assert!(full.contains("package=\"dialog\""), "{full}");
}

/// What the phone has in the end, and what it was sent: each NOTIFY's form and how many it named.
fn told_in_pieces(
    watchers: &[Watcher],
    changed: impl Fn(&Watcher) -> bool,
) -> (Vec<String>, Vec<(String, usize)>) {
    let registry = Registry::standard();
    let (mut known, mut story) = (std::collections::BTreeSet::new(), Vec::new());
    let mut next = dialog(None);
    for _ in 0..100 {
        let wanted = wanted(std::slice::from_ref(&next));
        let limit = wanted.limit(&registry);
        let question = wanted.questions().next().unwrap();
        let answer: Vec<&Watcher> = watchers
            .iter()
            .filter(|watcher| {
                question.all_live
                    || question.after.is_some_and(|after| watcher.id > after)
                    || (question.since.is_some() && changed(watcher))
            })
            .take(limit)
            .collect();
        let (_, view) = wanted.render(&registry, &[answer]);
        let document = view.document_for(&next).unwrap();
        assert!(document.body.len() <= 60_000);
        let text = String::from_utf8(document.body.to_vec()).unwrap();
        let state = if text.contains("state=\"full\"") {
            "full"
        } else {
            "partial"
        };
        if state == "full" {
            known.clear();
        }
        let named: Vec<String> = text
            .lines()
            .filter_map(|line| {
                Some(
                    line.strip_prefix("<watcher id=\"")?
                        .split('"')
                        .next()?
                        .to_owned(),
                )
            })
            .collect();
        story.push((state.to_owned(), named.len()));
        known.extend(named);
        match view.forms.rest(&next) {
            None => return (known.into_iter().collect(), story),
            Some(rest) if rest.after_s > 0 => {
                story.push(("later".to_owned(), rest.after_s as usize));
                return (known.into_iter().collect(), story);
            }
            Some(rest) => {
                next = TakenDialog {
                    told_to: rest.told_to,
                    ..dialog(rest.told_to.map(|_| 7))
                };
            }
        }
    }
    panic!("it never ends: {story:?}");
}

#[test]
fn ten_thousand_watchers_are_told_in_pieces() {
    let watchers: Vec<Watcher> = (1..=10_000).map(|id| watcher(id, 1, false)).collect();
    let (known, story) = told_in_pieces(&watchers, |_| false);
    assert_eq!(known.len(), 10_000);
    assert_eq!(story[0], ("full".to_owned(), 0));
    assert_eq!(
        story.last(),
        Some(&("partial".to_owned(), 0)),
        "nothing has changed meanwhile"
    );
    assert!(
        story[1..].iter().all(|(state, _)| state == "partial"),
        "{story:?}"
    );
    assert!((10..40).contains(&story.len()), "{story:?}");
    let (known, story) = told_in_pieces(&watchers[..100], |_| true);
    assert_eq!((known.len(), story), (100, vec![("full".to_owned(), 100)]));
}

/// Those who subscribe without end do not keep the presentity's phones busy.
#[test]
fn too_many_changes_are_told_anew_after_a_while() {
    let watchers: Vec<Watcher> = (1..=2_000).map(|id| watcher(id, 1, true)).collect();
    let (known, story) = told_in_pieces(&watchers, |_| true);
    assert_eq!(known.len(), 2_000);
    assert_eq!(story.last(), Some(&("later".to_owned(), 30)));
}

/// Of two rows with one number the second counts, also where the first is the last that was read.
#[test]
fn two_rows_of_one_watcher_are_told_together() {
    let registry = Registry::standard();
    let wanted = wanted(&[TakenDialog {
        told_to: Some(i64::MIN),
        ..dialog(Some(7))
    }]);
    let rows: Vec<Watcher> = (0..wanted.limit(&registry) as i64)
        .map(|id| watcher(id, 1, false))
        .collect();
    let rows: Vec<&Watcher> = rows
        .iter()
        .take(3)
        .chain(std::iter::repeat_n(&rows[3], rows.len() - 3))
        .collect();
    let (_, view) = wanted.render(&registry, &[rows]);
    let piece = &view.forms.pieces[&i64::MIN];
    assert_eq!(
        piece.rest,
        Some(Rest {
            told_to: Some(2),
            after_s: 0
        })
    );
}

#[test]
fn the_last_notify_of_a_dialog_shows_all_or_nothing() {
    let registry = Registry::standard();
    let watchers: Vec<Watcher> = (1..=10_000).map(|id| watcher(id, 1, false)).collect();
    let last = TakenDialog {
        status: 3,
        ..dialog(None)
    };
    for (count, is_shown) in [(10, true), (10_000, false)] {
        let (_, view) = wanted(std::slice::from_ref(&last))
            .render(&registry, &[watchers[..count].iter().collect()]);
        assert_eq!(view.document_for(&last).is_some(), is_shown, "{count}");
        assert_eq!(view.forms.rest(&last), None);
    }
}
