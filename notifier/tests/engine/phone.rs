//! Phones on loopback: one socket for all phones of a test, told apart by Call-ID. Each NOTIFY is checked as it arrives.

use crate::stage::{number, within};
use sip::{Limits, Message, Method, Reply, Request, StatusCode};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// All phones of a test.
pub(crate) struct Exchange {
    addr: SocketAddr,
    lines: Arc<Mutex<HashMap<String, Line>>>,
    faults: Arc<Mutex<Vec<String>>>,
}

/// One phone with one subscription.
pub(crate) struct Phone {
    pub(crate) call_id: String,
    addr: SocketAddr,
    received: mpsc::UnboundedReceiver<Notify>,
}

/// A NOTIFY as the phone saw it; retransmissions are answered but not reported.
#[derive(Clone, Debug)]
pub(crate) struct Notify {
    pub(crate) cseq: u32,
    /// Subscription-State.
    pub(crate) state: String,
    pub(crate) body: String,
    pub(crate) request: Request,
}

/// What a phone does with a NOTIFY.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    /// 503 with Retry-After.
    Busy {
        retry_after_s: u32,
    },
    Silence,
}

/// How CSeq must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Each by exactly one.
    ByOne,
    /// Upwards; a notifier that died may have taken numbers that it never sent.
    Rising,
}

type Policy = Box<dyn FnMut(&Notify) -> Answer + Send>;

struct Line {
    report: mpsc::UnboundedSender<Notify>,
    policy: Policy,
    counting: Counting,
    last: Option<(u32, Vec<u8>)>,
}

impl Exchange {
    pub(crate) async fn new() -> Exchange {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let exchange = Exchange {
            addr,
            lines: Arc::default(),
            faults: Arc::default(),
        };
        tokio::spawn(listen(
            socket,
            exchange.lines.clone(),
            exchange.faults.clone(),
        ));
        exchange
    }

    /// A phone that answers everything with 200.
    pub(crate) fn phone(&self) -> Phone {
        self.phone_that(|_| Answer::Status(200))
    }

    pub(crate) fn phone_that(
        &self,
        policy: impl FnMut(&Notify) -> Answer + Send + 'static,
    ) -> Phone {
        self.phone_counting(Counting::ByOne, policy)
    }

    pub(crate) fn phone_counting(
        &self,
        counting: Counting,
        policy: impl FnMut(&Notify) -> Answer + Send + 'static,
    ) -> Phone {
        let call_id = format!("call-{}@phones", number());
        let (report, received) = mpsc::unbounded_channel();
        let line = Line {
            report,
            policy: Box::new(policy),
            counting,
            last: None,
        };
        self.lines.lock().unwrap().insert(call_id.clone(), line);
        Phone {
            call_id,
            addr: self.addr,
            received,
        }
    }

    /// Gives a phone another phone's dialog: the same device at another address.
    pub(crate) fn rename(&self, call_id: &str, other: &str) -> String {
        let mut lines = self.lines.lock().unwrap();
        let line = lines.remove(call_id).unwrap();
        lines.insert(other.to_owned(), line);
        other.to_owned()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Fails the test if a NOTIFY was wrong in itself or out of order.
    pub(crate) fn assert_flawless(&self) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

impl Phone {
    pub(crate) fn contact(&self) -> String {
        format!("sip:phone@{}", self.addr)
    }

    /// The next NOTIFY, within five seconds.
    pub(crate) async fn next(&mut self) -> Notify {
        self.next_within(5).await
    }

    pub(crate) async fn next_within(&mut self, seconds: u64) -> Notify {
        within(seconds, self.received.recv())
            .await
            .expect("the exchange is open")
    }

    /// NOTIFYs up to the first one that shows this text, in order.
    pub(crate) async fn until(&mut self, text: &str, seconds: u64) -> Vec<Notify> {
        within(seconds, async {
            let mut seen = Vec::new();
            loop {
                let notify = self.received.recv().await.expect("the exchange is open");
                let done = notify.body.contains(text);
                seen.push(notify);
                if done {
                    return seen;
                }
            }
        })
        .await
    }

    /// What has arrived and was not yet looked at.
    pub(crate) fn arrived(&mut self) -> Vec<Notify> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

async fn listen(
    socket: UdpSocket,
    lines: Arc<Mutex<HashMap<String, Line>>>,
    faults: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, source) = socket.recv_from(&mut buffer).await.unwrap();
        let bytes = buffer[..length].to_vec();
        let fault = |text: String| faults.lock().unwrap().push(text);
        let request = match sip::parse_datagram(bytes.clone(), &Limits::default()) {
            Ok(Message::Request(request)) => request,
            other => {
                fault(format!("not a request: {other:?}"));
                continue;
            }
        };
        let reply = match read(&request, &bytes, &lines) {
            Ok(answer) => answered(&request, &answer, source),
            Err(text) => {
                fault(text);
                None
            }
        };
        if let Some(reply) = reply {
            socket.send_to(&reply, source).await.unwrap();
        }
    }
}

/// Checks a NOTIFY, reports it and says how to answer it.
fn read(
    request: &Request,
    bytes: &[u8],
    lines: &Mutex<HashMap<String, Line>>,
) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(bytes);
    let wrong = |what: &str| format!("{what} in:\n{text}");
    request
        .check_mandatory()
        .map_err(|error| wrong(&error.to_string()))?;
    let cseq = request
        .cseq()
        .map_err(|error| wrong(&error.to_string()))?
        .number;
    if *request.method() != Method::Notify {
        return Err(wrong("not a NOTIFY"));
    }
    let from = request.from().map_err(|error| wrong(&error.to_string()))?;
    let to = request.to().map_err(|error| wrong(&error.to_string()))?;
    if from.tag() != Some("ours") || to.tag() != Some("theirs") {
        return Err(wrong("wrong tags"));
    }
    if !matches!(request.contact(), Ok(Some(_))) || !matches!(request.max_forwards(), Ok(Some(70)))
    {
        return Err(wrong("no Contact or Max-Forwards"));
    }
    if request
        .event()
        .ok()
        .flatten()
        .is_none_or(|event| event.package != "presence")
    {
        return Err(wrong("wrong Event"));
    }
    let state = request
        .header_named("Subscription-State")
        .ok_or_else(|| wrong("no Subscription-State"))?;
    let notify = Notify {
        cseq,
        state: String::from_utf8_lossy(state).into_owned(),
        body: String::from_utf8_lossy(request.body()).into_owned(),
        request: request.clone(),
    };
    let call_id = request
        .call_id()
        .map_err(|error| wrong(&error.to_string()))?;
    let mut lines = lines.lock().unwrap();
    let line = lines
        .get_mut(call_id)
        .ok_or_else(|| wrong("unknown dialog"))?;
    match &line.last {
        Some((last, earlier)) if cseq == *last => {
            if earlier != bytes {
                return Err(wrong("this CSeq was used for another NOTIFY"));
            }
        }
        Some((last, _)) if cseq < *last => return Err(wrong(&format!("CSeq fell from {last}"))),
        Some((last, _)) if line.counting == Counting::ByOne && cseq != last + 1 => {
            return Err(wrong(&format!("CSeq jumped from {last}")));
        }
        _ => {
            line.last = Some((cseq, bytes.to_vec()));
            // The test may have dropped this phone.
            let _ = line.report.send(notify.clone());
        }
    }
    Ok((line.policy)(&notify))
}

fn answered(request: &Request, answer: &Answer, source: SocketAddr) -> Option<Vec<u8>> {
    let (status, retry_after_s) = match answer {
        Answer::Status(status) => (*status, None),
        Answer::Busy { retry_after_s } => (503, Some(*retry_after_s)),
        Answer::Silence => return None,
    };
    let mut reply = Reply::new(request, StatusCode::new(status).unwrap());
    if let Some(retry_after_s) = retry_after_s {
        reply = reply.header("Retry-After", &retry_after_s.to_string());
    }
    Some(reply.encode(source))
}
