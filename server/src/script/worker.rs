//! One thread with one Lua state: takes requests, carries out what their calls ask for, goes on when the answer is there.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, OnceLock, mpsc};

use ::script::{Ask, Failure, Incoming, Machine, Program, Step, Subscription, Suspended, Told};
use events::Inquiry;
use events::publication::sender_uri as sender_uri_of;
use sip::{Aor, Method, Uri, bound};
use tokio::time::{Instant, timeout_at};

use super::place::Place;
use super::{Call, Shared};
use crate::answer;
use crate::dispatch;
use crate::front::{Arrival, Front};
use crate::{publish, subscribe};

/// What a worker has to do.
pub(crate) enum WorkerTask {
    /// A request.
    Route {
        front: Arc<Front>,
        arrival: Box<Arrival>,
        place: Place,
    },
    /// A request that was handed over is done with.
    Handled {
        call: u64,
        /// Of its answer; 0 if there was none to give.
        status: u16,
        subscription: Option<Box<Subscription>>,
    },
    /// The database has told something.
    Told {
        call: u64,
        told: Told,
    },
    /// Another script from now on. Calls that have begun go on with theirs.
    Load(Arc<Program>),
    Stop,
}

pub(crate) struct Worker {
    tasks: mpsc::Sender<WorkerTask>,
    program: Arc<Program>,
    shared: Arc<Shared>,
}

/// A call, while it does not run.
struct Waiting {
    running: Running,
    suspended: Suspended,
}

/// A call and its request.
struct Running {
    machine: Rc<Machine>,
    front: Arc<Front>,
    arrival: Arrival,
    /// There is, or will be, an answer, or nobody waits for one.
    answered: bool,
    _place: Place,
}

/// What the thread holds.
struct WorkerState {
    worker: Worker,
    machine: Option<Rc<Machine>>,
    waiting: HashMap<u64, Waiting>,
    last: u64,
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(
        tasks: mpsc::Sender<WorkerTask>,
        program: Arc<Program>,
        shared: Arc<Shared>,
    ) -> Worker {
        Worker {
            tasks,
            program,
            shared,
        }
    }

    /// Works until it is stopped.
    pub(super) fn run(self, taken: mpsc::Receiver<WorkerTask>) {
        let mut state = WorkerState {
            machine: None,
            waiting: HashMap::new(),
            last: 0,
            worker: self,
        };
        state.open();
        while let Ok(task) = taken.recv() {
            if matches!(task, WorkerTask::Stop) {
                return;
            }
            // A panic costs this call its answer, and nobody else anything; its state is not trusted any more.
            if catch_unwind(AssertUnwindSafe(|| state.take(task))).is_err() {
                tracing::error!("a call of the script made its worker panic: a bug");
                state.open();
            }
        }
    }
}

// === impl WorkerState ===

impl WorkerState {
    /// A new Lua state for the calls to come.
    fn open(&mut self) {
        match Machine::new(&self.worker.program) {
            Ok(machine) => self.machine = Some(Rc::new(machine)),
            // It did load when it was read.
            Err(error) => tracing::error!(%error, "the script no longer loads"),
        }
    }

    fn take(&mut self, task: WorkerTask) {
        match task {
            WorkerTask::Route {
                front,
                arrival,
                place,
            } => self.begin(front, *arrival, place),
            WorkerTask::Handled {
                call,
                status,
                subscription,
            } => {
                if let Some(Waiting {
                    mut running,
                    suspended,
                }) = self.waiting.remove(&call)
                {
                    running.answered = true;
                    let code = if (200..300).contains(&status) { 1 } else { -1 };
                    let subscription = subscription.filter(|_| code == 1);
                    let step = running
                        .machine
                        .resume(suspended, Told::Handled(code, subscription));
                    self.go_on(running, step);
                }
            }
            WorkerTask::Told { call, told } => {
                if let Some(Waiting { running, suspended }) = self.waiting.remove(&call) {
                    // Also if it was answered: a call does not outlive its request.
                    if Instant::now() >= running.arrival.deadline {
                        if running.answered {
                            self.worker.shared.failed(&Failure::Deadline);
                        } else {
                            running
                                .front
                                .answers
                                .reply(&running.arrival, &answer::unavailable());
                        }
                        return;
                    }
                    let step = running.machine.resume(suspended, told);
                    self.go_on(running, step);
                }
            }
            WorkerTask::Load(program) => {
                self.worker.program = program;
                self.open();
            }
            WorkerTask::Stop => {}
        }
    }

    fn begin(&mut self, front: Arc<Front>, arrival: Arrival, place: Place) {
        // Whoever sent it has given up, or is about to: a script that is too slow must not work for nobody.
        let is_late = Instant::now() >= arrival.deadline;
        let Some(machine) = self.machine.clone().filter(|_| !is_late) else {
            return front.answers.reply(&arrival, &answer::unavailable());
        };
        let incoming = Incoming {
            request: arrival.request.clone(),
            source: arrival.flow.remote,
            local: arrival.flow.local,
            transport: arrival.flow.transport,
            requester: arrival.requester.clone(),
        };
        let step = machine.route(incoming);
        let running = Running {
            machine,
            front,
            arrival,
            answered: false,
            _place: place,
        };
        self.go_on(running, step);
    }

    /// Carries out what a call asks for, until it has to wait or has ended.
    fn go_on(&mut self, mut running: Running, mut step: Step) {
        loop {
            for complaint in running.machine.complaints() {
                self.worker.shared.failed(&complaint);
            }
            let (suspended, ask) = match step {
                Step::Asks(suspended, ask) => (suspended, ask),
                Step::Done(_) => {
                    if !running.answered {
                        tracing::debug!("the script leaves a request without an answer");
                    }
                    return;
                }
                Step::Failed(failure) => return self.failed(&running, &failure),
            };
            let told = match ask {
                Ask::Reply { code, reason } => running.reply(code, reason),
                Ask::HandlePublish {
                    sender_uri,
                    priority,
                } => match running.arrival.request.method() {
                    Method::Publish if !running.answered => {
                        match sender_uri.map(|text| sender_uri_of(&text)) {
                            Some(Err(reason)) => {
                                running.answer(&answer::bad_name(reason));
                                Told::Code(-1)
                            }
                            sender => {
                                let call =
                                    self.call(sender.and_then(Result::ok), None, priority, true);
                                return self.hand_over(running, suspended, call, publish::publish);
                            }
                        }
                    }
                    Method::Publish => Told::Code(-1),
                    _ => Told::Wrong("handle_publish: the request is not a PUBLISH".to_owned()),
                },
                Ask::HandleSubscribe { watcher_uri } => match running.arrival.request.method() {
                    Method::Subscribe if !running.answered => {
                        let named = watcher_uri.map(|uri| running.front.watcher(&uri));
                        match named {
                            Some(Err(reason)) => {
                                running.answer(&answer::bad_name(reason));
                                Told::Code(-1)
                            }
                            named => {
                                let watcher = named.and_then(Result::ok);
                                let call = self.call(None, watcher, None, true);
                                return self.hand_over(
                                    running,
                                    suspended,
                                    call,
                                    subscribe::subscribe,
                                );
                            }
                        }
                    }
                    Method::Subscribe => Told::Code(-1),
                    _ => Told::Wrong("handle_subscribe: the request is not a SUBSCRIBE".to_owned()),
                },
                Ask::DefaultRoute { priority } if !running.answered => {
                    let call = self.call(None, None, priority, false);
                    return self.hand_over(running, suspended, call, dispatch::built_in);
                }
                Ask::DefaultRoute { .. } => Told::Code(-1),
                Ask::Database(inquiry) => return self.ask_database(running, suspended, inquiry),
            };
            step = running.machine.resume(suspended, told);
        }
    }

    fn call(
        &mut self,
        sender_uri: Option<String>,
        watcher: Option<Aor>,
        priority: Option<i64>,
        decides: bool,
    ) -> Box<Call> {
        self.last += 1;
        Box::new(Call {
            id: self.last,
            back: self.worker.tasks.clone(),
            sender_uri,
            watcher,
            decides,
            priority,
            shows_subscription: self.worker.shared.shows_subscription,
            subscription: OnceLock::new(),
            answered: AtomicU16::new(0),
        })
    }

    /// The request goes the way that it would have gone without a script; the call waits for its end.
    fn hand_over(
        &mut self,
        running: Running,
        suspended: Suspended,
        call: Box<Call>,
        handler: fn(&Arc<Front>, Arrival, &sip::token::Secret),
    ) {
        let front = Arc::clone(&running.front);
        let arrival = Arrival {
            call: Some(call),
            ..running.arrival.clone_request()
        };
        if let Some(call) = &arrival.call {
            self.waiting.insert(call.id, Waiting { running, suspended });
        }
        match front.secret.known() {
            Some(secret) => handler(&front, arrival, secret),
            // Nothing comes here before it is known.
            None => front.answers.reply(&arrival, &answer::unavailable()),
        }
    }

    fn ask_database(&mut self, running: Running, suspended: Suspended, inquiry: Inquiry) {
        self.last += 1;
        let call = self.last;
        let (front, tasks) = (Arc::clone(&running.front), self.worker.tasks.clone());
        let deadline = running.arrival.deadline;
        // A NOTIFY of it is due.
        let rings = inquiry.is_order();
        self.waiting.insert(call, Waiting { running, suspended });
        tokio::spawn(async move {
            let script = front.writes.store.script();
            let found = timeout_at(deadline, script.answer(inquiry, &front.judge)).await;
            if rings {
                front.writes.doorbell.press();
            }
            let told = found.map_or(Told::Code(-1), Told::Database);
            let _ = tasks.send(WorkerTask::Told { call, told });
        });
    }

    fn failed(&mut self, running: &Running, failure: &Failure) {
        self.worker.shared.failed(failure);
        if !running.answered {
            running
                .front
                .answers
                .reply(&running.arrival, &answer::server_error());
        }
        // What it has kept may be what there is no room for. Calls that have begun go on in the old state.
        if *failure == Failure::Memory
            && self
                .machine
                .as_ref()
                .is_some_and(|machine| Rc::ptr_eq(machine, &running.machine))
        {
            self.open();
        }
    }
}

// === impl Running ===

impl Running {
    fn reply(&mut self, code: u16, reason: Option<String>) -> Told {
        if self.answered {
            return Told::Code(-1);
        }
        match answer::of_script(code, reason) {
            None => Told::Wrong("reply: there is no such code".to_owned()),
            Some(answer) => {
                self.answer(&answer);
                Told::Code(1)
            }
        }
    }

    fn answer(&mut self, answer: &answer::Answer) {
        self.front.answers.reply(&self.arrival, answer);
        self.answered = true;
    }
}

// === impl Front ===

impl Front {
    /// Whom `watcher_uri` names: a URI, or one in angle brackets with whatever stands around it.
    ///
    /// # Errors
    /// A reason phrase for what is no such URI, or too long.
    fn watcher(&self, text: &str) -> Result<Aor, &'static str> {
        let uri = Uri::parse(sip::enclosed_uri(text));
        let uri = uri.map_err(|_| "Bad Watcher")?;
        let watcher = Aor::within(&bound::WATCHER, &uri, self.policy.fold_case);
        watcher.map_err(|error| bound::WATCHER.reason(&error))
    }
}
