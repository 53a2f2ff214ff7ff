//! What calls ask for, and what becomes of the answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use events::{DialogId, Finding, Inquiry, StoredSubscription};
use script::{Attribute, ReplyTo, Subscription, Way};

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
        Ask::Database(Inquiry::AuthStatus {
            watcher_uri: own("sip:w@y"),
            presentity_uri: own("sip:p@y"),
        }),
        Ask::Database(Inquiry::HasSubscribers {
            presentity_uri: own("sip:p@y"),
            event: own("dialog"),
        }),
        Ask::Database(Inquiry::RefreshWatchers {
            uri: own("sip:p@y"),
            event: own("presence"),
            kind: 1,
            file: None,
        }),
        Ask::Database(Inquiry::RefreshWatchers {
            uri: own("sip:p@y"),
            event: own("presence"),
            kind: 2,
            file: Some((own("uri"), own("name"))),
        }),
        Ask::Database(Inquiry::UpdateWatchers {
            uri: own("sip:p@y"),
            event: own("presence"),
        }),
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
        assert!(
            matches!(ask, Ask::Database(Inquiry::HasSubscribers { .. })),
            "{ask:?}"
        );
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

/// A wrong value that a script sets is logged with its place, and counts as not set: no PUBLISH is lost by it.
#[test]
fn a_wrong_value_is_told_of_and_counts_as_not_set() {
    for (source, what) in [
        (
            "xavp.pres.priority = 'abc'\nhandle_publish()",
            "route.lua:2: xavp.pres.priority must be a whole number of 64 bits, not \"abc\"",
        ),
        (
            "xavp.pres.priority = 1.5\nhandle_publish()",
            "route.lua:2: xavp.pres.priority",
        ),
        (
            "xavp.pres.priority = 1e300\nhandle_publish()",
            "route.lua:2: xavp.pres.priority",
        ),
        (
            "xavp.pres.priority = '9223372036854775808'\nhandle_publish()",
            "route.lua:2: xavp.pres.priority",
        ),
        (
            "xavp.pres.priority = {}\nhandle_publish()",
            "route.lua:2: xavp.pres.priority must be a whole number of 64 bits, not table",
        ),
        (
            "xavp.pres.priority = true\nhandle_publish()",
            "route.lua:2: xavp.pres.priority",
        ),
        (
            "xavp.pres.priority = handle_publish\nhandle_publish()",
            "route.lua:2: xavp.pres.priority",
        ),
        (
            "xavp.pres.priority = 5\nxavp.pres.priority = 'abc'\nhandle_publish()",
            "route.lua:4: xavp.pres.priority",
        ),
        (
            "\nxavp.pres = {priority = 'abc'}\nhandle_publish()",
            "route.lua:4: xavp.pres.priority",
        ),
        (
            "xavp.pres = 'abc'\nhandle_publish()",
            "route.lua:2: xavp.pres must be a table of attributes, not string",
        ),
        (
            "handle_publish(42)",
            "route.lua:2: handle_publish: sender_uri must be a text, not number",
        ),
        (
            "handle_publish({})",
            "route.lua:2: handle_publish: sender_uri must be a text, not table",
        ),
    ] {
        let machine = route(source);
        let (call, ask) = asks(machine.route(publish()));
        assert_eq!(ask, publishes(None, None), "{source}");
        let complaints = machine.complaints();
        let [Failure::Error(complaint)] = &complaints[..] else {
            panic!("{source}: {complaints:?}");
        };
        assert!(complaint.starts_with(what), "{source}: {complaint}");
        assert_eq!(done(machine.resume(call, Told::Code(1))), 0);
        assert_eq!(machine.complaints(), []);
    }
    // The event goes on as well.
    let machine = machine(
        "event_route['presence:notify-reply'] = function() xavp.pres.delete_subscription = 'yes' end",
    );
    assert_eq!(done(machine.notify_reply(ReplyTo::Timeout, None)), 0);
    assert_eq!(machine.complaints().len(), 1);
    // Whoever complains without end is heard a few times.
    let machine = route("for _ = 1, 1000 do xavp.pres.priority = 'abc' end handle_publish()");
    let (call, _) = asks(machine.route(publish()));
    assert_eq!(machine.complaints().len(), 8);
    assert_eq!(done(machine.resume(call, Told::Code(1))), 0);
}

/// What a peer sends that is no text is no error of the script: whoever handles the request tells that it is no URI.
#[test]
fn what_is_no_text_of_a_header_is_no_uri() {
    for (call, wanted) in [
        ("handle_publish('sip:a@\\xff')", "sip:a@\u{fffd}"),
        ("handle_publish('sip:a\\0@b')", "sip:a\u{fffd}@b"),
    ] {
        let machine = route(call);
        let ask = asks(machine.route(publish())).1;
        assert_eq!(ask, publishes(Some(wanted), None), "{call}");
    }
    let machine = route("handle_subscribe('sip:a@\\xff')");
    let Ask::HandleSubscribe { watcher_uri } = asks(machine.route(publish())).1 else {
        panic!("no handle_subscribe");
    };
    assert_eq!(watcher_uri.as_deref(), Some("sip:a@\u{fffd}"));
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
           assert(subs.flags == 8 and subs.reason == '')
           for name in ('uri pres_uri to_user to_domain from_user from_domain watcher_username watcher_domain event event_id to_tag ' ..
             'from_tag callid remote_cseq local_cseq contact local_contact record_route expires status reason version flags ' ..
             'user_agent'):gmatch('%S+') do
             assert(subs[name] ~= nil, name)
           end
           assert(not pcall(function() return subs.nothing end))
         end",
    );
    let mut known = Subscription::of(DialogId {
        call_id: "c".to_owned(),
        to_tag: "t".to_owned(),
        from_tag: "f".to_owned(),
    });
    known.set_number(Attribute::Expires, 60);
    let (call, _) = asks(machine.route(publish()));
    let (call, ask) = asks(machine.resume(call, Told::Handled(1, Some(Box::new(known)))));
    let Ask::Database(Inquiry::Subscription(dialog)) = ask else {
        panic!("{ask:?}");
    };
    assert_eq!(dialog.call_id, "c");
    let stored = StoredSubscription {
        presentity_uri: "sip:p@y".to_owned(),
        expires_s: 59,
        flags: 8,
        ..StoredSubscription::default()
    };
    let told = Told::Database(Finding::Subscription(Some(Box::new(stored))));
    assert_eq!(done(machine.resume(call, told)), 0);
    // Neither stored nor known; and nobody could tell, which is asked again.
    let machine = route("handle_subscribe() assert(subs.uri == nil and subs.reason == nil)");
    let handled = || Told::Handled(1, Some(Box::new(Subscription::of(DialogId::default()))));
    let (call, _) = asks(machine.route(publish()));
    let (call, _) = asks(machine.resume(call, handled()));
    let nothing = Told::Database(Finding::Subscription(None));
    assert_eq!(done(machine.resume(call, nothing)), 0);
    let (call, _) = asks(machine.route(publish()));
    let (call, _) = asks(machine.resume(call, handled()));
    let (call, _) = asks(machine.resume(call, Told::Code(-1)));
    assert_eq!(done(machine.resume(call, Told::Code(-1))), 0);
    // pres_subs_mode = 0: nothing is known of it.
    let machine = route("handle_subscribe() assert(subs.uri == nil and subs.callid == nil)");
    let (call, _) = asks(machine.route(publish()));
    assert_eq!(done(machine.resume(call, Told::Handled(1, None))), 0);
}

const WAY: Way = Way {
    source: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 5062),
    local: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 5070),
    transport: sip::Transport::Tcp,
};

/// `$notify_reply(attr)`: "any pseudo var that accesses attributes of msg", by its own name and by ours.
#[test]
fn a_reply_shows_all_that_a_message_has() {
    let text = "SIP/2.0 202 Fine\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\nf: \"Bob B.\" <sip:b%6fb@example.org:5061;x=y>;tag=1\r\n\
        To: Alice <sip:alice@[2001:DB8::1]>;tag=2\r\ni: call@here\r\nCSeq: 17 NOTIFY\r\nm: <sip:alice@192.0.2.7>\r\n\
        User-Agent: Phone/1\r\nc: text/plain;charset=utf-8\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 2\r\n\r\nhi";
    let response = sip::parse_datagram(text.as_bytes().to_vec(), &sip::Limits::default());
    let Ok(Message::Response(response)) = response else {
        panic!("no response");
    };
    let whole = String::from_utf8(response.encode()).unwrap();
    let length = whole.len().to_string();
    for (names, value) in [
        ("method rm", "NOTIFY"),
        ("status code rs", "202"),
        ("reason rr", "Fine"),
        ("from_uri fu", "sip:b%6fb@example.org:5061;x=y"),
        ("from_user fU", "b%6fb"),
        ("from_domain fd", "example.org"),
        ("from_name fn", "Bob B."),
        ("from_tag ft", "1"),
        ("to_uri tu", "sip:alice@[2001:DB8::1]"),
        ("to_user tU", "alice"),
        ("to_domain td", "[2001:db8::1]"),
        ("to_name tn", "Alice"),
        ("to_tag tt", "2"),
        ("call_id ci", "call@here"),
        ("cseq cs", "17"),
        ("contact ct", "<sip:alice@192.0.2.7>"),
        ("content_type cT", "text/plain;charset=utf-8"),
        ("content_length cl", "2"),
        ("user_agent ua", "Phone/1"),
        ("body rb", "hi"),
        ("message mb", whole.as_str()),
        ("length ml", length.as_str()),
        ("source_ip si", "192.0.2.7"),
        ("source_port sp", "5062"),
        ("local_ip Ri", "192.0.2.9"),
        ("local_port Rp", "5070"),
        ("transport pr", "tcp"),
        ("mt", "2"),
    ] {
        for name in names.split(' ') {
            let machine = machine(&format!(
                "event_route['presence:notify-reply'] = function() error(tostring(notify_reply[{name:?}]), 0) end"
            ));
            let told = failed(machine.notify_reply(ReplyTo::Response(response.clone(), WAY), None));
            assert_eq!(told, Failure::Error(value.trim_end().to_owned()), "{name}");
            // Without an answer there is no message.
            let told = failed(machine.notify_reply(ReplyTo::Timeout, None));
            let nothing = match names.split(' ').next() {
                Some("method") => "NOTIFY",
                Some("status") => "408",
                Some("reason") => "Request Timeout",
                Some("body" | "message") => "",
                Some("length") => "0",
                Some("mt") => "2",
                _ => "nil",
            };
            assert_eq!(told, Failure::Error(nothing.to_owned()), "{name}");
        }
    }
    let machine = machine(
        "event_route['presence:notify-reply'] = function()
           if notify_reply.code == 408 then
             assert(notify_reply.header('X-Two') == nil and #notify_reply.headers('X-Two') == 0)
             return
           end
           assert(notify_reply.header('x-two') == '1' and notify_reply:header('X-Two') == '1' and notify_reply.hdr('Call-ID') == 'call@here')
           local all = notify_reply.headers('X-Two')
           assert(#all == 2 and all[2] == '2')
           assert(notify_reply.header('X-None') == nil)
           assert(not pcall(function() return notify_reply.nothing end))
           assert(not pcall(notify_reply.header, {}))
         end",
    );
    let answered = machine.notify_reply(ReplyTo::Response(response, WAY), None);
    assert_eq!(done(answered), 0);
    assert_eq!(done(machine.notify_reply(ReplyTo::Timeout, None)), 0);
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
    let subscription = Subscription::of(DialogId {
        call_id: "c".to_owned(),
        ..DialogId::default()
    });
    let answered = machine.notify_reply(ReplyTo::Response(response, WAY), Some(subscription));
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
