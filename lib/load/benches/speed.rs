//! How fast the generator itself is: messages per second of one worker, both ways counted, against responders that do next to
//! nothing, in a process of their own so that the worker's CPU time is its own.
//!
//! `cargo bench -p load` prints one line for each case, with the worker's own CPU time per message: what one core could drive if
//! the responder had another to itself.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use load::{Options, Server, Workload};
use net::DatagramSocket;
use sip::Transport;

const CLOSED: &str = "
    presentities = 1000
    leave = false
    [[phase]]
    measure = true
    warmup_s = 1
    duration_s = 4
    modify = { window = 256 }
";

const FAN_OUT: &str = "
    presentities = 100
    watchers = 10
    leave = false
    drain_s = 1
    [[phase]]
    subscribe = { window = 64 }
    [[phase]]
    measure = true
    warmup_s = 1
    duration_s = 4
    modify = { window = 32 }
";

fn main() {
    // The child of this very program.
    if std::env::args().any(|argument| argument == "responder") {
        return respond();
    }
    for (name, text) in [
        ("PUBLISH and its answer", CLOSED),
        ("PUBLISH, ten NOTIFYs, their answers", FAN_OUT),
    ] {
        measure(name, text);
    }
}

fn measure(name: &str, text: &str) {
    let program = std::env::current_exe().expect("a program");
    let mut child = Command::new(program)
        .arg("responder")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the responder starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("its address");
    let workload = Workload::parse("speed", text, &[]).expect("a workload");
    let options = Options {
        servers: vec![Server {
            transport: Transport::Udp,
            address: line.trim().parse().expect("an address"),
        }],
        workers: 1,
        seed: 1,
        domain: "example.org".into(),
        password: None,
    };
    let report = load::run(&workload, &options, |_| {}).expect("a run");
    let _ = child.kill();
    let _ = child.wait();
    let messages = &report.messages;
    println!(
        "{name}: {:.0} messages/s, worker busy {:.0} %: {:.0} messages/s of one core; verdict {}",
        messages.per_second,
        messages.generator_load * 100.0,
        messages.per_second / messages.generator_load.max(0.01),
        if report.verdict.ok { "good" } else { "bad" },
    );
    for fault in report.verdict.faults.iter().take(3) {
        println!("  {fault}");
    }
}

/// Answers PUBLISH and SUBSCRIBE by copying lines, and sends each PUBLISH's body to all watchers of its presentity.
fn respond() {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut socket = DatagramSocket::bind(any, 16 << 20).expect("a socket");
    let address = socket.local_addr().expect("its address");
    println!("{address}");
    let mut watchers: HashMap<Vec<u8>, Vec<(SocketAddr, String, u32)>> = HashMap::new();
    let mut out: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
    let mut serial = 0_u64;
    loop {
        socket
            .receive(|from, bytes| {
                answer(address, from, bytes, &mut watchers, &mut serial, &mut out)
            })
            .expect("a healthy socket");
        if out.is_empty() {
            std::thread::yield_now();
        }
        let mut sent = 0;
        while sent < out.len() {
            let rest = out[sent..]
                .iter()
                .map(|(to, bytes)| (*to, bytes.as_slice()));
            sent += socket.send(rest).expect("a healthy socket");
        }
        out.clear();
    }
}

fn answer(
    address: SocketAddr,
    from: SocketAddr,
    bytes: &[u8],
    watchers: &mut HashMap<Vec<u8>, Vec<(SocketAddr, String, u32)>>,
    serial: &mut u64,
    out: &mut Vec<(SocketAddr, Vec<u8>)>,
) {
    if bytes.starts_with(b"SIP/2.0") {
        return;
    }
    let text = std::str::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let line = |name: &str| {
        let mut lines = head.split("\r\n");
        lines
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
    };
    *serial += 1;
    let is_subscribe = text.starts_with("SUBSCRIBE");
    let tag = if line("To:").contains(";tag=") {
        ""
    } else {
        ";tag=r"
    };
    let reply = format!(
        "SIP/2.0 200 OK\r\n{}\r\n{}\r\n{}{tag}\r\n{}\r\n{}\r\nSIP-ETag: e{serial}\r\nExpires: 3600\r\n\
         Contact: <sip:{address}>\r\nContent-Length: 0\r\n\r\n",
        line("Via:"),
        line("From:"),
        line("To:"),
        line("Call-ID:"),
        line("CSeq:"),
    );
    out.push((from, reply.into_bytes()));
    let presentity = line("To:").as_bytes().to_vec();
    if is_subscribe {
        let contact = line("Contact:")
            .trim_start_matches("Contact: <")
            .trim_end_matches('>');
        let dialog = format!(
            "NOTIFY {contact} SIP/2.0\r\nFrom: {};tag=r\r\nTo: {}\r\n{}\r\nEvent: presence\r\nMax-Forwards: 70\r\n\
             Subscription-State: active\r\nContent-Type: application/pidf+xml\r\n",
            &line("To:")[4..],
            &line("From:")[6..],
            line("Call-ID:"),
        );
        watchers
            .entry(presentity)
            .or_default()
            .push((from, dialog, 0));
        return;
    }
    for (to, dialog, cseq) in watchers.entry(presentity).or_default() {
        *cseq += 1;
        *serial += 1;
        let notify = format!(
            "{dialog}Via: SIP/2.0/UDP {address};branch=z9hG4bK{serial}\r\nCSeq: {cseq} NOTIFY\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        out.push((*to, notify.into_bytes()));
    }
}
