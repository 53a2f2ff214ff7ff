//! A small presence server in a thread, that does right or one thing wrong. It keeps everything in memory, retransmits
//! nothing and expires nothing.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sip::{HeaderName, Limits, Message, Method, Reply, Request, StatusCode, parse_datagram};

/// What the server does wrong, or at least unusually.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing.
    Honest,
    /// Two NOTIFYs with one CSeq.
    ReusesCseq,
    /// Leaves a number out.
    SkipsCseq,
    /// Sends n+1 before n.
    Overtakes,
    /// Loses a NOTIFY on its way, and sends it when a second has passed.
    SendsLate,
    /// Shows the first state again.
    GoesBack,
    /// Keeps the last state to itself.
    DropsLast,
    /// Shows somebody else's state.
    MixesUp,
    /// Accepts subscriptions and never notifies.
    NeverNotifies,
    /// Makes a dialog and notifies in it, then answers with another one.
    DoublesDialog,
    /// Notifies, and answers 503 all the same; the next try makes another dialog. No fault, but told.
    RefusesButDoes,
    /// Answers no PUBLISH.
    IsDeaf,
    /// Answers each PUBLISH 403.
    Refuses,
    /// Sends every NOTIFY two times: no fault.
    SaysTwice,
    /// Sends the first NOTIFY before the 200: no fault.
    NotifiesFirst,
    /// Knows no entity-tag the first time: no fault.
    ForgetsOnce,
    /// Finds the first lifetime too brief: no fault.
    WantsLonger,
    /// Is too busy at first: no fault.
    IsBusyOnce,
    /// Knows no dialog the first time: no fault.
    LosesDialogOnce,
    /// Answers nothing the first time: no fault, but a retransmission.
    MissesOnce,
}

/// The running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(habit: Habit) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut state = State {
            socket,
            address,
            habit,
            bodies: HashMap::new(),
            first: HashMap::new(),
            dialogs: HashMap::new(),
            serial: 0,
            once: HashMap::new(),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = state.socket.recv_from(&mut buffer)
                    && let Ok(Message::Request(request)) =
                        parse_datagram(buffer[..length].to_vec(), &Limits::default())
                {
                    request.check_mandatory().unwrap();
                    state.take(&request, from);
                }
                state.send_late();
            }
        });
        Server {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().expect("the server found no fault in us");
        }
    }
}

struct Dialog {
    presentity: String,
    call_id: String,
    watcher: String,
    contact: String,
    to: SocketAddr,
    cseq: u32,
    notified: u32,
    /// As in From and To.
    tag: &'static str,
    held_back: Option<(Instant, String)>,
}

struct State {
    socket: UdpSocket,
    address: SocketAddr,
    habit: Habit,
    /// By presentity: entity-tag and body.
    bodies: HashMap<String, (String, Vec<u8>)>,
    /// By presentity: the first body.
    first: HashMap<String, Vec<u8>>,
    dialogs: HashMap<String, Dialog>,
    serial: u32,
    once: HashMap<String, u32>,
}

impl State {
    fn take(&mut self, request: &Request, from: SocketAddr) {
        match request.method() {
            Method::Publish => self.publish(request, from),
            Method::Subscribe => self.subscribe(request, from),
            other => panic!("{other:?}"),
        }
    }

    /// Sends what was held back for a second and more.
    fn send_late(&mut self) {
        for dialog in self.dialogs.values_mut() {
            let is_due =
                |held: &mut (Instant, String)| held.0.elapsed() > Duration::from_millis(1300);
            if let Some((_, text)) = dialog.held_back.take_if(is_due) {
                self.socket.send_to(text.as_bytes(), dialog.to).unwrap();
            }
        }
    }

    /// Whether this is the first time for the sender and the habit.
    fn is_first(&mut self, request: &Request) -> bool {
        let call_id = request.call_id().unwrap().to_owned();
        let count = self.once.entry(call_id).or_default();
        *count += 1;
        *count == 1
    }

    fn reply(&self, request: &Request, from: SocketAddr, status: u16, headers: &[(&str, &str)]) {
        let mut reply = Reply::new(request, StatusCode::new(status).unwrap()).to_tag("theirs");
        for (name, value) in headers {
            reply = reply.header(name, value);
        }
        self.socket.send_to(&reply.encode(from), from).unwrap();
    }

    fn publish(&mut self, request: &Request, from: SocketAddr) {
        let presentity = request.uri().to_owned();
        let tag = request.header_str(HeaderName::SipIfMatch);
        let habit = self.habit;
        match habit {
            Habit::IsDeaf => return,
            Habit::MissesOnce if self.is_first(request) => return,
            Habit::Refuses => return self.reply(request, from, 403, &[]),
            Habit::IsBusyOnce if self.is_first(request) => {
                return self.reply(request, from, 503, &[("Retry-After", "1")]);
            }
            Habit::WantsLonger
                if request.expires().unwrap() < Some(7200)
                    && request.expires().unwrap() > Some(0) =>
            {
                return self.reply(request, from, 423, &[("Min-Expires", "7200")]);
            }
            Habit::ForgetsOnce if tag.is_some() && self.is_first(request) => {
                return self.reply(request, from, 412, &[]);
            }
            _ => {}
        }
        let stored = self.bodies.get(&presentity);
        if let Some(tag) = tag
            && stored.is_none_or(|(stored, _)| stored != tag)
        {
            return self.reply(request, from, 412, &[]);
        }
        self.serial += 1;
        let new_tag = format!("tag{}", self.serial);
        let old = stored.map(|(_, body)| body.clone()).unwrap_or_default();
        let is_removal = request.expires().unwrap() == Some(0);
        let is_refresh = request.body().is_empty() && !is_removal;
        let body = if is_refresh {
            old.clone()
        } else {
            request.body().to_vec()
        };
        if is_removal {
            self.bodies.remove(&presentity);
        } else {
            self.bodies
                .insert(presentity.clone(), (new_tag.clone(), body));
        }
        self.reply(
            request,
            from,
            200,
            &[("SIP-ETag", &new_tag), ("Expires", "3600")],
        );
        if is_refresh {
            return;
        }
        if !old.is_empty() {
            self.first.entry(presentity.clone()).or_insert(old);
        }
        let mut watching: Vec<String> = self
            .dialogs
            .values()
            .filter(|dialog| dialog.presentity == presentity)
            .map(|dialog| dialog.call_id.clone())
            .collect();
        watching.sort();
        for call_id in watching {
            self.notify(&call_id, "active");
        }
    }

    fn subscribe(&mut self, request: &Request, from: SocketAddr) {
        let call_id = request.call_id().unwrap().to_owned();
        let is_in_dialog = request.to().unwrap().tag().is_some();
        let is_end = request.expires().unwrap() == Some(0);
        if is_in_dialog {
            let is_lost = self.habit == Habit::LosesDialogOnce
                && self.dialogs.remove(&call_id).is_some()
                && !is_end;
            if is_lost || !self.dialogs.contains_key(&call_id) {
                return self.reply(request, from, 481, &[]);
            }
            assert_eq!(
                request.uri(),
                format!("sip:{}", self.address),
                "the remote target"
            );
        } else {
            let dialog = Dialog {
                presentity: request.uri().to_owned(),
                call_id: call_id.clone(),
                watcher: request.from().unwrap().raw,
                contact: request.contact().unwrap().unwrap().uri.to_string(),
                to: from,
                cseq: 0,
                notified: 0,
                tag: "theirs",
                held_back: None,
            };
            assert_eq!(dialog.contact.rsplit('@').next().unwrap(), from.to_string());
            self.dialogs.insert(call_id.clone(), dialog);
        }
        let contact = format!("<sip:{}>", self.address);
        let headers = [("Expires", "3600"), ("Contact", contact.as_str())];
        if self.habit == Habit::RefusesButDoes && !is_in_dialog && self.is_first(request) {
            self.notify(&call_id, "active");
            self.dialogs.remove(&call_id);
            self.reply(request, from, 503, &[("Retry-After", "1")]);
            return;
        }
        if matches!(self.habit, Habit::DoublesDialog | Habit::RefusesButDoes) && !is_in_dialog {
            if self.habit == Habit::DoublesDialog {
                self.notify(&call_id, "active");
            }
            self.dialogs.get_mut(&call_id).unwrap().tag = "another";
            let ok = Reply::new(request, StatusCode::OK).to_tag("another");
            let ok = ok.header("Contact", &contact).encode(from);
            self.socket.send_to(&ok, from).unwrap();
            if self.habit == Habit::RefusesButDoes {
                self.notify(&call_id, "active");
            }
        } else if self.habit == Habit::NotifiesFirst {
            self.notify(&call_id, "active");
            self.reply(request, from, 200, &headers);
        } else {
            self.reply(request, from, 200, &headers);
            self.notify(&call_id, if is_end { "terminated" } else { "active" });
        }
        if is_end {
            self.dialogs.remove(&call_id);
        }
    }

    fn notify(&mut self, call_id: &str, state: &str) {
        let Some(dialog) = self.dialogs.get_mut(call_id) else {
            return;
        };
        dialog.cseq += 1;
        dialog.notified += 1;
        // From the fourth NOTIFY on there is something to get wrong.
        let is_wrong = dialog.notified == 4;
        let mut body = self
            .bodies
            .get(&dialog.presentity)
            .map(|(_, body)| body.clone())
            .unwrap_or_default();
        match self.habit {
            Habit::NeverNotifies => return,
            // The first NOTIFY and some others pass; the last ones do not.
            Habit::DropsLast if dialog.notified > 4 => return,
            Habit::ReusesCseq if is_wrong => dialog.cseq -= 1,
            Habit::SkipsCseq if is_wrong => dialog.cseq += 1,
            Habit::GoesBack if is_wrong => body = self.first[&dialog.presentity].clone(),
            Habit::MixesUp if is_wrong => {
                // The other presentity's mark: `pgl-RUN-PRESENTITY-...`.
                let text = String::from_utf8(body).unwrap();
                let mark = text
                    .split("pgl-")
                    .nth(1)
                    .unwrap()
                    .get(..13)
                    .unwrap()
                    .to_owned();
                let other = format!("{}900000", &mark[..7]);
                body = text.replace(&mark, &other).into_bytes();
            }
            _ => {}
        }
        self.serial += 1;
        let content_type = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/pidf+xml\r\n"
        };
        let text = format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKs{}\r\nMax-Forwards: 70\r\nFrom: <{}>;tag={}\r\n\
             To: {}\r\nCall-ID: {call_id}\r\nCSeq: {} NOTIFY\r\nContact: <sip:{}>\r\nEvent: presence\r\n\
             Subscription-State: {state};expires=3600\r\n{content_type}Content-Length: {}\r\n\r\n{}",
            dialog.contact,
            self.address,
            self.serial,
            dialog.presentity,
            dialog.tag,
            dialog.watcher,
            dialog.cseq,
            self.address,
            body.len(),
            String::from_utf8(body).unwrap()
        );
        if matches!(self.habit, Habit::Overtakes | Habit::SendsLate) && is_wrong {
            dialog.held_back = Some((Instant::now(), text));
            return;
        }
        self.socket.send_to(text.as_bytes(), dialog.to).unwrap();
        if self.habit == Habit::Overtakes
            && let Some((_, earlier)) = dialog.held_back.take()
        {
            self.socket.send_to(earlier.as_bytes(), dialog.to).unwrap();
        }
        if self.habit == Habit::SaysTwice {
            self.socket.send_to(text.as_bytes(), dialog.to).unwrap();
        }
    }
}
