//! The way in: when a request must be answered, and whether there is a place for it to wait.

use std::time::Duration;

use events::Requester;
use net::FlowKey;
use sip::{Limits, Request};
use tokio::time::{Instant, timeout};

use super::Arrival;
use crate::admission::Admission;

/// What admits.
pub(crate) struct Intake {
    pub(crate) limits: Limits,
    pub(super) admission: Admission,
    request_deadline: Duration,
}

impl Intake {
    pub(super) fn new(limits: Limits, config: &node::ServerConfig) -> Intake {
        Intake {
            limits,
            admission: Admission::new(config.backlog.get()),
            request_deadline: config.request_deadline_ms.milliseconds(),
        }
    }

    /// A request that has come just now.
    pub(crate) fn arrival(&self, request: Request, flow: FlowKey) -> Arrival {
        Arrival {
            has_shown_address: flow.transport.is_reliable(),
            request,
            flow,
            deadline: Instant::now() + self.request_deadline,
            requester: Requester::default(),
            call: None,
        }
    }

    /// Returns when no request waits for the database any more, and `others` have ended, or their time is over.
    pub(super) async fn drained(&self, others: impl Future<Output = ()>) {
        let drained = async {
            others.await;
            self.admission.drained().await;
        };
        if timeout(self.request_deadline, drained).await.is_err() {
            tracing::warn!("stopped with requests unanswered");
        }
    }
}
