//! What a take runs: reads and renders what publications show, takes, and then reads and renders what must be read after that.

use super::reading::{Known, Reading};
use crate::isolation::{in_parts, set_aside};
use crate::render::Rendered;
use sql::{LastChange, Offer, Part, Refused, Resource, Seen, Store, StoreError, TakenDialog};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// What it takes to take.
pub(super) struct Taking {
    pub(super) store: Store,
    pub(super) owner: i64,
    pub(super) reading: Reading,
    /// The last changes of the resources.
    pub(super) changes: Vec<LastChange>,
    /// The dialogs that are to be left alone.
    pub(super) in_flight: Vec<(i64, i32)>,
    pub(super) limit: u32,
}

/// What was taken, and what is shown of it; of the resources, by their places, what else is to be known.
#[derive(Default)]
pub(super) struct Take {
    pub(super) dialogs: Vec<TakenDialog>,
    pub(super) rendered: Rendered,
    /// A limit cut it short: there may be more, of any of the resources.
    pub(super) is_cut: bool,
    /// Something is due that could not be taken now.
    pub(super) left_behind: Vec<usize>,
    /// Nothing was taken of them, nor of those that were taken together with them. So their dialogs would have been shown.
    pub(super) doubted: Vec<(usize, Option<Arc<Seen>>)>,
    /// They were set aside.
    pub(super) refused: Vec<usize>,
    /// Their dialogs may have been taken in vain.
    pub(super) lost: Vec<usize>,
    /// The database went away before all was done.
    pub(super) outage: Option<StoreError>,
}

// === impl Taking ===

impl Taking {
    /// Takes of these resources. Those that the database refuses are set aside, as far as need be: the dialogs that are to blame, or a whole resource.
    pub(super) async fn run(&self, resources: &[Arc<Resource>]) -> Result<Take, StoreError> {
        let parts = in_parts(&self.store, resources.len(), |store, part| {
            self.take(store, resources, part, &self.in_flight)
        })
        .await;
        let mut take = Take {
            rendered: self.reading.nothing(),
            left_behind: parts.held.clone(),
            lost: parts.undone().collect(),
            ..Take::default()
        };
        for (_, part) in parts.done {
            take.add(part);
        }
        for (place, error) in parts.refused {
            self.find_dialogs(resources, place, error, &mut take)
                .await?;
        }
        take.outage = take.outage.or(parts.outage);
        self.read(resources, &mut take).await?;
        Ok(take)
    }

    /// Reads, renders and takes of the resources at these places, but for these dialogs. If it fails, nothing was taken.
    async fn take(
        &self,
        store: Store,
        resources: &[Arc<Resource>],
        part: Range<usize>,
        in_flight: &[(i64, i32)],
    ) -> Result<Take, StoreError> {
        let asked = &resources[part.clone()];
        let changes = &self.changes[part.clone()];
        let (known, rendered) = self.reading.read_before(&store, asked, changes).await?;
        let mut places = Vec::with_capacity(asked.len());
        let mut offers = Vec::with_capacity(asked.len());
        for (place, (resource, known)) in asked.iter().zip(&known).enumerate() {
            let seen = match known {
                Known::Seen(seen) => Some(seen),
                Known::Unwatched => continue,
                Known::Nothing => None,
            };
            places.push(part.start + place);
            offers.push(Offer { resource, seen });
        }
        let subscription = store.subscription();
        let taken = subscription
            .take_free(self.owner, offers.iter().copied(), in_flight, self.limit)
            .await?;
        let mut take = Take {
            dialogs: taken.dialogs,
            rendered,
            left_behind: taken.left_behind,
            is_cut: taken.is_cut,
            ..Take::default()
        };
        for dialog in &mut take.dialogs {
            if let Some(place) = places.get(dialog.resource_index) {
                dialog.resource_index = *place;
            }
        }
        for behind in &mut take.left_behind {
            if let Some(place) = places.get(*behind) {
                *behind = *place;
            }
        }
        if take.dialogs.is_empty() {
            let seen = offers.iter().map(|offer| offer.seen.cloned().map(Arc::new));
            take.doubted = places.into_iter().zip(seen).collect();
        }
        Ok(take)
    }

    /// A resource of which nothing can be taken: the dialogs that are to blame are set aside, and the others are taken. If none is, all
    /// of it is set aside.
    async fn find_dialogs(
        &self,
        resources: &[Arc<Resource>],
        place: usize,
        error: StoreError,
        take: &mut Take,
    ) -> Result<(), StoreError> {
        let resource = &resources[place];
        let store = self.store.with_short_lock_timeout();
        let dialogs = store.subscription().list_open(resource).await?;
        // Without any of its dialogs: does the fault lie in what is read of it?
        let without = self
            .take(store.clone(), resources, place..place + 1, &dialogs)
            .await;
        match without {
            // Most often empty; but a dialog may have come just now, and then this is its NOTIFY.
            Ok(newcomers) => take.add(newcomers),
            Err(_) => {
                let refused = Refused::new(resource, Part::Whole, &error);
                set_aside(&self.store, "take", &[refused]).await?;
                take.refused.push(place);
                return Ok(());
            }
        }
        let parts = in_parts(&store, dialogs.len(), |store, part| {
            let others = dialogs[..part.start].iter().chain(&dialogs[part.end..]);
            let alone: Vec<(i64, i32)> = others.chain(&self.in_flight).copied().collect();
            async move {
                let place = place..place + 1;
                self.take(store, resources, place, &alone).await
            }
        })
        .await;
        let refused = parts.refused.iter().filter_map(|(dialog, error)| {
            let (id, _) = dialogs.get(*dialog)?;
            Some(Refused::new(resource, Part::Dialog(*id), error))
        });
        let refused: Vec<Refused> = refused.collect();
        set_aside(&self.store, "take", &refused).await?;
        for (_, part) in parts.done {
            take.add(part);
        }
        match parts.outage {
            // It is taken once more: that tells whether anything else is due.
            None => take.left_behind.push(place),
            // Nobody knows what was taken of it.
            Some(outage) => {
                take.lost.push(place);
                take.outage = Some(outage);
            }
        }
        Ok(())
    }

    /// Reads what the taken dialogs are shown that could not be known before. What cannot be read was taken in vain.
    async fn read(&self, resources: &[Arc<Resource>], take: &mut Take) -> Result<(), StoreError> {
        let unknown = take.dialogs.iter().filter(|dialog| !dialog.is_known);
        let unknown: BTreeSet<usize> = unknown.map(|dialog| dialog.resource_index).collect();
        let unknown: Vec<usize> = unknown.into_iter().collect();
        let mut refused = Vec::new();
        if !unknown.is_empty() {
            let dialogs = &take.dialogs;
            let parts = in_parts(&self.store, unknown.len(), |store, part| {
                let places = &unknown[part];
                async move { self.reading.read(&store, resources, places, dialogs).await }
            })
            .await;
            let mut lost: Vec<usize> = parts.undone().chain(parts.held.iter().copied()).collect();
            for (_, after) in parts.done {
                take.rendered.add(after);
            }
            for (place, error) in parts.refused {
                let resource = &resources[unknown[place]];
                refused.push(Refused::new(resource, Part::Whole, &error));
                lost.push(place);
            }
            take.lost
                .extend(lost.into_iter().map(|place| unknown[place]));
            take.outage = take.outage.take().or(parts.outage);
        }
        set_aside(&self.store, "take", &refused).await?;
        let lost: BTreeSet<usize> = take.lost.iter().copied().collect();
        take.dialogs
            .retain(|dialog| !lost.contains(&dialog.resource_index));
        self.reading
            .show(resources, &take.dialogs, &mut take.rendered);
        Ok(())
    }
}

// === impl Take ===

impl Take {
    /// Adds what another part gave.
    fn add(&mut self, part: Take) {
        self.dialogs.extend(part.dialogs);
        self.rendered.add(part.rendered);
        self.is_cut |= part.is_cut;
        self.left_behind.extend(part.left_behind);
        self.doubted.extend(part.doubted);
    }
}
