//! Several datagrams in one system call, both ways. Knows sockets and buffers, nothing of SIP.
//!
//! Sending goes through rustix' safe `sendmmsg`. rustix 1.1 has no `recvmmsg`, so receiving goes through nix, whose wrapper
//! is safe too; quinn-udp was the alternative, but it turns GRO on and hands out segments to be cut again.
//! Where the kernel is not Linux, the same functions move one datagram per call.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams per system call. 32 × 64 KiB of buffer per socket; more gains nothing measurable.
pub(super) const BATCH: usize = 32;
const DATAGRAM_BYTES: usize = 65_535;

/// A datagram to be sent: where to (`None` on a connected socket) and what.
pub(super) type Outgoing = (Option<SocketAddr>, Bytes);

/// The receive buffer of one socket, reused for its whole life.
pub(super) struct ReceiveBuffer(pub(super) Vec<u8>);

impl ReceiveBuffer {
    /// Room for one batch. The pages are touched only as far as datagrams fill them.
    pub(super) fn new() -> ReceiveBuffer {
        ReceiveBuffer(vec![0; BATCH * DATAGRAM_BYTES])
    }
}

/// Waits until something has arrived and hands over all that one system call gives (at most `BATCH` datagrams).
///
/// # Errors
/// What the socket reports.
pub(super) async fn receive(
    socket: &UdpSocket,
    buffer: &mut ReceiveBuffer,
    out: &mut Vec<(SocketAddr, Vec<u8>)>,
) -> io::Result<()> {
    // ERROR too: an ICMP error makes a socket neither readable nor writable, and would otherwise lie there until the next send.
    socket
        .async_io(Interest::READABLE | Interest::ERROR, || {
            receive_now(socket, &mut buffer.0, |from, bytes| {
                out.push((from, bytes.to_vec()));
            })
        })
        .await
}

/// Sends as many of `datagrams` as one system call takes; gives how many went.
///
/// # Errors
/// The error belongs to the first datagram: none was sent. The caller decides whether to skip it or to try it again.
pub(super) async fn send(socket: &UdpSocket, datagrams: &[Outgoing]) -> io::Result<usize> {
    socket
        .async_io(Interest::WRITABLE, || {
            send_now(
                socket,
                datagrams
                    .iter()
                    .map(|(to, bytes)| (*to, bytes.as_ref()))
                    .take(BATCH),
            )
        })
        .await
}

/// Hands over what has arrived, at most one batch.
#[cfg(target_os = "linux")]
pub(super) fn receive_now(
    socket: &impl std::os::fd::AsRawFd,
    buffer: &mut [u8],
    mut each: impl FnMut(SocketAddr, &[u8]),
) -> io::Result<()> {
    use std::io::IoSliceMut;

    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};

    // Made anew for each call: the headers hold raw pointers, and a future that kept them over an await could not be sent
    // between threads. 6 KiB from the allocator is small against the call itself.
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    let mut lengths = [(0_usize, None::<SocketAddr>); BATCH];
    let mut received = 0;
    {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffer
            .chunks_exact_mut(DATAGRAM_BYTES)
            .map(|chunk| [IoSliceMut::new(chunk)])
            .collect();
        let messages = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        for (slot, message) in lengths.iter_mut().zip(messages) {
            *slot = (message.bytes, message.address.and_then(std_address));
            received += 1;
        }
    }
    for ((length, from), chunk) in lengths
        .into_iter()
        .take(received)
        .zip(buffer.chunks_exact(DATAGRAM_BYTES))
    {
        if let Some(from) = from {
            each(from, &chunk[..length]);
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn std_address(address: nix::sys::socket::SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    // The scope is kept: a link-local peer can be answered only through its interface.
    address.as_sockaddr_in6().map(|v6| {
        std::net::SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into()
    })
}

/// Sends what one system call takes; gives how many went.
#[cfg(target_os = "linux")]
pub(super) fn send_now<'a>(
    socket: &impl std::os::fd::AsFd,
    datagrams: impl Iterator<Item = (Option<SocketAddr>, &'a [u8])>,
) -> io::Result<usize> {
    use std::io::IoSlice;

    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

    let (addresses, slices): (Vec<_>, Vec<[IoSlice<'_>; 1]>) = datagrams
        .map(|(to, bytes)| (to.map(|to| to.as_any()), [IoSlice::new(bytes)]))
        .unzip();
    let mut controls: Vec<_> = slices
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let mut headers: Vec<MMsgHdr<'_>> = slices
        .iter()
        .zip(&addresses)
        .zip(&mut controls)
        .map(|((slice, address), control)| match address {
            Some(address) => MMsgHdr::new_with_addr(address, slice, control),
            None => MMsgHdr::new(slice, control),
        })
        .collect();
    Ok(sendmmsg(socket, &mut headers, SendFlags::DONTWAIT)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn receive_now(
    socket: &impl std::os::fd::AsFd,
    buffer: &mut [u8],
    mut each: impl FnMut(SocketAddr, &[u8]),
) -> io::Result<()> {
    use rustix::net::{RecvFlags, recvfrom};

    let (length, _, from) = recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT)?;
    if let Some(from) = from.and_then(|from| SocketAddr::try_from(from).ok()) {
        each(from, &buffer[..length]);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn send_now<'a>(
    socket: &impl std::os::fd::AsFd,
    mut datagrams: impl Iterator<Item = (Option<SocketAddr>, &'a [u8])>,
) -> io::Result<usize> {
    use rustix::net::{SendFlags, send, sendto};

    match datagrams.next() {
        Some((Some(to), bytes)) => sendto(socket, bytes, SendFlags::DONTWAIT, &to)?,
        Some((None, bytes)) => send(socket, bytes, SendFlags::DONTWAIT)?,
        None => return Ok(0),
    };
    Ok(1)
}
