//! A worker: one thread, its few sockets, and the publications and watchers of its presentities. It shares nothing with other
//! workers but the beginning of each stage.
//!
//! Nothing is looked up by text: every message carries the index of what it belongs to (`wire`).

mod publisher;
mod request;
mod stage;
mod subscriber;

use std::time::{Duration, Instant};

use sip::{Limits, Message, Method, Reply, Request, StatusCode, parse_datagram};

use crate::document::Bodies;
use crate::judge::{Findings, Shown};
use crate::people::{Manner, Publication, StateTimes, Usage, Watcher};
use crate::plan::{Plan, Shared, Totals};
use crate::tally::Tally;
use crate::task::{Share, Task};
use crate::timers::{Alarm, Nanos, Party, Timers};
use crate::transport::{Incoming, Lanes, Origin};
use crate::wire::Wire;

pub(crate) use stage::{StageTimes, WorkerVerdict};

/// How long a worker sleeps at most: the other workers, or the end of a stage, may wait for it.
const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// Requests begun before arrivals are looked at again.
const BURST: usize = 128;

/// One worker.
pub(crate) struct Worker<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    share: Share,
    clock: Instant,
    now: Nanos,
    lanes: Lanes,
    wire: Wire,
    bodies: Bodies,
    limits: Limits,
    publications: Vec<Publication>,
    watchers: Vec<Watcher>,
    /// What each watcher was shown of each publication of its presentity.
    shown: Vec<Shown>,
    timers: Timers,
    /// Answers of slow watchers, and the free places among them.
    answers: Vec<Option<(Origin, Vec<u8>)>>,
    free_answers: Vec<u32>,
    tasks: Vec<Task>,
    next_server: usize,
    random: u64,
    progress: stage::Progress,
    tally: Tally,
    /// Successes, NOTIFYs and messages of the whole run, for the progress line.
    total: Totals,
    findings: Findings,
    failed: u64,
    lost: u64,
    /// A NOTIFY's states, by publication; kept to save its allocation.
    scratch: Vec<Option<u32>>,
}

/// What a worker hands back.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) stages: Vec<StageTimes>,
    pub(crate) verdict: WorkerVerdict,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        shared: &'a Shared,
        number: usize,
        lanes: Lanes,
    ) -> Worker<'a> {
        let workload = &plan.workload;
        let share = Share {
            worker: number,
            workers: plan.workers,
            presentities: workload.presentities,
        };
        let presentity_digits = digits(workload.presentities);
        let mut worker = Worker {
            wire: Wire {
                package: workload.event,
                transport: plan.transport,
                domain: plan.domain.clone(),
                presentity_digits,
                watcher_digits: digits(workload.presentities.saturating_mul(workload.watchers)),
                run: format!("{:08x}{number:02x}", plan.run),
            },
            bodies: Bodies::new(
                workload.event,
                plan.run,
                &plan.domain,
                presentity_digits,
                workload.body_bytes,
            ),
            limits: Limits::default(),
            publications: Vec::new(),
            watchers: Vec::new(),
            shown: Vec::new(),
            timers: Timers::default(),
            answers: Vec::new(),
            free_answers: Vec::new(),
            tasks: Vec::new(),
            next_server: number % plan.servers.len().max(1),
            random: plan.seed ^ (number as u64) << 32,
            progress: stage::Progress::default(),
            tally: Tally::new(),
            total: Totals::default(),
            findings: Findings::default(),
            failed: 0,
            lost: 0,
            scratch: Vec::new(),
            clock: shared.beginning,
            now: 0,
            plan,
            shared,
            share,
            lanes,
        };
        for own in 0..share.own() {
            worker.settle_in(own * plan.workers as u32 + number as u32);
        }
        worker
    }

    /// Makes the publications and watchers of a presentity.
    fn settle_in(&mut self, presentity: u32) {
        let workload = &self.plan.workload;
        for number in 0..workload.publications {
            self.publications.push(Publication {
                presentity,
                number,
                cseq: 0,
                entity_tag: None,
                expires_s: workload.publish_expires_s,
                ledger: Default::default(),
                times: StateTimes::new(),
                flight: Default::default(),
                lifetime: Default::default(),
            });
        }
        for number in 0..workload.watchers {
            let number = presentity * workload.watchers + number;
            // By number and seed alone, so that the same watchers are slow or dead however many workers there are.
            let lot = unit(mixed(self.plan.seed ^ u64::from(number)));
            let manner = if lot < workload.dead_share {
                Manner::Dead
            } else if lot < workload.dead_share + workload.slow_share {
                Manner::Slow
            } else {
                Manner::Lively
            };
            self.watchers.push(Watcher {
                number,
                presentity,
                manner,
                usage: Usage::None,
                generation: 0,
                cseq: 0,
                expires_s: workload.subscribe_expires_s,
                was_refused: false,
                remote_tag: String::new(),
                remote_target: String::new(),
                routes: String::new(),
                order: Default::default(),
                begun: (0, 0, false),
                answers_at: 0,
                flight: Default::default(),
                lifetime: Default::default(),
            });
        }
        let cells = (workload.watchers * workload.publications) as usize;
        self.shown
            .resize(self.shown.len() + cells, Shown::default());
    }

    /// Works until the run is over.
    ///
    /// # Errors
    /// The sockets fail.
    pub(crate) fn run(mut self) -> std::io::Result<Outcome> {
        let mut arrived: Vec<Incoming> = Vec::new();
        self.now = self.elapsed();
        self.enter_stage(0);
        while !self.is_over() {
            self.now = self.elapsed();
            self.lanes.receive(&mut arrived)?;
            let is_idle = arrived.is_empty();
            self.count_received(arrived.len() as u64);
            for (origin, bytes) in arrived.drain(..) {
                self.take(origin, bytes);
            }
            self.ring();
            let is_drained = self.begin_requests();
            self.lanes.flush()?;
            self.advance_stage();
            self.show_progress();
            if is_idle && is_drained {
                self.wait()?;
            }
        }
        Ok(self.outcome())
    }

    fn elapsed(&self) -> Nanos {
        self.clock.elapsed().as_nanos() as Nanos
    }

    fn wait(&mut self) -> std::io::Result<()> {
        let due = self.tasks.iter().filter_map(Task::due).min();
        let next = due
            .into_iter()
            .chain(self.timers.next())
            .chain(self.progress.ends_at())
            .min();
        let now = self.elapsed();
        let at_most = next.map_or(LONGEST_WAIT, |next| {
            Duration::from_nanos(next.saturating_sub(now)).min(LONGEST_WAIT)
        });
        if at_most.is_zero() {
            return Ok(());
        }
        self.lanes.wait(at_most)?;
        let waited = self.elapsed() - now;
        self.progress.note_waited(waited);
        Ok(())
    }

    fn take(&mut self, origin: Origin, bytes: Vec<u8>) {
        match parse_datagram(bytes, &self.limits) {
            Ok(Message::Response(response)) => self.take_response(&response),
            Ok(Message::Request(request)) if *request.method() == Method::Notify => {
                self.take_notify(origin, &request);
            }
            Ok(Message::Request(request)) => {
                let status = match request.method() {
                    // A NAT keep-alive of the server.
                    Method::Options => StatusCode::OK,
                    Method::Ack => return,
                    _ => StatusCode::METHOD_NOT_ALLOWED,
                };
                self.answer(origin, &request, status);
            }
            Err(fault) => {
                self.findings.malformed += 1;
                self.findings
                    .tell(|| format!("a message that is not SIP: {fault}"));
                if let Some(request) = &fault.answerable {
                    self.answer(origin, request, StatusCode::BAD_REQUEST);
                }
            }
        }
    }

    fn answer(&mut self, origin: Origin, request: &Request, status: StatusCode) {
        let bytes = Reply::new(request, status).encode(origin.address());
        self.lanes.answer(origin, &bytes);
        self.count_sent();
    }

    /// Does what is due by now.
    fn ring(&mut self) {
        while let Some(alarm) = self.timers.due(self.now) {
            match alarm {
                Alarm::Transaction { party, serial } => self.check_transaction(party, serial),
                Alarm::Retry { party, serial } => self.retry(party, serial),
                Alarm::KeepAlive {
                    party: Party::Publication(index),
                } => self.keep_publication(index),
                Alarm::KeepAlive {
                    party: Party::Watcher(index),
                } => self.keep_subscription(index),
                Alarm::Answer { index } => {
                    if let Some((origin, bytes)) = self.answers[index as usize].take() {
                        self.free_answers.push(index);
                        self.lanes.answer(origin, &bytes);
                        self.count_sent();
                    }
                }
            }
        }
    }

    fn count_sent(&mut self) {
        self.total.messages += 1;
        if self.progress.is_measuring() {
            self.tally.sent += 1;
        }
    }

    fn count_received(&mut self, count: u64) {
        self.total.messages += count;
        if self.progress.is_measuring() {
            self.tally.received += count;
        }
    }

    /// A number from 0 to 1.
    fn lot(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        unit(mixed(self.random))
    }
}

/// How many digits the users need; the usual six make names of one length for most workloads.
fn digits(count: u32) -> usize {
    (count.max(1).ilog10() as usize + 1).max(6)
}

/// splitmix64's mixing of bits.
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}
