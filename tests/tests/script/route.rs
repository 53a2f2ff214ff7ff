//! What a script does with requests, by what comes out on the wire and in the tables.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// All 24 attributes of a new subscription, of a refreshed one, and nothing with `pres_subs_mode = 0`.
const SUBS: &str = r#"
local names = {
  "uri", "pres_uri", "to_user", "to_domain", "from_user", "from_domain", "watcher_username", "watcher_domain", "event", "event_id",
  "to_tag", "from_tag", "callid", "remote_cseq", "local_cseq", "contact", "local_contact", "record_route", "expires", "status",
  "reason", "version", "flags", "user_agent",
}
function route(request)
  local code = handle_subscribe()
  local all = {}
  for at, name in ipairs(names) do all[at] = name .. "=" .. tostring(subs[name]) end
  xlog("code " .. code .. " " .. table.concat(all, " ") .. " END")
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn subs_has_all_attributes() {
    let script = Script::new(SUBS);
    let mut system = script.setup().notifiers(0).start();
    let alice = Phone::udp("alice").await;
    let request = alice
        .subscription(BOB, Some(600))
        .set("Event", "presence;id=7")
        .set("User-Agent", "Test/1")
        .with("Record-Route", "<sip:edge.example.org;lr>");
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    let (ours, theirs) = (response.tag("To"), response.tag("From"));
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let contact = response.header("Contact").unwrap();
    let local = contact.trim_matches(['<', '>']);
    let wanted = |cseq: u32, expires: u32| {
        format!(
            "uri={BOB} pres_uri={BOB} to_user=bob to_domain=example.org from_user=alice from_domain=example.org \
             watcher_username=alice watcher_domain=example.org event=presence event_id=7 to_tag={ours} from_tag={theirs} \
             callid={} remote_cseq={cseq} local_cseq=0 contact={} local_contact={local} record_route=<sip:edge.example.org;lr> \
             expires={expires} status=1 reason= version=0 flags=0 user_agent=Test/1 END",
            dialog.call_id(),
            alice.contact(),
        )
    };
    let server = &mut system.servers[0].process;
    let line = logged(server, "code 1 ").await;
    let cseq = request.cseq().unwrap();
    assert!(
        line.contains(&wanted(cseq, 600)),
        "{line}\n{}",
        wanted(cseq, 600)
    );

    let again = dialog
        .request("SUBSCRIBE")
        .set("Event", "presence;id=7")
        .set("Expires", "300");
    let cseq = again.cseq().unwrap();
    let answered = alice.send(&again, system.servers[0].address("udp")).await;
    assert_eq!(answered.status(), Some(200), "{answered}");
    logged(&mut system.servers[0].process, &wanted(cseq, 300)).await;
}

/// `pres_subs_mode = 0`: `subs` is empty.
#[tokio::test(flavor = "multi_thread")]
async fn pres_subs_mode() {
    let script = Script::new(
        "function route(request) handle_subscribe() xlog('uri is ' .. tostring(subs.uri)) end",
    );
    let mut system = script
        .setup()
        .notifiers(0)
        .set("presence.pres_subs_mode", 0)
        .start();
    let alice = Phone::udp("alice").await;
    let request = alice.subscription(BOB, Some(600));
    let (_, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200));
    logged(&mut system.servers[0].process, "uri is nil").await;
}

/// `handle_subscribe(watcher_uri)`: somebody else than From says is the watcher.
#[tokio::test(flavor = "multi_thread")]
async fn watcher_uri_replaces_from() {
    let script = Script::new(
        "function route(request)
           xlog('code ' .. handle_subscribe(request:header('P-Asserted-Identity')))
         end",
    );
    let mut system = script.setup().notifiers(0).start();
    let alice = Phone::udp("alice").await;
    let long = format!("sip:{}@example.org", "x".repeat(256));
    for (identity, status, watcher) in [
        (
            "\"Carol\" <sip:carol@Example.ORG:5060;x=y>",
            200,
            "carol@example.org alice",
        ),
        ("sip:dave@example.org", 200, "dave@example.org alice"),
        ("garbage", 400, "dave@example.org alice"),
        (&long, 400, "dave@example.org alice"),
    ] {
        let request = alice
            .subscription(BOB, Some(600))
            .with("P-Asserted-Identity", identity);
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "{identity}");
        if identity == long {
            let reason = "User Of Watcher Longer Than 255 Octets";
            assert_eq!(response.reason(), reason);
        }
        let stored = system.psql(
            "SELECT watcher_username || '@' || watcher_domain || ' ' || from_user FROM active_watchers ORDER BY id DESC LIMIT 1",
        );
        assert_eq!(stored, watcher);
    }
    logged(&mut system.servers[0].process, "code -1").await;
    // Watcher information is for the presentity alone: the script says who that is.
    for (identity, status) in [(BOB, 200), ("sip:carol@example.org", 403)] {
        let request = alice
            .subscription_to(BOB, "presence.winfo", Some(600))
            .with("P-Asserted-Identity", identity);
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "{identity}");
    }
}

/// The return codes: 1 for what was stored, -1 for what was refused.
#[tokio::test(flavor = "multi_thread")]
async fn codes_tell_success_from_failure() {
    let script = Script::new(
        "function route(request)
           local code = request.method == 'PUBLISH' and handle_publish() or handle_subscribe()
           xlog('code ' .. code .. ' then ' .. request:reply(404) .. ' and ' .. default_route())
         end",
    );
    let mut system = script.setup().notifiers(0).start();
    let bob = Phone::udp("bob").await;
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    logged(&mut system.servers[0].process, "code 1 then -1 and -1").await;
    let mut stale = bob.publisher(BOB);
    stale.etag = Some("unknown".to_owned());
    let refused = stale.refresh(system.udp(0), 600).await;
    assert_eq!(refused.status(), Some(412));
    logged(&mut system.servers[0].process, "code -1 then -1 and -1").await;
}

/// What a script answers is answered; what it leaves alone is not; and what makes no sense never comes to it.
#[tokio::test(flavor = "multi_thread")]
async fn replies_and_silence() {
    let script = Script::new(
        "function route(request)
           local wanted = request:header('Subject')
           if wanted == 'drop' then xlog('dropped') return end
           local code, reason = wanted:match('^(%d+) ?(.*)$')
           request:reply(tonumber(code), reason ~= '' and reason or nil)
         end",
    );
    let mut system = script.setup().notifiers(0).start();
    let alice = Phone::udp("alice").await;
    for (wanted, status, reason) in [
        ("404", 404, "Not Found"),
        ("480 Gone\tFishing", 480, "Gone\tFishing"),
        ("603 No", 603, "No"),
        ("700", 500, "Server Internal Error"),
    ] {
        let request = alice.request("PUBLISH", BOB).with("Subject", wanted);
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(
            (response.status(), response.reason()),
            (Some(status), reason)
        );
    }
    let dropped = alice.request("PUBLISH", BOB).with("Subject", "drop");
    let none = alice
        .try_send(&dropped, &[system.udp(0)], Duration::from_secs(2))
        .await;
    assert!(none.is_err(), "{none:?}");
    logged(&mut system.servers[0].process, "dropped").await;
    let looped = alice
        .request("PUBLISH", BOB)
        .with("Subject", "404")
        .set("Max-Forwards", "0");
    assert_eq!(alice.send(&looped, system.udp(0)).await.status(), Some(483));
    let cancel = alice.request("CANCEL", BOB).with("Subject", "404");
    assert_eq!(alice.send(&cancel, system.udp(0)).await.status(), Some(481));
}

/// A copy of a request that the script works on does not run it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_runs_no_second_call() {
    let script = Script::new(
        "calls = 0
         function route(request)
           calls = calls + 1
           xlog('call ' .. calls)
           handle_publish()
           xlog('end ' .. calls)
         end",
    );
    let mut system = script.setup().notifiers(0).start();
    let bob = Phone::udp("bob").await;
    let mut holder = system.sql().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE presentity IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let mut publisher = bob.publisher(BOB);
    let request = publisher.draft(
        Some(&system_tests::pidf::document(BOB, "t", "open", "x")),
        Some(600),
    );
    let bytes = request.encode();
    let answered = {
        let (bob, request, server) = (bob.clone(), request.clone(), system.udp(0));
        tokio::spawn(async move { bob.send(&request, server).await })
    };
    logged(&mut system.servers[0].process, "call 1").await;
    for _ in 0..5 {
        bob.raw(&bytes, system.udp(0)).await;
    }
    // Something of the same Call-ID comes to the same worker, behind the copies.
    let marker = bob
        .request("OPTIONS", BOB)
        .set("Call-ID", request.header("Call-ID").unwrap());
    let marked = {
        let (bob, server) = (bob.clone(), system.udp(0));
        tokio::spawn(async move { bob.send(&marker, server).await })
    };
    logged(&mut system.servers[0].process, "call 2").await;
    lock.commit().await.unwrap();
    assert_eq!(answered.await.unwrap().status(), Some(200));
    // The script knows nothing of OPTIONS, and calls handle_publish.
    assert_eq!(marked.await.unwrap().status(), Some(500));
    logged(&mut system.servers[0].process, "end 2").await;
    assert_eq!(count(&system.servers[0].process, "call 3"), 0);
}

/// Calls of many phones take turns in few states, and none sees what is another's.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_many_phones_keep_their_own_calls() {
    let script = Script::new(
        "function route(request)
           local mine = request.call_id
           pres_has_subscribers('sip:x@example.org', 'presence')
           assert(request.call_id == mine)
           xavp.pres.priority = #mine
           handle_publish()
           assert(request.call_id == mine)
         end",
    );
    let system = script.setup().notifiers(0).start();
    let good = std::sync::Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for number in 0..20 {
        let (good, server) = (good.clone(), system.udp(0));
        tasks.push(tokio::spawn(async move {
            let phone = Phone::udp(&format!("u{number}")).await;
            let uri = format!("sip:u{number}@example.org");
            for round in 0..20 {
                phone
                    .publisher(&uri)
                    .show(server, "open", &round.to_string())
                    .await;
                good.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(good.load(Ordering::Relaxed), 400);
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE priority > 0")
            .await,
        400
    );
    assert_eq!(count(&system.servers[0].process, "failed"), 0);
}
