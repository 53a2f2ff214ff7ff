//! Lanes of connections.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::PollFd;
use sip::{Frame, Limits, StreamFramer};

use super::{Incoming, Origin, flags};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 64 << 10;
/// Reads of one connection before the next has its turn.
const READS: usize = 4;

pub(crate) struct TcpLanes {
    listener: TcpListener,
    address: SocketAddr,
    servers: Vec<SocketAddr>,
    count: usize,
    /// First those to the servers, lane by lane; then what came in. A place whose connection is gone is empty.
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    framer: StreamFramer,
    out: Vec<u8>,
    written: usize,
    is_broken: bool,
}

impl TcpLanes {
    pub(super) fn open(
        local: SocketAddr,
        servers: &[SocketAddr],
        count: usize,
    ) -> io::Result<TcpLanes> {
        let listener = TcpListener::bind(local)?;
        listener.set_nonblocking(true)?;
        let connections = (0..count)
            .flat_map(|_| servers)
            .map(|server| Connection::open(*server).map(Some))
            .collect::<io::Result<_>>()?;
        Ok(TcpLanes {
            address: listener.local_addr()?,
            listener,
            servers: servers.to_vec(),
            count,
            connections,
            buffer: vec![0; READ_BYTES],
        })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn send(&mut self, lane: usize, server: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let place = lane * self.servers.len() + server;
        let connection = &mut self.connections[place];
        if connection.is_none() {
            // Once more, as a user agent does; while the server is away the request counts as lost in the end.
            *connection = Connection::open(self.servers[server]).ok();
        }
        if let Some(connection) = connection {
            write(&mut connection.out);
        }
    }

    pub(super) fn answer(&mut self, connection: usize, bytes: &[u8]) {
        if let Some(Some(connection)) = self.connections.get_mut(connection) {
            connection.out.extend_from_slice(bytes);
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        for place in &mut self.connections {
            if let Some(connection) = place {
                connection.flush();
                if connection.is_broken {
                    *place = None;
                }
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, into: &mut Vec<Incoming>) -> io::Result<()> {
        self.accept()?;
        for (number, place) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = place {
                connection.receive(number, &mut self.buffer, into);
                if connection.is_broken {
                    *place = None;
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    let connection = Some(Connection::new(stream, peer)?);
                    // The first places belong to the lanes.
                    let own = self.count * self.servers.len();
                    match self.connections[own..]
                        .iter_mut()
                        .find(|place| place.is_none())
                    {
                        Some(place) => *place = connection,
                        None => self.connections.push(connection),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The peer was gone before we looked.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn polled(&self) -> impl Iterator<Item = PollFd<'_>> {
        let connections = self.connections.iter().flatten().map(|connection| {
            let has_backlog = connection.written < connection.out.len();
            PollFd::new(&connection.stream, flags(has_backlog))
        });
        std::iter::once(PollFd::new(&self.listener, flags(false))).chain(connections)
    }
}

impl Connection {
    fn open(server: SocketAddr) -> io::Result<Connection> {
        Connection::new(
            TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)?,
            server,
        )
    }

    fn new(stream: TcpStream, peer: SocketAddr) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            peer,
            framer: StreamFramer::new(Limits::default()),
            out: Vec::new(),
            written: 0,
            is_broken: false,
        })
    }

    fn flush(&mut self) {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_broken = true;
                    return;
                }
            }
        }
        self.out.clear();
        self.written = 0;
    }

    fn receive(&mut self, number: usize, buffer: &mut [u8], into: &mut Vec<Incoming>) {
        for _ in 0..READS {
            match self.stream.read(buffer) {
                Ok(0) => self.is_broken = true,
                Ok(count) => {
                    self.framer.push(&buffer[..count]);
                    if !self.take_frames(number, into) {
                        self.is_broken = true;
                    }
                    if count == buffer.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.is_broken = true,
            }
            return;
        }
    }

    fn take_frames(&mut self, number: usize, into: &mut Vec<Incoming>) -> bool {
        let origin = Origin::Tcp {
            connection: number,
            from: self.peer,
        };
        loop {
            match self.framer.next() {
                Ok(Some(Frame::Message(bytes))) => into.push((origin, bytes)),
                // No load is that large; its sender hears nothing of it.
                Ok(Some(Frame::TooLarge { .. })) => {}
                Ok(Some(Frame::Ping)) => self.out.extend_from_slice(b"\r\n"),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}
