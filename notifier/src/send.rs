//! From a taken dialog to a request on its way to the next hop.
//!
//! The request is built by RFC 3261 section 12.2.1.1 from what the dialog's row says; the next hop is found by RFC 3263.
//! Nothing leaves from here: requests go back to the engine in batches, which sends those whose lease still holds. A dialog
//! whose next hop needs a DNS answer or a connection waits for it alone; the rest of its batch doesn't.

use crate::dialog_status::status;
use crate::direct::{self, FlowDigest, GoneFlows};
use crate::failure::{Ending, Standing};
use crate::ledger::NotifyKey;
use crate::render::{Rendered, body_of};
use events::Document;
use events::notification::{SubscriptionStatus, event_value, subscription_state};
use futures_util::StreamExt as _;
use futures_util::future::poll_immediate;
use futures_util::stream::FuturesUnordered;
use net::{Client, ClientRequest, Hop, Resolver, Target, Unreachable};
use sip::dialog::DialogView;
use sip::{Method, Transport, Uri};
use sql::{Resource, TakenDialog};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Names a NOTIFY on its way and what must be known to judge its end. The key of the client transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notify {
    pub(crate) key: NotifyKey,
    pub(crate) standing: Standing,
    /// The flow that it goes down, if the phone can be reached without it should it be gone ([`direct`]).
    pub(crate) flow: Option<FlowDigest>,
}

/// A taken dialog as the engine hands it over.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) notify: Notify,
    pub(crate) dialog: TakenDialog,
    pub(crate) resource: Arc<Resource>,
}

/// A NOTIFY ready to leave, or the reason why it never will.
pub(crate) type Prepared = (Notify, Result<ClientRequest<Notify>, Ending>);

/// What building requests needs; one per engine.
pub(crate) struct Sender {
    client: Client<Notify>,
    resolver: Resolver,
    gone: GoneFlows,
    /// Addresses whose refusal the log has.
    refused: Mutex<HashSet<IpAddr>>,
    prepared: mpsc::UnboundedSender<Vec<Prepared>>,
}

/// How a request gets to a phone.
struct Path {
    route_set: Vec<String>,
    hop: Hop,
    /// Whether a NOTIFY that is too long for a datagram may go by TCP, although this leads by UDP.
    may_go_by_tcp: bool,
}

/// How many requests are handed to the engine at once: enough for sendmmsg to pay, few enough not to delay the first.
const BATCH: usize = 64;

/// Refused addresses of which the log gets a line. Phones choose them: the log is not theirs to fill.
const MAX_TOLD: usize = 256;

/// RFC 3261 section 8.1.1.6.
const MAX_FORWARDS: &str = "70";

// === impl Sender ===

impl Sender {
    pub(crate) fn new(
        client: Client<Notify>,
        resolver: Resolver,
        prepared: mpsc::UnboundedSender<Vec<Prepared>>,
    ) -> Sender {
        Sender {
            client,
            resolver,
            gone: GoneFlows::default(),
            refused: Mutex::default(),
            prepared,
        }
    }

    /// The flow of this dialog is gone, and its phone can be reached without it: from now on its NOTIFYs go there.
    pub(crate) fn flow_is_gone(&self, dialog: i64, flow: FlowDigest) {
        self.gone.note(dialog, flow);
    }

    /// What the end of a NOTIFY says about its phone: where it went to the Contact in place of a UDP flow, silence says nothing.
    pub(crate) fn judge(&self, dialog: i64, ending: Ending) -> Ending {
        match ending {
            Ending::TimedOut if self.gone.was_in_vain(dialog) => Ending::Unreachable,
            ending => ending,
        }
    }

    /// Builds the requests of one take and hands them to the engine; ends when the last one is handed over.
    ///
    /// Memory is bounded by the engine, which takes no more dialogs than it has permits for.
    pub(crate) async fn prepare(&self, drafts: Vec<Draft>, rendered: Rendered) {
        let mut slow = FuturesUnordered::new();
        let mut ready = Vec::with_capacity(BATCH);
        for draft in drafts {
            let (resource, dialog) = (&draft.resource, &draft.dialog);
            if is_first_of_nothing(resource, dialog, &rendered) {
                ready.push((draft.notify, Err(Ending::Skipped)));
                continue;
            }
            let document = rendered.document(resource, dialog);
            let mut request = Box::pin(self.request(draft, document));
            // A numeric next hop over UDP is ready at the first poll.
            match poll_immediate(&mut request).await {
                Some(prepared) => ready.push(prepared),
                None => slow.push(request),
            }
            if ready.len() >= BATCH {
                self.hand_over(&mut ready);
            }
        }
        self.hand_over(&mut ready);
        while let Some(prepared) = slow.next().await {
            self.hand_over(&mut vec![prepared]);
        }
    }

    fn hand_over(&self, ready: &mut Vec<Prepared>) {
        if !ready.is_empty() {
            // Fails only when the engine is gone, and then nobody waits for these.
            let _ = self.prepared.send(std::mem::take(ready));
        }
    }

    async fn request(&self, draft: Draft, document: Option<Arc<Document>>) -> Prepared {
        let mut notify = draft.notify;
        let request = self.build(&draft, document.as_deref(), &mut notify).await;
        (notify, request)
    }

    async fn build(
        &self,
        draft: &Draft,
        document: Option<&Document>,
        notify: &mut Notify,
    ) -> Result<ClientRequest<Notify>, Ending> {
        let dialog = &draft.dialog;
        let Path {
            route_set,
            hop,
            may_go_by_tcp,
        } = self.path(dialog, notify).await?;
        let via = self.client.via_for(&hop).await.map_err(|reason| {
            self.tell_unreachable(dialog, &reason);
            Ending::from(&reason)
        })?;
        let contact = match dialog.local_contact.as_str() {
            "" => format!("sip:{}:{}", via.host, via.port),
            contact => contact.to_owned(),
        };
        let view = view(dialog, &route_set, &contact);
        let event = event_value(&draft.resource.event, &dialog.event_id);
        let state = state_value(dialog);
        let headers = [
            ("Max-Forwards", MAX_FORWARDS),
            ("Event", &event),
            ("Subscription-State", &state),
        ];
        let body = body_of(document, dialog);
        let built = sip::dialog::request(
            &view,
            &Method::Notify,
            dialog.cseq,
            &via,
            &headers,
            body.as_ref().map(|(kind, body)| (*kind, &**body)),
        );
        let built = built.map_err(|error| unsendable(dialog, &error))?;
        Ok(ClientRequest {
            key: *notify,
            branch: via.branch,
            method: Method::Notify,
            bytes: built.bytes.into(),
            next_hop: hop,
            may_go_by_tcp,
        })
    }

    /// RFC 3261 section 12.2.1.1 for the URI, RFC 3263 for the address. A flow leads through the server that holds it; one that is
    /// known to be gone leads nowhere, and the phone may be connected to.
    async fn path(&self, dialog: &TakenDialog, notify: &mut Notify) -> Result<Path, Ending> {
        let flow = (!dialog.flow.is_empty()).then(|| dialog.flow.clone());
        let is_flow = flow.is_some();
        let route_set: Vec<String> = flow
            .into_iter()
            .chain(dialog.record_route.iter().cloned())
            .collect();
        let uri = sip::dialog::next_hop(&view(dialog, &route_set, ""))
            .map_err(|error| unsendable(dialog, &error))?;
        let by = direct::transport_of(&uri);
        if is_flow && let Some(seen_at) = direct::seen_at(&uri) {
            let flow = FlowDigest::of(&dialog.flow);
            if self.gone.has(dialog.id, flow, by) {
                return self.path_to_contact(dialog, by, seen_at).await;
            }
            notify.flow = Some(flow);
        }
        let relay = |to| Hop::Relay {
            to,
            retransmits: by == Transport::Udp,
        };
        let hop = match numeric_address(&uri).filter(|_| is_flow) {
            Some(server) => relay(server),
            None => {
                let targets = self.resolved(dialog, &uri).await?;
                match targets.first() {
                    None => return Err(Ending::Unreachable),
                    Some(server) if is_flow => relay(server.addr),
                    Some(_) => Hop::Targets(targets),
                }
            }
        };
        Ok(Path {
            route_set,
            hop,
            may_go_by_tcp: !is_flow && leaves_transport_open(&uri),
        })
    }

    /// That an address is refused is for the operator to know, once: he may have meant it to be sent to.
    fn tell_unreachable(&self, dialog: &TakenDialog, reason: &Unreachable) {
        if let Unreachable::Refused(address) = reason {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if refused.len() < MAX_TOLD && refused.insert(*address) {
                tracing::warn!(subscription.id = dialog.id, dialog.call_id = %dialog.call_id, "no NOTIFY sent: {reason} (see outbound.allow)");
                return;
            }
        }
        tracing::debug!(subscription.id = dialog.id, %reason, "next hop cannot be reached");
    }

    async fn resolved(&self, dialog: &TakenDialog, uri: &Uri) -> Result<Vec<Target>, Ending> {
        self.resolver.resolve(uri).await.map_err(|error| {
            tracing::debug!(subscription.id = dialog.id, error = %error, "next hop cannot be resolved");
            Ending::Unreachable
        })
    }

    async fn path_to_contact(
        &self,
        dialog: &TakenDialog,
        by: Transport,
        seen_at: IpAddr,
    ) -> Result<Path, Ending> {
        let contact = Uri::parse(&dialog.contact).map_err(|error| unsendable(dialog, &error))?;
        let targets = direct::targets(&self.resolver, &contact, by, seen_at).await;
        if targets.is_empty() {
            return Err(Ending::Unreachable);
        }
        Ok(Path {
            route_set: dialog.record_route.clone(),
            hop: Hop::Targets(targets),
            may_go_by_tcp: leaves_transport_open(&contact),
        })
    }
}

/// RFC 3263 section 4.1: who names UDP wants UDP.
fn leaves_transport_open(uri: &Uri) -> bool {
    uri.param("transport").is_none()
}

/// Whether a first NOTIFY would have nothing to tell (`send_fast_notify` = 0) although it was taken, because the resource changed in
/// between. A later one is sent all the same: what the dialog was told is not known.
fn is_first_of_nothing(resource: &Resource, dialog: &TakenDialog, rendered: &Rendered) -> bool {
    !dialog.is_known
        && dialog.cseq == 1
        && status(dialog) == SubscriptionStatus::Active
        && rendered.has_nothing(resource, dialog)
}

/// The dialog as RFC 3261 sees it. We are its UAS: To and its tag are ours.
fn view<'a>(
    dialog: &'a TakenDialog,
    route_set: &'a [String],
    local_contact: &'a str,
) -> DialogView<'a> {
    DialogView {
        call_id: &dialog.call_id,
        local_uri: &dialog.local_uri,
        local_tag: &dialog.to_tag,
        remote_uri: &dialog.remote_uri,
        remote_tag: &dialog.from_tag,
        remote_target: &dialog.contact,
        route_set,
        local_contact,
    }
}

/// Subscription-State. RFC 6665 section 4.1.3: "expires" is what is left, by the database's clock.
fn state_value(dialog: &TakenDialog) -> String {
    subscription_state(status(dialog), dialog.expires_s, &dialog.reason)
}

fn numeric_address(uri: &Uri) -> Option<SocketAddr> {
    Some(SocketAddr::new(uri.host.ip()?, uri.port.unwrap_or(5060)))
}

fn unsendable(dialog: &TakenDialog, reason: &dyn std::fmt::Display) -> Ending {
    tracing::warn!(
        subscription.id = dialog.id,
        dialog.call_id = %dialog.call_id,
        reason = %reason,
        "no NOTIFY can be built for this dialog; the subscription ends"
    );
    Ending::Unsendable
}
