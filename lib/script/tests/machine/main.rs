//! Scripts in a machine, without anything around it: what they find, what they ask, and that none of them gets away with anything.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod asking;
mod hostile;
mod language;
mod unused;

use std::time::Duration;

use script::{
    Ask, Failure, Incoming, Limits, Machine, Program, ProgramError, Step, Suspended, Told,
};
use sip::{Message, Transport};

const LIMITS: Limits = Limits {
    deadline: Duration::from_millis(50),
    memory: 4 << 20,
};

fn program(source: &str) -> Result<Program, ProgramError> {
    Program::new("route.lua", source, LIMITS, "pres")
}

fn machine(source: &str) -> Machine {
    Machine::new(&program(source).unwrap()).unwrap()
}

/// A machine with this as the body of `route`.
fn route(body: &str) -> Machine {
    machine(&format!("function route(request)\n{body}\nend"))
}

fn publish() -> Incoming {
    request(
        "PUBLISH sip:bob@example.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@example.org>;tag=a1\r\n\
         To: <sip:bob@example.org>\r\n\
         Call-ID: call@192.0.2.1\r\n\
         CSeq: 7 PUBLISH\r\n\
         o: presence\r\n\
         Expires: 600\r\n\
         Sender: <sip:carol@example.org>\r\n\
         X-Two: 1\r\n\
         X-Two: 2\r\n\
         User-Agent: Phone/1\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nhello",
    )
}

fn request(text: &str) -> Incoming {
    let parsed = sip::parse_datagram(text.as_bytes().to_vec(), &sip::Limits::default());
    let Ok(Message::Request(request)) = parsed else {
        panic!("no request: {text}");
    };
    Incoming {
        request,
        source: "192.0.2.1:5060".parse().unwrap(),
        local: "192.0.2.9:5070".parse().unwrap(),
        transport: Transport::Udp,
        requester: Default::default(),
    }
}

fn asks(step: Step) -> (Suspended, Ask) {
    match step {
        Step::Asks(call, ask) => (call, ask),
        other => panic!("it asks for nothing: {other:?}"),
    }
}

fn done(step: Step) -> i64 {
    match step {
        Step::Done(value) => value,
        other => panic!("it is not done: {other:?}"),
    }
}

fn failed(step: Step) -> Failure {
    match step {
        Step::Failed(failure) => failure,
        other => panic!("it did not fail: {other:?}"),
    }
}

/// A machine still does what it is for.
fn is_well(machine: &Machine) {
    let (call, ask) = asks(machine.route(publish()));
    assert!(matches!(ask, Ask::HandlePublish { .. }), "{ask:?}");
    assert_eq!(done(machine.resume(call, Told::Code(1))), 0);
}
