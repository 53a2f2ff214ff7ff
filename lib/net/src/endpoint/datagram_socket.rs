//! A UDP socket for programs that poll by themselves: batches both ways, and no run time between the kernel and the caller.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::batch::{BATCH, ReceiveBuffer, receive_now, send_now};
use super::udp::open_std;

/// A bound, non-blocking UDP socket that moves up to [`DatagramSocket::BATCH`] datagrams per system call.
pub struct DatagramSocket {
    socket: UdpSocket,
    buffer: ReceiveBuffer,
}

impl DatagramSocket {
    /// Datagrams per system call.
    pub const BATCH: usize = BATCH;

    /// Opens a socket; port 0 takes a free one. The receive buffer is as large as the kernel allows, up to what is asked for.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(addr: SocketAddr, receive_buffer_bytes: usize) -> io::Result<DatagramSocket> {
        Ok(DatagramSocket {
            socket: open_std(addr, receive_buffer_bytes)?,
            buffer: ReceiveBuffer::new(),
        })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the socket reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hands over what one system call gives: nothing, when nothing has arrived.
    ///
    /// # Errors
    /// What the socket reports, but not that nothing is there.
    pub fn receive(&mut self, each: impl FnMut(SocketAddr, &[u8])) -> io::Result<()> {
        match receive_now(&self.socket, &mut self.buffer.0, each) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    /// Sends as many of the datagrams as one system call takes, and gives how many went; 0 when the kernel has no room.
    ///
    /// # Errors
    /// The error belongs to the first datagram: none was sent.
    pub fn send<'a>(
        &self,
        datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> io::Result<usize> {
        let addressed = datagrams.take(BATCH).map(|(to, bytes)| (Some(to), bytes));
        match send_now(&self.socket, addressed) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_go_and_come_in_batches() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut inbox = DatagramSocket::bind(any, 1 << 20).unwrap();
        let outbox = DatagramSocket::bind(any, 0).unwrap();
        let to = inbox.local_addr().unwrap();
        inbox
            .receive(|_, _| unreachable!("nothing was sent yet"))
            .unwrap();

        let texts: Vec<String> = (0..BATCH + 3).map(|number| number.to_string()).collect();
        let mut sent = 0;
        while sent < texts.len() {
            sent += outbox
                .send(texts[sent..].iter().map(|text| (to, text.as_bytes())))
                .unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < texts.len() {
            inbox
                .receive(|from, bytes| {
                    assert_eq!(from, outbox.local_addr().unwrap());
                    seen.push(String::from_utf8(bytes.to_vec()).unwrap());
                })
                .unwrap();
        }
        assert_eq!(seen, texts);
    }
}
