//! Which of our addresses the kernel would send from. A connected UDP socket asks the routing table without sending anything.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Routes change rarely; an address that has moved is found again after this.
const KEPT: Duration = Duration::from_secs(60);
const MAX_KEPT: usize = 4_096;

#[derive(Default)]
pub(super) struct SourceIps {
    known: Mutex<HashMap<IpAddr, (IpAddr, Instant)>>,
}

impl SourceIps {
    pub(super) fn find(&self, to: IpAddr) -> IpAddr {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((source, asked)) = known.get(&to)
            && now.duration_since(*asked) < KEPT
        {
            return *source;
        }
        let source = ask_kernel(to);
        if known.len() >= MAX_KEPT {
            known.clear();
        }
        known.insert(to, (source, now));
        source
    }
}

fn ask_kernel(to: IpAddr) -> IpAddr {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The port is never used; 9 is "discard".
    let asked = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((to, 9))?;
        socket.local_addr()
    });
    asked.map_or(any, |local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        let ips = SourceIps::default();
        for _ in 0..2 {
            assert_eq!(
                ips.find(Ipv4Addr::LOCALHOST.into()),
                IpAddr::from(Ipv4Addr::LOCALHOST)
            );
        }
    }
}
