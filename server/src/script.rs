//! The operator's script decides about requests: worker threads, and what becomes of the calls.
//!
//! Each worker is a thread of its own with a Lua state of its own, so that calls never wait for one another's lock, and a script that
//! takes its time takes it from nobody who receives or writes. All requests of a Call-ID go to one worker, in order of arrival. A
//! call that waits for the database leaves its worker free; the answer comes back as a task.
//!
//! Nothing of the way without a script is another with one: what a script hands over (`handle_publish`) goes into the same queues,
//! and is answered at the same place. A copy of a request that a script works on, or will, is discarded (RFC 3261 section 17.2.2), so that a
//! script runs once for a request.
//!
//! A request takes its place before it waits for its worker, so that no more wait than there are places (`server.backlog`), however slow the
//! script is; one that has waited until its deadline is answered as if there had been none.

mod call;
mod place;
mod worker;

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ::script::{Limits, Program, ProgramError};
use sip::{HeaderName, Method, Request};
use tokio::runtime::Handle;

pub(crate) use call::Call;
use place::{Places, Taken};
use worker::{Worker, WorkerTask};

use crate::RunError;
use crate::admission::Admission;
use crate::answer;
use crate::front::{Arrival, Front};

/// Most workers. One does more than 100,000 simple calls a second; a second one goes on while a script of the first takes long.
const MAX_WORKERS: usize = 4;
/// Log lines about failed calls are at least so far apart.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The workers, and the script that they run.
pub(crate) struct Scripts {
    workers: Vec<(mpsc::Sender<WorkerTask>, Places)>,
    has_route: AtomicBool,
    file: PathBuf,
    limits: Limits,
    xavp_cfg: String,
    hasher: RandomState,
    admission: Admission,
}

/// What the workers share.
pub(crate) struct Shared {
    /// `pres_subs_mode`
    shows_subscription: bool,
    /// Calls that ended in an error, at their deadline, or for lack of memory.
    failures: AtomicU64,
    last_logged: std::sync::Mutex<Option<Instant>>,
}

/// The script that the configuration names, read and tried.
///
/// # Errors
/// [`ProgramError`].
pub fn read_script(config: &node::Config) -> Result<Option<Program>, ProgramError> {
    let Some(file) = &config.script.file else {
        return Ok(None);
    };
    Program::read(file.path(), limits(config), &config.presence.xavp_cfg).map(Some)
}

/// What is never called is probably misspelt.
fn warn_of_unused(program: &Program) {
    for sentence in program.unused() {
        tracing::warn!("{sentence}");
    }
}

fn limits(config: &node::Config) -> Limits {
    Limits {
        deadline: config.script.deadline_ms.milliseconds(),
        memory: config.script.memory_bytes.usize(),
    }
}

// === impl Scripts ===

impl Scripts {
    /// Starts the workers, if there is a script. Must be called inside the runtime that serves requests.
    ///
    /// # Errors
    /// The script cannot be read or does not load; the system gives no threads.
    pub(crate) fn start(config: &node::Config) -> Result<Option<Scripts>, RunError> {
        let (Some(file), Some(program)) = (&config.script.file, read_script(config)?) else {
            return Ok(None);
        };
        warn_of_unused(&program);
        let program = Arc::new(program);
        let admission = Admission::new(config.server.backlog.get());
        let shared = Arc::new(Shared {
            shows_subscription: config.presence.pres_subs_mode,
            failures: AtomicU64::new(0),
            last_logged: std::sync::Mutex::new(None),
        });
        let count = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .clamp(1, MAX_WORKERS);
        let workers = (1..=count)
            .map(|number| {
                let (tasks, taken) = mpsc::channel();
                let worker = Worker::new(tasks.clone(), Arc::clone(&program), Arc::clone(&shared));
                let runtime = Handle::current();
                std::thread::Builder::new()
                    .name(format!("script {number}"))
                    .spawn(move || {
                        let _runtime = runtime.enter();
                        worker.run(taken);
                    })?;
                Ok((tasks, Places::new(admission.clone())))
            })
            .collect::<std::io::Result<_>>()
            .map_err(RunError::Thread)?;
        Ok(Some(Scripts {
            workers,
            has_route: AtomicBool::new(program.has_route()),
            file: file.path().to_owned(),
            limits: limits(config),
            xavp_cfg: config.presence.xavp_cfg.clone(),
            hasher: RandomState::new(),
            admission,
        }))
    }

    /// Whether the script decides about a request like this one. What makes no sense was answered before; there is no answer to an
    /// ACK, and nothing to be cancelled.
    pub(crate) fn decides(&self, request: &Request) -> bool {
        self.has_route.load(Ordering::Relaxed)
            && !matches!(request.method(), Method::Ack | Method::Cancel)
    }

    /// Has a worker route this request, if there is a place for it.
    pub(crate) fn route(&self, front: &Arc<Front>, arrival: Arrival) {
        let request = &arrival.request;
        let line = |name| request.header(name).unwrap_or_default();
        let call_id = line(HeaderName::CallId);
        let worker = self.hasher.hash_one(call_id) % self.workers.len().max(1) as u64;
        let transaction =
            self.hasher
                .hash_one((call_id, line(HeaderName::Via), line(HeaderName::CSeq)));
        let Some((worker, places)) = self.workers.get(worker as usize) else {
            return;
        };
        let place = match places.take(transaction) {
            Taken::Place(place) => place,
            Taken::Copy => {
                return tracing::debug!(
                    "a copy of a request that the script is working on; discarded"
                );
            }
            Taken::Nothing => return front.answers.reply(&arrival, &answer::unavailable()),
        };
        // A worker ends only with the server.
        let _ = worker.send(WorkerTask::Route {
            front: Arc::clone(front),
            arrival: Box::new(arrival),
            place,
        });
    }

    /// Reads the script again. One that does not load leaves the one before in its place.
    pub(crate) fn reload(&self) {
        match Program::read(&self.file, self.limits, &self.xavp_cfg) {
            Ok(program) => {
                warn_of_unused(&program);
                let program = Arc::new(program);
                for (worker, _) in &self.workers {
                    let _ = worker.send(WorkerTask::Load(Arc::clone(&program)));
                }
                self.has_route.store(program.has_route(), Ordering::Relaxed);
                tracing::info!(file = %self.file.display(), "the script was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the script cannot be used; the old one stays");
            }
        }
    }

    /// Returns when no call is left, or its time is over.
    pub(crate) async fn drained(&self) {
        self.admission.drained().await;
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        for (worker, _) in &self.workers {
            let _ = worker.send(WorkerTask::Stop);
        }
    }
}

// === impl Shared ===

impl Shared {
    /// A call failed. Said once a second at most: whoever can make a script fail can do so a thousand times a second.
    fn failed(&self, failure: &::script::Failure) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let mut last_logged = self
            .last_logged
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *last_logged = Some(Instant::now());
            tracing::error!(%failure, failures, "a call of the script failed");
        } else {
            tracing::debug!(%failure, failures, "a call of the script failed");
        }
    }
}
