//! A count of the bytes looked at, for the tests that prove that hostile input stays linear. Costs nothing elsewhere.

/// Notes that `bytes` bytes were looked at.
#[inline]
pub(crate) fn note(bytes: usize) {
    #[cfg(test)]
    counter::BYTES.with(|count| count.set(count.get() + bytes as u64));
    #[cfg(not(test))]
    let _ = bytes;
}

#[cfg(test)]
pub(crate) mod counter {
    use std::cell::Cell;

    thread_local!(pub(crate) static BYTES: Cell<u64> = const { Cell::new(0) });

    /// The bytes that `f` looks at.
    pub(crate) fn of<T>(f: impl FnOnce() -> T) -> (u64, T) {
        let before = BYTES.with(Cell::get);
        let result = f();
        (BYTES.with(Cell::get) - before, result)
    }
}

#[cfg(test)]
mod tests {
    use super::counter;
    use crate::{Limits, Message, Reply, StatusCode, parse_datagram};

    /// Reads everything there is in a message, and answers it.
    fn read_all(bytes: Vec<u8>) {
        let length = bytes.len();
        // Far beyond what a server allows: the work has to stay linear without the limits' help.
        let limits = Limits {
            message_bytes: length,
            header_count: length,
            header_line_bytes: length,
            body_bytes: length,
            notify_bytes: length,
        };
        let request = match parse_datagram(bytes, &limits) {
            Ok(Message::Request(request)) => request,
            Ok(Message::Response(_)) => return,
            Err(fault) => match fault.answerable {
                Some(request) => *request,
                None => return,
            },
        };
        let _ = (
            request.check_mandatory(),
            request.vias(),
            request.from(),
            request.to(),
            request.contacts(),
            request.route(),
        );
        let _ = (
            request.record_route(),
            request.accept(),
            request.event(),
            request.content_type(),
            request.require(),
            request.parsed_uri(),
        );
        let _ = Reply::new(&request, StatusCode::BAD_REQUEST).encode(([192, 0, 2, 1], 5060).into());
    }

    /// Makes a message of about so many bytes.
    type Make = fn(usize) -> Vec<u8>;

    fn message(headers: &str) -> Vec<u8> {
        format!("OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/UDP h\r\nf: sip:a\r\nt: sip:b\r\ni: c\r\nCSeq: 1 OPTIONS\r\n{headers}\r\n").into_bytes()
    }

    /// A hostile megabyte costs what a megabyte costs: so many looks at each byte, whatever is in it.
    #[test]
    fn hostile_input_stays_linear() {
        let hostile: &[(&str, Make)] = &[
            ("one long value", |n| {
                message(&format!("X: {}\r\n", "x".repeat(n)))
            }),
            ("many headers", |n| message(&"X:y\r\n".repeat(n / 5))),
            ("many folds", |n| {
                message(&format!("X: y\r\n{}", " \r\n".repeat(n / 3)))
            }),
            ("folds of a list", |n| {
                message(&format!(
                    "Contact: <sip:a>\r\n{}",
                    " ,<sip:b>\r\n".repeat(n / 11)
                ))
            }),
            ("headers without colon", |n| message(&"X\r\n".repeat(n / 3))),
            ("line feeds", |n| vec![b'\n'; n]),
            ("no line end", |n| vec![b'a'; n]),
            ("spaces", |n| {
                message(&format!(
                    "X: {}y{}\r\n",
                    " ".repeat(n / 2),
                    " ".repeat(n / 2)
                ))
            }),
            ("routes", |n| {
                message(&format!("Route: {}\r\n", vec!["sip:a;lr"; n / 9].join(",")))
            }),
            ("route lines", |n| {
                message(&"Record-Route: <sip:a;lr>\r\n".repeat(n / 26))
            }),
            ("vias", |n| {
                message(&format!(
                    "Via: {}\r\n",
                    vec!["SIP/2.0/UDP h;branch=z9hG4bK"; n / 30].join(",")
                ))
            }),
            ("commas", |n| {
                message(&format!("Require: {}\r\n", ",".repeat(n)))
            }),
            ("semicolons", |n| {
                message(&format!("Contact: <sip:a>{}\r\n", ";".repeat(n)))
            }),
            ("parameters", |n| {
                message(&format!("Contact: <sip:a>{}\r\n", ";a=b".repeat(n / 4)))
            }),
            ("URI parameters", |n| {
                message(&format!("Contact: <sip:a{}>\r\n", ";a=b".repeat(n / 4)))
            }),
            ("quotes", |n| {
                message(&format!("Contact: {}\r\n", "\"".repeat(n)))
            }),
            ("open quotes in a list", |n| {
                message(&format!("Contact: {}\r\n", "\"a\\,".repeat(n / 4)))
            }),
            ("brackets", |n| {
                message(&format!("Contact: {}\r\n", "<".repeat(n)))
            }),
            ("media ranges", |n| {
                message(&format!("Accept: {}\r\n", vec!["a/b;q=1"; n / 8].join(",")))
            }),
            ("escapes", |n| {
                message(&format!("Contact: <sip:{}@h>\r\n", "%41".repeat(n / 3)))
            }),
            ("colons in the host", |n| {
                message(&format!("Contact: <sip:{}>\r\n", ":".repeat(n)))
            }),
        ];
        for (label, make) in hostile {
            let cost = |n: usize| {
                let bytes = make(n);
                let length = bytes.len() as u64;
                (counter::of(|| read_all(bytes)).0, length)
            };
            let (small, small_length) = cost(100_000);
            let (large, large_length) = cost(1_000_000);
            assert!(
                large > 0 && large <= 30 * large_length,
                "{label}: {large} for {large_length} bytes"
            );
            // Ten times the input, ten times the work (and a fixed part).
            assert!(
                large <= 11 * small.max(small_length),
                "{label}: {small} for {small_length} bytes, {large} for {large_length}"
            );
        }
    }
}
