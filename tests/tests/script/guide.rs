//! The examples of Kamailio's documentation, translated line by line.

use system_tests::phone::Answer;
use system_tests::pidf;

use super::*;

/// `handle_publish`, `handle_subscribe` and `$subs(attr)` as Kamailio's documentation shows them.
const PUBLISH_AND_SUBSCRIBE: &str = r#"
function route(request)
  -- if(is_method("PUBLISH"))
  if request.method == "PUBLISH" then
    -- if($hdr(Sender)!= NULL)
    if request:header("Sender") ~= nil then
      -- handle_publish("$hdr(Sender)");
      handle_publish(request:header("Sender"))
    else
      -- handle_publish();
      handle_publish()
    end
  end
  -- if(method=="SUBSCRIBE")
  if request.method == "SUBSCRIBE" then
    -- if(handle_subscription())
    if handle_subscribe() > 0 then
      -- xlog("presentity=$subs(uri)\n");
      xlog("presentity=" .. subs.uri .. "\n")
    end
  end
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn publish_and_subscribe() {
    let script = Script::new(PUBLISH_AND_SUBSCRIBE);
    let mut system = script.setup().start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    logged(&mut system.servers[0].process, &format!("presentity={BOB}")).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "there").await;
    dialog
        .until("there", |notify| notify.note() == Some("there"))
        .await;
    let draft = publisher.draft(
        Some(&pidf::document(BOB, "phone", "open", "busy")),
        Some(600),
    );
    let sent = draft.with("Sender", "<sip:carol@example.org>");
    let response = bob.send(&sent, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog
        .until("busy", |notify| notify.note() == Some("busy"))
        .await;
    assert_eq!(
        system.psql("SELECT sender FROM presentity"),
        "sip:carol@example.org"
    );
}

/// The documentation's example relays a MESSAGE; there is nothing to relay here, so the script answers it.
const AUTH_STATUS: &str = r#"
function route(request)
  -- if (method=="MESSAGE") {
  if request.method == "MESSAGE" then
    -- pres_auth_status("$fu", $ru");
    local retcode = pres_auth_status(request.from_uri, request.uri)
    -- if ($retcode == 1) {
    if retcode == 1 then
      -- t_relay();
      request:reply(202, "Relayed")
    else
      -- send_reply("403", "Forbidden");
      request:reply(403, "Forbidden")
    end
  else
    default_route()
  end
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn auth_status() {
    let script = Script::new(AUTH_STATUS);
    // Nobody but the server judges: there is no notifier.
    let system = script.setup().notifiers(0).start();
    let rules = |allowed: &str| {
        let rule = |user: &str, handling: &str| {
            format!(
                "<rule id=\"{handling}\"><conditions><identity><one id=\"sip:{user}@example.org\"/></identity></conditions>\
                 <actions><p:sub-handling>{handling}</p:sub-handling></actions></rule>"
            )
        };
        format!(
            "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\">{}{}{}{}</ruleset>",
            rule(allowed, "allow"),
            rule("blocked", "block"),
            rule("polite", "polite-block"),
            rule("maybe", "confirm"),
        )
    };
    let relayed = async |user: &str| {
        let response = answer(&Phone::udp(user).await, "MESSAGE", &system).await;
        match (response.status(), response.reason()) {
            (Some(202), "Relayed") => true,
            (Some(403), "Forbidden") => false,
            _ => panic!("{user}: {response}"),
        }
    };
    // Nobody of them ever subscribed. Without a document the default policy counts, which lets in.
    assert!(relayed("alice").await);
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
         VALUES ('bob', 'example.org', '{}', 2, 'e1', '/pres-rules/users/bob/index')",
        rules("friend")
    ));
    for (user, expected) in [
        ("friend", true),
        ("blocked", false),
        ("polite", false),
        ("maybe", false),
        ("alice", false),
    ] {
        assert_eq!(relayed(user).await, expected, "{user}");
    }
    // Another document counts at once.
    system.psql(&format!("UPDATE xcap SET doc = '{}'", rules("alice")));
    assert!(relayed("alice").await);
    assert!(!relayed("friend").await);
    // What somebody wrote by hand does not, as long as rules decide; without them it does.
    system.psql(
        "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason) \
         VALUES ('sip:bob@example.org', 'friend', 'example.org', 'presence', 3, 'rejected'), \
                ('sip:bob@example.org', 'alice', 'example.org', 'presence', 3, 'rejected')",
    );
    assert!(relayed("alice").await);
    system.psql("DELETE FROM xcap");
    assert!(!relayed("alice").await);
    assert!(relayed("blocked").await);

    let alice = Phone::udp("alice").await;
    system.psql("DELETE FROM watchers");
    let relayed = answer(&alice, "MESSAGE", &system).await;
    assert_eq!((relayed.status(), relayed.reason()), (Some(202), "Relayed"));
    // What the script leaves to the built-in route is answered as ever.
    let capabilities = answer(&alice, "OPTIONS", &system).await;
    assert_eq!(capabilities.status(), Some(200));
    assert_eq!(answer(&alice, "INVITE", &system).await.status(), Some(405));
}

/// Each number of Kamailio's presence/subscribe.h, about people who never subscribed: by the script and by RPC, and what becomes of
/// whoever then subscribes.
#[tokio::test(flavor = "multi_thread")]
async fn auth_status_is_what_a_subscription_gets() {
    let script = Script::new(
        "function route(request)
           if request.method == 'SUBSCRIBE' then return default_route() end
           request:reply(200, 'Code ' .. pres_auth_status(request.fu, request.ru))
         end",
    );
    let rules = |user: &str, handling: &str| {
        format!(
            "<rule id=\"{user}\"><conditions><identity><one id=\"sip:{user}@example.org\"/></identity></conditions>\
             <actions><p:sub-handling>{handling}</p:sub-handling></actions></rule>"
        )
    };
    let document: String = [
        ("allow", "allow"),
        ("confirm", "confirm"),
        ("polite", "polite-block"),
        ("block", "block"),
    ]
    .map(|(user, handling)| rules(user, handling))
    .concat();
    let document = format!(
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\">{document}</ruleset>"
    );
    for (key, value, stored, expected) in [
        ("presence.default_policy", "allow", None, [1, 1, 1, 1, 1]),
        ("presence.default_policy", "confirm", None, [2, 2, 2, 2, 2]),
        ("presence.default_policy", "block", None, [3, 3, 3, 3, 3]),
        (
            "presence.default_policy",
            "allow",
            Some(document.as_str()),
            [1, 2, 5, 3, 3],
        ),
        (
            "presence.default_policy",
            "allow",
            Some("<ruleset"),
            [2, 2, 2, 2, 2],
        ),
        (
            "presence.force_active",
            "1",
            Some(document.as_str()),
            [1, 1, 1, 1, 1],
        ),
    ] {
        let system = script.setup().set(key, value).start();
        if let Some(document) = stored {
            system.psql(&format!(
                "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
                 VALUES ('bob', 'example.org', '{document}', 2, 'e1', '/pres-rules/users/bob/index')"
            ));
        }
        for (user, expected) in ["allow", "confirm", "polite", "block", "nobody"]
            .into_iter()
            .zip(expected)
        {
            let phone = Phone::udp(user).await;
            let told = answer(&phone, "MESSAGE", &system).await;
            assert_eq!(told.reason(), format!("Code {expected}"), "{value} {user}");
            // SQL knows the default, and not the rules: until a notifier has decided.
            let in_sql = format!("SELECT pres_auth_status('sip:{user}@example.org', '{BOB}')");
            let known = stored.is_none() || key == "presence.force_active";
            let wanted = if known { expected } else { -1 };
            assert_eq!(system.psql(&in_sql), wanted.to_string(), "{value} {user}");
            let dialog = phone.subscribe(system.udp(0), BOB, 600).await;
            let notify = dialog.notify(1).await;
            let state = notify
                .message
                .header("Subscription-State")
                .unwrap_or_default();
            let wanted = match expected {
                1 | 5 => "active",
                2 => "pending",
                _ => "terminated",
            };
            assert!(state.starts_with(wanted), "{value} {user}: {state}");
            assert_eq!(system.psql(&in_sql), expected.to_string(), "{value} {user}");
        }
    }
}

/// What is no URI, a presentity that nobody knows, other spellings, and a document that was made to take long.
#[tokio::test(flavor = "multi_thread")]
async fn auth_status_of_what_makes_trouble() {
    let script = Script::new(
        "function route(request)
           request:reply(200, 'Code ' .. pres_auth_status(request:header('Watcher'), request:header('Watched')))
         end",
    );
    let system = script.setup().notifiers(0).start();
    let hostile = "'<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:o=\"urn:oma:xml:xdm:common-policy\"><rule id=\"a\">\
         <conditions><o:external-list>' || (SELECT string_agg('<o:entry anc=\"/resource-lists/users/sip:u' || n || \
         '@example.org/index/~~/resource-lists/list\"/>', '') FROM generate_series(1, 500) AS n) || \
         '</o:external-list></conditions></rule></ruleset>'";
    for (user, document) in [
        ("evil", hostile),
        (
            "huge",
            "'<ruleset>' || repeat(' ', 3000000) || '</ruleset>'",
        ),
        ("deep", "repeat('<a>', 20000)"),
    ] {
        system.psql(&format!(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
             VALUES ('{user}', 'example.org', convert_to({document}, 'UTF8'), 2, 'e1', '/pres-rules/users/{user}/index')"
        ));
    }
    let alice = Phone::udp("alice").await;
    for (watcher, watched, expected) in [
        ("sip:alice@example.org", "sip:bob@example.org", 1),
        (
            "\"Alice\" <sip:alice@Example.ORG:5070;x=y>",
            "sips:bob@example.org",
            1,
        ),
        ("tel:+1-234", "tel:+5(67)8", 1),
        ("alice", "sip:bob@example.org", -1),
        ("sip:alice@example.org", "", -1),
        ("http://example.org", "sip:bob@example.org", -1),
        ("sip:alice@example.org", "sip:evil@example.org", 3),
        ("sip:alice@example.org", "sip:huge@example.org", 2),
        ("sip:alice@example.org", "sip:deep@example.org", 2),
    ] {
        let request = alice
            .request("MESSAGE", BOB)
            .with("Watcher", watcher)
            .with("Watched", watched);
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(
            response.reason(),
            format!("Code {expected}"),
            "{watcher} {watched}"
        );
    }
}

/// `pres_has_subscribers`, `pres_refresh_watchers` and `pres_update_watchers`, each as Kamailio's documentation calls it.
const ORDERS: &str = r#"
function route(request)
  if request.method == "PUBLISH" or request.method == "SUBSCRIBE" then
    return default_route()
  end
  local uri = "sip:bob@example.org"
  local order = request:header("Subject")
  if order == "has" then
    -- if(pres_has_subscribers($var(uri), "message-summary"))
    if pres_has_subscribers(uri, "message-summary") > 0 then
      -- # do something...;
      request:reply(200, "Has")
    else
      request:reply(200, "Has Not")
    end
  elseif order == "refresh" then
    -- pres_refresh_watchers("sip:test@kamailio.org", "presence", 1);
    request:reply(200, "Code " .. pres_refresh_watchers("sip:bob@example.org", "presence", 1))
  elseif order == "update" then
    -- pres_update_watchers("sip:test@kamailio.org", "presence");
    request:reply(200, "Code " .. pres_update_watchers("sip:bob@example.org", "presence"))
  elseif order == "wrong" then
    request:reply(200, "Code " .. pres_refresh_watchers("no uri", "presence", 1))
  elseif order == "unserved" then
    local refreshed = pres_refresh_watchers(uri, "presense", 1)
    request:reply(200, "Codes " .. refreshed .. " " .. pres_update_watchers(uri, "presense"))
  end
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn orders() {
    let script = Script::new(ORDERS);
    let mut system = script.setup().errors_expected().start();
    let server = system.udp(0);
    let alice = Phone::udp("alice").await;
    let order = |word: &'static str| {
        let request = alice.request("MESSAGE", BOB).with("Subject", word);
        let alice = alice.clone();
        async move {
            let response = alice.send(&request, server).await;
            assert_eq!(response.status(), Some(200), "{response}");
            response.reason().to_owned()
        }
    };
    assert_eq!(order("has").await, "Has Not");
    let summary = alice
        .subscribe_to(system.udp(0), BOB, "message-summary", 600)
        .await;
    summary.notify(1).await;
    assert_eq!(order("has").await, "Has");

    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    assert_eq!(order("refresh").await, "Code 1");
    dialog.notify(2).await;

    // A decision that somebody wrote by hand.
    system.psql(
        "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason) \
         SELECT presentity_uri, watcher_username, watcher_domain, event, 3, 'rejected' FROM active_watchers WHERE event = 'presence'",
    );
    assert_eq!(order("update").await, "Code 1");
    let last = dialog.until("the last one", |notify| notify.ends()).await;
    assert!(last.ends());
    // Whoever wrote the script reads why (once a second at most).
    assert_eq!(order("unserved").await, "Codes -1 -1");
    let refused = "Event package 'presense' is not served";
    let line = system.servers[0]
        .process
        .line(system::STARTUP, |line| line.contains(refused));
    assert!(line.is_ok(), "{line:?}");
    assert_eq!(order("wrong").await, "Code -1");
}

/// `xavp_cfg` as Kamailio's documentation shows it, and the order that comes of it.
const PRIORITY: &str = r#"
function route(request)
  -- if(is_method("PUBLISH")) {
  if request.method == "PUBLISH" then
    -- $xavp(pres=>priority) = 100;
    if request:header("Priority") == "urgent" then xavp.pres.priority = 100 end
    handle_publish()
  else
    default_route()
  end
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn xavp_priority() {
    let script = Script::new(PRIORITY);
    let system = script.setup().set("presence.retrieve_order", 1).start();
    let bob = Phone::udp("bob").await;
    let document = pidf::document(BOB, "phone", "open", "urgent");
    let mut first = bob.publisher(BOB);
    let draft = first.draft(Some(&document), Some(600));
    let response = bob
        .send(&draft.with("Priority", "urgent"), system.udp(0))
        .await;
    first.learn(&response);
    let priorities =
        || system.psql("SELECT string_agg(priority::text, ',' ORDER BY id) FROM presentity");
    assert_eq!(priorities(), "100");
    // Without the attribute, the newer the higher: the seconds since 2015.
    bob.publisher(BOB)
        .show(system.udp(0), "open", "plain")
        .await;
    let age = "SELECT (abs(priority - (extract(epoch FROM now()) - 1420070400)) < 60)::int FROM presentity ORDER BY id DESC LIMIT 1";
    assert_eq!(system.psql(age), "1");
    // What is given once stays through a refresh, and goes with a new document that has none.
    first.refresh(system.udp(0), 600).await;
    let kept = "SELECT priority FROM presentity ORDER BY id LIMIT 1";
    assert_eq!(system.psql(kept), "100");
    first.show(system.udp(0), "open", "no longer urgent").await;
    assert_ne!(system.psql(kept), "100");
}

/// `$notify_reply(attr)` and `presence:notify-reply` as Kamailio's documentation shows them.
const NOTIFY_REPLY: &str = r#"
-- event_route[presence:notify-reply]
event_route["presence:notify-reply"] = function()
  -- xlog("received message = $notify_reply($mb)\n");
  xlog("received message = " .. notify_reply.mb:match("[^\r\n]*") .. " of " .. subs.callid .. "\n")
end
"#;

#[tokio::test(flavor = "multi_thread")]
async fn notify_reply() {
    let script = Script::new(NOTIFY_REPLY);
    let mut system = script.setup().start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let wanted = format!(
        "received message = SIP/2.0 200 From a phone of {}",
        dialog.call_id()
    );
    logged(&mut system.notifiers[0], &wanted).await;
}

/// `$subs(attr)` in `tm:local-request`, before the NOTIFY is answered.
#[tokio::test(flavor = "multi_thread")]
async fn local_request() {
    let script = Script::new(
        r#"
event_route["tm:local-request"] = function()
  xlog("NOTIFY " .. subs.local_cseq .. " of " .. subs.callid .. " to " .. subs.watcher_username .. " agent " .. subs.user_agent
       .. " reply " .. tostring(notify_reply.code))
end
"#,
    );
    let mut system = script.setup().start();
    let alice = Phone::udp("alice").await;
    alice.answers(Answer::Silent);
    let request = alice
        .subscription(BOB, Some(600))
        .set("User-Agent", "Test/1");
    let (dialog, _) = alice.subscribe_with(&request, system.udp(0)).await;
    let cseq = dialog.notify(1).await.cseq;
    let wanted = format!(
        "NOTIFY {cseq} of {} to alice agent Test/1 reply nil",
        dialog.call_id()
    );
    logged(&mut system.notifiers[0], &wanted).await;
}
