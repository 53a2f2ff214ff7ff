//! `presence:notify-reply`: fired in the notifier after each final answer and after a timeout, and what `delete_subscription` does.

use system_tests::phone::Answer;

use super::*;

const TELL: &str = r#"
event_route["presence:notify-reply"] = function()
  local all = {}
  for at, name in ipairs({"uri", "to_user", "from_user", "watcher_username", "event", "callid", "local_cseq", "version", "status",
                          "expires", "user_agent", "flags"}) do
    all[at] = name .. "=" .. tostring(subs[name])
  end
  xlog(subs.callid .. " reply " .. notify_reply.code .. " " .. notify_reply.reason .. " header " .. tostring(notify_reply.header("X-Why"))
       .. " " .. table.concat(all, " "))
  if notify_reply.code == 486 then xavp.pres.delete_subscription = 1 end
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_reply_and_subscription() {
    let script = Script::new(TELL);
    let mut system = script.setup().start();
    let alice = Phone::udp("alice").await;
    alice.answers(Answer::Status(
        202,
        vec![("X-Why".to_owned(), "because".to_owned())],
    ));
    let request = alice
        .subscription(BOB, Some(600))
        .set("User-Agent", "Test/1");
    let (dialog, _) = alice.subscribe_with(&request, system.udp(0)).await;
    let first = dialog.notify(1).await;
    let line = logged(
        &mut system.notifiers[0],
        &format!("{} reply 202", dialog.call_id()),
    )
    .await;
    assert!(line.contains("header because"), "{line}");
    let cseq = first.message.cseq().unwrap();
    let wanted = format!(
        "uri={BOB} to_user=bob from_user=alice watcher_username=alice event=presence callid={} local_cseq={cseq} version=1 status=1",
        dialog.call_id()
    );
    assert!(line.contains(&wanted), "{line}\n{wanted}");
    assert!(line.contains("user_agent=Test/1 flags=0"), "{line}");
}

/// `$notify_reply(attr)`: any attribute of the message, by Kamailio's short names and by ours; and all 24 of `$subs(attr)`, in
/// both events.
#[tokio::test(flavor = "multi_thread")]
async fn both_events_show_everything() {
    let subs: Vec<&str> = vec![
        "uri",
        "pres_uri",
        "to_user",
        "to_domain",
        "from_user",
        "from_domain",
        "watcher_username",
        "watcher_domain",
        "event",
        "event_id",
        "to_tag",
        "from_tag",
        "callid",
        "remote_cseq",
        "local_cseq",
        "contact",
        "local_contact",
        "record_route",
        "expires",
        "status",
        "reason",
        "version",
        "flags",
        "user_agent",
    ];
    let list = |names: &[&str]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        quoted.join(", ")
    };
    let reply = [
        "rm",
        "rs",
        "rr",
        "fu",
        "fU",
        "fd",
        "ft",
        "tu",
        "tU",
        "td",
        "tt",
        "ci",
        "cs",
        "ct",
        "cT",
        "cl",
        "ua",
        "si",
        "sp",
        "Ri",
        "Rp",
        "pr",
        "rb",
        "mt",
        "method",
        "status",
        "reason",
        "from_uri",
        "to_uri",
        "call_id",
        "cseq",
        "contact",
        "content_type",
        "user_agent",
        "source_ip",
        "source_port",
        "local_ip",
        "local_port",
        "transport",
        "body",
    ];
    let script = Script::new(&format!(
        "local function all(what, names)
           local told = {{}}
           for at, name in ipairs(names) do told[at] = name .. '=' .. tostring(what[name]) end
           return table.concat(told, ' ') .. ' END'
         end
         event_route['tm:local-request'] = function() xlog('out ' .. all(subs, {{{subs}}})) end
         event_route['presence:notify-reply'] = function()
           xlog('back ' .. all(subs, {{{subs}}}))
           xlog('reply ' .. all(notify_reply, {{{reply}}}))
           xlog('header ' .. notify_reply.header('X-Why') .. ' ' .. notify_reply:header('x-why') .. ' ' .. #notify_reply.headers('Via'))
         end",
        subs = list(&subs),
        reply = list(&reply),
    ));
    // Without a server in between, which would be the source of the answer.
    let setup = script.setup().set("server.notify_from_listener", 0);
    let mut system = setup.start();
    let alice = Phone::udp("alice").await;
    let more = [
        ("X-Why", "because"),
        ("User-Agent", "Phone/2"),
        ("Contact", "<sip:alice@192.0.2.1>"),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    alice.answers(Answer::Status(202, more.to_vec()));
    let request = alice
        .subscription(BOB, Some(600))
        .set("Event", "presence;id=7")
        .set("User-Agent", "Test/1");
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    let notify = dialog.notify(1).await.message;
    let (ours, theirs) = (response.tag("To").unwrap(), response.tag("From").unwrap());
    let local = response.header("Contact").unwrap();
    let cseq = notify.cseq().unwrap();
    let wanted = format!(
        "uri={BOB} pres_uri={BOB} to_user=bob to_domain=example.org from_user=alice from_domain=example.org \
         watcher_username=alice watcher_domain=example.org event=presence event_id=7 to_tag={ours} from_tag={theirs} callid={} \
         remote_cseq={} local_cseq={cseq} contact={} local_contact={} record_route= expires=",
        dialog.call_id(),
        request.cseq().unwrap(),
        alice.contact(),
        local.trim_matches(['<', '>']),
    );
    let rest = " status=1 reason= version=1 flags=0 user_agent=Test/1 END";
    let notifier = &mut system.notifiers[0];
    for event in ["out ", "back "] {
        let line = logged(notifier, &format!("{event}{wanted}")).await;
        assert!(line.contains(rest), "{line}");
    }
    let address = |text: &str| text.to_owned();
    let from = notify.header("From").unwrap();
    let to = notify.header("To").unwrap();
    let uri = |text: &str| {
        let inside = text.split_once('<').map_or(text, |(_, rest)| rest);
        address(inside.split_once('>').map_or(inside, |(uri, _)| uri))
    };
    let line = logged(notifier, "reply rm=NOTIFY rs=202").await;
    for part in [
        format!("fu={} fU=bob fd=example.org ft={ours}", uri(from)),
        format!("tu={} tU=alice td=example.org tt={theirs}", uri(to)),
        format!(
            "ci={} cs={cseq} ct=<sip:alice@192.0.2.1> cT=nil cl=0 ua=Phone/2",
            dialog.call_id()
        ),
        format!("si={} sp={}", alice.local().ip(), alice.local().port()),
        "pr=udp rb= mt=2 method=NOTIFY status=202".to_owned(),
        format!(
            "source_ip={} source_port={}",
            alice.local().ip(),
            alice.local().port()
        ),
        "transport=udp body= END".to_owned(),
    ] {
        assert!(line.contains(&part), "{part}\n{line}");
    }
    logged(notifier, "header because because 1").await;
}

/// Without the attribute a refusal of an unclear kind is tried again; with it, the subscription goes.
#[tokio::test(flavor = "multi_thread")]
async fn delete_subscription() {
    for (code, left) in [(486, 0), (487, 1)] {
        let script = Script::new(TELL);
        let mut system = script.setup().start();
        let alice = Phone::udp("alice").await;
        alice.answers(Answer::Status(code, vec![]));
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        logged(&mut system.notifiers[0], &format!("reply {code}")).await;
        let living = "SELECT count(*) FROM active_watchers WHERE NOT ended";
        if left == 0 {
            system.until(SOON, living, 0).await;
        } else {
            // It is tried again, so it was not deleted.
            dialog.notify(2).await;
            assert_eq!(system.count(living).await, 1);
        }
    }
}

/// Kamailio's documentation on `delete_subscription`: while `xavp_cfg` is set, only 404 and 481 (and 408 with `timeout_rm_subs`) delete a subscription of
/// themselves. What else RFC 6665 says ends it, or what is refused again and again, is kept and tried again, until the script deletes it.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_for_the_script_to_judge() {
    let script = Script::new(
        r#"event_route["presence:notify-reply"] = function()
             if notify_reply.header("X-Delete") then xavp.pres.delete_subscription = 1 end
           end"#,
    );
    let system = script
        .setup()
        .set("notifier.retry_min_s", 1)
        .set("notifier.retry_max_s", 1)
        .set("notifier.retry_give_up", 2)
        .start();
    let alice = Phone::udp("alice").await;
    let mut dialogs = Vec::new();
    for (status, is_kept) in [
        (404, false),
        (481, false),
        (408, false),
        (302, true),
        (403, true),
        (405, true),
        (410, true),
        (416, true),
        (480, true),
        (482, true),
        (483, true),
        (484, true),
        (485, true),
        (489, true),
        (501, true),
        (503, true),
        (603, true),
        (604, true),
    ] {
        alice.answers(Answer::Status(status, vec![]));
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.answers(Answer::Status(status, vec![]));
        dialogs.push((status, is_kept, dialog));
    }
    let left = async |dialog: &system_tests::phone::Dialog, count: i64| {
        let living = format!(
            "SELECT count(*) FROM active_watchers WHERE status <> 3 AND callid = '{}'",
            dialog.call_id()
        );
        system.until(SOON, &living, count).await;
    };
    for (status, is_kept, dialog) in &dialogs {
        // More often than `retry_give_up` says.
        dialog.notify(if *is_kept { 4 } else { 1 }).await;
        left(dialog, i64::from(*is_kept)).await;
        assert!(*is_kept || dialog.count() == 1, "{status}");
    }
    for (status, is_kept, dialog) in &dialogs {
        if *is_kept {
            let asks = vec![("X-Delete".to_owned(), "yes".to_owned())];
            dialog.answers(Answer::Status(*status, asks));
            left(dialog, 0).await;
        }
    }
}

/// The same of 408 without `timeout_rm_subs`.
#[tokio::test(flavor = "multi_thread")]
async fn a_408_is_kept_without_timeout_rm_subs() {
    let script = Script::new(TELL);
    let system = script
        .setup()
        .set("presence.timeout_rm_subs", 0)
        .set("notifier.retry_min_s", 1)
        .start();
    let alice = Phone::udp("alice").await;
    alice.answers(Answer::Status(408, vec![]));
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(2).await;
    let living = "SELECT count(*) FROM active_watchers WHERE status <> 3";
    assert_eq!(system.count(living).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_408() {
    let script = Script::new(TELL);
    let mut system = script.setup().set("presence.timeout_rm_subs", 0).start();
    let alice = Phone::udp("alice").await;
    alice.answers(Answer::Silent);
    let request = alice.subscription(BOB, Some(600));
    let (dialog, _) = alice.subscribe_with(&request, system.udp(0)).await;
    // Timer F: 32 s.
    let wanted = format!("{} reply 408 Request Timeout", dialog.call_id());
    let found = tokio::task::block_in_place(|| {
        system.notifiers[0].line(Duration::from_secs(60), |line| line.contains(&wanted))
    });
    found.unwrap_or_else(|output| panic!("{output}"));
}

/// A script that fails, or takes its whole deadline each time, changes nothing about the NOTIFYs.
#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_event_harms_nothing() {
    for source in [
        "event_route['presence:notify-reply'] = function() error('on purpose') end",
        "event_route['presence:notify-reply'] = function() while true do end end",
        "event_route['presence:notify-reply'] = function() local s = 'x' while true do s = s .. s end end",
        "event_route['presence:notify-reply'] = function() handle_publish() end",
        "event_route['presence:notify-reply'] = function() while true do pcall(handle_publish) end end",
        "event_route['presence:notify-reply'] = function() xavp.pres.delete_subscription = {} end",
    ] {
        let script = Script::new(source);
        let mut system = script.setup().set("presence.waitn_time", 0).start();
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        let mut publisher = bob.publisher(BOB);
        for note in ["one", "two", "three"] {
            publisher.show(system.udp(0), "open", note).await;
            dialog
                .until(note, |notify| notify.note() == Some(note))
                .await;
        }
        logged(&mut system.notifiers[0], "a call of the script failed").await;
        assert_eq!(
            system
                .count("SELECT count(*) FROM active_watchers WHERE NOT ended AND failures = 0")
                .await,
            1
        );
    }
}
