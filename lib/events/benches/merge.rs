//! Rendering: the document of a presentity that one, three or ten sources publish. Done once per resource and take.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use events::PublishedBody;
use events::document::pidf;

const PRESENTITY: &str = "sip:alice@example.org";

fn publication(number: usize) -> Vec<u8> {
    let note = "x".repeat(160);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{PRESENTITY}\">\
         <tuple id=\"t{number}\"><status><basic>open</basic></status><contact>sip:alice@192.0.2.{number}</contact></tuple>\
         <dm:person id=\"p1\"><rpid:activities><rpid:on-the-phone/></rpid:activities>\
         <dm:note>{note}</dm:note></dm:person></presence>\n"
    )
    .into_bytes()
}

fn merge(criterion: &mut Criterion) {
    let bodies: Vec<Vec<u8>> = (1..=10).map(publication).collect();
    let mut group = criterion.benchmark_group("merge");
    for count in [1, 3, 10] {
        let published: Vec<PublishedBody<'_>> = bodies
            .iter()
            .zip(1..)
            .take(count)
            .map(|(body, id)| PublishedBody {
                id,
                content_type: pidf::CONTENT_TYPE,
                body,
            })
            .collect();
        group.bench_function(format!("{count} publications"), |bencher| {
            bencher.iter(|| pidf::merge(PRESENTITY, black_box(&published)));
        });
    }
    group.finish();
}

fn check(criterion: &mut Criterion) {
    let body = publication(1);
    criterion.bench_function("check of a published body", |bencher| {
        bencher.iter(|| pidf::check(black_box(&body)));
    });
}

criterion_group!(render, merge, check);
criterion_main!(render);
