//! Watcher information: who watches a resource, read and rendered for those who watch that (RFC 3857, 3858).
//!
//! It has two forms. Full state lists everybody; it answers a SUBSCRIBE, and follows a doubt. Partial state lists those whose
//! status changed since the NOTIFY before. One document of each form serves all dialogs of a take: the partial one reaches back
//! as far as any of them needs, because to be told twice of a watcher does no harm.

use crate::render::View;
use events::document::watcherinfo::WatcherRecord;
use events::document::{Document, DocumentState};
use events::package::EventPackage;
use events::{MergeInput, Registry};
use sql::{NextChange, Resource, TakenDialog, WatchedResource, Watcher};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// A resource of a package of watcher information, and the forms in which its dialogs are shown it.
#[derive(Debug)]
pub(crate) struct Wanted {
    resource: Resource,
    watched: Resource,
    is_full: bool,
    partial_since: Option<SystemTime>,
}

// === impl Wanted ===

impl Wanted {
    /// Nothing, if the resource's package is no watcher information. `dialogs` are those that were taken of it.
    pub(crate) fn of<'a>(
        registry: &Registry,
        resource: &Resource,
        dialogs: impl Iterator<Item = &'a TakenDialog>,
    ) -> Option<Wanted> {
        let package = registry.find_name(&resource.event)?;
        let watched = Resource {
            presentity_uri: resource.presentity_uri.clone(),
            event: package.watched_package()?,
        };
        let mut wanted = Wanted {
            resource: resource.clone(),
            watched,
            is_full: false,
            partial_since: None,
        };
        for dialog in dialogs {
            match (dialog.partial_since, wanted.partial_since) {
                (None, _) => wanted.is_full = true,
                (Some(one), Some(other)) => wanted.partial_since = Some(one.min(other)),
                (since @ Some(_), None) => wanted.partial_since = since,
            }
        }
        Some(wanted)
    }

    /// What to ask the database.
    pub(crate) fn question(&self) -> WatchedResource {
        WatchedResource {
            resource: self.watched.clone(),
            all_live: self.is_full,
            since: self.partial_since,
        }
    }

    /// Its documents, made of the answer.
    pub(crate) fn render(&self, registry: &Registry, watchers: &[&Watcher]) -> (Resource, View) {
        let uris: Vec<String> = watchers.iter().map(|watcher| watcher.uri()).collect();
        let records = |only_changed: bool| -> Vec<WatcherRecord<'_>> {
            watchers
                .iter()
                .zip(&uris)
                .filter(|(watcher, _)| watcher.changed || !only_changed)
                .map(|(watcher, uri)| watcher.record(uri))
                .collect()
        };
        let package = registry.find_name(&self.resource.event);
        let document = |state: DocumentState| -> Option<Arc<Document>> {
            let records = records(state == DocumentState::Partial);
            package.and_then(|package| self.document(package, state, &records))
        };
        let view = View {
            document: self
                .is_full
                .then(|| document(DocumentState::Full))
                .flatten(),
            partial: self
                .partial_since
                .and_then(|_| document(DocumentState::Partial)),
            parts: HashMap::new(),
            next_change: NextChange::Never,
            is_empty: false,
        };
        (self.resource.clone(), view)
    }

    fn document(
        &self,
        package: &EventPackage,
        state: DocumentState,
        watchers: &[WatcherRecord<'_>],
    ) -> Option<Arc<Document>> {
        let input = MergeInput {
            presentity: &self.resource.presentity_uri,
            watchers,
            state,
            ..MergeInput::default()
        };
        package.merge(&input).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
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
            let expected = WatchedResource {
                resource: resource("dialog"),
                all_live,
                since,
            };
            assert_eq!(wanted(&dialogs).question(), expected);
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
            let watchers: Vec<&Watcher> = watchers.iter().collect();
            let wanted = wanted(std::slice::from_ref(dialog));
            let (resource, view) = wanted.render(&registry, &watchers);
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
}
