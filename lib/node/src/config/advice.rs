//! What is allowed and probably not meant: told at the start and by `config check`, refused never.

use super::value::Transport;
use super::{Config, DatabaseUrl};

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
        if let Some(url) = &self.presence.db_url
            && !url.is_local()
            && let Some(message) = about_connection(url)
        {
            found.push(("presence.db_url", message.to_owned()));
        }
        found
    }
}

/// What is not safe about the way to a database on another machine.
fn about_connection(url: &DatabaseUrl) -> Option<&'static str> {
    let has_roots = url.parameter("sslrootcert").is_some();
    match url.parameter("sslmode") {
        Some("disable") => Some(
            "is on another machine, and sslmode=disable sends all that is stored in clear: set sslmode=verify-full and sslrootcert",
        ),
        Some("require") if !has_roots => Some(
            "is on another machine, and with sslmode=require nobody checks that it is the right one: set sslmode=verify-full and \
             sslrootcert",
        ),
        None if has_roots => None,
        None | Some("" | "allow" | "prefer") => Some(
            "is on another machine, and nobody checks that it is the right one, or that the connection is encrypted: set \
             sslmode=verify-full and sslrootcert",
        ),
        Some(_) => None,
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
    fn a_database_on_another_machine_is_worth_a_word_unless_it_is_verified() {
        for (url, count) in [
            ("postgres://u@db/d", 1),
            ("postgres://u@db/d?sslmode=disable", 1),
            ("postgres://u@db/d?sslmode=prefer&sslrootcert=/ca", 1),
            ("postgres://u@db/d?sslmode=require", 1),
            ("postgres://u@db/d?sslmode=require&sslrootcert=/ca", 0),
            ("postgres://u@db/d?sslrootcert=/ca", 0),
            ("postgres://u@db/d?sslmode=verify-ca&sslrootcert=/ca", 0),
            ("postgres://u@localhost,[::1]/d", 0),
            ("host=localhost hostaddr=192.0.2.1", 1),
            ("host=db hostaddr=127.0.0.1", 0),
            ("postgres:///d?host=/run/pg", 0),
        ] {
            let sets = [("presence.db_url".to_owned(), url.to_owned())];
            let config = Config::load(None, std::iter::empty(), &sets).unwrap();
            assert_eq!(config.remarks.len(), count, "{url}");
        }
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
