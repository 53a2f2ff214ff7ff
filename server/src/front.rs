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
use sql::{Authorization, Judge, Priority, Ringer, Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::admission::{Admission, Admitted};
use crate::answer::{self, Answer};
use crate::flow::Addresses;
use crate::relay::Unanswered;
use crate::script::{Call, Scripts};
use crate::write_batch::{Lane, Ticket, WriteQueue, Writers};
use crate::{publish, subscribe};

/// What the handlers of one server share.
pub(crate) struct Front {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    pub(crate) policy: Policy,
    /// Who may watch whom, for `pres_auth_status`.
    pub(crate) judge: Judge,
    pub(crate) addresses: Addresses,
    pub(crate) unanswered: Unanswered,
    pub(crate) admission: Admission,
    pub(crate) creates_publications: Arc<WriteQueue<publish::Create>>,
    pub(crate) changes_publications: Arc<WriteQueue<publish::Change>>,
    pub(crate) creates_subscriptions: Arc<WriteQueue<subscribe::Create>>,
    pub(crate) refreshes_subscriptions: Arc<WriteQueue<subscribe::Refresh>>,
    pub(crate) sets_features: Arc<WriteQueue<subscribe::SetFeature>>,
    pub(crate) doorbell: Ringer,
    /// The operator's script, if there is one.
    pub(crate) scripts: Option<Scripts>,
    /// Publications without a priority have one by their age (`xavp_cfg`).
    priority_by_age: bool,
    /// `cseq_offset`.
    pub(crate) cseq_offset: u32,
    request_deadline: Duration,
    authorization: Authorization,
    store: Store,
    secret: OnceLock<Secret>,
    secret_lookup: Mutex<()>,
}

/// A request and the way it came.
pub(crate) struct Arrival {
    pub(crate) request: Request,
    pub(crate) flow: FlowKey,
    pub(crate) deadline: Instant,
    /// The script that has handed it over, if one has.
    pub(crate) call: Option<Box<Call>>,
}

impl Arrival {
    /// The same request, not handed over by anybody. The bytes are shared.
    pub(crate) fn clone_request(&self) -> Arrival {
        Arrival {
            request: self.request.clone(),
            flow: self.flow.clone(),
            deadline: self.deadline,
            call: None,
        }
    }
}

impl Front {
    pub(crate) fn new(
        endpoint: Endpoint,
        limits: Limits,
        registry: Registry,
        policy: Policy,
        addresses: Addresses,
        store: Store,
        config: &node::Config,
    ) -> Self {
        let writers = Writers::new(config.server.write_connections.usize());
        let batch_size = config.server.batch_size.usize();
        Self {
            endpoint,
            limits,
            judge: sql::Judge::new(&config.presence, registry.clone()),
            registry,
            policy,
            addresses,
            unanswered: Unanswered::default(),
            admission: Admission::new(config.server.backlog.get()),
            creates_publications: WriteQueue::new(
                publish::Create(store.clone()),
                writers.clone(),
                batch_size,
            ),
            changes_publications: WriteQueue::new(
                publish::Change(store.clone()),
                writers.clone(),
                batch_size,
            ),
            creates_subscriptions: WriteQueue::new(
                subscribe::Create(store.clone()),
                writers.clone(),
                batch_size,
            ),
            refreshes_subscriptions: WriteQueue::new(
                subscribe::Refresh {
                    store: store.clone(),
                    cseq_offset: config.presence.cseq_offset.get(),
                },
                writers.clone(),
                batch_size,
            ),
            // A key that somebody presses now and then: one row a statement.
            sets_features: WriteQueue::new(subscribe::SetFeature(store.clone()), writers, 1),
            doorbell: Ringer::default(),
            scripts: None,
            priority_by_age: !config.presence.xavp_cfg.is_empty(),
            cseq_offset: config.presence.cseq_offset.get(),
            request_deadline: config.server.request_deadline_ms.milliseconds(),
            authorization: by_rules(&config.presence),
            store,
            secret: OnceLock::new(),
            secret_lookup: Mutex::new(()),
        }
    }

    /// Who decides about subscriptions to this package.
    pub(crate) fn authorization(&self, event: &str) -> Authorization {
        match self.registry.find_name(event) {
            Some(package) if package.authorization == events::package::Authorization::Rules => {
                self.authorization
            }
            _ => Authorization::Open,
        }
    }

    /// Which of several publications is to come first, as far as this one says so.
    pub(crate) fn priority(&self, arrival: &Arrival) -> Priority {
        let given = arrival.call.as_ref().and_then(|call| call.priority);
        match given {
            Some(number) => Priority::Given(number),
            None if self.priority_by_age => Priority::ByAge,
            None => Priority::Kept,
        }
    }

    /// The database, for what is no batch.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn arrival(&self, request: Request, flow: FlowKey) -> Arrival {
        Arrival {
            request,
            flow,
            deadline: Instant::now() + self.request_deadline,
            call: None,
        }
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
        let bytes = self.store.node().cluster_secret().await?;
        Ok(self.secret.get_or_init(|| Secret::new(&bytes)))
    }

    /// Learns the secret ahead of the first request; with the database away, the first request after its return does.
    pub(crate) async fn learn_secret(self: Arc<Self>) {
        if let Err(error) = self.secret().await {
            tracing::warn!(%error, "started without a database; requests that need it are answered 503 until it is there");
        }
    }

    /// Returns when no request waits for the database any more, or its time is over.
    pub(crate) async fn drained(&self) {
        let drained = async {
            if let Some(scripts) = &self.scripts {
                scripts.drained().await;
            }
            self.admission.drained().await;
        };
        if timeout(self.request_deadline, drained).await.is_err() {
            tracing::warn!("stopped with requests unanswered");
        }
    }

    /// A place for a request that needs the database, or the answer that there is none.
    pub(crate) fn admit(&self, arrival: &Arrival) -> Option<Admitted> {
        let admitted = self.admission.admit();
        if admitted.is_none() {
            self.refuse(arrival);
        }
        admitted
    }

    /// Puts the row of a request in line, or answers that there is no place for it.
    ///
    /// RFC 3261 section 17.2.2: a copy of a request that is being worked on is discarded. Were it told that there is no place,
    /// the client would take that for the answer, while the first copy makes its dialog.
    pub(crate) fn submit<L: Lane>(
        &self,
        lane: &Arc<WriteQueue<L>>,
        row: L::Row,
        arrival: &Arrival,
    ) -> Option<Ticket<L::Outcome>> {
        match self.admission.admit() {
            Some(admitted) => Some(lane.submit(row, admitted)),
            None if lane.is_pending(&row) => None,
            None => {
                self.refuse(arrival);
                None
            }
        }
    }

    fn refuse(&self, arrival: &Arrival) {
        tracing::debug!("backlog full, request refused");
        self.reply(arrival, &answer::unavailable());
    }

    /// Sends `answer` the way the request came: to the Via's address from the socket that received it, or down its connection
    /// (RFC 3261 section 18.2.2, RFC 3581 section 4). An answer that nobody can take is dropped; the client will repeat itself.
    pub(crate) fn reply(&self, arrival: &Arrival, answer: &Answer) {
        let Arrival {
            request,
            flow,
            call,
            ..
        } = arrival;
        if let Some(call) = call {
            call.answered(answer.status());
        }
        let bytes = Bytes::from(answer.encode(request, flow.remote));
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
}

/// Who decides about subscriptions to packages that are under rules.
fn by_rules(config: &node::PresenceConfig) -> Authorization {
    match config.default_policy {
        _ if config.force_active => Authorization::Open,
        node::DefaultPolicy::Allow => Authorization::RulesOrAllowed,
        node::DefaultPolicy::Confirm | node::DefaultPolicy::Block => Authorization::Rules,
    }
}
