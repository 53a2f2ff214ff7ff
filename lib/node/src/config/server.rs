//! `[server]`.

use serde::{Deserialize, Serialize};

use super::value::{Listen, Listener, Transport, Within, flag, optional};

/// `[server]`: the SIP front-end. It keeps nothing between requests except open TCP connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The addresses on which requests are accepted, each `udp:ADDRESS:PORT` or `tcp:ADDRESS:PORT`, IPv6 addresses in
    /// brackets. Port 0 takes any free port. If one of them can be reached by other machines, `[identity]` must say whom
    /// to believe. If phones know a listener by another address, add it: `udp:10.0.0.5:5060 advertise
    /// sip:192.0.2.1:5060` gives phones on this listener a Contact with that URI, instead of `server_address`.
    ///
    /// Unit: none. Default: `["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]`. Range: one or more.
    pub listen: Vec<Listener>,
    /// The TCP address at which notifiers reach this process, to send NOTIFYs from its listeners and on the connections
    /// that it holds. Set it if notifiers run on other machines. Let only notifiers reach it: it takes every SIP
    /// request. `udp:` of earlier versions means the same. Empty: the first TCP address of `listen`; if there is none,
    /// the first address of `listen`, by TCP.
    ///
    /// Unit: none. Default: `""`. Range: empty or `tcp:ADDRESS:PORT`.
    #[serde(with = "optional")]
    pub internal_listen: Option<Listen>,
    /// 1: a phone on UDP that talks to this server directly gets its NOTIFYs from the address and port that it
    /// subscribed at, as firewalls expect; the notifiers send them through this server. 0: from the notifiers' own
    /// addresses, which costs less, for networks without firewalls between notifiers and phones. Phones behind NAT and
    /// on TCP are always reached through this server, phones behind a proxy never. A change takes effect when a phone
    /// subscribes or refreshes.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub notify_from_listener: bool,
    /// Database connections that store publications and subscriptions. Each carries one batch at a time.
    ///
    /// Unit: connections. Default: `4`. Range: 1 to 64.
    pub write_connections: Within<1, 64>,
    /// The largest number of requests in one statement. While the connections are busy, requests collect up to this
    /// number; no request waits for a batch to fill.
    ///
    /// Unit: requests. Default: `64`. Range: 1 to 1000.
    pub batch_size: Within<1, 1000>,
    /// Requests that may wait for a connection. Beyond that a request is answered 503 with Retry-After at once. With a
    /// script, as many may also wait for it or be handled by it.
    ///
    /// Unit: requests. Default: `10000`. Range: 1 to 1000000.
    pub backlog: Within<1, 1_000_000>,
    /// The time within which a request is answered; after it the answer is 503. It must be shorter than the 32 s for
    /// which phones repeat a request (64*T1, RFC 3261 17.1.2.2).
    ///
    /// Unit: milliseconds. Default: `8000`. Range: 100 to 30000.
    pub request_deadline_ms: Within<100, 30_000>,
    /// TCP connections that others may hold open to this process. For one more, one is closed that is not in use: first
    /// the oldest that has not sent a whole request within its first second, then the one that was used longest ago;
    /// keep-alives are no use. Connections of notifiers are not counted. Whatever is set, connections take at most
    /// half of the file descriptors that the process may open. 0: no other limit.
    ///
    /// Unit: connections. Default: `20000`. Range: 0 to 1000000.
    pub max_connections: Within<0, 1_000_000>,
    /// The same for one address (IPv6: one /64). The default is more than there are phones in an office behind one NAT,
    /// and a twentieth of all. 0: no limit.
    ///
    /// Unit: connections. Default: `1000`. Range: 0 to 1000000.
    pub max_connections_per_source: Within<0, 1_000_000>,
    /// How long a new TCP connection may take to send its first whole request. A keep-alive is no request.
    ///
    /// Unit: seconds. Default: `10`. Range: 1 to 3600.
    pub first_request_s: Within<1, 3600>,
    /// How long nothing at all may come on a TCP connection, not even a keep-alive. A phone behind NAT that is silent for
    /// longer cannot be notified any more, so this should be longer than `presence.max_expires`. 0: for ever.
    ///
    /// Unit: seconds. Default: `7200`. Range: 0 to 1000000.
    pub idle_s: Within<0, 1_000_000>,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        let local = |transport| {
            Listener::from(Listen {
                transport,
                addr: ([127, 0, 0, 1], 5060).into(),
            })
        };
        ServerConfig {
            listen: vec![local(Transport::Udp), local(Transport::Tcp)],
            internal_listen: None,
            notify_from_listener: true,
            write_connections: const { Within::of(4) },
            batch_size: const { Within::of(64) },
            backlog: const { Within::of(10_000) },
            request_deadline_ms: const { Within::of(8000) },
            max_connections: const { Within::of(20_000) },
            max_connections_per_source: const { Within::of(1000) },
            first_request_s: const { Within::of(10) },
            idle_s: const { Within::of(7200) },
        }
    }
}
