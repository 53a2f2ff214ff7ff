//! What all requests of one server share, and how answers leave.
//!
//! Nothing here is state in the sense of the protocol: configuration, handles, the cluster's secret (read once), and the
//! queues of requests in flight. A server that forgets all of it loses at most a retransmission.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use events::{Policy, Registry};
use net::{Endpoint, FlowKey};
use sip::token::Secret;
use sip::{Limits, Request};
use sql::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::admission::{Admission, Admitted};
use crate::answer::{self, Answer};
use crate::doorbell::Doorbell;
use crate::flow::Addresses;
use crate::write_batch::{WriteQueue, Writers};
use crate::{publish, subscribe};

/// What the handlers of one server share.
pub(crate) struct Front {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    pub(crate) policy: Policy,
    pub(crate) addresses: Addresses,
    pub(crate) admission: Admission,
    pub(crate) creates_publications: Arc<WriteQueue<publish::Create>>,
    pub(crate) changes_publications: Arc<WriteQueue<publish::Change>>,
    pub(crate) creates_subscriptions: Arc<WriteQueue<subscribe::Create>>,
    pub(crate) refreshes_subscriptions: Arc<WriteQueue<subscribe::Refresh>>,
    pub(crate) doorbell: Doorbell,
    /// `send_fast_notify`: whether a SUBSCRIBE rings for its NOTIFY, or leaves it to the next poll.
    pub(crate) fast_notify: bool,
    request_deadline: Duration,
    store: Store,
    secret: OnceLock<Secret>,
    secret_lookup: Mutex<()>,
    /// Tags answers that are given before the cluster's secret is known.
    boot_secret: Secret,
}

/// How much of the server one request may take.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    pub(crate) write_connections: usize,
    pub(crate) batch_size: usize,
    pub(crate) backlog: usize,
    pub(crate) request_deadline: Duration,
    pub(crate) cseq_offset: u32,
    pub(crate) fast_notify: bool,
}

/// A request and the way it came.
pub(crate) struct Arrival {
    pub(crate) request: Request,
    pub(crate) flow: FlowKey,
    pub(crate) deadline: Instant,
}

impl Front {
    pub(crate) fn new(
        endpoint: Endpoint,
        limits: Limits,
        policy: Policy,
        addresses: Addresses,
        store: Store,
        budgets: &Budgets,
    ) -> Self {
        let writers = Writers::new(budgets.write_connections);
        let batch_size = budgets.batch_size;
        Self {
            endpoint,
            limits,
            registry: Registry::standard(),
            policy,
            addresses,
            admission: Admission::new(budgets.backlog),
            creates_publications: WriteQueue::new(publish::Create(store.clone()), writers.clone(), batch_size),
            changes_publications: WriteQueue::new(publish::Change(store.clone()), writers.clone(), batch_size),
            creates_subscriptions: WriteQueue::new(subscribe::Create(store.clone()), writers.clone(), batch_size),
            refreshes_subscriptions: WriteQueue::new(
                subscribe::Refresh { store: store.clone(), cseq_offset: budgets.cseq_offset },
                writers,
                batch_size,
            ),
            doorbell: Doorbell::default(),
            fast_notify: budgets.fast_notify,
            request_deadline: budgets.request_deadline,
            store,
            secret: OnceLock::new(),
            secret_lookup: Mutex::new(()),
            boot_secret: Secret::new(&rand::random::<[u8; 32]>()),
        }
    }

    pub(crate) fn arrival(&self, request: Request, flow: FlowKey) -> Arrival {
        Arrival { request, flow, deadline: Instant::now() + self.request_deadline }
    }

    /// The cluster's secret, if this process knows it already.
    pub(crate) fn known_secret(&self) -> Option<&Secret> {
        self.secret.get()
    }

    /// The cluster's secret; read from the database by the first request that needs it, while others wait for that one.
    pub(crate) async fn secret(&self) -> Result<&Secret, StoreError> {
        if let Some(secret) = self.secret.get() {
            return Ok(secret);
        }
        let _lookup = self.secret_lookup.lock().await;
        if let Some(secret) = self.secret.get() {
            return Ok(secret);
        }
        let bytes = self.store.cluster_secret().await?;
        Ok(self.secret.get_or_init(|| Secret::new(&bytes)))
    }

    /// A place for a request that needs the database, or the answer that there is none.
    pub(crate) fn admit(&self, arrival: &Arrival) -> Option<Admitted> {
        let admitted = self.admission.admit();
        if admitted.is_none() {
            tracing::debug!("backlog full, request refused");
            self.reply(arrival, &answer::unavailable());
        }
        admitted
    }

    /// Sends `answer` the way the request came: to the Via's address from the socket that received it, or down its connection
    /// (RFC 3261 section 18.2.2, RFC 3581 section 4). An answer that nobody can take is dropped; the client will repeat itself.
    pub(crate) fn reply(&self, arrival: &Arrival, answer: &Answer) {
        let Arrival { request, flow, .. } = arrival;
        let bytes = Bytes::from(answer.encode(request, flow.remote, &self.reply_tag(request)));
        if flow.transport.is_reliable() {
            if self.endpoint.send_flow(flow, bytes).is_err() {
                tracing::debug!(remote = %flow.remote, "the connection closed before its answer");
            }
            return;
        }
        match sip::reply_target(request, flow.remote) {
            Ok(target) => self.endpoint.send_udp(Some(flow.local), target, bytes),
            Err(error) => tracing::debug!(%error, "no address to answer to"),
        }
    }

    /// The To-tag of answers outside a dialog: the same for each retransmission, from any server (RFC 3261 section 8.2.7).
    fn reply_tag(&self, request: &Request) -> String {
        use sip::HeaderName::{CSeq, CallId, From};
        let header = |name| request.header(name).unwrap_or_default();
        self.secret
            .get()
            .unwrap_or(&self.boot_secret)
            .tag("answer", &[header(CallId), header(From), header(CSeq)])
    }
}
