//! What of an endpoint may be tuned.

use std::time::Duration;

use ipnet::IpNet;

use crate::Destinations;

/// What may be tuned. The defaults suit a server with thousands of phones.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// SO_RCVBUF of UDP sockets, in bytes. A burst of 10,000 answers must fit, for nobody reads while a core is busy.
    pub receive_buffer_bytes: usize,
    /// Datagrams that may wait for a UDP socket; beyond that they are dropped.
    pub udp_queue_count: usize,
    /// Bytes that may wait for a slow TCP peer; beyond that its connection is closed.
    pub write_queue_bytes: usize,
    /// The same for a process that many wait behind ([`crate::Endpoint::send_to_many`]): what it may be late for by a second or two.
    pub shared_queue_bytes: usize,
    /// TCP connections that strangers open; for one more, one goes that is not in use. 0: as many as there are descriptors for.
    pub max_connections: usize,
    /// The same of one source: an IPv4 address, or a /64 of IPv6. 0: no bound of its own.
    pub max_connections_of_source: usize,
    /// TCP connections that we open, and of those to one such address; in the same manner.
    pub max_connections_out: usize,
    /// See `max_connections_out`.
    pub max_connections_to_target: usize,
    /// Whoever comes from these is no stranger: his connections are not counted, need not bring a request soon, and are never closed to make room. Nor
    /// are those to there.
    pub trusted: Vec<IpNet>,
    /// Descriptors that the process needs for other things than the connections of this endpoint. Of the rest, half are for strangers, a quarter for what
    /// we open, and a quarter is left for whoever is trusted.
    pub other_descriptors: usize,
    /// A TCP listener, by its place in what [`crate::Endpoint::bind`] was given, that takes [`crate::RESERVED_CONNECTIONS`] that are not counted: strangers who fill the
    /// table at the others do not push out whoever comes there.
    pub reserved_for: Option<usize>,
    /// Where requests of a [`crate::Client`] may go, and what may be connected to.
    pub destinations: Destinations,
    /// How long an outgoing TCP connection may take to open.
    pub connect_timeout: Duration,
    /// How long a peer may take from the first byte of a message to its last.
    pub message_timeout: Duration,
    /// How long a new incoming connection may take to bring its first whole request; a keep-alive is none.
    pub first_request_timeout: Duration,
    /// How long a peer may be silent. Longer than a subscription lives (`max_expires`): a phone
    /// that sends no keep-alives is reachable only as long as we don't close.
    pub idle_timeout: Duration,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// How long what was written may stay without the other kernel's word: a machine that is gone without a word, or a NAT that has forgotten
    /// the connection, must be found well before 64*T1 = 32 s, after which the phone would be taken for silent.
    pub unacknowledged_timeout: Duration,
    /// How long a connection stays whose peer sends no more, or nothing that can be framed, for the answers that are still to be sent: 64*T1, the
    /// time for which a client waits.
    pub answer_timeout: Duration,
    /// Batches of packets that may wait for [`crate::Incoming::recv_batch`].
    pub incoming_queue_count: usize,
}

impl Default for EndpointOptions {
    fn default() -> EndpointOptions {
        EndpointOptions {
            receive_buffer_bytes: 8 << 20,
            udp_queue_count: 65_536,
            write_queue_bytes: 1 << 20,
            shared_queue_bytes: 64 << 20,
            max_connections: 20_000,
            max_connections_of_source: 1_000,
            max_connections_out: 10_000,
            max_connections_to_target: 100,
            trusted: Vec::new(),
            other_descriptors: 512,
            reserved_for: None,
            destinations: Destinations::anywhere(),
            connect_timeout: Duration::from_secs(4),
            message_timeout: Duration::from_secs(10),
            first_request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(7_200),
            write_timeout: Duration::from_secs(10),
            unacknowledged_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(32),
            incoming_queue_count: 256,
        }
    }
}
