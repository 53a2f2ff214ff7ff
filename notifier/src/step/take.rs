//! Take: the due dialogs of held resources get their next CSeq, and what they will be shown is read and rendered.

mod reading;
mod taking;

use super::{Fault, Running, begin};
use crate::dialog_status::is_terminated;
use crate::engine::{Engine, Held};
use crate::failure::{Ending, Standing};
use crate::ledger::Guard;
use crate::send::{Draft, Notify};
use reading::Reading;
use sql::{Resource, Rest, TakenDialog};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use taking::{Take, Taking};

/// Starts when resources wait to be taken, and there are permits for their NOTIFYs.
pub(super) fn start(engine: &mut Engine, _now: Instant) -> Option<Running> {
    let free = engine.free_permits();
    if free == 0 || !engine.ledger.wants_take() {
        return None;
    }
    let works = engine.ledger.begin_take(engine.portion.resources());
    let limit = engine.portion.dialogs(&works).min(free);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    // What was held once is not waited for again: all others would wait with it.
    let store = match works.iter().any(|work| work.again) {
        true => engine.store.with_short_lock_timeout(),
        false => engine.store.clone(),
    };
    let taking = Taking {
        store,
        owner: engine.owner,
        reading: Reading::new(engine.decider.clone(), engine.settings.manner),
        changes: works.iter().map(|work| work.last_change.clone()).collect(),
        in_flight: engine.ledger.in_flight_of(&works),
        limit,
    };
    let resources: Vec<Arc<Resource>> = works.iter().map(|work| work.resource.clone()).collect();
    let work = async move { taking.run(&resources).await };
    Some(begin(work, move |engine, result| {
        end(engine, works, result)
    }))
}

/// Taken: their NOTIFYs are made and sent. If not, they may have been taken all the same: they are given up, and recovered when their leases
/// run out.
fn end(engine: &mut Engine, works: Vec<Held>, result: Result<Take, Fault>) {
    match result {
        Ok(take) => taken(engine, works, take),
        Err(fault) => {
            engine.abandon(&works);
            engine.failed("take", &fault);
        }
    }
}

fn taken(engine: &mut Engine, works: Vec<Held>, take: Take) {
    let complete = !take.is_cut;
    engine
        .portion
        .taken(works.len(), take.dialogs.len(), complete);
    for work in &works {
        let next_change = take.rendered.next_change(&work.resource);
        engine.ledger.shown(work, next_change);
    }
    let mut cancelled = Vec::new();
    let mut drafts = Vec::with_capacity(take.dialogs.len());
    for dialog in take.dialogs {
        let work = works.get(dialog.resource_index);
        if let Some(work) = work.filter(|_| !dialog.ended && !dialog.silent) {
            let rest = take.rendered.rest(&work.resource, &dialog);
            drafts.extend(draft(engine, work, dialog, rest, &mut cancelled));
        }
    }
    engine.cancel(cancelled);

    let now = Instant::now();
    let mut others: HashSet<usize> = HashSet::new();
    for place in take.left_behind {
        others.insert(place);
        engine.ledger.left_behind(&works[place], now);
    }
    for place in take.refused {
        others.insert(place);
        engine.ledger.set_aside(&works[place]);
    }
    for place in take.lost {
        others.insert(place);
        engine.abandon(&works[place..=place]);
    }
    for (place, seen) in take.doubted {
        if others.insert(place) {
            engine.ledger.doubted(&works[place], seen, now);
        }
    }
    let ordinary = works.iter().enumerate();
    let ordinary = ordinary.filter(|(place, _)| !others.contains(place));
    engine
        .ledger
        .taken(ordinary.map(|(_, work)| work), complete);
    engine.note("take", take.outage);

    if engine.interrupted {
        for draft in drafts {
            engine.ended(draft.notify, Ending::Interrupted);
        }
    } else if !drafts.is_empty() {
        engine.prepare(drafts, take.rendered, works);
    }
}

/// The NOTIFY of a dialog that was taken; nothing, if its resource was abandoned meanwhile.
fn draft(
    engine: &mut Engine,
    work: &Held,
    dialog: TakenDialog,
    rest: Option<Rest>,
    cancelled: &mut Vec<String>,
) -> Option<Draft> {
    let guard = Guard {
        target_version: dialog.target_version,
        remote_cseq: dialog.remote_cseq,
    };
    let key = engine
        .ledger
        .begin_notify(work, dialog.id, guard, cancelled)?;
    let ledger = &engine.ledger;
    let is_open = |key| ledger.guard(key).is_some();
    engine
        .witnesses
        .taken(key, guard, &work.resource, &dialog, is_open);
    let standing = Standing {
        terminated: is_terminated(&dialog),
        failures: dialog.failures,
        rest,
    };
    Some(Draft {
        notify: Notify {
            key,
            standing,
            flow: None,
        },
        dialog,
        resource: work.resource.clone(),
    })
}
