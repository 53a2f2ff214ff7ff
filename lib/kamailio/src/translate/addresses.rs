//! `server.listen`, from the lines `listen` and `port`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Translator;
use crate::report::SettingOutcome;
use crate::settings::{Listening, Place, Protocol, Settings};
use crate::shown::shortened;
use crate::toml::{Line, Literal};

const SIP_PORT: u16 = 5060;

impl Translator {
    pub(super) fn listen(&mut self, settings: &Settings) {
        let port = settings.port.as_ref().map_or(SIP_PORT, |(port, _)| *port);
        let port = if port == 0 { SIP_PORT } else { port };
        let mut addresses: Vec<(String, String)> = Vec::new();
        let mut known = BTreeSet::new();
        for listening in &settings.listen {
            for address in self.addresses(listening, port) {
                if known.insert(address.clone()) {
                    addresses.push((address, listening.place.to_string()));
                }
            }
        }
        if settings.listen.is_empty() {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let why = "no listen: Kamailio takes all addresses";
            addresses.extend(["udp", "tcp"].map(|word| (format!("{word}:{any}"), why.to_owned())));
            let sentence = format!(
                "there is no listen line: as Kamailio does, all IPv4 addresses are taken, port {port}"
            );
            self.say(SettingOutcome::Note, None, "", &sentence);
        } else if addresses.is_empty() {
            let sentence = "no listen line could be converted: server.listen stays at 127.0.0.1";
            self.say(SettingOutcome::Note, None, "", sentence);
        }
        for (alias, place) in &settings.aliases {
            let subject = format!("alias = {}", shortened(alias));
            let sentence =
                "requests for any domain are answered here: the edge decides which ones come";
            self.say(SettingOutcome::NoMeaning, Some(place), &subject, sentence);
        }
        if addresses.is_empty() {
            return;
        }
        let place = settings
            .listen
            .first()
            .map(|listening| listening.place.clone())
            .or_else(|| settings.port.as_ref().map(|(_, place)| place.clone()));
        let place = place.unwrap_or_else(|| Place {
            file: settings.files.first().cloned().unwrap_or_else(|| "".into()),
            line: 0,
        });
        self.identity(settings, &addresses, &place);
        let line = Line {
            key: "server.listen",
            value: Literal::List(addresses),
            comments: Vec::new(),
        };
        self.lines.insert(0, (line, place));
    }

    /// Whom to believe, which a server must know that others can reach. Kamailio's script decides that, and is not carried over: a module that
    /// can ask for passwords stands for asking, and without one nobody was asked.
    fn identity(&mut self, settings: &Settings, addresses: &[(String, String)], place: &Place) {
        let is_of_this_machine = |(address, _): &(String, String)| {
            let bare = address.split([' ']).next().unwrap_or_default();
            let bare = bare.split_once(':').map_or("", |(_, address)| address);
            bare.parse::<SocketAddr>()
                .is_ok_and(|address| address.ip().is_loopback())
        };
        if addresses.iter().all(is_of_this_machine) {
            return;
        }
        let asks = |module: &String| matches!(module.as_str(), "auth_db" | "auth");
        let (key, value, sentence) = if settings.modules.iter().any(asks) {
            (
                "identity.digest",
                Literal::Number(1),
                "identity.digest = 1: phones prove passwords, which are read in the view presence_credentials; copy the table subscriber, \
                 and list edge proxies in identity.trusted_peers",
            )
        } else {
            (
                "identity.policy",
                Literal::Text("open".to_owned()),
                "identity.policy = \"open\": no module here asks for passwords, so everybody is believed; if requests come through an edge \
                 proxy, set identity.trusted_peers to its address instead",
            )
        };
        self.say(SettingOutcome::Note, None, "", sentence);
        let line = Line {
            key,
            value,
            comments: Vec::new(),
        };
        self.lines.insert(0, (line, place.clone()));
    }

    /// The addresses of one `listen`, as our configuration writes them.
    fn addresses(&mut self, listening: &Listening, port: u16) -> Vec<String> {
        let place = Some(&listening.place);
        let subject = format!("listen {}", shortened(&listening.host));
        let words: &[&str] = match listening.protocol {
            None => &["udp", "tcp"],
            Some(Protocol::Udp) => &["udp"],
            Some(Protocol::Tcp) => &["tcp"],
            Some(Protocol::Tls | Protocol::WebSocket) => {
                let sentence = "TLS and WebSocket are not supported yet: let the edge handle them";
                self.say(SettingOutcome::NotYet, place, &subject, sentence);
                return Vec::new();
            }
            Some(Protocol::Sctp) => {
                let sentence = "SCTP is not supported: let the edge handle it";
                self.say(SettingOutcome::NoMeaning, place, &subject, sentence);
                return Vec::new();
            }
        };
        let host = match listening.host.as_str() {
            "*" => Ok(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            host => host.parse::<IpAddr>(),
        };
        let Ok(host) = host else {
            let sentence = "is an interface or a name: write its address into server.listen";
            self.say(SettingOutcome::Wrong, place, &subject, sentence);
            return Vec::new();
        };
        let port = listening.port.filter(|port| *port != 0).unwrap_or(port);
        let address = SocketAddr::new(host, port);
        self.say(
            SettingOutcome::Taken,
            place,
            &format!("listen {address}"),
            "server.listen",
        );
        let mut advertise = String::new();
        if let Some(advertised) = &listening.advertised {
            let of_address = |c: char| c.is_ascii_alphanumeric() || ".:[]-".contains(c);
            if !advertised.is_empty()
                && advertised.len() < 256
                && advertised.chars().all(of_address)
            {
                advertise = format!(" advertise sip:{advertised}");
            } else {
                let sentence = format!(
                    "advertise {} is not an address: write the address for phones' refreshes behind the listener in server.listen",
                    shortened(advertised)
                );
                self.say(SettingOutcome::Wrong, place, &subject, &sentence);
            }
        }
        words
            .iter()
            .map(|word| format!("{word}:{address}{advertise}"))
            .collect()
    }
}
