//! Requests from the values of their headers: outside of dialogs by themselves, inside of dialogs by [`crate::dialog`].

use crate::{Method, ViaOut, encode};

/// A request to be encoded. Values are header values as they stand on the wire; CR and LF in them become spaces.
#[derive(Clone, Debug)]
pub struct RequestBuilder<'a> {
    /// The method.
    pub method: &'a Method,
    /// The Request-URI.
    pub uri: &'a str,
    /// Our Via.
    pub via: &'a ViaOut,
    /// From with its tag.
    pub from: &'a str,
    /// To, with its tag inside a dialog.
    pub to: &'a str,
    /// Call-ID.
    pub call_id: &'a str,
    /// CSeq number.
    pub cseq: u32,
    /// Contact: a URI or a name-addr.
    pub contact: Option<&'a str>,
    /// Further headers. A Max-Forwards among them replaces the usual 70.
    pub headers: &'a [(&'a str, &'a str)],
    /// Content type and body.
    pub body: Option<(&'a str, &'a [u8])>,
    /// Route values, first hop first.
    pub routes: &'a [String],
}

impl RequestBuilder<'_> {
    /// The bytes of the request.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(640 + self.body.map_or(0, |(_, body)| body.len()));
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        encode::uri(&mut out, self.uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.via.write(&mut out);
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("Max-Forwards"))
        {
            encode::numeric_header(&mut out, "Max-Forwards", 70);
        }
        for route in self.routes {
            encode::header(&mut out, "Route", route.as_bytes());
        }
        encode::header(&mut out, "From", self.from.as_bytes());
        encode::header(&mut out, "To", self.to.as_bytes());
        encode::header(&mut out, "Call-ID", self.call_id.as_bytes());
        out.extend_from_slice(b"CSeq: ");
        encode::number(&mut out, u64::from(self.cseq));
        out.push(b' ');
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(contact) = self.contact {
            encode::header(&mut out, "Contact", bracketed(contact).as_bytes());
        }
        for (name, value) in self.headers {
            encode::header_of_caller(&mut out, name, value);
        }
        encode::body(&mut out, self.body);
        out
    }
}

/// An address as a name-addr: brackets are added to a bare URI, so that its parameters stay its own.
pub(crate) fn bracketed(address: &str) -> std::borrow::Cow<'_, str> {
    if address.contains('<') || address == "*" {
        address.into()
    } else {
        format!("<{address}>").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    #[test]
    fn headers_come_in_order() {
        let via = ViaOut {
            transport: Transport::Udp,
            host: "192.0.2.1".into(),
            port: 5060,
            branch: "z9hG4bK1".into(),
            rport: true,
        };
        let bytes = RequestBuilder {
            method: &Method::Publish,
            uri: "sip:bob@example.org",
            via: &via,
            from: "<sip:bob@example.org>;tag=1",
            to: "<sip:bob@example.org>",
            call_id: "c\r\nEvil: 1",
            cseq: 4_294_967_295,
            contact: Some("sip:bob@192.0.2.1;ob"),
            headers: &[("Event", "presence"), ("max-forwards", "5")],
            body: Some(("application/pidf+xml", b"<\xFF>")),
            routes: &["<sip:p;lr>".to_owned()],
        }
        .encode();
        assert_eq!(
            bytes,
            b"PUBLISH sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1\r\nRoute: <sip:p;lr>\r\n\
              From: <sip:bob@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: c  Evil: 1\r\nCSeq: 4294967295 PUBLISH\r\n\
              Contact: <sip:bob@192.0.2.1;ob>\r\nEvent: presence\r\nmax-forwards: 5\r\nContent-Type: application/pidf+xml\r\n\
              Content-Length: 3\r\n\r\n<\xFF>"
        );
    }
}
