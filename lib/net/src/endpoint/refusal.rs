//! Datagrams that the kernel refuses to send: too long, no route, forbidden. Each is a fault of that one datagram, known at once, and no
//! word about its peer.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use tokio::sync::mpsc;

/// A datagram that the kernel refused to send.
#[derive(Debug)]
pub struct RefusedDatagram {
    /// Where it was to go.
    pub to: SocketAddr,
    /// The whole of it.
    pub bytes: Bytes,
    /// Why not.
    pub error: io::Error,
}

impl RefusedDatagram {
    /// Whether it is longer than any datagram (EMSGSIZE).
    pub fn is_too_long(&self) -> bool {
        self.error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
    }
}

/// The refused datagrams of an endpoint, see [`crate::Endpoint::refused`].
pub struct RefusedDatagrams {
    receiver: mpsc::Receiver<RefusedDatagram>,
}

impl RefusedDatagrams {
    /// Waits for the next one. `None`: the endpoint is gone.
    pub async fn recv(&mut self) -> Option<RefusedDatagram> {
        self.receiver.recv().await
    }
}

/// Refused datagrams that may wait for whoever asked for them; beyond that they are counted and nothing more.
const WAITING: usize = 1_024;

/// Tells whoever has asked.
#[derive(Default)]
pub(super) struct Refusals {
    sender: OnceLock<mpsc::Sender<RefusedDatagram>>,
}

impl Refusals {
    pub(super) fn subscribe(&self) -> Option<RefusedDatagrams> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.sender.set(sender).ok()?;
        Some(RefusedDatagrams { receiver })
    }

    pub(super) fn note(&self, to: SocketAddr, bytes: &Bytes, error: io::Error) {
        // Without room in the kernel it is lost as on the way: the next copy may find some.
        let is_passing = matches!(
            error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error),
            Some(rustix::io::Errno::NOBUFS | rustix::io::Errno::NOMEM)
        );
        if let Some(sender) = self.sender.get().filter(|_| !is_passing) {
            let bytes = bytes.clone();
            let _ = sender.try_send(RefusedDatagram { to, bytes, error });
        }
    }
}
