//! `[notifier]`.

use serde::{Deserialize, Serialize};

use super::value::{Listen, Transport, Within};

/// `[notifier]`: the sender of NOTIFYs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifierConfig {
    /// The UDP address from which NOTIFYs are sent. With several notifiers on a machine leave the port at 0. A wildcard
    /// address, `0.0.0.0` or `[::]`, means both IPv4 and IPv6.
    ///
    /// Unit: none. Default: `"udp:0.0.0.0:0"`. Range: `udp:ADDRESS:PORT`.
    pub listen: Listen,
    /// NOTIFYs that may wait for their answers at the same time. A watcher that does not answer holds its place for 32
    /// s.
    ///
    /// Unit: requests. Default: `8000`. Range: 1 to 1000000.
    pub in_flight: Within<1, 1_000_000>,
    /// How long a notifier holds a resource without renewing the lease. When a notifier dies, others take over its
    /// resources after this time.
    ///
    /// Unit: seconds. Default: `10`. Range: 2 to 300.
    pub lease_s: Within<2, 300>,
    /// How long to wait before a NOTIFY is sent again after a temporary failure (5xx, an unreachable address). The wait
    /// doubles with each failure in a row.
    ///
    /// Unit: seconds. Default: `2`. Range: 1 to 3600.
    pub retry_min_s: Within<1, 3600>,
    /// The longest wait between two attempts.
    ///
    /// Unit: seconds. Default: `60`. Range: 1 to 86400.
    pub retry_max_s: Within<1, 86_400>,
    /// Failures in a row after which the subscription ends.
    ///
    /// Unit: failures. Default: `10`. Range: 1 to 1000.
    pub retry_give_up: Within<1, 1000>,
    /// TCP connections that this process opens to phones and proxies. For one more, the one is closed that was used
    /// longest ago and waits for no answer. Connections to servers are not counted. Whatever is set, these take at most a
    /// quarter of the file descriptors that the process may open. 0: no other limit.
    ///
    /// Unit: connections. Default: `10000`. Range: 0 to 1000000.
    pub max_connections: Within<0, 1_000_000>,
    /// The same to one address (IPv6: one /64), whatever the port. An edge proxy takes one for each of its ports. 0: no
    /// limit.
    ///
    /// Unit: connections. Default: `100`. Range: 0 to 1000000.
    pub max_connections_per_target: Within<0, 1_000_000>,
    /// How long a connection may take to open.
    ///
    /// Unit: milliseconds. Default: `4000`. Range: 100 to 30000.
    pub connect_timeout_ms: Within<100, 30_000>,
}

impl Default for NotifierConfig {
    fn default() -> NotifierConfig {
        NotifierConfig {
            listen: Listen {
                transport: Transport::Udp,
                addr: ([0, 0, 0, 0], 0).into(),
            },
            in_flight: const { Within::of(8000) },
            lease_s: const { Within::of(10) },
            retry_min_s: const { Within::of(2) },
            retry_max_s: const { Within::of(60) },
            retry_give_up: const { Within::of(10) },
            max_connections: const { Within::of(10_000) },
            max_connections_per_target: const { Within::of(100) },
            connect_timeout_ms: const { Within::of(4000) },
        }
    }
}
