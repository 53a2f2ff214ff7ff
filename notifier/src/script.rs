//! The events `tm:local-request` and `presence:notify-reply`: the operator's script is called for each NOTIFY that is sent, and for each final
//! answer to one, or that none came.
//!
//! Nothing waits for the script: a NOTIFY is sent, judged and settled as without it, and the events go to a thread of its own. If the
//! script then wants the subscription deleted (`xavp.<xavp_cfg>.delete_subscription`), that is a verdict like any other, and void like any
//! other if the subscriber has come again since. A script that cannot keep up loses events, which is said in the log.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::time::{Duration, Instant};

use ::script::{Ask, Attribute, Failure, Limits, Machine, Program, ProgramError};
use ::script::{ReplyTo, Step, Subscription, Told, Way};
use events::DialogId;
use net::Outcome;
use sql::{AfterNotify, DialogVerdict, Judge, Resource, Store, TakenDialog};
use tokio::runtime::Handle;

use crate::ledger::{Guard, NotifyKey};

/// Events that wait for the script, at most.
const MAX_WAITING: usize = 10_000;
/// How long the database may take to answer the script, and a call to wait for it in all.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
/// Log lines about what goes wrong are at least so far apart.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The script of a notifier.
pub(crate) struct NotifyEvents {
    thread: Arc<Thread>,
    /// Subscriptions whose NOTIFY is on its way, and what makes a verdict on it void.
    noted: HashMap<NotifyKey, (Guard, Option<Box<Subscription>>)>,
}

/// The way to the script's thread.
pub(crate) struct Thread {
    tasks: mpsc::SyncSender<ScriptTask>,
    hears_requests: AtomicBool,
    hears_replies: AtomicBool,
    lost: AtomicU64,
    file: PathBuf,
    limits: Limits,
    xavp_cfg: String,
    /// `pres_subs_mode`
    shows_subscription: bool,
}

enum ScriptTask {
    Sent(Option<Box<Subscription>>),
    Reply {
        dialog: i64,
        guard: Guard,
        reply: ReplyTo,
        subscription: Option<Box<Subscription>>,
    },
    Load(Arc<Program>),
    Stop,
}

// === impl Thread ===

impl Thread {
    /// Starts the thread, if there is a script. Must be called inside a runtime.
    ///
    /// # Errors
    /// The script cannot be read or does not load.
    pub(crate) fn start(
        config: &node::Config,
        store: Store,
        judge: Judge,
    ) -> Result<Option<Arc<Thread>>, ProgramError> {
        let Some(file) = &config.script.file else {
            return Ok(None);
        };
        let file = file.path().to_owned();
        let limits = Limits {
            deadline: config.script.deadline_ms.milliseconds(),
            memory: config.script.memory_bytes.usize(),
        };
        let xavp_cfg = config.presence.xavp_cfg.clone();
        let program = Arc::new(Program::read(&file, limits, &xavp_cfg)?);
        let (tasks, taken) = mpsc::sync_channel(MAX_WAITING);
        let hears_requests = AtomicBool::new(program.hears_requests());
        let hears_replies = AtomicBool::new(program.hears_replies());
        let runtime = Handle::current();
        let begun = std::thread::Builder::new()
            .name("script".to_owned())
            .spawn(move || {
                let database = Database {
                    store,
                    judge,
                    runtime,
                };
                work(&taken, &program, &database);
            });
        if let Err(source) = begun {
            return Err(ProgramError::Unreadable { path: file, source });
        }
        Ok(Some(Arc::new(Thread {
            tasks,
            hears_requests,
            hears_replies,
            lost: AtomicU64::new(0),
            file,
            limits,
            xavp_cfg,
            shows_subscription: config.presence.pres_subs_mode,
        })))
    }

    /// Reads the script again. One that does not load leaves the one before in its place.
    pub(crate) fn reload(&self) {
        match Program::read(&self.file, self.limits, &self.xavp_cfg) {
            Ok(program) => {
                let (requests, replies) = (program.hears_requests(), program.hears_replies());
                let _ = self.tasks.send(ScriptTask::Load(Arc::new(program)));
                self.hears_requests.store(requests, Ordering::Relaxed);
                self.hears_replies.store(replies, Ordering::Relaxed);
                tracing::info!(file = %self.file.display(), "the script was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the script cannot be used; the old one stays");
            }
        }
    }

    /// Hands an event over, if there is room.
    fn tell(&self, event: ScriptTask) {
        if let Err(TrySendError::Full(_)) = self.tasks.try_send(event) {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(
                    lost,
                    "the script cannot keep up with NOTIFYs and their answers; some events are lost"
                );
            }
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let _ = self.tasks.try_send(ScriptTask::Stop);
    }
}

// === impl NotifyEvents ===

impl NotifyEvents {
    pub(crate) fn new(thread: Arc<Thread>) -> NotifyEvents {
        NotifyEvents {
            thread,
            noted: HashMap::new(),
        }
    }

    /// A NOTIFY of this dialog is to be sent. `is_open` says of others whether theirs still are.
    pub(crate) fn note(
        &mut self,
        key: NotifyKey,
        guard: Guard,
        resource: &Resource,
        dialog: &TakenDialog,
        is_open: impl Fn(NotifyKey) -> bool,
    ) {
        let hears = |what: &AtomicBool| what.load(Ordering::Relaxed);
        if !hears(&self.thread.hears_requests) && !hears(&self.thread.hears_replies) {
            return;
        }
        if self.noted.len() >= self.noted.capacity() {
            // Those that were abandoned never come to an end here.
            self.noted.retain(|key, _| is_open(*key));
        }
        let shown = self.thread.shows_subscription;
        let shown = shown.then(|| Box::new(subscription(resource, dialog)));
        self.noted.insert(key, (guard, shown));
    }

    /// It goes out now.
    pub(crate) fn sent(&self, key: NotifyKey) {
        if self.thread.hears_requests.load(Ordering::Relaxed)
            && let Some((_, subscription)) = self.noted.get(&key)
        {
            self.thread.tell(ScriptTask::Sent(subscription.clone()));
        }
    }

    /// It has come to an end. What never reached the network is not an answer.
    pub(crate) fn ended(&mut self, key: NotifyKey, outcome: &Outcome) {
        let Some((guard, subscription)) = self.noted.remove(&key) else {
            return;
        };
        let reply = match outcome {
            Outcome::Final(response, flow) => ReplyTo::Response(
                response.clone(),
                Way {
                    source: flow.remote,
                    local: flow.local,
                    transport: flow.transport,
                },
            ),
            Outcome::TimedOut => ReplyTo::Timeout,
            Outcome::Unreachable(_) => return,
        };
        if self.thread.hears_replies.load(Ordering::Relaxed) {
            self.thread.tell(ScriptTask::Reply {
                dialog: key.dialog,
                guard,
                reply,
                subscription,
            });
        }
    }
}

/// What the NOTIFY said; the rest is in the database.
fn subscription(resource: &Resource, dialog: &TakenDialog) -> Subscription {
    let mut known = Subscription::of(DialogId {
        call_id: dialog.call_id.clone(),
        to_tag: dialog.to_tag.clone(),
        from_tag: dialog.from_tag.clone(),
    });
    for (attribute, text) in [
        (Attribute::Uri, &resource.presentity_uri),
        (Attribute::PresUri, &resource.presentity_uri),
        (Attribute::Event, &resource.event),
        (Attribute::EventId, &dialog.event_id),
        (Attribute::WatcherUsername, &dialog.watcher_username),
        (Attribute::WatcherDomain, &dialog.watcher_domain),
        (Attribute::Contact, &dialog.contact),
        (Attribute::LocalContact, &dialog.local_contact),
        (Attribute::Reason, &dialog.reason),
    ] {
        known.set_text(attribute, text.as_str());
    }
    known.set_text(Attribute::RecordRoute, dialog.record_route.join(","));
    known.set_number(Attribute::RemoteCSeq, dialog.remote_cseq);
    known.set_number(Attribute::LocalCSeq, dialog.cseq);
    known.set_number(Attribute::Version, dialog.version);
    known.set_number(Attribute::Status, dialog.status);
    let expires = match dialog.expires_s {
        u32::MAX => -1,
        seconds => i64::from(seconds),
    };
    known.set_number(Attribute::Expires, expires);
    known
}

// === the thread ===

/// The way of the thread to the database.
struct Database {
    store: Store,
    judge: Judge,
    runtime: Handle,
}

fn work(taken: &mpsc::Receiver<ScriptTask>, program: &Arc<Program>, database: &Database) {
    let mut program = Arc::clone(program);
    let mut machine = open(&program);
    let mut failures = Failures::default();
    while let Ok(task) = taken.recv() {
        match task {
            ScriptTask::Stop => return,
            ScriptTask::Load(next) => {
                program = next;
                machine = open(&program);
            }
            ScriptTask::Sent(subscription) => {
                let Some(current) = &machine else { continue };
                let begun = current.local_request(subscription.map(|known| *known));
                if let Err(failure) = finish(current, begun, database, &mut failures) {
                    failures.add(&failure);
                    machine = after(&failure, machine, &program);
                }
            }
            ScriptTask::Reply {
                dialog,
                guard,
                reply,
                subscription,
            } => {
                let Some(current) = &machine else { continue };
                let begun = current.notify_reply(reply, subscription.map(|known| *known));
                match finish(current, begun, database, &mut failures) {
                    Ok(0) => {}
                    Ok(_) => delete(dialog, guard, database),
                    Err(failure) => {
                        failures.add(&failure);
                        machine = after(&failure, machine, &program);
                    }
                }
            }
        }
    }
}

/// What a failed call leaves: after too much memory, a state that begins anew.
fn after(failure: &Failure, machine: Option<Machine>, program: &Program) -> Option<Machine> {
    match failure {
        Failure::Memory => open(program),
        _ => machine,
    }
}

fn open(program: &Program) -> Option<Machine> {
    Machine::new(program)
        .inspect_err(|error| tracing::error!(%error, "the script no longer loads"))
        .ok()
}

/// One event, one call; what it asks the database is waited for here.
fn finish(
    machine: &Machine,
    mut step: Step,
    database: &Database,
    failures: &mut Failures,
) -> Result<i64, Failure> {
    let Database {
        store,
        judge,
        runtime,
    } = database;
    let until = Instant::now() + DATABASE_TIMEOUT;
    loop {
        for complaint in machine.complaints() {
            failures.add(&complaint);
        }
        match step {
            Step::Done(value) => return Ok(value),
            Step::Failed(failure) => return Err(failure),
            Step::Asks(..) if Instant::now() >= until => return Err(Failure::Deadline),
            Step::Asks(suspended, Ask::Database(inquiry)) => {
                let found = runtime.block_on(async {
                    tokio::time::timeout(DATABASE_TIMEOUT, store.script().answer(inquiry, judge))
                        .await
                });
                let told = found.map_or(Told::Code(-1), Told::Database);
                step = machine.resume(suspended, told);
            }
            Step::Asks(suspended, _) => {
                let wrong = "there is no request to be handled here";
                step = machine.resume(suspended, Told::Wrong(wrong.to_owned()));
            }
        }
    }
}

fn delete(dialog: i64, guard: Guard, database: &Database) {
    let verdict = DialogVerdict {
        id: dialog,
        remote_cseq: guard.remote_cseq,
        target_version: guard.target_version,
        verdict: AfterNotify::Ended,
        failure: String::new(),
    };
    let stored = database
        .runtime
        .block_on(async { database.store.subscription().settle_batch(&[verdict]).await });
    match stored {
        Ok(written) if !written.left_behind.is_empty() => {
            tracing::warn!(
                subscription.id = dialog,
                "a subscription cannot be deleted for the script: another transaction holds its row"
            );
        }
        Ok(_) => tracing::debug!(subscription.id = dialog, "deleted by the script"),
        Err(error) => {
            tracing::warn!(subscription.id = dialog, %error, "a subscription cannot be deleted for the script");
        }
    }
}

/// Counts failed calls, and says so once a second at most.
#[derive(Default)]
struct Failures {
    count: u64,
    last_logged: Option<Instant>,
}

impl Failures {
    fn add(&mut self, failure: &Failure) {
        self.count += 1;
        if self
            .last_logged
            .is_none_or(|at| at.elapsed() >= LOG_INTERVAL)
        {
            self.last_logged = Some(Instant::now());
            tracing::error!(%failure, failures = self.count, "a call of the script failed");
        }
    }
}
