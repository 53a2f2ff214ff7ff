//! Stateless forwarding (RFC 3261 sections 16.6, 16.7 and 16.11), as the flow relay needs it: a request down a flow, its
//! response back up. Nothing is kept between the two; the Vias carry all.

use crate::header::list::split;
use crate::header::number::digits;
use crate::header::via::write_as_received;
use crate::{HeaderName, ParseError, Request, Response, Transport, Via, encode};
use core::net::SocketAddr;

/// A Via that we write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViaOut {
    /// The transport that the message leaves by.
    pub transport: Transport,
    /// Our host; IPv6 with or without brackets.
    pub host: String,
    /// Our port.
    pub port: u16,
    /// With the magic cookie `z9hG4bK`.
    pub branch: String,
    /// Whether to ask for `rport` (RFC 3581).
    pub rport: bool,
}

impl ViaOut {
    /// Appends the header line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Via: SIP/2.0/");
        out.extend_from_slice(self.transport.via_str().as_bytes());
        out.push(b' ');
        let bare_ipv6 = self.host.contains(':') && !self.host.starts_with('[');
        if bare_ipv6 {
            out.push(b'[');
        }
        encode::uri(out, &self.host);
        if bare_ipv6 {
            out.push(b']');
        }
        out.push(b':');
        encode::number(out, u64::from(self.port));
        if self.rport {
            out.extend_from_slice(b";rport");
        }
        out.extend_from_slice(b";branch=");
        encode::uri(out, &self.branch);
        out.extend_from_slice(b"\r\n");
    }
}

/// A request cannot be forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Max-Forwards is 0: answer 483.
    #[error("too many hops")]
    TooManyHops,
    /// A header that forwarding needs is malformed: answer 400.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Forwards a request: the topmost Route value goes, Max-Forwards falls by one, `via` is pushed; nothing else changes.
///
/// # Errors
/// See [`ForwardError`].
pub fn forward_request(request: &Request, via: &ViaOut) -> Result<Vec<u8>, ForwardError> {
    request.top_via()?;
    forward(request, via, None)
}

/// The same, and notes in the previous Via where the request came from (`received`, `rport`), as a server that receives
/// it must (RFC 3261 section 18.2.1, RFC 3581 section 4). `below` is that Via ([`Headers::top_via`](crate::Headers::top_via)).
///
/// # Errors
/// See [`ForwardError`].
pub fn forward_request_from(
    request: &Request,
    below: &Via,
    via: &ViaOut,
    source: SocketAddr,
) -> Result<Vec<u8>, ForwardError> {
    forward(request, via, Some((below, source)))
}

fn forward(
    request: &Request,
    via: &ViaOut,
    came_by: Option<(&Via, SocketAddr)>,
) -> Result<Vec<u8>, ForwardError> {
    if request.max_forwards()? == Some(0) {
        return Err(ForwardError::TooManyHops);
    }
    let mut out = Vec::with_capacity(request.bytes().len() + 160);
    request.write_request_line(&mut out);
    via.write(&mut out);
    if request.header(HeaderName::MaxForwards).is_none() {
        encode::numeric_header(&mut out, "Max-Forwards", 70);
    }
    let (mut is_top_via, mut is_top_route) = (true, true);
    for (header, name, value) in request.named() {
        match header {
            HeaderName::ContentLength => {}
            HeaderName::MaxForwards => {
                encode::numeric_header(
                    &mut out,
                    name,
                    u64::from(digits(value).unwrap_or(70).saturating_sub(1)),
                );
            }
            HeaderName::Via if is_top_via => {
                is_top_via = false;
                write_top_via(&mut out, value, came_by);
            }
            HeaderName::Route if is_top_route => {
                is_top_route = false;
                write_without_first(&mut out, name, value);
            }
            _ => encode::header(&mut out, name, value),
        }
    }
    encode::end(&mut out, request.body());
    Ok(out)
}

/// Forwards a response: the top Via, ours, goes; the next one says where to.
///
/// # Errors
/// There is no further Via, or it is malformed.
pub fn forward_response(response: &Response) -> Result<(Vec<u8>, Via), ParseError> {
    let lines = response.header_lines(HeaderName::Via);
    let next = lines.flat_map(|line| split(line, b',')).nth(1);
    let next = next.ok_or_else(|| ParseError::new("Missing Via").in_header(HeaderName::Via))?;
    let next = Via::parse(&String::from_utf8_lossy(next.trim_ascii()))
        .map_err(|fault| fault.in_header(HeaderName::Via))?;
    let mut out = Vec::with_capacity(response.bytes().len() + 32);
    response.write_status_line(&mut out);
    let mut is_top_via = true;
    for (header, name, value) in response.named() {
        match header {
            HeaderName::ContentLength => {}
            HeaderName::Via if is_top_via => {
                is_top_via = false;
                write_without_first(&mut out, name, value);
            }
            _ => encode::header(&mut out, name, value),
        }
    }
    encode::end(&mut out, response.body());
    Ok((out, next))
}

fn write_top_via(out: &mut Vec<u8>, value: &[u8], came_by: Option<(&Via, SocketAddr)>) {
    let Some((below, source)) = came_by else {
        return encode::header(out, "Via", value);
    };
    let top = split(value, b',').next().unwrap_or_default();
    out.extend_from_slice(b"Via: ");
    write_as_received(out, top.trim_ascii(), below.host.ip(), source);
    encode::text(out, &value[top.len()..]);
    out.extend_from_slice(b"\r\n");
}

/// A list header without its first element; no line at all if that was the only one.
fn write_without_first(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let first = split(value, b',').next().unwrap_or_default();
    if let Some(rest) = value.get(first.len() + 1..) {
        encode::header(out, name, rest.trim_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Message, parse_datagram};

    fn parsed(text: &str) -> Message {
        parse_datagram(text.replace('\n', "\r\n").into_bytes(), &Limits::default())
            .expect("well-formed")
    }

    fn request(text: &str) -> Request {
        match parsed(text) {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a request is wanted"),
        }
    }

    fn via() -> ViaOut {
        ViaOut {
            transport: Transport::Tcp,
            host: "2001:db8::9".into(),
            port: 5070,
            branch: "z9hG4bKrelay".into(),
            rport: true,
        }
    }

    const NOTIFY: &str = "NOTIFY sip:phone@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:9;rport;branch=z9hG4bKn, SIP/2.0/UDP x\nm: <sip:n@h>\n\
        Route: <sip:TOKEN@h;lr>, <sip:p,1;lr>\nRoute: <sip:p2;lr>\nMax-Forwards: 070\nX-Odd:  a,\n b\nl: 4\n\nabcd";

    #[test]
    fn a_request_changes_in_route_via_and_hops_only() {
        let bytes = forward_request(&request(NOTIFY), &via()).expect("it can be forwarded");
        assert_eq!(
            String::from_utf8_lossy(&bytes)
                .split("\r\n")
                .collect::<Vec<_>>(),
            [
                "NOTIFY sip:phone@10.0.0.1 SIP/2.0",
                "Via: SIP/2.0/TCP [2001:db8::9]:5070;rport;branch=z9hG4bKrelay",
                "Via: SIP/2.0/UDP 192.0.2.1:9;rport;branch=z9hG4bKn, SIP/2.0/UDP x",
                "Contact: <sip:n@h>",
                "Route: <sip:p,1;lr>",
                "Route: <sip:p2;lr>",
                "Max-Forwards: 69",
                "X-Odd: a,   b",
                "Content-Length: 4",
                "",
                "abcd",
            ]
        );
        let request = request(NOTIFY);
        let bytes = forward_request_from(
            &request,
            &request.top_via().expect("a Via"),
            &via(),
            "192.0.2.1:4444".parse().expect("an address"),
        )
        .expect("it can be forwarded");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("\r\nVia: SIP/2.0/UDP 192.0.2.1:9;rport=4444;branch=z9hG4bKn;received=192.0.2.1, SIP/2.0/UDP x\r\n"), "{text}");
    }

    #[test]
    fn the_last_route_takes_its_line_along() {
        let text = NOTIFY.replace(
            "Route: <sip:TOKEN@h;lr>, <sip:p,1;lr>\nRoute: <sip:p2;lr>\nMax-Forwards: 070\n",
            "Route: <sip:TOKEN@h;lr>\n",
        );
        let bytes = forward_request(&request(&text), &via()).expect("it can be forwarded");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("Route:"), "{text}");
        assert!(text.contains("\r\nMax-Forwards: 70\r\n"), "{text}");
    }

    #[test]
    fn hops_run_out() {
        for (hops, expected) in [("0", true), ("000", true), ("1", false)] {
            let result = forward_request(&request(&NOTIFY.replace("070", hops)), &via());
            assert_eq!(result == Err(ForwardError::TooManyHops), expected, "{hops}");
        }
        let result = forward_request(&request(&NOTIFY.replace("070", "256")), &via());
        assert!(
            matches!(result, Err(ForwardError::Parse(fault)) if fault.header == Some(HeaderName::MaxForwards))
        );
    }

    #[test]
    fn a_response_loses_our_via() {
        for (vias, left) in [
            (
                "Via: SIP/2.0/TCP us;branch=1 , SIP/2.0/UDP 192.0.2.1:9;received=192.0.2.3;rport=8;branch=z9hG4bKn\n",
                true,
            ),
            (
                "Via: SIP/2.0/TCP us;branch=1\nv: SIP/2.0/UDP 192.0.2.1:9;received=192.0.2.3;rport=8;branch=z9hG4bKn\n",
                true,
            ),
            ("Via: SIP/2.0/TCP us;branch=1\n", false),
            ("Via: SIP/2.0/TCP us;branch=1\nVia: nonsense\n", false),
        ] {
            let Message::Response(response) =
                parsed(&format!("SIP/2.0 200 Fine by me\n{vias}CSeq: 1 NOTIFY\n\n"))
            else {
                panic!("a response is wanted")
            };
            let result = forward_response(&response);
            assert_eq!(result.is_ok(), left, "{vias}");
            if let Ok((bytes, next)) = result {
                assert_eq!(
                    next.target().map(|target| target.to_string()).as_deref(),
                    Some("192.0.2.3:8")
                );
                assert_eq!(
                    String::from_utf8_lossy(&bytes),
                    "SIP/2.0 200 Fine by me\r\nVia: SIP/2.0/UDP 192.0.2.1:9;received=192.0.2.3;rport=8;branch=z9hG4bKn\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n"
                );
            }
        }
    }
}
