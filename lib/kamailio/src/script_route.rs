//! Routing blocks: none is carried over, so each is named, with what does its job here.

use crate::settings::Route;

/// The words that begin one.
pub(crate) const KINDS: [&str; 8] = [
    "request_route",
    "route",
    "event_route",
    "failure_route",
    "onreply_route",
    "reply_route",
    "branch_route",
    "onsend_route",
];

/// The functions of module presence.
pub(crate) const FUNCTIONS: [&str; 6] = [
    "handle_publish",
    "handle_subscribe",
    "pres_auth_status",
    "pres_has_subscribers",
    "pres_refresh_watchers",
    "pres_update_watchers",
];

/// The events that a script of ours has.
const EVENTS: [&str; 2] = ["presence:notify-reply", "tm:local-request"];

/// What it is called in the configuration.
pub(crate) fn subject(route: &Route) -> String {
    match route.name.as_str() {
        "" => route.kind.clone(),
        name => format!("{}[{name}]", route.kind),
    }
}

/// What does its job here.
pub(crate) fn sentence(route: &Route) -> String {
    let is_main = route.kind == "request_route"
        || (route.kind == "route" && matches!(route.name.as_str(), "" | "0"));
    if route.kind == "event_route" {
        return of_event(&route.name);
    }
    if !route.calls.is_empty() {
        let calls: Vec<&str> = route.calls.iter().map(String::as_str).collect();
        let calls = calls.join(", ");
        let is_plain = route
            .calls
            .iter()
            .all(|call| matches!(call.as_str(), "handle_publish" | "handle_subscribe"));
        return match is_plain {
            true => format!(
                "calls {calls}: without a script every PUBLISH and SUBSCRIBE is handled; write its decisions before that in Lua, as \
                 function route(request) of script.file (docs/SCRIPT.md)"
            ),
            false => format!(
                "calls {calls}: write it in Lua, as function route(request) of script.file (docs/SCRIPT.md)"
            ),
        };
    }
    match route.kind.as_str() {
        _ if is_main => "without a script every PUBLISH and SUBSCRIBE is handled; write its decisions about them in Lua, as \
                         function route(request) of script.file (docs/SCRIPT.md); everything else stays at the edge"
            .to_owned(),
        "route" => "calls no function of presence: it stays at the edge; move a part that decides about PUBLISH or SUBSCRIBE into \
                    script.file (docs/SCRIPT.md)"
            .to_owned(),
        _ => "nothing is relayed here: it stays at the edge".to_owned(),
    }
}

fn of_event(name: &str) -> String {
    match name {
        _ if EVENTS.contains(&name) => {
            let more = if name == "tm:local-request" {
                "; it cannot change the NOTIFY"
            } else {
                ""
            };
            format!("write it in Lua, as event_route[\"{name}\"] of script.file (docs/SCRIPT.md){more}")
        }
        _ if name.starts_with("xhttp") => {
            "HTTP is answered by the server itself (http.listen: docs/RPC.md and docs/HTTP.md); XCAP and everything else stays at the edge"
                .to_owned()
        }
        _ => format!("there is no such event here, only {}: it stays at the edge", EVENTS.join(" and ")),
    }
}
