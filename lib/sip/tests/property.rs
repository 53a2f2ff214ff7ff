//! Properties: what is written is read back; no bytes make the reader panic or give more than was there.

use proptest::prelude::*;
use sip::{
    Limits, Message, Method, Reply, Request, RequestBuilder, StatusCode, StreamFramer, Transport,
    Uri, ViaOut,
};

fn read(bytes: Vec<u8>) -> Message {
    sip::parse_datagram(bytes, &Limits::default()).unwrap_or_else(|fault| unreachable!("{fault}"))
}

fn request(bytes: Vec<u8>) -> Request {
    match read(bytes) {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("a request is wanted"),
    }
}

prop_compose! {
    fn uris()(scheme in "sips?|SIP", user in proptest::option::of("[a-zA-Z0-9._~!*'()&=+$,;?/-]{1,12}(%[0-9a-fA-F]{2})?"),
              host in "[a-z0-9]{1,8}(\\.[a-z]{2,5}){0,2}|192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9]\\]", port in proptest::option::of(1u16..),
              params in "(;[a-z]{1,5}(=[a-zA-Z0-9:/._-]{1,6})?){0,3}") -> String {
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}:{user}{host}{port}{params}")
    }
}

fn display_names() -> impl Strategy<Value = String> {
    // Any text but line breaks and NUL, in quotes.
    "[^\r\n\0]{0,20}"
        .prop_map(|name| format!("\"{}\" ", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

prop_compose! {
    fn requests()(method in "[A-Z]{3,10}", uri in uris(), from in uris(), name in display_names(), to in uris(), tag in "[a-z0-9]{1,10}",
                  call_id in "[a-zA-Z0-9@.-]{1,20}", cseq in 0_u32..1 << 31, value in "[^\r\n\0]{0,60}",
                  body in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
                  route_uris in proptest::collection::vec(uris(), 0..4)) -> (Vec<u8>, Expected) {
        let via = ViaOut { transport: Transport::Udp, host: "192.0.2.1".into(), port: 5060, branch: format!("z9hG4bK{tag}"), rport: true };
        let routes: Vec<String> = route_uris.iter().map(|uri| format!("{name}<{uri}>")).collect();
        let method = Method::new(&method);
        let bytes = RequestBuilder {
            method: &method,
            uri: &uri,
            via: &via,
            from: &format!("{name}<{from}>;tag={tag}"),
            to: &format!("<{to}>"),
            call_id: &call_id,
            cseq,
            contact: Some(&from),
            headers: &[("X-Any", &value)],
            body: body.as_deref().map(|body| ("text/plain", body)),
            routes: &routes,
        }
        .encode();
        (bytes, Expected { method, uri, from, to, tag, call_id, cseq, value, body: body.unwrap_or_default(), route_uris })
    }
}

#[derive(Clone, Debug)]
struct Expected {
    method: Method,
    uri: String,
    from: String,
    to: String,
    tag: String,
    call_id: String,
    cseq: u32,
    value: String,
    body: Vec<u8>,
    route_uris: Vec<String>,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back((bytes, expected) in requests()) {
        let request = request(bytes);
        prop_assert_eq!(request.check_mandatory(), Ok(()));
        prop_assert_eq!((request.method(), request.uri()), (&expected.method, expected.uri.as_str()));
        prop_assert_eq!(request.parsed_uri().map(|uri| uri.raw), Ok(expected.uri));
        let (from, to) = (request.from().unwrap(), request.to().unwrap());
        prop_assert_eq!((from.uri.raw.as_str(), from.tag(), to.uri.raw.as_str(), to.tag()),
            (expected.from.as_str(), Some(expected.tag.as_str()), expected.to.as_str(), None));
        prop_assert_eq!(request.contact().unwrap().unwrap().uri.raw, expected.from);
        prop_assert_eq!((request.call_id(), request.cseq().unwrap().number), (Ok(expected.call_id.as_str()), expected.cseq));
        prop_assert_eq!(request.header_named("x-any").unwrap(), expected.value.trim_matches([' ', '\t']).as_bytes());
        prop_assert_eq!(request.body(), &expected.body);
        let routes: Vec<String> = request.route().unwrap().into_iter().map(|route| route.uri.raw).collect();
        prop_assert_eq!(routes, expected.route_uris);
        let canonical = request.encode();
        prop_assert_eq!(self::request(canonical.clone()).encode(), canonical, "canonical text stays as it is");
    }

    #[test]
    fn a_reply_mirrors_its_request((bytes, _) in requests(), code in 200u16..700, reason in "[^\0]{0,30}", value in "(?s).{0,30}") {
        let request = request(bytes);
        let reply = Reply::new(&request, StatusCode::new(code).unwrap()).reason(&reason).header("X-Any", &value).to_tag("t");
        let Message::Response(response) = read(reply.encode("[2001:db8::7]:9".parse().unwrap())) else { unreachable!("a response is wanted") };
        prop_assert_eq!(response.status().code(), code);
        prop_assert_eq!((response.call_id(), response.cseq(), response.from()), (request.call_id(), request.cseq(), request.from()));
        prop_assert_eq!(response.to().unwrap().tag().map(str::to_owned), Some("t".to_owned()));
        let via = response.top_via().unwrap();
        prop_assert_eq!(via.target().unwrap().to_string(), "[2001:db8::7]:9");
        prop_assert_eq!(via.branch, request.top_via().unwrap().branch);
        prop_assert_eq!(response.iter().count(), 7, "no value makes a header of its own");
    }

    #[test]
    fn uris_are_read_back_and_have_one_canonical_form(text in uris(), fold in any::<bool>()) {
        let uri = Uri::parse(&text).unwrap();
        prop_assert_eq!(uri.to_string(), text);
        let aor = sip::Aor::from_uri(&uri, fold).unwrap();
        let again = sip::Aor::from_uri(&Uri::parse(&aor.uri()).unwrap(), fold).unwrap();
        prop_assert_eq!(aor, again);
    }

    #[test]
    fn damaged_messages_never_panic((mut bytes, _) in requests(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..12)) {
        for (index, byte, kind) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        look_at_everything(bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        look_at_everything(bytes);
    }

    #[test]
    fn random_header_values_never_panic(name in "Via|From|To|Contact|Route|Record-Route|Event|Accept|CSeq|Expires|Content-Type|Call-ID|Retry-After",
        value in "[ -~äÿ\t]{0,80}") {
        look_at_everything(format!("OPTIONS sip:h SIP/2.0\r\n{name}: {value}\r\nVia: SIP/2.0/UDP h\r\n\r\n").into_bytes());
    }

    #[test]
    fn streams_give_the_same_frames_however_they_are_cut(requests in proptest::collection::vec(requests(), 1..5), cuts in proptest::collection::vec(1usize..300, 1..20)) {
        let stream: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let mut framer = StreamFramer::new(Limits::default());
        let (mut frames, mut rest, mut cuts) = (Vec::new(), &stream[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (read, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            framer.push(read);
            while let Some(frame) = framer.next().unwrap() {
                frames.push(frame);
            }
            rest = after;
        }
        let expected: Vec<_> = requests.into_iter().map(|(bytes, _)| sip::Frame::Message(bytes)).collect();
        prop_assert_eq!(frames, expected);
    }
}

/// Calls every accessor and every writer; what they hold is bounded by what came in.
fn look_at_everything(bytes: Vec<u8>) {
    let length = bytes.len();
    let mut framer = StreamFramer::new(Limits::default());
    framer.push(&bytes);
    while let Ok(Some(_)) = framer.next() {}
    let _ = (sip::is_keepalive(&bytes), sip::is_stun(&bytes));
    let headers = |headers: &sip::Headers| {
        let total: usize = headers.iter().map(|(_, value)| value.len()).sum();
        assert!(total <= length);
        let _ = (
            headers.vias(),
            headers.top_via(),
            headers.from(),
            headers.to(),
            headers.call_id(),
            headers.cseq(),
            headers.contacts(),
        );
        let _ = (
            headers.contact(),
            headers.record_route(),
            headers.route(),
            headers.event(),
            headers.expires(),
            headers.min_expires(),
        );
        let _ = (
            headers.retry_after(),
            headers.content_type(),
            headers.accept(),
            headers.require(),
            headers.supported(),
        );
        let _ = (
            headers.sip_etag(),
            headers.max_forwards(),
            headers.user_agent(),
        );
    };
    let source = "192.0.2.7:5060".parse().unwrap();
    let look_at_request = |request: &Request| {
        headers(request);
        let _ = (
            request.check_mandatory(),
            request
                .parsed_uri()
                .map(|uri| sip::Aor::from_uri(&uri, true)),
            sip::reply_target(request, source),
        );
        let reply = Reply::new(request, StatusCode::BAD_REQUEST).encode(source);
        assert!(reply.len() <= length + 400, "{} from {length}", reply.len());
        let via = ViaOut {
            transport: Transport::Tcp,
            host: "h".into(),
            port: 1,
            branch: "b".into(),
            rport: true,
        };
        if let Ok(below) = request.top_via() {
            let _ = sip::forward_request_from(request, &below, &via, source);
        }
        assert!(request.body().len() <= length && request.uri().len() <= length);
        // Compact names grow; nothing else does.
        assert!(request.encode().len() <= length * 8 + 64);
    };
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Request(request)) => look_at_request(&request),
        Ok(Message::Response(response)) => {
            headers(&response);
            let _ = (
                response.reason(),
                response.body(),
                response.encode(),
                sip::forward_response(&response),
            );
        }
        Err(fault) => {
            if let Some(request) = fault.answerable {
                look_at_request(&request);
            }
        }
    }
}
