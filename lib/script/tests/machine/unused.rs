//! What is never called is told, with its name and line; what is called is not.

use super::program;

fn unused(source: &str) -> Vec<String> {
    program(source).unwrap().unused().to_vec()
}

#[test]
fn a_misspelt_route_is_told() {
    assert_eq!(
        unused("local x = 1\n\nfunction rout(request)\n  handle_publish()\nend\n"),
        [
            "route.lua:3: function rout is never called: there is no function route, so that every PUBLISH and SUBSCRIBE is handled as without a script"
        ]
    );
    for source in [
        "function Route(r) end",
        "function request_route(r) end",
        "rout = function() end",
    ] {
        let found = unused(source);
        assert!(
            found.len() == 1 && found[0].starts_with("route.lua:1: function "),
            "{found:?}"
        );
    }
    // Beside an event that is called.
    let source = "event_route[\"presence:notify-reply\"] = function() tell() end\nfunction tell() end\nfunction rout() end\n";
    let found = unused(source);
    assert!(
        found.len() == 1 && found[0].starts_with("route.lua:3: function rout is never"),
        "{found:?}"
    );
}

#[test]
fn events_that_there_are_not_are_told() {
    let found = unused(
        "function route() end\nevent_route[\"presence:notify_reply\"] = function()\nend\nevent_route[\"xhttp:request\"] = 7\n",
    );
    assert_eq!(
        found,
        [
            "route.lua: event_route[\"xhttp:request\"] is never called: the events are tm:local-request and presence:notify-reply",
            "route.lua:2: event_route[\"presence:notify_reply\"] is never called: the events are tm:local-request and presence:notify-reply",
        ]
    );
}

#[test]
fn a_script_that_does_nothing_is_told() {
    for source in ["", "-- to be written", "local function route(request) end"] {
        let found = unused(source);
        assert!(
            found.len() == 1 && found[0].starts_with("route.lua: nothing in it"),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_called_is_not_worth_a_word() {
    for source in [
        "function route(request) help() end\nfunction help() end\nfunction spare() end",
        "event_route[\"tm:local-request\"] = function() end",
        "event_route[\"presence:notify-reply\"] = function() help() end\nfunction help() end",
    ] {
        assert_eq!(unused(source), [""; 0], "{source}");
    }
}

/// Whatever names a script makes up, what is said of them has an end.
#[test]
fn remarks_are_bounded() {
    let found = unused(
        "for i = 1, 500 do event_route[i .. string.rep(\"\\n\", 1000)] = function() end end",
    );
    assert!(found.len() <= 20, "{}", found.len());
    assert!(
        found
            .iter()
            .all(|line| line.len() < 400 && !line.contains('\n')),
        "{found:?}"
    );
}
