//! SIGHUP: another script from now on, and no request is lost over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn answering(code: u16) -> String {
    format!(
        "function route(request)
           if request.method == 'MESSAGE' then return request:reply({code}) end
           handle_publish()
         end"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_script_takes_over_and_a_bad_one_does_not() {
    let script = Script::new(&answering(480));
    let mut system = script.setup().notifiers(0).start();
    let alice = Phone::udp("alice").await;
    assert_eq!(answer(&alice, "MESSAGE", &system).await.status(), Some(480));
    script.write(&answering(486));
    reload(&mut system.servers[0].process).await;
    assert_eq!(answer(&alice, "MESSAGE", &system).await.status(), Some(486));
    for bad in ["function route(", "error('no')", "while true do end"] {
        script.write(bad);
        let before = count(&system.servers[0].process, "the old one stays");
        system.servers[0].process.signal(Signal::HUP);
        let until = tokio::time::Instant::now() + SOON;
        while count(&system.servers[0].process, "the old one stays") == before {
            assert!(tokio::time::Instant::now() < until, "{bad}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(answer(&alice, "MESSAGE", &system).await.status(), Some(486));
    }
    // Without a route, all is built in again.
    script.write("-- nothing");
    reload(&mut system.servers[0].process).await;
    assert_eq!(answer(&alice, "MESSAGE", &system).await.status(), Some(405));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_request_is_lost() {
    let script = Script::new(&answering(480));
    let mut system = script.setup().notifiers(0).start();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..16 {
        let (stop, server) = (stop.clone(), system.udp(0));
        tasks.push(tokio::spawn(async move {
            let phone = Phone::udp(&format!("u{number}")).await;
            let uri = format!("sip:u{number}@example.org");
            let mut publisher = phone.publisher(&uri);
            let mut count = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                // Panics unless it is answered 200.
                publisher.show(server, "open", &count.to_string()).await;
                count += 1;
            }
            count
        }));
    }
    for round in 0..10 {
        script.write(&answering(480 + round));
        reload(&mut system.servers[0].process).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for task in tasks {
        answered += task.await.expect("every PUBLISH is answered 200");
    }
    assert!(
        answered > 100,
        "only {answered}: the test looks at too little"
    );
    assert_eq!(system.psql("SELECT count(*) FROM presentity"), "16");
    assert_eq!(
        count(&system.servers[0].process, "a call of the script failed"),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_reads_it_again_too() {
    let event = |word: &str| {
        format!(
            "event_route['presence:notify-reply'] = function() xlog('{word} ' .. notify_reply.code) end"
        )
    };
    let script = Script::new("-- nothing yet");
    let mut system = script.setup().start();
    let alice = Phone::udp("alice").await;
    for word in ["first", "second"] {
        script.write(&event(word));
        reload(&mut system.notifiers[0]).await;
        alice
            .subscribe(system.udp(0), BOB, 600)
            .await
            .notify(1)
            .await;
        logged(&mut system.notifiers[0], &format!("{word} 200")).await;
    }
}
