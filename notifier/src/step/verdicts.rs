//! Verdicts: what the answers to NOTIFYs mean for their dialogs is written down, before their resources are settled.

use super::{Fault, Running, begin};
use crate::engine::Engine;
use crate::isolation::{Parts, in_parts, set_aside};
use crate::ledger::{NotifyKey, pause};
use sql::{DialogVerdict, Part, Refused, Resource, Store, StoreError, Written};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// Most verdicts that are written together.
const BATCH: usize = 2000;

/// A verdict that is to be written. Its dialog stays in flight until then, so that it isn't taken in between.
#[derive(Clone)]
pub(crate) struct Judged {
    pub(crate) key: NotifyKey,
    pub(crate) verdict: DialogVerdict,
    /// How often somebody held a row that it needs.
    attempts: u32,
    pub(crate) not_before: Instant,
}

/// Starts when there are verdicts whose time has come.
pub(super) fn start(engine: &mut Engine, now: Instant) -> Option<Running> {
    // The NOTIFY may have been abandoned or replaced since it was judged.
    let ledger = &engine.ledger;
    engine
        .verdicts
        .retain(|judged| ledger.guard(judged.key).is_some());
    let due = |judged: &mut Judged| judged.not_before <= now;
    let judged: Vec<Judged> = engine.verdicts.extract_if(.., due).take(BATCH).collect();
    if judged.is_empty() {
        return None;
    }
    let resources = judged.iter().map(|judged| ledger.resource_of(judged.key));
    let resources: Vec<Option<Arc<Resource>>> = resources.collect();
    // What was held once is not waited for again: all others would wait with it.
    let store = match judged.iter().any(|judged| judged.attempts > 0) {
        true => engine.store.with_short_lock_timeout(),
        false => engine.store.clone(),
    };
    let verdicts = judged.clone();
    let work = async move { write(&store, &verdicts, &resources).await };
    Some(begin(work, move |engine, result| {
        end(engine, judged, result)
    }))
}

/// Writes them down, and sets aside the resources of those that the database refuses.
async fn write(
    store: &Store,
    judged: &[Judged],
    resources: &[Option<Arc<Resource>>],
) -> Result<Parts<Written>, StoreError> {
    let verdicts: Vec<DialogVerdict> = judged.iter().map(|judged| judged.verdict.clone()).collect();
    let parts = in_parts(store, verdicts.len(), |store, part| {
        let verdicts = &verdicts[part];
        async move { store.subscription().settle_batch(verdicts).await }
    })
    .await;
    let refused = parts.refused.iter().filter_map(|(place, error)| {
        let resource = resources.get(*place)?.as_ref()?;
        Some(Refused::new(resource, Part::Whole, error))
    });
    let refused: Vec<Refused> = refused.collect();
    set_aside(store, "verdicts", &refused).await?;
    Ok(parts)
}

/// Written, or void: these NOTIFYs are over. Those of which somebody holds a row wait. What cannot be written is lost, so its resource is given
/// up: all of it is sent anew when it is recovered. After an outage nobody knows what was written; verdicts may be repeated.
fn end(engine: &mut Engine, judged: Vec<Judged>, result: Result<Parts<Written>, Fault>) {
    let parts = match result {
        Ok(parts) => parts,
        Err(fault) => {
            engine.verdicts.extend(judged);
            engine.failed("verdicts", &fault);
            return;
        }
    };
    let mut waits: HashSet<usize> = parts.held.iter().copied().collect();
    for (part, written) in &parts.done {
        waits.extend(written.left_behind.iter().map(|place| part.start + place));
    }
    let undone: HashSet<usize> = parts.undone().collect();
    let refused: HashSet<usize> = parts.refused.iter().map(|(place, _)| *place).collect();
    let now = Instant::now();
    for (place, mut judged) in judged.into_iter().enumerate() {
        if refused.contains(&place) {
            let branches = engine.ledger.abandon_of(judged.key);
            engine.cancel(branches);
        } else if waits.contains(&place) {
            judged.attempts += 1;
            judged.not_before = now + pause(judged.attempts);
            engine.verdicts.push(judged);
        } else if undone.contains(&place) {
            engine.verdicts.push(judged);
        } else {
            engine.ledger.over(judged.key);
        }
    }
    engine.note("verdicts", parts.outage);
}

// === impl Judged ===

impl Judged {
    pub(crate) fn new(key: NotifyKey, verdict: DialogVerdict, now: Instant) -> Judged {
        Judged {
            key,
            verdict,
            attempts: 0,
            not_before: now,
        }
    }
}
