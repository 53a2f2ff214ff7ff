//! What is allowed and probably not meant: told at the start and by `config check`, refused never.

use super::Config;
use super::value::Transport;

impl Config {
    /// Pairs of a path and what the reader should know about it.
    pub(super) fn advice(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Some(address) = &self.presence.server_address
            && is_by_udp(address.as_str())
            && let Some(listener) = self.server.listen.iter().find(|listener| {
                listener.listen.transport == Transport::Tcp && listener.advertise.is_none()
            })
        {
            let message = format!(
                "names no transport, so phones that come to {} send their refreshes to it by UDP: write {address};transport=tcp, or \
                 {} advertise {address}",
                listener.listen, listener.listen
            );
            found.push(("presence.server_address", message));
        }
        found
    }
}

/// RFC 3263 section 4.1: without a transport a `sip:` URI is reached by UDP, a `sips:` URI never is.
fn is_by_udp(uri: &str) -> bool {
    let uri = uri.to_ascii_lowercase();
    !uri.starts_with("sips:") && (!uri.contains(";transport=") || uri.contains(";transport=udp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(address: &str, listen: &str) -> usize {
        let sets = [
            ("presence.server_address".to_owned(), address.to_owned()),
            ("server.listen".to_owned(), listen.to_owned()),
        ];
        let config = Config::load(None, std::iter::empty(), &sets).unwrap();
        config.remarks.len()
    }

    #[test]
    fn phones_on_tcp_that_are_sent_to_udp_are_worth_a_word() {
        let both = "udp:127.0.0.1:5060, tcp:127.0.0.1:5060";
        for (address, listen, count) in [
            ("sip:192.0.2.1", both, 1),
            ("sip:edge.example.org:5070", both, 1),
            ("sip:192.0.2.1;transport=udp", both, 1),
            ("sip:192.0.2.1;Transport=TCP", both, 0),
            ("sips:edge.example.org", both, 0),
            ("", both, 0),
            ("sip:192.0.2.1", "udp:127.0.0.1:5060", 0),
            (
                "sip:192.0.2.1",
                "udp:127.0.0.1:5060, tcp:127.0.0.1:5060 advertise sip:192.0.2.1",
                0,
            ),
        ] {
            assert_eq!(advice(address, listen), count, "{address} {listen}");
        }
    }
}
