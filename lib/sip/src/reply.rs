//! Stateless replies (RFC 3261 sections 8.2.6 and 18.2, RFC 3581).

use crate::header::list::split;
use crate::header::via::write_as_received;
use crate::{HeaderName, NameAddr, ParseError, Request, StatusCode, Transport, Via, encode};
use core::net::SocketAddr;

/// A response under construction. What RFC 3261 section 8.2.6.2 wants mirrored is taken from the request.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    request: &'a Request,
    status: StatusCode,
    reason: Option<String>,
    to_tag: Option<String>,
    /// Encoded lines.
    headers: Vec<u8>,
    body: Vec<u8>,
}

impl<'a> Reply<'a> {
    /// A reply to `request`, which may be what [`ParseError::answerable`] holds: what it lacks is left out.
    pub fn new(request: &'a Request, status: StatusCode) -> Reply<'a> {
        Reply {
            request,
            status,
            reason: None,
            to_tag: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Another reason phrase than the status code's own.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Reply<'a> {
        self.reason = Some(reason.to_owned());
        self
    }

    /// The To-tag, used only if the request's To has none. Without this call a tag is derived from the request, the same
    /// for each retransmission (RFC 3261 section 8.2.7).
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Reply<'a> {
        self.to_tag = Some(tag.to_owned());
        self
    }

    /// Appends a header. CR and LF in it become spaces.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply<'a> {
        encode::header_of_caller(&mut self.headers, name, value);
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Reply<'a> {
        encode::header(&mut self.headers, "Content-Type", content_type.as_bytes());
        self.body = body.to_vec();
        self
    }

    /// The bytes of the response to a request that came from `source`.
    pub fn encode(&self, source: SocketAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.headers.len() + self.body.len());
        out.extend_from_slice(b"SIP/2.0 ");
        encode::number(&mut out, u64::from(self.status.code()));
        out.push(b' ');
        encode::text(
            &mut out,
            self.reason
                .as_deref()
                .unwrap_or_else(|| self.status.reason())
                .as_bytes(),
        );
        out.extend_from_slice(b"\r\n");
        self.write_vias(&mut out, source);
        if self.status.is_success() && self.request.method().makes_dialog() {
            // "The UAS MUST copy all Record-Route header field values from the request into the response" (12.1.1).
            self.mirror(&mut out, HeaderName::RecordRoute);
        }
        self.mirror(&mut out, HeaderName::From);
        self.write_to(&mut out);
        self.mirror(&mut out, HeaderName::CallId);
        self.mirror(&mut out, HeaderName::CSeq);
        out.extend_from_slice(&self.headers);
        encode::end(&mut out, &self.body);
        out
    }

    /// "The Via header field values in the response MUST equal the Via header field values in the request and MUST
    /// maintain the same ordering"; the top one is as the server transport has completed it (section 18.2.1).
    fn write_vias(&self, out: &mut Vec<u8>, source: SocketAddr) {
        for (index, line) in self.request.header_lines(HeaderName::Via).enumerate() {
            if index > 0 {
                encode::header(out, "Via", line);
                continue;
            }
            let top = split(line, b',').next().unwrap_or_default();
            out.extend_from_slice(b"Via: ");
            let sent_by = Via::parse(&String::from_utf8_lossy(top.trim_ascii()));
            let sent_by = sent_by.ok().and_then(|via| via.host.ip());
            write_as_received(out, top.trim_ascii(), sent_by, source);
            encode::text(out, &line[top.len()..]);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn mirror(&self, out: &mut Vec<u8>, name: HeaderName) {
        for line in self.request.header_lines(name) {
            encode::header(out, name.as_str(), line);
            // A second From, To, Call-ID or CSeq is the sender's fault, and no reason to answer with one.
            if name != HeaderName::RecordRoute {
                return;
            }
        }
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let Some(to) = self.request.header(HeaderName::To) else {
            return;
        };
        out.extend_from_slice(b"To: ");
        encode::text(out, to);
        let has_tag =
            NameAddr::parse(&String::from_utf8_lossy(to)).is_ok_and(|to| to.tag().is_some());
        if !has_tag && self.status != StatusCode::TRYING {
            out.extend_from_slice(b";tag=");
            match &self.to_tag {
                Some(tag) => encode::uri(out, tag),
                None => out.extend_from_slice(format!("{:016x}", self.derived_tag()).as_bytes()),
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// FNV-1a over what tells transactions apart. It keeps nobody from guessing; dialogs get tags from [`crate::Secret`].
    fn derived_tag(&self) -> u64 {
        let names = [
            HeaderName::CallId,
            HeaderName::From,
            HeaderName::CSeq,
            HeaderName::Via,
        ];
        let values = names
            .into_iter()
            .filter_map(|name| self.request.header(name));
        let bytes = values.flat_map(|value| value.iter().copied().chain(std::iter::once(0)));
        bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        })
    }
}

/// Where the response to a request from `source` goes: back down the connection for a reliable transport; for UDP by
/// RFC 3261 section 18.2.2 and RFC 3581 section 4: the source itself if `rport` is asked for, else the source's address and the port of
/// sent-by. Never to another address than the request came from: with a forged one, anybody could have us send to anybody.
///
/// RFC-GAP: 18.2.2 has an answer go to `maddr`, which is for requests by multicast; nobody here listens to those, so it is ignored.
///
/// # Errors
/// The top Via is missing or malformed.
pub fn reply_target(request: &Request, source: SocketAddr) -> Result<SocketAddr, ParseError> {
    let via = request.top_via()?;
    if via.transport.is_some_and(Transport::is_reliable) {
        return Ok(source);
    }
    let port = via.port.filter(|port| *port != 0).unwrap_or(5060);
    if via.rport.is_some() {
        return Ok(source);
    }
    Ok(SocketAddr::new(source.ip(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Message, parse_datagram};

    fn request(text: &str) -> Request {
        match parse_datagram(text.replace('\n', "\r\n").into_bytes(), &Limits::default()) {
            Ok(Message::Request(request)) => request,
            other => panic!("no request: {other:?}"),
        }
    }

    fn lines(reply: &Reply<'_>, source: &str) -> Vec<String> {
        let text =
            String::from_utf8(reply.encode(source.parse().expect("an address"))).expect("UTF-8");
        text.split("\r\n").map(str::to_owned).collect()
    }

    const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\nv: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKa , SIP/2.0/TCP b.example.com;branch=z9hG4bKb\n\
        Record-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>\nVia: SIP/2.0/UDP c;branch=z9hG4bKc\nf: A <sip:a@b>;tag=1\nt:\n \"B;tag=no\" <sip:b@b>\ni: x\nCSeq: 7 SUBSCRIBE\n\n";

    #[test]
    fn what_belongs_to_the_transaction_is_mirrored() {
        let request = request(SUBSCRIBE);
        let reply = Reply::new(&request, StatusCode::OK)
            .to_tag("t1")
            .header("Expires", "60")
            .header("X", "a\r\nEvil: b")
            .body("text/plain", b"hi");
        assert_eq!(
            lines(&reply, "192.0.2.7:1234"),
            [
                "SIP/2.0 200 OK",
                "Via: SIP/2.0/UDP 10.0.0.1;rport=1234;branch=z9hG4bKa;received=192.0.2.7, SIP/2.0/TCP b.example.com;branch=z9hG4bKb",
                "Via: SIP/2.0/UDP c;branch=z9hG4bKc",
                "Record-Route: <sip:p1;lr>",
                "Record-Route: <sip:p2;lr>",
                "From: A <sip:a@b>;tag=1",
                "To: \"B;tag=no\" <sip:b@b>;tag=t1",
                "Call-ID: x",
                "CSeq: 7 SUBSCRIBE",
                "Expires: 60",
                "X: a  Evil: b",
                "Content-Type: text/plain",
                "Content-Length: 2",
                "",
                "hi",
            ]
        );
    }

    #[test]
    fn a_to_tag_of_the_request_stays() {
        let request = request(&SUBSCRIBE.replace("<sip:b@b>", "<sip:b@b>;tag=old"));
        let reply = Reply::new(&request, StatusCode::BAD_EVENT)
            .to_tag("new")
            .reason("Bad Event\r\nX: y");
        let lines = lines(&reply, "192.0.2.7:1234");
        assert_eq!(lines[0], "SIP/2.0 489 Bad Event  X: y");
        assert!(
            lines.contains(&"To: \"B;tag=no\" <sip:b@b>;tag=old".to_owned()),
            "{lines:?}"
        );
        assert!(
            !lines.iter().any(|line| line.starts_with("Record-Route")),
            "no dialog, no route set: {lines:?}"
        );
    }

    #[test]
    fn the_derived_tag_is_stable_and_trying_has_none() {
        let to = |text: &str, status| {
            let request = request(text);
            lines(&Reply::new(&request, status), "192.0.2.7:1")
                .into_iter()
                .find(|line| line.starts_with("To:"))
                .expect("a To")
        };
        let tagged = to(SUBSCRIBE, StatusCode::BAD_REQUEST);
        assert!(
            tagged.contains(";tag=") && tagged.len() > "To: \"B;tag=no\" <sip:b@b>;tag=".len(),
            "{tagged}"
        );
        assert_eq!(
            to(SUBSCRIBE, StatusCode::BAD_REQUEST),
            tagged,
            "a retransmission gets the same tag"
        );
        assert_ne!(
            to(
                &SUBSCRIBE.replace("CSeq: 7", "CSeq: 8"),
                StatusCode::BAD_REQUEST
            ),
            tagged
        );
        assert_eq!(
            to(SUBSCRIBE, StatusCode::TRYING),
            "To: \"B;tag=no\" <sip:b@b>"
        );
    }

    #[test]
    fn a_reply_goes_where_the_via_says() {
        for (via, expected) in [
            ("SIP/2.0/UDP h", "192.0.2.7:5060"),
            ("SIP/2.0/UDP h:7777", "192.0.2.7:7777"),
            ("SIP/2.0/UDP h:0", "192.0.2.7:5060"),
            ("SIP/2.0/UDP h:7777;rport", "192.0.2.7:1234"),
            ("SIP/2.0/UDP h:7777;maddr=224.2.0.1", "192.0.2.7:7777"),
            ("SIP/2.0/UDP h:7777;maddr=6.6.6.6;rport", "192.0.2.7:1234"),
            (
                "SIP/2.0/UDP h:7777;maddr=name.example.com",
                "192.0.2.7:7777",
            ),
            ("SIP/2.0/TCP h:7777", "192.0.2.7:1234"),
            ("SIP/2.0/UDP h:7777;received=6.6.6.6", "192.0.2.7:7777"),
        ] {
            let request = request(&format!("OPTIONS sip:a@b SIP/2.0\nVia: {via}\n\n"));
            let target = reply_target(&request, "192.0.2.7:1234".parse().expect("an address"));
            assert_eq!(
                target.map(|target| target.to_string()),
                Ok(expected.to_owned()),
                "{via}"
            );
        }
    }
}
