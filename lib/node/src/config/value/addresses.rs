//! Where to listen, and URIs.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::error::ValueError;
use super::texts::as_text;

/// A transport that can be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

/// An address to listen on: `udp:127.0.0.1:5060`, `tcp:[::1]:5060`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// By which transport.
    pub transport: Transport,
    /// Where; port 0 is any free one.
    pub addr: SocketAddr,
}

/// An address to take requests on, and how it is called elsewhere: `udp:10.0.0.5:5060 advertise sip:192.0.2.1:5060`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub listen: Listen,
    /// The URI by which phones reach it, if that is another one.
    pub advertise: Option<ServerAddress>,
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Listen, ValueError> {
        let refused = || ValueError::Listen(text.to_owned());
        let (transport, addr) = text.split_once(':').ok_or_else(refused)?;
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(refused()),
        };
        Ok(Listen {
            transport,
            addr: addr.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{transport}:{}", self.addr)
    }
}

impl FromStr for Listener {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Listener, ValueError> {
        let (listen, advertise) = match text.split_once(" advertise ") {
            Some((listen, address)) => (listen.trim_end(), Some(address.trim_start().parse()?)),
            None => (text, None),
        };
        let listen = listen.parse()?;
        Ok(Listener { listen, advertise })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.advertise {
            Some(address) => write!(f, "{} advertise {address}", self.listen),
            None => self.listen.fmt(f),
        }
    }
}

impl From<Listen> for Listener {
    fn from(listen: Listen) -> Listener {
        Listener {
            listen,
            advertise: None,
        }
    }
}

/// The URI by which phones reach this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress(String);

impl ServerAddress {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<ServerAddress, ValueError> {
        // It is put between angle brackets in a header: nothing in it may end that.
        let host = text
            .strip_prefix("sip:")
            .or_else(|| text.strip_prefix("sips:"));
        let clean = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
        };
        match host {
            Some(host) if !host.is_empty() && clean(host) => Ok(ServerAddress(text.to_owned())),
            _ => Err(ValueError::ServerAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URI of somebody who may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherUri(String);

impl WatcherUri {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WatcherUri {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<WatcherUri, ValueError> {
        let rest = ["sip:", "sips:", "tel:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(WatcherUri(text.to_owned()))
            }
            _ => Err(ValueError::WatcherUri(text.to_owned())),
        }
    }
}

impl fmt::Display for WatcherUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(Listen, Listener, ServerAddress, WatcherUri);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["udp:127.0.0.1:5060", "tcp:[::1]:0", "udp:0.0.0.0:65535"] {
            assert_eq!(good.parse::<Listen>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "5060",
            "127.0.0.1:5060",
            "sctp:1.2.3.4:5",
            "udp:localhost:5060",
            "udp:1.2.3.4",
            "UDP:1.2.3.4:5",
        ] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
        for good in [
            "udp:127.0.0.1:5060",
            "tcp:[::1]:0 advertise sips:edge.example.org",
        ] {
            assert_eq!(good.parse::<Listener>().unwrap().to_string(), good);
        }
        for bad in [
            "udp:1.2.3.4:5 advertise ",
            "udp:1.2.3.4:5 advertise 1.2.3.4",
            "udp:1.2.3.4:5 advertise sip:a advertise sip:b",
            "udp:1.2.3.4:5 sip:a",
            " advertise sip:a",
        ] {
            assert!(bad.parse::<Listener>().is_err(), "{bad}");
        }
        for good in [
            "sip:10.0.0.1:5060",
            "sips:edge.example.org",
            "sip:presence@[2001:db8::1]:5060;transport=tcp",
        ] {
            assert_eq!(good.parse::<ServerAddress>().unwrap().as_str(), good);
        }
        for bad in [
            "sip:",
            "10.0.0.1",
            "sip:a>b",
            "sip:a b",
            "sip:a\r\nVia: x",
            "<sip:a>",
            "http://a",
        ] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }
}
