//! The steps that move the queue on. Each is one file, which says when the step starts, what it runs, and what its end means.
//!
//! A step runs in a task beside the engine and hands its end back together with all that it was about. The engine runs the end, which
//! alone touches the ledger.

pub(crate) mod claim;
pub(crate) mod decide;
pub(crate) mod settle;
pub(crate) mod take;
pub(crate) mod verdicts;

use crate::engine::Engine;
use futures_util::FutureExt as _;
use sql::StoreError;
use std::panic::AssertUnwindSafe;
use std::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// What the end of a step means.
pub(crate) type End = Box<dyn FnOnce(&mut Engine) + Send>;

/// A step under way.
pub(crate) type Running = AbortOnDropHandle<End>;

/// Starts a step, if it has something to do.
pub(crate) type Start = fn(&mut Engine, Instant) -> Option<Running>;

/// The steps of which one runs at a time, in turn, so that none starves another. A resource is never settled while it's being
/// claimed or taken.
pub(crate) const IN_TURN: [Start; 4] = [verdicts::start, settle::start, take::start, claim::start];

/// Why a step has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A statement failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug of ours.
    #[error("it panicked")]
    Panicked,
}

/// Runs `work` beside the engine, and then hands back what its result means.
pub(crate) fn begin<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    end: impl FnOnce(&mut Engine, Result<T, Fault>) + Send + 'static,
) -> Running {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let result = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => result.map_err(Fault::from),
            Err(_) => Err(Fault::Panicked),
        };
        Box::new(move |engine: &mut Engine| end(engine, result)) as End
    }))
}
