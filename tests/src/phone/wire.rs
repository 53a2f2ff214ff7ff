//! A phone's socket: UDP, or one TCP connection.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;

use crate::message;

/// Room for the burst of a large fan-out.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

pub(super) enum Wire {
    Udp(UdpSocket, SocketAddr),
    Tcp {
        local: SocketAddr,
        server: SocketAddr,
        write: Mutex<OwnedWriteHalf>,
        read: Mutex<(OwnedReadHalf, Vec<u8>)>,
    },
}

pub(super) type Arrival = (Result<Vec<u8>, String>, SocketAddr);

impl Wire {
    pub(super) async fn udp(ip: IpAddr) -> Wire {
        let domain = if ip.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).expect("a UDP socket");
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        socket.set_nonblocking(true).expect("a non-blocking socket");
        socket
            .bind(&SocketAddr::new(ip, 0).into())
            .expect("a free UDP port");
        let socket = UdpSocket::from_std(socket.into()).expect("a UDP socket in the run time");
        let local = socket.local_addr().expect("its address");
        Wire::Udp(socket, local)
    }

    pub(super) async fn tcp(server: SocketAddr) -> Wire {
        let stream = TcpStream::connect(server)
            .await
            .unwrap_or_else(|fault| panic!("connect to {server}: {fault}"));
        Wire::stream(stream)
    }

    pub(super) fn stream(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let local = stream.local_addr().expect("its address");
        let server = stream.peer_addr().expect("the other's address");
        let (read, write) = stream.into_split();
        Wire::Tcp {
            local,
            server,
            write: Mutex::new(write),
            read: Mutex::new((read, Vec::new())),
        }
    }

    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Wire::Udp(_, local) | Wire::Tcp { local, .. } => *local,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Wire::Tcp { .. })
    }

    pub(super) async fn send(&self, bytes: &[u8], to: SocketAddr) {
        match self {
            // A refused port shows as an error here; the retransmission is the remedy.
            Wire::Udp(socket, _) => drop(socket.send_to(bytes, to).await),
            Wire::Tcp { write, .. } => drop(write.lock().await.write_all(bytes).await),
        }
    }

    /// The next datagram, or the next whole message of the stream; None when the stream has ended.
    pub(super) async fn receive(&self) -> Option<Arrival> {
        match self {
            Wire::Udp(socket, _) => {
                let mut buffer = vec![0; 65_535];
                loop {
                    if let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                        buffer.truncate(count);
                        return Some((Ok(buffer), from));
                    }
                }
            }
            Wire::Tcp { read, server, .. } => {
                let mut read = read.lock().await;
                let (stream, buffer) = &mut *read;
                loop {
                    while buffer
                        .first()
                        .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
                    {
                        buffer.remove(0);
                    }
                    match message::framed(buffer) {
                        Ok(Some(length)) => {
                            return Some((Ok(buffer.drain(..length).collect()), *server));
                        }
                        Ok(None) => {}
                        Err(fault) => {
                            buffer.clear();
                            return Some((Err(fault), *server));
                        }
                    }
                    if !matches!(stream.read_buf(buffer).await, Ok(count) if count > 0) {
                        return None;
                    }
                }
            }
        }
    }
}
