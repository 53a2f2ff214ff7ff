//! A strict phone: publishes, subscribes, answers NOTIFYs, and checks every message it gets.
//!
//! What it finds wrong it writes down; when the last handle of a phone is dropped, a test that was
//! green until then fails with the list. One phone can hold thousands of dialogs, which makes it
//! the load generator's client as well (`judge.rs`).

mod check;
mod dialog;
mod login;
mod publisher;
mod wire;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify as Signal, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::message::{self, Message, has_param, param};
pub use check::{State, SubscriptionState};
pub use dialog::{Dialog, Notify};
pub use login::{Challenge, Login};
pub use publisher::Publisher;
use wire::Wire;

/// How long a phone waits for an answer or a NOTIFY that must come.
pub const PATIENCE: Duration = Duration::from_secs(15);
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// What a phone does with a NOTIFY.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// 200 at once.
    Ok,
    /// This status code, with these headers.
    Status(u16, Vec<(String, String)>),
    /// Nothing, ever.
    Silent,
    /// 200, but this share of the copies is lost on the way.
    Lossy(f64),
    /// Nothing to the first so many copies of each NOTIFY, then 200.
    AfterCopies(u32),
}

/// A handle of a phone; clones are the same phone.
#[derive(Clone)]
pub struct Phone {
    line: Arc<Line>,
    _keeper: Arc<Keeper>,
}

struct Keeper {
    line: Arc<Line>,
    task: tokio::task::JoinHandle<()>,
}

struct Line {
    user: String,
    wire: Wire,
    sent_by: String,
    contact: String,
    changed: Signal,
    state: Mutex<Inside>,
}

struct Inside {
    transactions: HashMap<String, Transaction>,
    dialogs: HashMap<String, dialog::Track>,
    answer: Answer,
    history: usize,
    tolerant: Tolerance,
    inspect: Option<Inspect>,
    violations: Vec<String>,
}

/// A load test's own look at each new NOTIFY: Call-ID and NOTIFY, or what is wrong.
pub type Inspect = Arc<dyn Fn(&str, &Notify) -> Result<(), String> + Send + Sync>;

/// What a phone forgives, because the test brings it about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tolerance {
    /// A CSeq may be skipped: a killed notifier may have taken it and sent nothing.
    pub gaps: bool,
    /// A NOTIFY may come for a dialog that this phone does not know; it is answered 481.
    pub strays: bool,
    /// Servers may give a request and its retransmission different answers (503 while they restart).
    pub answers: bool,
    /// What comes is answers to what was sent raw, as bent as that was: nobody judges it.
    pub raw: bool,
}

struct Transaction {
    request: Message,
    responses: Vec<Message>,
    waiting: mpsc::UnboundedSender<(SocketAddr, Message)>,
}

// === making one ===

impl Phone {
    /// A UDP phone on 127.0.0.1.
    pub async fn udp(user: &str) -> Phone {
        Phone::udp_at(user, IpAddr::from([127, 0, 0, 1]), None).await
    }

    /// A UDP phone at another address of this machine, such as 127.0.0.9.
    pub async fn udp_on(user: &str, address: &str) -> Phone {
        let ip = address
            .parse()
            .unwrap_or_else(|fault| panic!("{address}: {fault}"));
        Phone::udp_at(user, ip, None).await
    }

    /// A UDP phone on ::1.
    pub async fn udp6(user: &str) -> Phone {
        Phone::udp_at(user, IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), None).await
    }

    /// A UDP phone on 127.0.0.1 that believes it lives at a private address: Via and Contact show
    /// that one, and nobody can reach it there.
    pub async fn natted(user: &str, private: &str) -> Phone {
        Phone::udp_at(user, IpAddr::from([127, 0, 0, 1]), Some(private)).await
    }

    async fn udp_at(user: &str, ip: IpAddr, shown: Option<&str>) -> Phone {
        let wire = Wire::udp(ip).await;
        Phone::with_wire(user, wire, shown)
    }

    /// A TCP phone, connected to `server`.
    pub async fn tcp(user: &str, server: SocketAddr) -> Phone {
        Phone::with_wire(user, Wire::tcp(server).await, None)
    }

    /// A TCP phone at the end of a connection that somebody else made to it: its Contact is where it listened.
    pub fn connected(user: &str, stream: tokio::net::TcpStream) -> Phone {
        Phone::with_wire(user, Wire::stream(stream), None)
    }

    /// The same, in the middle of a dialog of another phone's: what comes by the connection at once is of that already.
    pub fn connected_within(
        user: &str,
        stream: tokio::net::TcpStream,
        tolerance: Tolerance,
        dialog: &Dialog,
    ) -> (Phone, Dialog) {
        let line = Phone::line(user, Wire::stream(stream), None);
        line.inside().tolerant = tolerance;
        dialog.hand_over(&line);
        let phone = Phone::at(line);
        let dialog = dialog.seen_by(&phone);
        (phone, dialog)
    }

    fn with_wire(user: &str, wire: Wire, shown: Option<&str>) -> Phone {
        Phone::at(Phone::line(user, wire, shown))
    }

    fn line(user: &str, wire: Wire, shown: Option<&str>) -> Arc<Line> {
        let sent_by = shown.map_or_else(|| wire.local().to_string(), String::from);
        let transport = if wire.is_stream() {
            ";transport=tcp"
        } else {
            ""
        };
        Arc::new(Line {
            user: user.to_string(),
            contact: format!("sip:{user}@{sent_by}{transport}"),
            sent_by,
            wire,
            changed: Signal::new(),
            state: Mutex::new(Inside {
                transactions: HashMap::new(),
                dialogs: HashMap::new(),
                answer: Answer::Ok,
                history: usize::MAX,
                tolerant: Tolerance::default(),
                inspect: None,
                violations: Vec::new(),
            }),
        })
    }

    /// Begins to read what comes.
    fn at(line: Arc<Line>) -> Phone {
        let receiver = line.clone();
        let task = tokio::spawn(async move { receiver.receive().await });
        Phone {
            line: line.clone(),
            _keeper: Arc::new(Keeper { line, task }),
        }
    }

    // === its nature ===

    /// Where it really is.
    pub fn local(&self) -> SocketAddr {
        self.line.wire.local()
    }

    /// Its Contact URI.
    pub fn contact(&self) -> &str {
        &self.line.contact
    }

    /// Its own address-of-record.
    pub fn aor(&self) -> String {
        format!("sip:{}@example.org", self.line.user)
    }

    /// Whether it speaks TCP.
    pub fn is_stream(&self) -> bool {
        self.line.wire.is_stream()
    }

    /// What it does with NOTIFYs from now on, in dialogs that have no answer of their own.
    pub fn answers(&self, answer: Answer) {
        self.line.inside().answer = answer;
    }

    /// Keeps only the last so many NOTIFYs of each dialog.
    pub fn keeps(&self, history: usize) {
        self.line.inside().history = history;
    }

    /// What it forgives from now on.
    pub fn tolerates(&self, tolerance: Tolerance) {
        self.line.inside().tolerant = tolerance;
    }

    /// A look of the test's own at every new NOTIFY.
    pub fn inspects(&self, inspect: Inspect) {
        self.line.inside().inspect = Some(inspect);
    }

    /// What it found wrong so far; afterwards it has forgotten it.
    pub fn violations(&self) -> Vec<String> {
        std::mem::take(&mut self.line.inside().violations)
    }

    /// Writes down something that is wrong.
    pub fn accuse(&self, violation: String) {
        self.line.inside().violations.push(violation);
    }

    // === requests ===

    /// A request outside any dialog, with all that RFC 3261 8.1.1 asks for and a fresh branch,
    /// Call-ID and From-tag. Tests bend it as they like before sending.
    pub fn request(&self, method: &str, uri: &str) -> Message {
        Message::request(method, uri)
            .with("Via", self.via())
            .with("Max-Forwards", "70")
            .with(
                "From",
                format!(
                    "\"{0}, the phone\" <{1}>;tag={2}",
                    self.line.user,
                    self.aor(),
                    token()
                ),
            )
            .with("To", format!("<{uri}>"))
            .with("Call-ID", format!("{}@{}", token(), self.line.user))
            .with("CSeq", format!("1 {method}"))
            .with("Contact", format!("<{}>", self.line.contact))
            .with("User-Agent", "strict phone/1.0")
    }

    /// A Via value with a fresh branch.
    pub fn via(&self) -> String {
        let transport = if self.is_stream() { "TCP" } else { "UDP" };
        format!(
            "SIP/2.0/{transport} {};rport;branch=z9hG4bK{}",
            self.line.sent_by,
            token()
        )
    }

    /// Sends bytes that need not be a message at all.
    pub async fn raw(&self, bytes: &[u8], to: SocketAddr) {
        self.line.wire.send(bytes, to).await;
    }

    /// Sends a request and waits for its final answer; over UDP it is retransmitted (RFC 3261
    /// 17.1.2.2, timer E), each time to the next of the addresses in `to`.
    ///
    /// # Errors
    /// When no final answer came in time.
    pub async fn try_send(
        &self,
        request: &Message,
        to: &[SocketAddr],
        patience: Duration,
    ) -> Result<Message, String> {
        let mut answers = self.open(request);
        let bytes = request.encode();
        let end = Instant::now() + patience;
        let (mut wait, mut next) = (T1, 0);
        loop {
            if next == 0 || !self.is_stream() {
                self.line.wire.send(&bytes, to[next % to.len()]).await;
                next += 1;
            }
            let until = (Instant::now() + wait).min(end);
            while let Ok(Some((_, response))) = timeout_at(until, answers.recv()).await {
                if response.status().is_some_and(|status| status >= 200) {
                    return Ok(response);
                }
            }
            if Instant::now() >= end {
                return Err(format!("no answer within {patience:?} to\n{request}"));
            }
            wait = (wait * 2).min(T2);
        }
    }

    /// Like [`Phone::try_send`], to one server, and an answer must come.
    ///
    /// # Panics
    /// When none comes.
    pub async fn send(&self, request: &Message, to: SocketAddr) -> Message {
        match self.try_send(request, &[to], PATIENCE).await {
            Ok(response) => response,
            Err(fault) => panic!("{fault}"),
        }
    }

    /// Sends the very same bytes to every one of these servers at once, retransmits to those that
    /// do not answer, and returns the final answer of each, in order. That retransmissions are
    /// answered alike is checked as the answers come in.
    ///
    /// # Errors
    /// When a server has not answered in time.
    pub async fn spray(
        &self,
        request: &Message,
        to: &[SocketAddr],
    ) -> Result<Vec<Message>, String> {
        let mut answers = self.open(request);
        let bytes = request.encode();
        let mut found: Vec<Option<Message>> = vec![None; to.len()];
        let end = Instant::now() + PATIENCE;
        let mut wait = T1;
        while found.iter().any(Option::is_none) {
            for (index, server) in to.iter().enumerate() {
                if found[index].is_none() {
                    self.line.wire.send(&bytes, *server).await;
                }
            }
            let until = (Instant::now() + wait).min(end);
            while found.iter().any(Option::is_none) {
                let Ok(Some((from, response))) = timeout_at(until, answers.recv()).await else {
                    break;
                };
                if let Some(index) = to.iter().position(|server| *server == from)
                    && response.status().is_some_and(|status| status >= 200)
                {
                    found[index] = Some(response);
                }
            }
            if Instant::now() >= end {
                return Err(format!(
                    "not every server of {to:?} answered within {PATIENCE:?}:\n{request}"
                ));
            }
            wait = (wait * 2).min(T2);
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn open(&self, request: &Message) -> mpsc::UnboundedReceiver<(SocketAddr, Message)> {
        let (waiting, answers) = mpsc::unbounded_channel();
        let branch = request.branch().unwrap_or_default().to_string();
        let transaction = Transaction {
            request: request.clone(),
            responses: Vec::new(),
            waiting,
        };
        self.line.inside().transactions.insert(branch, transaction);
        answers
    }

    /// Waits until `ready` has something to show, looking again whenever anything arrives.
    async fn wait<T>(
        &self,
        patience: Duration,
        mut ready: impl FnMut(&mut Inside) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + patience;
        loop {
            let changed = self.line.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = ready(&mut self.line.inside()) {
                return Some(found);
            }
            if timeout_at(end, changed).await.is_err() {
                return ready(&mut self.line.inside());
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
        let mut violations = std::mem::take(&mut self.line.inside().violations);
        if self.line.inside().tolerant.raw {
            violations.clear();
        }
        if std::thread::panicking() {
            for violation in violations.iter().take(5) {
                eprintln!(
                    "---- the phone of {} found ----\n{violation}",
                    self.line.user
                );
            }
        } else {
            let shown: Vec<String> = violations.iter().take(5).cloned().collect();
            assert!(
                violations.is_empty(),
                "the phone of {} found {} faults:\n{}",
                self.line.user,
                violations.len(),
                shown.join("\n----\n")
            );
        }
    }
}

// === what arrives ===

impl Line {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(&self) {
        while let Some((bytes, from)) = self.wire.receive().await {
            match bytes {
                Ok(bytes) => {
                    if let Some((answer, to)) = self.arrived(&bytes, from) {
                        self.wire.send(&answer, to).await;
                    }
                }
                Err(fault) => self.inside().violations.push(fault),
            }
            self.changed.notify_waiters();
        }
    }

    fn arrived(&self, bytes: &[u8], from: SocketAddr) -> Option<(Vec<u8>, SocketAddr)> {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return None;
        }
        let message = match message::parse(bytes) {
            Ok(message) => message,
            Err(fault) => {
                let text = format!(
                    "{fault} in a message from {from}:\n{}",
                    String::from_utf8_lossy(bytes)
                );
                self.inside().violations.push(text);
                return None;
            }
        };
        if message.status().is_some() {
            self.answered(message, from);
            return None;
        }
        let (status, headers) = match message.method() {
            "NOTIFY" => self.notified(&message, from)?,
            "OPTIONS" => (200, vec![]),
            other => {
                self.inside()
                    .violations
                    .push(format!("a request {other} came:\n{message}"));
                (405, vec![])
            }
        };
        let answer = response(&message, status, &headers, from);
        Some((answer.encode(), self.return_address(&message, from)))
    }

    fn answered(&self, response: Message, from: SocketAddr) {
        let mut inside = self.inside();
        let answers_may_differ = inside.tolerant.answers;
        let mut faults = Vec::new();
        match inside
            .transactions
            .get_mut(response.branch().unwrap_or_default())
        {
            None => faults.push(format!("an answer to nothing:\n{response}")),
            Some(transaction) => {
                faults.extend(check::response(
                    &transaction.request,
                    &response,
                    from,
                    &self.wire,
                ));
                if let Some(first) = transaction.responses.first()
                    && !answers_may_differ
                {
                    faults.extend(check::same_answer(first, &response));
                }
                transaction.responses.push(response.clone());
                let _ = transaction.waiting.send((from, response));
            }
        }
        inside.violations.append(&mut faults);
    }

    fn notified(
        &self,
        message: &Message,
        from: SocketAddr,
    ) -> Option<(u16, Vec<(String, String)>)> {
        let mut inside = self.inside();
        let inside = &mut *inside;
        let call_id = message.header("Call-ID").unwrap_or_default();
        let Some(track) = inside.dialogs.get_mut(call_id) else {
            if !inside.tolerant.strays {
                inside
                    .violations
                    .push(format!("a NOTIFY for a dialog that never was:\n{message}"));
            }
            return Some((481, vec![]));
        };
        let arrival = track.arrived(message, from, inside.tolerant, inside.history);
        inside.violations.extend(arrival.faults);
        if let (Some(inspect), Some(notify)) = (&inside.inspect, &arrival.new)
            && let Err(fault) = inspect(call_id, notify)
        {
            inside.violations.push(format!("{fault}\n{message}"));
        }
        let answer = track
            .answer
            .clone()
            .unwrap_or_else(|| inside.answer.clone());
        match answer {
            Answer::Ok => Some((200, vec![])),
            Answer::Status(status, headers) => Some((status, headers)),
            Answer::Silent => None,
            Answer::Lossy(share) => (rand::random::<f64>() >= share).then_some((200, vec![])),
            Answer::AfterCopies(count) => (arrival.copies > count).then_some((200, vec![])),
        }
    }

    /// RFC 3261 18.2.2 and RFC 3581 4: to the source address, and to the port of the Via unless it asks
    /// for `rport`. A server whose Via is wrong does not get its answer.
    fn return_address(&self, request: &Message, from: SocketAddr) -> SocketAddr {
        let via = request.header("Via").unwrap_or_default();
        if self.wire.is_stream() || has_param(via, "rport") {
            return from;
        }
        let sent_by = via
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        let port = sent_by
            .rsplit_once(':')
            .and_then(|(host, port)| (!host.ends_with(':')).then_some(port));
        SocketAddr::new(
            from.ip(),
            port.and_then(|port| port.parse().ok()).unwrap_or(5060),
        )
    }
}

fn response(
    request: &Message,
    status: u16,
    headers: &[(String, String)],
    from: SocketAddr,
) -> Message {
    let mut answer = Message {
        start: format!("SIP/2.0 {status} From a phone"),
        headers: vec![],
        body: vec![],
    };
    for (index, via) in request.all("Via").enumerate() {
        let mut via = via.to_string();
        if index == 0 {
            via = via.replace(";rport;", &format!(";rport={};", from.port()));
            if let Some(bare) = via.strip_suffix(";rport") {
                via = format!("{bare};rport={}", from.port());
            }
            via.push_str(&format!(";received={}", from.ip()));
        }
        answer = answer.with("Via", via);
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let mut value = request.header(name).unwrap_or_default().to_string();
        if name == "To" && param(&value, "tag").is_none() {
            value.push_str(";tag=phone");
        }
        answer = answer.with(name, value);
    }
    for (name, value) in headers {
        answer = answer.with(name, value.clone());
    }
    answer
}

/// A random token.
pub fn token() -> String {
    format!("{:016x}", rand::random::<u64>())
}
