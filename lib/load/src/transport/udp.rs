//! Lanes of datagrams.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use net::DatagramSocket;
use rustix::event::PollFd;

use super::{Incoming, Origin, flags};

/// The kernel's room for what arrives while a batch is worked on; raised as far as the system allows.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// A lane sends at the latest when so many datagrams are in line, so that answers do not wait for the end of a long batch.
const SEND_AT: usize = 2 * DatagramSocket::BATCH;

pub(crate) struct UdpLanes {
    lanes: Vec<Lane>,
    servers: Vec<SocketAddr>,
}

struct Lane {
    socket: DatagramSocket,
    address: SocketAddr,
    /// The bytes of all datagrams in line, one after the other.
    bytes: Vec<u8>,
    in_line: Vec<(SocketAddr, Range<usize>)>,
    /// How many of them have been sent.
    sent: usize,
}

impl UdpLanes {
    pub(super) fn open(
        local: SocketAddr,
        servers: &[SocketAddr],
        count: usize,
    ) -> io::Result<UdpLanes> {
        let lane = |_| {
            let socket = DatagramSocket::bind(local, RECEIVE_BUFFER_BYTES)?;
            Ok(Lane {
                address: socket.local_addr()?,
                socket,
                bytes: Vec::new(),
                in_line: Vec::new(),
                sent: 0,
            })
        };
        Ok(UdpLanes {
            lanes: (0..count).map(lane).collect::<io::Result<_>>()?,
            servers: servers.to_vec(),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn address(&self, lane: usize) -> SocketAddr {
        self.lanes[lane].address
    }

    pub(super) fn send(&mut self, lane: usize, server: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.lanes[lane].put(self.servers[server], write);
    }

    pub(super) fn answer(&mut self, lane: usize, to: SocketAddr, bytes: &[u8]) {
        self.lanes[lane].put(to, |out| out.extend_from_slice(bytes));
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        for lane in &mut self.lanes {
            lane.flush();
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, into: &mut Vec<Incoming>) -> io::Result<()> {
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            lane.socket.receive(|from, bytes| {
                if !sip::is_keepalive(bytes) {
                    into.push((Origin::Udp { lane: number, from }, bytes.to_vec()));
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn polled(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.lanes
            .iter()
            .map(|lane| PollFd::new(&lane.socket, flags(!lane.in_line.is_empty())))
    }
}

impl Lane {
    fn put(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.in_line.push((to, start..self.bytes.len()));
        if self.in_line.len() - self.sent >= SEND_AT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        while self.sent < self.in_line.len() {
            let rest = self.in_line[self.sent..].iter();
            let datagrams = rest.map(|(to, range)| (*to, &self.bytes[range.clone()]));
            match self.socket.send(datagrams) {
                // No room: the rest stays in line until the kernel has some.
                Ok(0) => return,
                Ok(count) => self.sent += count,
                // Only this datagram is at fault, or an ICMP error of an earlier one: a datagram may get lost.
                Err(_) => self.sent += 1,
            }
        }
        self.bytes.clear();
        self.in_line.clear();
        self.sent = 0;
    }
}
