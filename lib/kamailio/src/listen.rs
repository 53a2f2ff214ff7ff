//! An address to listen on, as Kamailio writes it.

use crate::settings::Protocol;

/// Transport, host and port of `[PROTO:]HOST[:PORT]`; HOST may be an IPv6 address in brackets.
pub(crate) fn parse(text: &str) -> Result<(Option<Protocol>, String, Option<u16>), String> {
    let refused = || {
        format!(
            "{:?} is not an address to listen on",
            text.chars().take(100).collect::<String>()
        )
    };
    let (protocol, rest) = match text.split_once(':') {
        Some((word, rest)) => match protocol(word) {
            Some(protocol) => (Some(protocol), rest),
            None => (None, text),
        },
        None => (None, text),
    };
    // `/` begins the address of an interface's network, `(` a list for SCTP.
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(refused)?)),
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let port = port
        .map(|port| port.parse().map_err(|_| refused()))
        .transpose()?;
    let clean = |c: char| c.is_ascii_alphanumeric() || ".:-_*".contains(c);
    if host.is_empty() || !host.chars().all(clean) {
        return Err(refused());
    }
    Ok((protocol, host.to_owned(), port))
}

fn protocol(word: &str) -> Option<Protocol> {
    Some(match word.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "tcp" => Protocol::Tcp,
        "tls" => Protocol::Tls,
        "sctp" => Protocol::Sctp,
        "ws" | "wss" => Protocol::WebSocket,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::settings::Protocol::{Tls, Udp};

    #[test]
    fn addresses_are_taken_apart() {
        for (text, protocol, host, port) in [
            ("udp:10.0.0.1:5060", Some(Udp), "10.0.0.1", Some(5060)),
            ("10.0.0.1", None, "10.0.0.1", None),
            ("eth0:5080", None, "eth0", Some(5080)),
            (
                "tls:[2001:db8::1]:5061",
                Some(Tls),
                "2001:db8::1",
                Some(5061),
            ),
            ("[::1]", None, "::1", None),
            ("UDP:sip.example.org", Some(Udp), "sip.example.org", None),
        ] {
            assert_eq!(parse(text), Ok((protocol, host.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            "udp:",
            "udp::5060",
            "10.0.0.1:sip",
            "10.0.0.1:70000",
            "[::1]x",
            "a b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
