//! What all requests of one server share: what answers, what admits, what writes, and what they are judged by.
//!
//! Nothing here is state in the sense of the protocol: configuration, handles, the cluster's secret (read once), and the
//! queues of requests in flight. A server that forgets all of it loses at most a retransmission.

mod answers;
mod intake;
mod quotas;
mod secret;
mod writes;

use std::sync::Arc;

use events::{Policy, Registry, Requester};
use net::{Endpoint, FlowKey};
use node::Believed;
use sip::token::Secret;
use sip::{Limits, Request};
use sql::{Judge, Store, StoreError};
use tokio::time::Instant;

use self::answers::Answers;
use self::intake::Intake;
use self::quotas::Quotas;
pub(crate) use self::quotas::Verdict;
use self::secret::ClusterSecret;
use self::writes::Writes;
use crate::admission::Admitted;
use crate::answer;
use crate::flow::Addresses;
use crate::identity::Identities;
use crate::script::{Call, Scripts};
use crate::write_batch::{Lane, Ticket, WriteQueue};

/// What the handlers of one server share.
pub(crate) struct Front {
    pub(crate) intake: Intake,
    /// How much a sender may send.
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) writes: Writes,
    pub(crate) answers: Answers,
    pub(crate) secret: ClusterSecret,
    pub(crate) identities: Identities,
    pub(crate) policy: Policy,
    /// The packages that are served, and who may watch whom, for `pres_auth_status`.
    pub(crate) judge: Judge,
    /// The operator's script, if there is one.
    pub(crate) scripts: Option<Scripts>,
}

/// A request and the way it came.
pub(crate) struct Arrival {
    pub(crate) request: Request,
    pub(crate) flow: FlowKey,
    pub(crate) deadline: Instant,
    /// Whoever sent it receives what is sent to the address that it came from: that is not forged.
    pub(crate) has_shown_address: bool,
    /// Who sent it.
    pub(crate) requester: Requester,
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
            has_shown_address: self.has_shown_address,
            requester: self.requester.clone(),
            call: None,
        }
    }
}

/// The way of datagrams and connections, in and out.
pub(crate) struct Net {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    pub(crate) addresses: Addresses,
}

impl Front {
    pub(crate) fn new(
        net: Net,
        store: Store,
        registry: Registry,
        policy: Policy,
        scripts: Option<Scripts>,
        believed: Believed,
        config: &node::Config,
    ) -> Self {
        let intake = Intake::new(net.limits, &config.server);
        let admission = intake.admission.clone();
        let quotas = Arc::new(Quotas::new(believed.clone(), config));
        Self {
            identities: Identities::new(&store, believed, registry.clone(), config, admission),
            intake,
            answers: Answers::new(net.endpoint, net.addresses, Arc::clone(&quotas)),
            quotas,
            secret: ClusterSecret::new(store.clone()),
            writes: Writes::new(store, config),
            judge: Judge::new(&config.presence, registry),
            policy,
            scripts,
        }
    }

    /// The packages that are served.
    pub(crate) fn registry(&self) -> &Registry {
        &self.judge.registry
    }

    /// Learns the secret ahead of the first request; with the database away, the first request after its return does.
    pub(crate) async fn learn_secret(self: Arc<Self>) {
        if let Err(error) = self.find_secret().await {
            tracing::warn!(%error, "started without a database; requests that need it are answered 503 until it is there");
        }
    }

    /// The secret; and before it is known here, which domains are served: nothing is done for others meanwhile.
    pub(crate) async fn find_secret(&self) -> Result<&Secret, StoreError> {
        if self.secret.known().is_none() {
            self.identities.domains.read().await?;
        }
        self.secret.find().await
    }

    /// Returns when no request waits for the database any more, or its time is over.
    pub(crate) async fn drained(&self) {
        let scripts = async {
            if let Some(scripts) = &self.scripts {
                scripts.drained().await;
            }
        };
        self.intake.drained(scripts).await;
    }

    /// A place for a request that needs the database, or the answer that there is none.
    pub(crate) fn admit(&self, arrival: &Arrival) -> Option<Admitted> {
        let admitted = self.intake.admission.admit();
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
        match self.intake.admission.admit() {
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
        self.answers.reply(arrival, &answer::unavailable());
    }
}
