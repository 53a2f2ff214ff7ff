//! The few sockets of a worker: batches of datagrams, or connections with their framing. Nothing here blocks but [`Lanes::wait`].
//!
//! A lane is where a publisher or watcher sends from and is reached at: a UDP socket, or a connection to each server beside one
//! listener that the server may connect to (RFC 3261 section 18: responses come back on the connection of their request,
//! requests may come on a new one).

mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sip::Transport;

use tcp::TcpLanes;
use udp::UdpLanes;

/// Where a message came from, so that an answer finds its way back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Udp { lane: usize, from: SocketAddr },
    Tcp { connection: usize, from: SocketAddr },
}

impl Origin {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Origin::Udp { from, .. } | Origin::Tcp { from, .. } => *from,
        }
    }
}

/// A message that arrived.
pub(crate) type Incoming = (Origin, Vec<u8>);

/// All lanes of a worker, of one transport.
pub(crate) enum Lanes {
    Udp(UdpLanes),
    Tcp(TcpLanes),
}

impl Lanes {
    /// Opens `count` lanes to the servers.
    ///
    /// # Errors
    /// No address of ours leads to the servers, or none is free, or (TCP) a server does not take connections.
    pub(crate) fn open(
        transport: Transport,
        servers: &[SocketAddr],
        count: usize,
    ) -> io::Result<Lanes> {
        let local = SocketAddr::new(ip_towards(servers)?, 0);
        Ok(match transport {
            Transport::Tcp => Lanes::Tcp(TcpLanes::open(local, servers, count)?),
            _ => Lanes::Udp(UdpLanes::open(local, servers, count)?),
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Lanes::Udp(lanes) => lanes.count(),
            Lanes::Tcp(lanes) => lanes.count(),
        }
    }

    /// Where requests to this lane go.
    pub(crate) fn address(&self, lane: usize) -> SocketAddr {
        match self {
            Lanes::Udp(lanes) => lanes.address(lane),
            Lanes::Tcp(lanes) => lanes.address(),
        }
    }

    /// Whether requests are sent again by us, and not by the transport below.
    pub(crate) fn retransmits(&self) -> bool {
        matches!(self, Lanes::Udp(_))
    }

    /// Puts a message to a server in line; `write` appends it.
    pub(crate) fn send(&mut self, lane: usize, server: usize, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Lanes::Udp(lanes) => lanes.send(lane, server, write),
            Lanes::Tcp(lanes) => lanes.send(lane, server, write),
        }
    }

    /// Puts an answer in line. One whose connection is gone is dropped.
    pub(crate) fn answer(&mut self, origin: Origin, bytes: &[u8]) {
        match (self, origin) {
            (Lanes::Udp(lanes), Origin::Udp { lane, from }) => lanes.answer(lane, from, bytes),
            (Lanes::Tcp(lanes), Origin::Tcp { connection, .. }) => lanes.answer(connection, bytes),
            _ => {}
        }
    }

    /// Sends what is in line, as far as the kernel takes it.
    ///
    /// # Errors
    /// (TCP) a connection is lost and cannot be made again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Lanes::Udp(lanes) => lanes.flush(),
            Lanes::Tcp(lanes) => lanes.flush(),
        }
    }

    /// Takes what has arrived: some of it, when there is much.
    ///
    /// # Errors
    /// What a listener or UDP socket reports.
    pub(crate) fn receive(&mut self, into: &mut Vec<Incoming>) -> io::Result<()> {
        match self {
            Lanes::Udp(lanes) => lanes.receive(into),
            Lanes::Tcp(lanes) => lanes.receive(into),
        }
    }

    /// Waits until something has arrived or can be sent on, or the time is over.
    ///
    /// # Errors
    /// What poll(2) reports.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<()> {
        let mut polled: Vec<PollFd<'_>> = match self {
            Lanes::Udp(lanes) => lanes.polled().collect(),
            Lanes::Tcp(lanes) => lanes.polled().collect(),
        };
        let timeout = Timespec {
            tv_sec: at_most.as_secs() as i64,
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        match poll(&mut polled, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => Ok(()),
            result => Ok(result.map(|_| ())?),
        }
    }
}

/// What to poll for: always arrivals, departures only where some are in line.
fn flags(has_backlog: bool) -> PollFlags {
    if has_backlog {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    }
}

/// The address of ours that the servers see.
fn ip_towards(servers: &[SocketAddr]) -> io::Result<IpAddr> {
    let fault = || io::Error::new(io::ErrorKind::InvalidInput, "there is no server");
    let first = servers.first().ok_or_else(fault)?;
    if servers
        .iter()
        .any(|server| server.is_ipv4() != first.is_ipv4())
    {
        let fault = "all servers must be of one kind, IPv4 or IPv6";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
    }
    let any: IpAddr = if first.is_ipv4() {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0_u8; 16])
    };
    // Connecting a UDP socket sends nothing; it makes the kernel choose.
    let probe = UdpSocket::bind(SocketAddr::new(any, 0))?;
    probe.connect(first)?;
    Ok(probe.local_addr()?.ip())
}
