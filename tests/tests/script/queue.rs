//! Requests that wait for a script that takes its time: so many, so long, and no more.

use tokio::sync::mpsc;

use super::*;

/// Takes all the time that it may have for one request, none for others.
const SLOW: &str = "function route(request)
    local name = request:header('Subject')
    xlog('begins ' .. name)
    if name == 'slow' then while true do end end
    request:reply(404)
end";

/// Sends requests of one Call-ID, which go to one worker, and tells their answers as they come.
fn send(
    phone: &Phone,
    system: &system::System,
    names: &[&str],
) -> mpsc::UnboundedReceiver<(String, Message)> {
    let (answers, received) = mpsc::unbounded_channel();
    for name in names {
        let request = phone
            .request("PUBLISH", BOB)
            .set("Call-ID", "one-and-the-same@example.org")
            .with("Subject", *name);
        let (phone, server) = (phone.clone(), system.udp(0));
        let (answers, name) = (answers.clone(), (*name).to_owned());
        tokio::spawn(async move {
            let _ = answers.send((name, phone.send(&request, server).await));
        });
    }
    received
}

/// Those that wait for the script count, and whoever finds no place is told so at once. Copies of those that wait take none.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_wait_than_there_are_places() {
    let script = Script::new(SLOW);
    let mut system = script
        .setup()
        .set("server.backlog", 3)
        .set("script.deadline_ms", 4000)
        .set("server.request_deadline_ms", 30_000)
        .notifiers(0)
        .start();
    let alice = Phone::udp("alice").await;
    let mut slow = send(&alice, &system, &["slow"]);
    logged(&mut system.servers[0].process, "begins slow").await;
    let mut answers = send(&alice, &system, &["a", "b", "c", "d", "e"]);
    for _ in 0..3 {
        let (name, answer) = answers.recv().await.unwrap();
        assert_eq!(answer.status(), Some(503), "{name}: {answer}");
        assert!(answer.header("Retry-After").is_some(), "{answer}");
        assert!(slow.try_recv().is_err(), "it was not told at once");
    }
    for _ in 0..2 {
        let (name, answer) = answers.recv().await.unwrap();
        assert_eq!(answer.status(), Some(404), "{name}: {answer}");
    }
    let (_, answer) = slow.recv().await.unwrap();
    assert_eq!(answer.status(), Some(500));
    let (_, answer) = send(&alice, &system, &["after"]).recv().await.unwrap();
    assert_eq!(answer.status(), Some(404), "the places are free again");
}

/// The script does not run for a request whose time is over: its phone is told what it is told under overload.
#[tokio::test(flavor = "multi_thread")]
async fn none_waits_beyond_its_deadline() {
    let script = Script::new(SLOW);
    let mut system = script
        .setup()
        .set("script.deadline_ms", 1500)
        .set("server.request_deadline_ms", 300)
        .notifiers(0)
        .start();
    let alice = Phone::udp("alice").await;
    let mut slow = send(&alice, &system, &["slow"]);
    logged(&mut system.servers[0].process, "begins slow").await;
    let (_, answer) = send(&alice, &system, &["late"]).recv().await.unwrap();
    assert_eq!(answer.status(), Some(503), "{answer}");
    assert!(answer.header("Retry-After").is_some(), "{answer}");
    assert_eq!(count(&system.servers[0].process, "begins late"), 0);
    assert_eq!(slow.recv().await.unwrap().1.status(), Some(500));
}
