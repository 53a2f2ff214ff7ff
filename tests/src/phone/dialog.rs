//! The watching side of a phone: one subscription dialog (RFC 6665), and every NOTIFY in it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Line, PATIENCE, Phone, State, SubscriptionState, Tolerance};
use crate::document::{self, Document};
use crate::message::{Message, addr, param, split_list};
use crate::pidf::{self, Presence};

/// PIDF as it was called before RFC 3863.
const FORMER_PIDF: &str = "application/cpim-pidf+xml";

/// One NOTIFY, however many copies of it came.
#[derive(Clone, Debug)]
pub struct Notify {
    /// When the first copy came.
    pub at: Instant,
    /// From where.
    pub from: SocketAddr,
    /// Its number.
    pub cseq: u32,
    /// Its Subscription-State.
    pub state: SubscriptionState,
    /// Its document, when it had one of the package `presence`.
    pub presence: Option<Presence>,
    /// The number of its document, in packages that number them.
    pub version: Option<u32>,
    /// All of it.
    pub message: Message,
}

impl Notify {
    /// The note of the first tuple.
    pub fn note(&self) -> Option<&str> {
        self.presence.as_ref().and_then(Presence::note)
    }

    /// The lamp: open or closed.
    pub fn basic(&self) -> &str {
        self.presence.as_ref().map_or("closed", Presence::basic)
    }

    /// Its body as text; empty without one.
    pub fn body(&self) -> &str {
        std::str::from_utf8(&self.message.body).unwrap_or_default()
    }

    /// Whether it ends the subscription.
    pub fn ends(&self) -> bool {
        self.state.state == State::Terminated
    }
}

/// A handle of a subscription; the phone keeps it up to date.
#[derive(Clone)]
pub struct Dialog {
    phone: Phone,
    call_id: String,
}

/// What the phone knows of a dialog.
pub(super) struct Track {
    presentity: String,
    event: String,
    local: String,
    local_tag: String,
    remote_tag: Option<String>,
    remote_target: String,
    routes: Vec<String>,
    contact: String,
    /// The phone knows PIDF under the name that it had before RFC 3863, and no other.
    knows_former_pidf: bool,
    cseq: u32,
    granted_s: u32,
    /// What the answer before granted: a NOTIFY from before the last answer may come after it.
    granted_before_s: u32,
    confirmed: bool,
    pub(super) answer: Option<Answer>,
    notifies: VecDeque<Notify>,
    seen: u64,
    last_branch: String,
    copies: u32,
}

pub(super) struct Arrival {
    pub(super) new: Option<Notify>,
    pub(super) copies: u32,
    pub(super) faults: Vec<String>,
}

// === subscribing ===

impl Phone {
    /// A SUBSCRIBE that would make a dialog, to be bent or sent by [`Phone::subscribe_with`].
    pub fn subscription(&self, presentity: &str, expires_s: Option<u32>) -> Message {
        self.subscription_to(presentity, "presence", expires_s)
    }

    /// The same for any event package; `event` is the value of the header.
    pub fn subscription_to(
        &self,
        presentity: &str,
        event: &str,
        expires_s: Option<u32>,
    ) -> Message {
        let request = self
            .request("SUBSCRIBE", presentity)
            .with("Event", event)
            .with("Accept", document::media_type(event));
        match expires_s {
            Some(seconds) => request.with("Expires", seconds.to_string()),
            None => request,
        }
    }

    /// Subscribes, and must be accepted.
    ///
    /// # Panics
    /// When it is not.
    pub async fn subscribe(&self, server: SocketAddr, presentity: &str, expires_s: u32) -> Dialog {
        self.subscribe_to(server, presentity, "presence", expires_s)
            .await
    }

    /// Subscribes to any event package, and must be accepted.
    ///
    /// # Panics
    /// When it is not.
    pub async fn subscribe_to(
        &self,
        server: SocketAddr,
        presentity: &str,
        event: &str,
        expires_s: u32,
    ) -> Dialog {
        let request = self.subscription_to(presentity, event, Some(expires_s));
        let (dialog, response) = self.subscribe_with(&request, server).await;
        assert_eq!(response.status(), Some(200), "{response}");
        dialog
    }

    /// Sends a SUBSCRIBE that may make a dialog.
    pub async fn subscribe_with(&self, request: &Message, server: SocketAddr) -> (Dialog, Message) {
        let dialog = self.expect_dialog(request);
        let response = self.send(request, server).await;
        dialog.learn(&response);
        (dialog, response)
    }

    /// Prepares for the NOTIFYs that a SUBSCRIBE will bring: they may come before its answer.
    pub fn expect_dialog(&self, request: &Message) -> Dialog {
        let call_id = request.header("Call-ID").unwrap_or_default().to_string();
        let track = Track {
            presentity: request.uri().to_string(),
            event: request.header("Event").unwrap_or_default().to_string(),
            local: addr(request.header("From").unwrap_or_default()).to_string(),
            local_tag: request.tag("From").unwrap_or_default().to_string(),
            remote_tag: None,
            remote_target: request.uri().to_string(),
            routes: Vec::new(),
            contact: addr(request.header("Contact").unwrap_or_default()).to_string(),
            knows_former_pidf: request.header("Accept") == Some(FORMER_PIDF),
            cseq: request.cseq().unwrap_or_default(),
            granted_s: 0,
            granted_before_s: 0,
            confirmed: false,
            answer: None,
            notifies: VecDeque::new(),
            seen: 0,
            last_branch: String::new(),
            copies: 0,
        };
        self.line.inside().dialogs.insert(call_id.clone(), track);
        Dialog {
            phone: self.clone(),
            call_id,
        }
    }
}

impl Phone {
    /// Goes on with a dialog of another phone, at this one's place: a phone that has lost its connection
    /// and made a new one. The next request tells the server the new Contact.
    ///
    /// # Panics
    /// When the other phone does not know the dialog.
    pub fn adopt(&self, dialog: &Dialog) -> Dialog {
        dialog.hand_over(&self.line);
        dialog.seen_by(self)
    }
}

// === impl Dialog ===

impl Dialog {
    /// The phone that it belongs to.
    pub fn phone(&self) -> Phone {
        self.phone.clone()
    }

    /// Its Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Lets another phone have all that this one knows of it. Who is at the address of its Contact keeps that.
    pub(super) fn hand_over(&self, line: &Line) {
        let known = self.phone.line.inside().dialogs.remove(&self.call_id);
        let mut track = known.expect("a dialog of the other phone");
        if !track.contact.contains(&line.sent_by) {
            track.contact.clone_from(&line.contact);
        }
        line.inside().dialogs.insert(self.call_id.clone(), track);
    }

    /// The handle of a phone that was handed it.
    pub(super) fn seen_by(&self, phone: &Phone) -> Dialog {
        Dialog {
            phone: phone.clone(),
            call_id: self.call_id.clone(),
        }
    }

    /// Takes what a 2xx to SUBSCRIBE says.
    pub fn learn(&self, response: &Message) {
        if !response
            .status()
            .is_some_and(|status| (200..300).contains(&status))
        {
            return;
        }
        let fault = self.track(|track| {
            let tag = response.tag("To").map(String::from);
            let other = track.remote_tag.is_some() && track.remote_tag != tag;
            track.remote_tag = tag;
            track.remote_target = addr(response.header("Contact").unwrap_or_default()).to_string();
            if !track.confirmed {
                track.routes = response.all("Record-Route").flat_map(split_list).collect();
                track.routes.reverse();
            }
            track.confirmed = true;
            let granted = response
                .header("Expires")
                .and_then(|value| value.parse().ok())
                .unwrap_or_default();
            track.granted_before_s = track.granted_s;
            track.granted_s = granted;
            other.then(|| {
                format!("the To-tag of the answer is not the From-tag of the NOTIFY:\n{response}")
            })
        });
        if let Some(fault) = fault {
            self.phone.accuse(fault);
        }
    }

    /// The next request in this dialog.
    pub fn request(&self, method: &str) -> Message {
        self.track(|track| {
            track.cseq += 1;
            let remote = match &track.remote_tag {
                Some(tag) => format!("<{}>;tag={tag}", track.presentity),
                None => format!("<{}>", track.presentity),
            };
            let mut request = self
                .phone
                .request(method, &track.remote_target)
                .set("From", format!("<{}>;tag={}", track.local, track.local_tag))
                .set("To", remote)
                .set("Call-ID", self.call_id.clone())
                .set("CSeq", format!("{} {method}", track.cseq))
                .set("Contact", format!("<{}>", track.contact))
                .with("Event", track.event.clone())
                .with("Accept", document::media_type(&track.event));
            for route in &track.routes {
                request = request.with("Route", route.clone());
            }
            request
        })
    }

    /// Refreshes; 0 unsubscribes.
    pub async fn refresh(&self, server: SocketAddr, expires_s: u32) -> Message {
        let request = self
            .request("SUBSCRIBE")
            .with("Expires", expires_s.to_string());
        let response = self.phone.send(&request, server).await;
        self.learn(&response);
        response
    }

    /// Unsubscribes and waits for the last NOTIFY.
    pub async fn unsubscribe(&self, server: SocketAddr) -> Notify {
        let response = self.refresh(server, 0).await;
        assert_eq!(response.status(), Some(200), "{response}");
        self.until("the last NOTIFY", Notify::ends).await
    }

    /// What this dialog does with NOTIFYs from now on.
    pub fn answers(&self, answer: Answer) {
        self.track(|track| track.answer = Some(answer));
    }

    /// All NOTIFYs kept so far.
    pub fn notifies(&self) -> Vec<Notify> {
        self.track(|track| track.notifies.iter().cloned().collect())
    }

    /// The newest NOTIFY.
    pub fn last(&self) -> Option<Notify> {
        self.track(|track| track.notifies.back().cloned())
    }

    /// How many different NOTIFYs came.
    pub fn count(&self) -> u64 {
        self.track(|track| track.seen)
    }

    /// The To-tag that the server gave.
    pub fn remote_tag(&self) -> Option<String> {
        self.track(|track| track.remote_tag.clone())
    }

    /// Waits until the newest NOTIFY is as wanted.
    ///
    /// # Panics
    /// When it is not within [`PATIENCE`].
    pub async fn until(&self, what: &str, wanted: impl Fn(&Notify) -> bool) -> Notify {
        self.until_within(PATIENCE, what, wanted).await
    }

    /// Waits so long until the newest NOTIFY is as wanted.
    ///
    /// # Panics
    /// When it is not.
    pub async fn until_within(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Notify) -> bool,
    ) -> Notify {
        let found = self
            .phone
            .wait(patience, |inside| {
                let last = inside.dialogs.get(&self.call_id)?.notifies.back()?;
                wanted(last).then(|| last.clone())
            })
            .await;
        found.unwrap_or_else(|| {
            panic!(
                "{what} did not come within {patience:?}; NOTIFYs so far: {}",
                self.story()
            )
        })
    }

    /// Waits for the NOTIFY number `count` (from 1), counted over the whole dialog.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`].
    pub async fn notify(&self, count: u64) -> Notify {
        let found = self
            .phone
            .wait(PATIENCE, |inside| {
                let track = inside.dialogs.get(&self.call_id)?;
                let back = usize::try_from(track.seen.checked_sub(count)?).ok()?;
                track.notifies.iter().rev().nth(back).cloned()
            })
            .await;
        found.unwrap_or_else(|| {
            panic!(
                "NOTIFY {count} did not come; NOTIFYs so far: {}",
                self.story()
            )
        })
    }

    fn story(&self) -> String {
        let all = self.notifies();
        let lines = all.iter().map(|notify| {
            format!(
                "\n  CSeq {} {:?} {}",
                notify.cseq,
                notify.state,
                notify.body()
            )
        });
        format!("{}{}", self.count(), lines.collect::<String>())
    }

    fn track<T>(&self, look: impl FnOnce(&mut Track) -> T) -> T {
        let mut inside = self.phone.line.inside();
        look(
            inside
                .dialogs
                .get_mut(&self.call_id)
                .expect("a dialog that the phone knows"),
        )
    }
}

// === impl Track ===

impl Track {
    /// Takes in one copy of a NOTIFY.
    pub(super) fn arrived(
        &mut self,
        message: &Message,
        from: SocketAddr,
        tolerant: Tolerance,
        history: usize,
    ) -> Arrival {
        let mut faults = Vec::new();
        let cseq = message.cseq().unwrap_or_default();
        let branch = message.branch().unwrap_or_default();
        if let Some(last) = self.notifies.back()
            && last.cseq == cseq
        {
            self.copies += 1;
            // A relay in between may give each copy a Via of its own; the request itself is the same.
            let same = last.message.body == message.body
                && last.message.header("Subscription-State")
                    == message.header("Subscription-State")
                && last.message.uri() == message.uri();
            let bottom = |of: &Message| of.all("Via").flat_map(split_list).last();
            if !same || bottom(&last.message) != bottom(message) {
                faults.push(format!(
                    "CSeq {cseq} for two different NOTIFYs:\n{}\nand\n{message}",
                    last.message
                ));
            }
            return Arrival {
                new: None,
                copies: self.copies,
                faults,
            };
        }
        faults.extend(self.faults(message, cseq, branch, tolerant));
        let state =
            SubscriptionState::parse(message.header("Subscription-State").unwrap_or_default());
        let state = state.unwrap_or_else(|fault| {
            faults.push(fault);
            SubscriptionState {
                state: State::Terminated,
                expires_s: None,
                reason: None,
            }
        });
        if state
            .expires_s
            .is_some_and(|left| self.confirmed && left > self.granted_s.max(self.granted_before_s))
        {
            faults.push(format!(
                "expires={:?} though {} were granted",
                state.expires_s, self.granted_s
            ));
        }
        let document = if message.body.is_empty() {
            if message.header("Content-Type").is_some() {
                faults.push("Content-Type without a body".into());
            }
            Document::default()
        } else {
            self.document(message, cseq, &mut faults)
        };
        let notify = Notify {
            at: Instant::now(),
            from,
            cseq,
            state,
            presence: document.presence,
            version: document.version,
            message: message.clone(),
        };
        let stale = self.notifies.back().is_some_and(|last| last.cseq > cseq);
        if !stale {
            self.notifies.push_back(notify.clone());
            self.last_branch = branch.to_string();
            self.copies = 1;
            self.seen += 1;
        }
        while self.notifies.len() > history.max(1) {
            self.notifies.pop_front();
        }
        let faults = faults
            .into_iter()
            .map(|fault| format!("{fault}, in the NOTIFY from {from}:\n{message}"))
            .collect();
        Arrival {
            new: Some(notify),
            copies: 1,
            faults,
        }
    }

    /// A document, and whether its number is the next one (RFC 4235 section 3.3, RFC 3680 section 5.1, RFC 4575 section 5.2).
    fn document(&self, message: &Message, cseq: u32, faults: &mut Vec<String>) -> Document {
        let mut named = message.clone();
        if self.knows_former_pidf && message.header("Content-Type") == Some(FORMER_PIDF) {
            named = named.set("Content-Type", pidf::TYPE);
        }
        let document = document::read(&self.presentity, &named).unwrap_or_else(|fault| {
            faults.push(fault);
            Document::default()
        });
        if let Some(version) = document.version {
            let expected = match self.notifies.back() {
                None => Some(0),
                Some(last) => last
                    .version
                    .map(|before| before + cseq.saturating_sub(last.cseq)),
            };
            if expected.is_some_and(|expected| expected != version) {
                faults.push(format!("version {version}, not {expected:?}"));
            }
        }
        document
    }

    fn faults(
        &mut self,
        message: &Message,
        cseq: u32,
        branch: &str,
        tolerant: Tolerance,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, text: String| {
            if !holds {
                faults.push(text);
            }
        };
        if let Some(last) = self.notifies.back() {
            demand(cseq > last.cseq, format!("CSeq {cseq} after {}", last.cseq));
            demand(
                tolerant.gaps || cseq <= last.cseq + 1,
                format!("CSeq {cseq} right after {}", last.cseq),
            );
            demand(!last.ends(), "a NOTIFY after the last one".into());
            demand(branch != self.last_branch, format!("branch {branch} again"));
        }
        demand(
            message
                .header("CSeq")
                .is_some_and(|value| value.ends_with(" NOTIFY")),
            format!("CSeq {:?}", message.header("CSeq")),
        );
        demand(
            branch.starts_with("z9hG4bK") && branch.len() > 12,
            format!("branch {branch:?}"),
        );
        let via_ok = message.all("Via").flat_map(split_list).all(|via| {
            via.starts_with("SIP/2.0/")
                && param(&via, "branch").is_some_and(|branch| branch.starts_with("z9hG4bK"))
        });
        demand(via_ok, "a Via is wrong".into());
        demand(
            message
                .header("Max-Forwards")
                .is_some_and(|value| value.parse::<u8>().is_ok()),
            "Max-Forwards".into(),
        );
        demand(
            message.tag("To").unwrap_or_default() == self.local_tag,
            "the To-tag is not ours".into(),
        );
        let tag = message.tag("From").map(String::from);
        demand(tag.is_some(), "no From-tag".into());
        if self.remote_tag.is_none() {
            self.remote_tag.clone_from(&tag);
        }
        demand(
            tag == self.remote_tag,
            format!("From-tag {tag:?}, not {:?}", self.remote_tag),
        );
        demand(
            addr(message.header("From").unwrap_or_default()) == self.presentity,
            "From is not the presentity".into(),
        );
        demand(
            addr(message.header("To").unwrap_or_default()) == self.local,
            "To is not the watcher".into(),
        );
        demand(
            message.uri() == self.contact,
            format!("the Request-URI is not our Contact {}", self.contact),
        );
        demand(
            message.header("Event") == Some(self.event.as_str()),
            format!("Event {:?}", message.header("Event")),
        );
        let contact = message.header("Contact").unwrap_or_default();
        demand(
            addr(contact).starts_with("sip:"),
            format!("Contact {contact:?}"),
        );
        faults
    }
}
