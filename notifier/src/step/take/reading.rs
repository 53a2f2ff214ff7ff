//! What the dialogs of resources are shown: most of it is read and rendered before they are taken, so that it is known whom it shows
//! something new; the rest afterwards.

use crate::decider::Decider;
use crate::render::Rendered;
use crate::seen::{ChangedBy, Manner};
use crate::watchers::Wanted;
use events::Registry;
use sql::{
    ClaimedViews, LastChange, Resource, Seen, Store, StoreError, TakenDialog, WatchedResource,
    Watcher,
};
use std::sync::Arc;

/// Reads and renders.
#[derive(Clone)]
pub(super) struct Reading {
    decider: Arc<Decider>,
    manner: Manner,
}

/// What is known of a resource before it is taken.
pub(super) enum Known {
    /// The documents of its dialogs.
    Seen(Seen),
    /// That it has no dialogs: there is nothing to take.
    Unwatched,
    /// Nothing yet.
    Nothing,
}

// === impl Reading ===

impl Reading {
    pub(super) fn new(decider: Arc<Decider>, manner: Manner) -> Reading {
        Reading { decider, manner }
    }

    /// No document at all.
    pub(super) fn nothing(&self) -> Rendered {
        Rendered::new(self.manner.is_quiet)
    }

    fn registry(&self) -> &Registry {
        self.decider.registry()
    }

    /// What is known of each resource before the take; `changes` are their last ones.
    pub(super) async fn read_before(
        &self,
        store: &Store,
        resources: &[Arc<Resource>],
        changes: &[LastChange],
    ) -> Result<(Vec<Known>, Rendered), StoreError> {
        let is_watcher_information = |resource: &Resource| {
            let package = self.registry().find_name(&resource.event);
            package.is_some_and(|package| package.watched_package().is_some())
        };
        let mut rendered = self.nothing();
        let mut known = Vec::with_capacity(resources.len());
        let (mut asked, mut made, mut at) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (resource, change)) in resources.iter().zip(changes).enumerate() {
            if is_watcher_information(resource) {
                known.push(Known::Nothing);
            } else {
                known.push(Known::Unwatched);
                asked.push(Resource::clone(resource));
                made.push(change.clone());
                at.push(place);
            }
        }
        let (claimed, listed) = store.publication().list_claimed(&asked).await?;
        let mut seen = rendered.read_before(self.registry(), &asked, &made, &claimed, &listed);
        self.find_own(store, &asked, &made, &claimed, &mut seen)
            .await?;
        for (views, seen) in claimed.iter().zip(seen) {
            if let Some(place) = at.get(views.resource_index) {
                known[*place] = Known::Seen(seen);
            }
        }
        Ok((known, rendered))
    }

    /// The dialogs of those who made the last changes. Asks nothing where nobody said who did.
    async fn find_own(
        &self,
        store: &Store,
        resources: &[Resource],
        changes: &[LastChange],
        claimed: &[ClaimedViews],
        seen: &mut [Seen],
    ) -> Result<(), StoreError> {
        let (mut asked, mut about) = (Vec::new(), Vec::new());
        for (index, views) in claimed.iter().enumerate() {
            let place = views.resource_index;
            let (Some(resource), Some(change)) = (resources.get(place), changes.get(place)) else {
                continue;
            };
            if change.by.is_empty() {
                continue;
            }
            if let Some(by) = ChangedBy::read(&change.by, self.manner) {
                asked.push(resource.clone());
                about.push((index, by));
            }
        }
        for dialog in store.subscription().list_contacts(&asked).await? {
            let about = about.get(dialog.resource_index);
            if let Some((index, _)) = about.filter(|(_, by)| by.watches_by(&dialog))
                && let Some(seen) = seen.get_mut(*index)
            {
                seen.own.push(dialog.id);
            }
        }
        Ok(())
    }

    /// What taken dialogs of the resources at these places are shown that could not be known before they were taken.
    pub(super) async fn read(
        &self,
        store: &Store,
        resources: &[Arc<Resource>],
        places: &[usize],
        dialogs: &[TakenDialog],
    ) -> Result<Rendered, StoreError> {
        let (mut published, mut winfos) = (Vec::new(), Vec::new());
        for place in places {
            let Some(resource) = resources.get(*place) else {
                continue;
            };
            let own = dialogs.iter().filter(|dialog| !dialog.is_known);
            let own = own.filter(|dialog| dialog.resource_index == *place);
            match Wanted::of(self.registry(), resource, own) {
                Some(wanted) => winfos.push(wanted),
                None => published.push(Resource::clone(resource)),
            }
        }
        let questions: Vec<WatchedResource> = winfos.iter().flat_map(Wanted::questions).collect();
        let limit = winfos
            .iter()
            .map(|wanted| wanted.limit(self.registry()))
            .max();
        let (subscription, publication) = (store.subscription(), store.publication());
        // Neither asks the database when there is nothing to ask. Both to their end: a session must not be left as it was set for one of them.
        let (watchers, listed) = tokio::join!(
            subscription.list_watchers(&questions, limit),
            publication.list(&published),
        );
        let (watchers, listed) = (watchers?, listed?);
        let mut answers: Vec<Vec<&Watcher>> = vec![Vec::new(); questions.len()];
        for watcher in &watchers {
            if let Some(answer) = answers.get_mut(watcher.resource_index) {
                answer.push(watcher);
            }
        }
        let mut answers = answers.into_iter();
        let winfos = winfos.iter().map(|wanted| {
            let own: Vec<Vec<&Watcher>> =
                answers.by_ref().take(wanted.questions().count()).collect();
            wanted.render(self.registry(), &own)
        });
        let mut rendered = self.nothing();
        rendered.read(self.registry(), &published, &listed, winfos);
        Ok(rendered)
    }

    /// Sees to it that there is what each taken dialog is shown.
    pub(super) fn show(
        &self,
        resources: &[Arc<Resource>],
        dialogs: &[TakenDialog],
        rendered: &mut Rendered,
    ) {
        for dialog in dialogs {
            if let Some(resource) = resources.get(dialog.resource_index) {
                rendered.show(self.registry(), resource, dialog);
            }
        }
    }
}
