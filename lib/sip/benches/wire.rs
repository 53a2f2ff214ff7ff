//! What every message costs: reading a PUBLISH, writing its answer, writing a NOTIFY.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sip::dialog::DialogView;
use sip::{Limits, Message, Method, Reply, Request, StatusCode, Transport, ViaOut};

/// As a desk phone sends it: a modification with some 550 bytes of PIDF.
fn publish() -> Vec<u8> {
    let body = pidf();
    let head = format!(
        "PUBLISH sip:alice@example.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-524287-1---a1b2c3d4e5f60718;rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@example.org>;tag=9fxced76sl\r\n\
         To: <sip:alice@example.org>\r\n\
         Call-ID: 3848276298220188511@phone.example.org\r\n\
         CSeq: 4711 PUBLISH\r\n\
         Contact: <sip:alice@192.0.2.10:5060>\r\n\
         User-Agent: Desk Phone 7.1\r\n\
         Expires: 3600\r\n\
         Event: presence\r\n\
         SIP-If-Match: k7q2m9x4v1z8c3b6n5\r\n\
         Content-Type: application/pidf+xml\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

fn pidf() -> Vec<u8> {
    let note = "x".repeat(160);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:alice@example.org\">\
         <tuple id=\"t1\"><status><basic>open</basic></status><contact>sip:alice@192.0.2.10</contact></tuple>\
         <dm:person id=\"p1\"><rpid:activities><rpid:on-the-phone/></rpid:activities>\
         <dm:note>{note}</dm:note></dm:person></presence>\n"
    )
    .into_bytes()
}

fn parse(bytes: Vec<u8>) -> Request {
    match sip::parse_datagram(bytes, &Limits::default()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("it is a request"),
    }
}

fn scan(criterion: &mut Criterion) {
    let bytes = publish();
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("PUBLISH", |bencher| {
        bencher.iter_batched(|| bytes.clone(), parse, BatchSize::SmallInput);
    });
    group.bench_function("PUBLISH, and all that its handler reads", |bencher| {
        bencher.iter_batched(
            || bytes.clone(),
            |bytes| {
                let request = parse(bytes);
                request.check_mandatory().unwrap();
                black_box(request.parsed_uri().unwrap());
                request
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let request = parse(publish());
    let source: SocketAddr = "192.0.2.10:5060".parse().unwrap();
    group.bench_function("200 to a PUBLISH", |bencher| {
        bencher.iter(|| {
            Reply::new(black_box(&request), StatusCode::OK)
                .header("Expires", "3600")
                .header("SIP-ETag", "k7q2m9x4v1z8c3b6n5")
                .encode(source)
        });
    });

    let body = pidf();
    let routes = vec!["<sip:198.51.100.1;lr>".to_owned()];
    let view = DialogView {
        call_id: "b89rjhnedlrfjflslj40a222@watcher.example.org",
        local_uri: "<sip:alice@example.org>",
        local_tag: "qx7m2k9v4z1c8b3n",
        remote_uri: "\"Bob\" <sip:bob@example.org>",
        remote_tag: "4442",
        remote_target: "sip:bob@192.0.2.20:5060",
        route_set: &routes,
        local_contact: "sip:203.0.113.1:5060",
    };
    let via = ViaOut {
        transport: Transport::Udp,
        host: "203.0.113.1".into(),
        port: 5060,
        branch: "z9hG4bKk7q2m9x4v1z8c3b6n5".into(),
        rport: true,
    };
    let headers = [
        ("Max-Forwards", "70"),
        ("Event", "presence"),
        ("Subscription-State", "active;expires=3599"),
    ];
    group.bench_function("NOTIFY", |bencher| {
        bencher.iter(|| {
            sip::dialog::request(
                black_box(&view),
                &Method::Notify,
                7,
                &via,
                &headers,
                Some(("application/pidf+xml", &body)),
            )
            .unwrap()
        });
    });
    group.finish();
}

criterion_group!(wire, scan, encode);
criterion_main!(wire);
