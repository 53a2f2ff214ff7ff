//! Phones whose flow is gone, and that can be reached where their Contact leads without it (RFC 3261 section 18.1.1).
//!
//! A server that stores the subscription of such a phone says so in the Route to itself: its parameter `connect` has the address that the
//! phone was seen at. When the flow turns out to be gone, which costs the NOTIFY an answer 430 or a closed port, the dialog needs a
//! NOTIFY at once, and that goes to the Contact from a socket of ours. The row stays as it is.
//!
//! A connection that is gone never comes back: the later NOTIFYs go to the Contact, too, over a connection of ours, until the phone
//! subscribes again, which gives the row another flow, and so another try. The server of a phone on UDP may come back on its port, and a firewall may let
//! nobody else through: its flow is tried again after a minute, or when a NOTIFY from here is not answered. That says nothing about the
//! phone. If nothing listens there, the NOTIFY fails and is tried again with growing pauses, as usual.
//!
//! What is known here is lost with the process, and costs another failure then.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use net::{Resolver, Target};
use sip::{Transport, Uri};

/// The dialogs whose flow is gone.
#[derive(Debug, Default)]
pub(crate) struct GoneFlows {
    /// Spares all others the lock.
    any: AtomicBool,
    dialogs: Mutex<HashMap<i64, Gone>>,
}

#[derive(Debug)]
struct Gone {
    flow: FlowDigest,
    since: Instant,
    /// A NOTIFY went to the Contact in place of the flow, by UDP.
    by_udp: bool,
}

/// Tells one flow from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowDigest(u64);

impl FlowDigest {
    pub(crate) fn of(route: &str) -> FlowDigest {
        let mut hasher = DefaultHasher::new();
        route.hash(&mut hasher);
        FlowDigest(hasher.finish())
    }
}

/// Beyond that all are forgotten: each then costs a failure once more.
const MAX_KNOWN: usize = 100_000;
/// How long a server is given to come back to its port.
const UDP_TRIED_AGAIN: Duration = Duration::from_secs(60);

// === impl GoneFlows ===

impl GoneFlows {
    pub(crate) fn note(&self, dialog: i64, flow: FlowDigest) {
        let mut dialogs = self.dialogs();
        if dialogs.len() >= MAX_KNOWN {
            dialogs.clear();
        }
        let gone = Gone {
            flow,
            since: Instant::now(),
            by_udp: false,
        };
        dialogs.insert(dialog, gone);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Whether the next NOTIFY goes to the Contact. `by`: the flow's transport.
    pub(crate) fn has(&self, dialog: i64, flow: FlowDigest, by: Transport) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut dialogs = self.dialogs();
        let Some(gone) = dialogs.get_mut(&dialog) else {
            return false;
        };
        gone.by_udp = by == Transport::Udp;
        let is_gone = gone.flow == flow && (!gone.by_udp || gone.since.elapsed() < UDP_TRIED_AGAIN);
        if !is_gone {
            dialogs.remove(&dialog);
        }
        is_gone
    }

    /// Whether a NOTIFY of this dialog that was not answered went to the Contact in place of a UDP flow; the flow is tried next then.
    pub(crate) fn was_in_vain(&self, dialog: i64) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut dialogs = self.dialogs();
        let by_udp = dialogs.get(&dialog).is_some_and(|gone| gone.by_udp);
        if by_udp {
            dialogs.remove(&dialog);
        }
        by_udp
    }

    fn dialogs(&self) -> MutexGuard<'_, HashMap<i64, Gone>> {
        self.dialogs.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The transport of the flow behind this Route.
pub(crate) fn transport_of(route: &Uri) -> Transport {
    let by = route.param("by").and_then(|by| by.parse().ok());
    // Rows of before notifiers came by TCP name UDP and have no `by`; `connect` was for phones on TCP only then.
    let is_of_old = route.transport() == Some(Transport::Udp) && route.param("connect").is_some();
    by.unwrap_or(match is_of_old {
        true => Transport::Tcp,
        false => Transport::Udp,
    })
}

/// Where to send to, best first; empty: nowhere. By the transport of the flow, whatever the Contact leaves open: that is what the phone
/// speaks.
pub(crate) async fn targets(
    resolver: &Resolver,
    contact: &Uri,
    by: Transport,
    seen_at: IpAddr,
) -> Vec<Target> {
    let mut contact = contact.clone();
    match contact.param("transport").map(|_| contact.transport()) {
        None => contact
            .params
            .push(("transport".to_owned(), Some(by.as_str().to_owned()))),
        Some(Some(transport)) if transport == by => {}
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
    fn another_flow_is_another_try() {
        let (one, two) = (FlowDigest::of("<sip:one>"), FlowDigest::of("<sip:two>"));
        let gone = GoneFlows::default();
        let has = |dialog, flow| gone.has(dialog, flow, Transport::Tcp);
        assert!(!has(7, one));
        gone.note(7, one);
        assert!(has(7, one) && has(7, one));
        assert!(!has(8, one));
        assert!(!gone.was_in_vain(7), "a silent phone on TCP is silent");
        assert!(!has(7, two));
    }

    #[test]
    fn a_udp_flow_is_tried_again() {
        let flow = FlowDigest::of("<sip:one>");
        let gone = GoneFlows::default();
        let has = || gone.has(7, flow, Transport::Udp);
        gone.note(7, flow);
        assert!(has() && has());
        assert!(gone.was_in_vain(7) && !gone.was_in_vain(7));
        assert!(!has(), "the flow comes next");
        gone.note(7, flow);
        let long_ago = Instant::now().checked_sub(UDP_TRIED_AGAIN).unwrap();
        gone.dialogs().get_mut(&7).unwrap().since = long_ago;
        assert!(!has(), "the server may be back");
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
                "sip:a@[2620:fe::9]:5070",
                "2001:db8::9",
                Some("[2620:fe::9]:5070"),
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
            let found = targets(&resolver, &uri, Transport::Tcp, seen.parse().unwrap()).await;
            let expected = expected.map(|addr| Target {
                transport: Transport::Tcp,
                addr: addr.parse().unwrap(),
            });
            assert_eq!(found, Vec::from_iter(expected), "{contact} seen at {seen}");
        }
        let by_udp = async |contact: &str| {
            let (uri, seen) = (Uri::parse(contact).unwrap(), "127.0.0.1".parse().unwrap());
            targets(&resolver, &uri, Transport::Udp, seen).await
        };
        let expected = Target {
            transport: Transport::Udp,
            addr: "127.0.0.1:5070".parse().unwrap(),
        };
        assert_eq!(by_udp("sip:a@127.0.0.1:5070").await, [expected]);
        assert_eq!(by_udp("sip:a@127.0.0.1:5070;transport=tcp").await, []);
    }

    #[test]
    fn the_route_says_where_the_phone_was_seen() {
        for (route, expected) in [
            (
                "sip:token@192.0.2.1:5090;transport=tcp;by=tcp;connect=192.0.2.7;lr",
                Some("192.0.2.7"),
            ),
            (
                "sip:token@192.0.2.1:5090;transport=tcp;by=tcp;connect=[2001:db8::7];lr",
                Some("2001:db8::7"),
            ),
            ("sip:token@192.0.2.1:5090;transport=tcp;lr", None),
            ("sip:token@192.0.2.1:5090;connect;lr", None),
            ("sip:token@192.0.2.1:5090;connect=phone;lr", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            let uri = Uri::parse(route).unwrap();
            assert_eq!(seen_at(&uri), expected, "{route}");
        }
    }

    #[test]
    fn the_route_says_by_which_transport() {
        for (params, expected) in [
            (";transport=tcp;lr", Transport::Udp),
            (";transport=tcp;connect=192.0.2.7;lr", Transport::Udp),
            (";transport=tcp;by=tcp;lr", Transport::Tcp),
            (";transport=tcp;by=tcp;connect=192.0.2.7;lr", Transport::Tcp),
            // As old rows have it.
            (";transport=udp;connect=192.0.2.7;lr", Transport::Tcp),
            (";transport=udp;lr", Transport::Udp),
        ] {
            let uri = Uri::parse(&format!("sip:token@192.0.2.1:5090{params}")).unwrap();
            assert_eq!(transport_of(&uri), expected, "{params}");
        }
    }
}
