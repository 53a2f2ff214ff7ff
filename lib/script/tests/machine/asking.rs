//! What calls ask for, and what becomes of the answers.

use script::{Attribute, DialogKey, ReplyTo, Subscription};

use super::*;

fn publishes(sender_uri: Option<&str>, priority: Option<i64>) -> Ask {
    Ask::HandlePublish {
        sender_uri: sender_uri.map(str::to_owned),
        priority,
    }
}

#[test]
fn a_request_shows_itself() {
    let machine = route(
        "assert(request.method == 'PUBLISH' and request.uri == 'sip:bob@example.org')
         assert(request.from_uri == 'sip:alice@example.org' and request.to_uri == 'sip:bob@example.org')
         assert(request.from_tag == 'a1' and request.to_tag == nil)
         assert(request.call_id == 'call@192.0.2.1' and request.cseq == 7)
         assert(request.event == 'presence' and request.expires == 600)
         assert(request.user_agent == 'Phone/1' and request.body == 'hello')
         assert(request.source_ip == '192.0.2.1' and request.source_port == 5060)
         assert(request.local_ip == '192.0.2.9' and request.local_port == 5070)
         assert(request.transport == 'udp')
         assert(request:header('event') == 'presence' and request:header('o') == 'presence')
         assert(request:header('SENDER') == '<sip:carol@example.org>' and request:header('X-No') == nil)
         local two = request:headers('x-two')
         assert(#two == 2 and two[1] == '1' and two[2] == '2' and #request:headers('X-No') == 0)
         assert(#request:headers('i') == 1)
         handle_publish()",
    );
    is_well(&machine);
}

#[test]
fn functions_ask_and_return_codes() {
    let machine = route(
        "local codes = {
           handle_publish('sip:x@y'), handle_subscribe('<sip:w@y>'), default_route(),
           pres_auth_status('sip:w@y', 'sip:p@y'), pres_has_subscribers('sip:p@y', 'dialog'),
           pres_refresh_watchers('sip:p@y', 'presence', 1), pres_refresh_watchers('sip:p@y', 'presence', 2, 'uri', 'name'),
           pres_update_watchers('sip:p@y', 'presence'), request:reply(404), request:reply(403, 'No'),
         }
         for at, code in ipairs(codes) do assert(code == at, at) end
         assert(#codes == 10)",
    );
    let own = str::to_owned;
    let wanted = [
        publishes(Some("sip:x@y"), None),
        Ask::HandleSubscribe {
            watcher_uri: Some(own("<sip:w@y>")),
        },
        Ask::DefaultRoute { priority: None },
        Ask::AuthStatus {
            watcher_uri: own("sip:w@y"),
            presentity_uri: own("sip:p@y"),
        },
        Ask::HasSubscribers {
            presentity_uri: own("sip:p@y"),
            event: own("dialog"),
        },
        Ask::RefreshWatchers {
            uri: own("sip:p@y"),
            event: own("presence"),
            kind: 1,
            file: None,
        },
        Ask::RefreshWatchers {
            uri: own("sip:p@y"),
            event: own("presence"),
            kind: 2,
            file: Some((own("uri"), own("name"))),
        },
        Ask::UpdateWatchers {
            uri: own("sip:p@y"),
            event: own("presence"),
        },
        Ask::Reply {
            code: 404,
            reason: None,
        },
        Ask::Reply {
            code: 403,
            reason: Some(own("No")),
        },
    ];
    let mut step = machine.route(publish());
    for (code, wanted) in (1..).zip(wanted) {
        let (call, ask) = asks(step);
        assert_eq!(ask, wanted);
        step = machine.resume(call, Told::Code(code));
    }
    assert_eq!(done(step), 0);
}

#[test]
fn asking_works_through_pcall_and_callbacks() {
    let machine = route(
        "local ok, code = pcall(handle_publish)
         assert(ok and code == 7)
         local new = ('a b'):gsub('%a', function(letter) return pres_has_subscribers(letter, 'presence') == 1 and 'yes' or 'no' end)
         assert(new == 'yes no', new)
         table.sort({2, 1}, function(a, b) return pres_has_subscribers('c', 'd') == 1 end)
         local ok, message = pcall(pres_has_subscribers, {}, 'x')
         assert(not ok and message:find('argument 1 must be a text'), message)",
    );
    let (call, ask) = asks(machine.route(publish()));
    assert_eq!(ask, publishes(None, None));
    let mut step = machine.resume(call, Told::Code(7));
    for code in [1, -1, 1] {
        let (call, ask) = asks(step);
        assert!(matches!(ask, Ask::HasSubscribers { .. }), "{ask:?}");
        step = machine.resume(call, Told::Code(code));
    }
    assert_eq!(done(step), 0);
}

#[test]
fn the_xavp_is_the_calls_own() {
    let machine = route(
        "if request.body == 'hello' then xavp.pres.priority = 100 end
         xavp.other.priority = 5
         pres_has_subscribers('a', 'b')
         handle_publish()",
    );
    let (first, _) = asks(machine.route(publish()));
    let (second, _) = asks(machine.route(request(
        "PUBLISH sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\n\
         Call-ID: 2\r\nCSeq: 1 PUBLISH\r\nContent-Length: 0\r\n\r\n",
    )));
    let (first, ask) = asks(machine.resume(first, Told::Code(1)));
    assert_eq!(ask, publishes(None, Some(100)));
    let (second, ask) = asks(machine.resume(second, Told::Code(1)));
    assert_eq!(ask, publishes(None, None));
    for call in [second, first] {
        assert_eq!(done(machine.resume(call, Told::Code(1))), 0);
    }
    // A text that is a number is one, as in Kamailio; and a whole list may be set.
    let machine = route("xavp.pres = {priority = '7'} handle_publish()");
    assert_eq!(asks(machine.route(publish())).1, publishes(None, Some(7)));
}

#[test]
fn subs_are_those_of_the_call() {
    let machine = route(
        "assert(subs.uri == nil)
         if handle_subscribe() == 1 then
           assert(subs.callid == 'c' and subs.to_tag == 't' and subs.from_tag == 'f')
           assert(subs.expires == 60 and math.type(subs.expires) == 'integer')
           assert(subs.pres_uri == 'sip:p@y', subs.pres_uri)
           assert(subs.expires == 60, 'what was known stays')
           assert(subs.reason == nil)
           assert(not pcall(function() return subs.nothing end))
         end",
    );
    let mut known = Subscription::of(DialogKey {
        call_id: "c".to_owned(),
        to_tag: "t".to_owned(),
        from_tag: "f".to_owned(),
    });
    known.set_number(Attribute::Expires, 60);
    let (call, _) = asks(machine.route(publish()));
    let (call, ask) = asks(machine.resume(call, Told::Handled(1, Some(Box::new(known)))));
    let Ask::ReadSubscription(known) = ask else {
        panic!("{ask:?}");
    };
    assert_eq!(known.key().call_id, "c");
    let mut stored = Subscription::default();
    stored.set_text(Attribute::PresUri, "sip:p@y");
    stored.set_number(Attribute::Expires, 59);
    let told = Told::Subscription(Box::new(known.completed(Some(stored))));
    assert_eq!(done(machine.resume(call, told)), 0);
    // pres_subs_mode = 0: nothing is known of it.
    let machine = route("handle_subscribe() assert(subs.uri == nil and subs.callid == nil)");
    let (call, _) = asks(machine.route(publish()));
    assert_eq!(done(machine.resume(call, Told::Handled(1, None))), 0);
}

#[test]
fn the_event_of_the_guide() {
    let source = "event_route['presence:notify-reply'] = function()
           if notify_reply.code == 408 then
             assert(notify_reply.rs == 408 and notify_reply.reason == 'Request Timeout' and notify_reply.mb == '')
             xavp.pres.delete_subscription = 1
           else
             assert(notify_reply.code == 200 and notify_reply.rr == 'Fine' and notify_reply.body == 'hi')
             assert(notify_reply.header('X-A') == 'b' and notify_reply.header('x-b') == nil)
             assert(notify_reply.message:find('^SIP/2.0 200 Fine'))
             assert(subs.callid == 'c')
           end
         end";
    let machine = machine(source);
    assert!(machine.hears_replies() && !machine.has_route());
    let response = sip::parse_datagram(
        b"SIP/2.0 200 Fine\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>;tag=2\r\n\
          Call-ID: 2\r\nCSeq: 1 NOTIFY\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi"
            .to_vec(),
        &sip::Limits::default(),
    );
    let Ok(Message::Response(response)) = response else {
        panic!("no response");
    };
    let subscription = Subscription::of(DialogKey {
        call_id: "c".to_owned(),
        ..DialogKey::default()
    });
    let answered = machine.notify_reply(ReplyTo::Response(response), Some(subscription));
    assert_eq!(done(answered), 0);
    assert_eq!(done(machine.notify_reply(ReplyTo::Timeout, None)), 1);
}

#[test]
fn wrong_is_raised_where_it_was_asked() {
    let machine = route("handle_publish()");
    let (call, _) = asks(machine.route(publish()));
    let failure = failed(machine.resume(call, Told::Wrong("not here".to_owned())));
    let Failure::Error(message) = failure else {
        panic!("{failure:?}");
    };
    assert!(message.starts_with("route.lua:2: not here"), "{message}");
}
