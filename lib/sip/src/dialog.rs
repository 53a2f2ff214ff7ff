//! Requests inside a dialog (RFC 3261 section 12.2.1.1), with loose and strict route sets.
//! It keeps no dialog state: the caller brings it, and has chosen the CSeq.

use crate::builder::{RequestBuilder, bracketed};
use crate::header::text::has_controls;
use crate::{Method, NameAddr, ParseError, Scheme, Uri, ViaOut};

/// What a request inside a dialog is built from.
#[derive(Clone, Debug)]
pub struct DialogView<'a> {
    /// Call-ID.
    pub call_id: &'a str,
    /// Our address as it stood in the first request, without tag: a name-addr or a URI.
    pub local_uri: &'a str,
    /// Our tag.
    pub local_tag: &'a str,
    /// The peer's address, without tag.
    pub remote_uri: &'a str,
    /// The peer's tag; empty for a peer of RFC 2543.
    pub remote_tag: &'a str,
    /// The peer's Contact URI.
    pub remote_target: &'a str,
    /// Route values as received, in the order to be used.
    pub route_set: &'a [String],
    /// Our Contact: a URI or a name-addr.
    pub local_contact: &'a str,
}

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub struct DialogRequest {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// The URI to resolve by RFC 3263; see [`next_hop`].
    pub next_hop: Uri,
}

/// Builds a request inside the dialog. `extra` follows Contact; Content-Type and Content-Length come from `body`.
///
/// # Errors
/// A route or the remote target is malformed, or a value holds CR, LF or another control character.
pub fn request(
    view: &DialogView<'_>,
    method: &Method,
    cseq: u32,
    via: &ViaOut,
    extra: &[(&str, &str)],
    body: Option<(&str, &[u8])>,
) -> Result<DialogRequest, ParseError> {
    let path = path(view)?;
    let own = [
        view.call_id,
        view.local_uri,
        view.local_tag,
        view.remote_uri,
        view.remote_tag,
        view.local_contact,
        &via.host,
        &via.branch,
    ];
    let callers = extra
        .iter()
        .flat_map(|(name, value)| [*name, *value])
        .chain(body.map(|(content_type, _)| content_type));
    if own
        .into_iter()
        .chain(callers)
        .chain(path.routes.iter().map(String::as_str))
        .any(has_controls)
    {
        return Err(ParseError::new("Control character in a header value"));
    }
    let bytes = RequestBuilder {
        method,
        uri: &path.request_uri,
        via,
        from: &tagged(view.local_uri, view.local_tag),
        to: &tagged(view.remote_uri, view.remote_tag),
        call_id: view.call_id,
        cseq,
        contact: (!view.local_contact.is_empty()).then_some(view.local_contact),
        headers: extra,
        body,
        routes: &path.routes,
    }
    .encode();
    Ok(DialogRequest {
        bytes,
        next_hop: path.next_hop,
    })
}

/// Where requests of the dialog go: the first route (loose or strict), or the remote target without routes. Known before
/// the Via, which needs it.
///
/// # Errors
/// The first route or the remote target is malformed.
pub fn next_hop(view: &DialogView<'_>) -> Result<Uri, ParseError> {
    match view.route_set.first() {
        Some(route) => Ok(NameAddr::parse(route)?.uri),
        None => Uri::parse(view.remote_target),
    }
}

struct Path {
    request_uri: String,
    routes: Vec<String>,
    next_hop: Uri,
}

fn path(view: &DialogView<'_>) -> Result<Path, ParseError> {
    let target = Uri::parse(view.remote_target)?;
    if target.scheme == Scheme::Other {
        return Err(ParseError::new("Unsupported URI Scheme")
            .status(crate::StatusCode::UNSUPPORTED_URI_SCHEME));
    }
    let next_hop = next_hop(view)?;
    let Some((_, rest)) = view.route_set.split_first() else {
        return Ok(Path {
            request_uri: target.request_uri().into_owned(),
            routes: Vec::new(),
            next_hop,
        });
    };
    if next_hop.is_loose_route() {
        // "the UAC MUST place the remote target URI into the Request-URI and MUST include a Route header field containing
        // the route set values in order, including all parameters."
        let routes = view.route_set.to_vec();
        return Ok(Path {
            request_uri: target.request_uri().into_owned(),
            routes,
            next_hop,
        });
    }
    // "the UAC MUST place the first URI from the route set into the Request-URI, stripping any parameters that are not
    // allowed in a Request-URI. The UAC MUST add a Route header field containing the remainder of the route set values in
    // order. [...] The UAC MUST then place the remote target URI into the Route header field as the last value."
    let routes = rest
        .iter()
        .cloned()
        .chain([format!("<{}>", target.raw)])
        .collect();
    Ok(Path {
        request_uri: next_hop.request_uri().into_owned(),
        routes,
        next_hop,
    })
}

fn tagged(address: &str, tag: &str) -> String {
    let mut text = bracketed(address).into_owned();
    if !tag.is_empty() {
        text.push_str(";tag=");
        text.push_str(tag);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    fn via() -> ViaOut {
        ViaOut {
            transport: Transport::Udp,
            host: "192.0.2.1".into(),
            port: 5060,
            branch: "z9hG4bK1".into(),
            rport: false,
        }
    }

    fn view(route_set: &[String]) -> DialogView<'_> {
        DialogView {
            call_id: "c@h",
            local_uri: "\"Bob\" <sip:bob@example.org>",
            local_tag: "l",
            remote_uri: "sip:alice@example.org",
            remote_tag: "r",
            remote_target: "sip:alice@10.0.0.1:5070;transport=udp?X=y",
            route_set,
            local_contact: "sip:192.0.2.1",
        }
    }

    fn heads(route_set: &[&str]) -> (String, Vec<String>, String) {
        let route_set: Vec<String> = route_set.iter().map(|route| (*route).to_owned()).collect();
        let request =
            request(&view(&route_set), &Method::Notify, 3, &via(), &[], None).expect("well-formed");
        let text = String::from_utf8(request.bytes).expect("UTF-8");
        let routes = text
            .split("\r\n")
            .filter_map(|line| line.strip_prefix("Route: "))
            .map(str::to_owned)
            .collect();
        (
            text.split(' ').nth(1).expect("a Request-URI").to_owned(),
            routes,
            request.next_hop.raw,
        )
    }

    #[test]
    fn the_whole_request() {
        let extra = [
            ("Event", "presence"),
            ("Subscription-State", "active;expires=60"),
        ];
        let request = request(
            &view(&[]),
            &Method::Notify,
            3,
            &via(),
            &extra,
            Some(("text/plain", b"hi")),
        )
        .expect("well-formed");
        assert_eq!(
            String::from_utf8_lossy(&request.bytes),
            "NOTIFY sip:alice@10.0.0.1:5070;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: \"Bob\" <sip:bob@example.org>;tag=l\r\nTo: <sip:alice@example.org>;tag=r\r\nCall-ID: c@h\r\nCSeq: 3 NOTIFY\r\n\
             Contact: <sip:192.0.2.1>\r\nEvent: presence\r\nSubscription-State: active;expires=60\r\nContent-Type: text/plain\r\n\
             Content-Length: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn routes_loose_strict_and_none() {
        let target = "sip:alice@10.0.0.1:5070;transport=udp";
        for (route_set, uri, routes, next_hop) in [
            (
                vec![],
                target,
                vec![],
                "sip:alice@10.0.0.1:5070;transport=udp?X=y",
            ),
            (
                vec!["<sip:p1;lr>", "<sip:p2>;a=b"],
                target,
                vec!["<sip:p1;lr>", "<sip:p2>;a=b"],
                "sip:p1;lr",
            ),
            (
                vec!["<sip:strict;method=X;t=1?H=v>;x", "<sip:p2;lr>"],
                "sip:strict;t=1",
                vec!["<sip:p2;lr>", "<sip:alice@10.0.0.1:5070;transport=udp?X=y>"],
                "sip:strict;method=X;t=1?H=v",
            ),
            (
                vec!["sip:strict"],
                "sip:strict",
                vec!["<sip:alice@10.0.0.1:5070;transport=udp?X=y>"],
                "sip:strict",
            ),
        ] {
            let found = heads(&route_set);
            let routes: Vec<String> = routes.into_iter().map(str::to_owned).collect();
            assert_eq!(
                found,
                (uri.to_owned(), routes, next_hop.to_owned()),
                "{route_set:?}"
            );
        }
    }

    #[test]
    fn a_peer_without_tag_gets_none() {
        let view = DialogView {
            remote_tag: "",
            ..view(&[])
        };
        let request = request(&view, &Method::Notify, 1, &via(), &[], None).expect("well-formed");
        assert!(
            String::from_utf8_lossy(&request.bytes).contains("\r\nTo: <sip:alice@example.org>\r\n")
        );
    }

    #[test]
    fn faults_are_refused() {
        let bad_route = ["<sip:p".to_owned()];
        for (label, view, extra) in [
            (
                "target",
                DialogView {
                    remote_target: "alice",
                    ..view(&[])
                },
                ("A", "b"),
            ),
            (
                "scheme",
                DialogView {
                    remote_target: "urn:x:y",
                    ..view(&[])
                },
                ("A", "b"),
            ),
            ("route", view(&bad_route), ("A", "b")),
            ("line break in a value", view(&[]), ("A", "b\r\nEvil: c")),
            ("line break in a name", view(&[]), ("A\nEvil", "b")),
            (
                "line break in Call-ID",
                DialogView {
                    call_id: "c\nd",
                    ..view(&[])
                },
                ("A", "b"),
            ),
        ] {
            assert!(
                request(&view, &Method::Notify, 1, &via(), &[extra], None).is_err(),
                "{label}"
            );
        }
    }
}
