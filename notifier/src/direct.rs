//! Phones on TCP whose connection is gone, and that can be connected to where their Contact leads (RFC 3261 section 18.1.1).
//!
//! A server that stores the subscription of such a phone says so in the Route to itself: its parameter `connect` has the address that the
//! phone was seen at. When the flow turns out to be gone, which costs the NOTIFY an answer 430 or a closed port, the dialog is owed a
//! NOTIFY at once, and that goes to the Contact over a connection of ours. So do the later ones, until the phone subscribes again, which gives the
//! row another flow: a connection that is gone never comes back. The row stays as it is. Where nobody listens the NOTIFY fails, and is tried
//! again later and later, as ever.
//!
//! What is known here is lost with the process, and costs another 430 then.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use net::{Resolver, Target};
use sip::{Transport, Uri};

/// The dialogs whose flow is gone, with the target that they had then.
#[derive(Debug, Default)]
pub(crate) struct GoneFlows {
    /// Spares all others the lock.
    any: AtomicBool,
    dialogs: Mutex<HashMap<i64, i32>>,
}

/// Beyond that all are forgotten: each then costs a 430 once more.
const MOST: usize = 100_000;

// === impl GoneFlows ===

impl GoneFlows {
    pub(crate) fn note(&self, dialog: i64, target_version: i32) {
        let mut dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        if dialogs.len() >= MOST {
            dialogs.clear();
        }
        dialogs.insert(dialog, target_version);
        self.any.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, dialog: i64, target_version: i32) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let dialogs = self.dialogs.lock().unwrap_or_else(PoisonError::into_inner);
        dialogs.get(&dialog) == Some(&target_version)
    }
}

/// The address that the phone behind this Route was seen at, if it may be connected to.
pub(crate) fn seen_at(route: &Uri) -> Option<IpAddr> {
    let address = route.param("connect")?;
    address
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Where to connect to, best first; empty: nowhere. By TCP, whatever the Contact leaves open: that is what the phone speaks.
pub(crate) async fn targets(resolver: &Resolver, contact: &Uri, seen_at: IpAddr) -> Vec<Target> {
    let mut contact = contact.clone();
    match contact.param("transport").map(|_| contact.transport()) {
        None => contact
            .params
            .push(("transport".to_owned(), Some("tcp".to_owned()))),
        Some(Some(Transport::Tcp)) => {}
        Some(_) => return Vec::new(),
    }
    let mut targets = resolver.resolve(&contact).await.unwrap_or_default();
    targets.retain(|target| net::may_connect(target.addr.ip(), seen_at));
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_target_is_another_flow() {
        let gone = GoneFlows::default();
        assert!(!gone.has(7, 1));
        gone.note(7, 1);
        assert!(gone.has(7, 1));
        assert!(!gone.has(7, 2) && !gone.has(8, 1));
        gone.note(7, 2);
        assert!(gone.has(7, 2) && !gone.has(7, 1));
    }

    #[tokio::test]
    async fn only_where_the_phone_can_be() {
        let resolver = Resolver::system();
        for (contact, seen, expected) in [
            (
                "sip:a@127.0.0.1:5070;transport=tcp",
                "127.0.0.1",
                Some("127.0.0.1:5070"),
            ),
            (
                "sip:a@127.0.0.1;transport=TCP",
                "127.0.0.1",
                Some("127.0.0.1:5060"),
            ),
            ("sip:a@127.0.0.1:5070", "127.0.0.1", Some("127.0.0.1:5070")),
            (
                "sip:a@[2001:db8::7]:5070",
                "2001:db8::9",
                Some("[2001:db8::7]:5070"),
            ),
            (
                "sip:a@example.org;maddr=10.0.0.7;transport=tcp",
                "198.51.100.1",
                None,
            ),
            ("sip:a@10.0.0.7:5070;transport=tcp", "198.51.100.1", None),
            ("sip:a@127.0.0.1:5070;transport=udp", "127.0.0.1", None),
            ("sip:a@127.0.0.1:5070;transport=ws", "127.0.0.1", None),
            ("sips:a@127.0.0.1:5070", "127.0.0.1", None),
            ("tel:+15551234", "127.0.0.1", None),
        ] {
            let uri = Uri::parse(contact).unwrap();
            let found = targets(&resolver, &uri, seen.parse().unwrap()).await;
            let expected = expected.map(|addr| Target {
                transport: Transport::Tcp,
                addr: addr.parse().unwrap(),
            });
            assert_eq!(found, Vec::from_iter(expected), "{contact} seen at {seen}");
        }
    }

    #[test]
    fn the_route_says_where_the_phone_was_seen() {
        for (route, expected) in [
            (
                "sip:token@192.0.2.1:5090;transport=udp;connect=192.0.2.7;lr",
                Some("192.0.2.7"),
            ),
            (
                "sip:token@192.0.2.1:5090;transport=udp;connect=[2001:db8::7];lr",
                Some("2001:db8::7"),
            ),
            ("sip:token@192.0.2.1:5090;transport=udp;lr", None),
            ("sip:token@192.0.2.1:5090;connect;lr", None),
            ("sip:token@192.0.2.1:5090;connect=phone;lr", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(seen_at(&Uri::parse(route).unwrap()), expected, "{route}");
        }
    }
}
