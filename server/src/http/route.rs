//! The table of all paths: what may be asked where, by whom, with how much.

use super::v1::LARGEST_DOCUMENT;

/// Longest body of a request to `/RPC`.
const LARGEST_RPC: usize = 1 << 20;

/// One path and what it serves.
#[derive(Debug)]
pub(super) struct Route {
    /// As in the OpenAPI description: `{name}` stands for one segment.
    pub(super) path: &'static str,
    pub(super) methods: &'static [&'static str],
    pub(super) access: Access,
    /// Most octets of a body.
    pub(super) largest_body: usize,
    pub(super) handler: Handler,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// See [`super::access`].
    Guarded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    Health,
    Rpc,
    Description,
    Presentity,
    Watchers,
    Events,
}

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/health",
        methods: &["GET", "HEAD"],
        access: Access::Open,
        largest_body: 0,
        handler: Handler::Health,
    },
    Route {
        path: "/RPC",
        methods: &["POST"],
        access: Access::Guarded,
        largest_body: LARGEST_RPC,
        handler: Handler::Rpc,
    },
    Route {
        path: "/v1/openapi.json",
        methods: &["GET", "HEAD"],
        access: Access::Guarded,
        largest_body: 0,
        handler: Handler::Description,
    },
    Route {
        path: "/v1/presentities/{uri}/{event}",
        methods: &["GET", "HEAD", "PUT", "DELETE"],
        access: Access::Guarded,
        largest_body: LARGEST_DOCUMENT,
        handler: Handler::Presentity,
    },
    Route {
        path: "/v1/presentities/{uri}/{event}/watchers",
        methods: &["GET", "HEAD"],
        access: Access::Guarded,
        largest_body: 0,
        handler: Handler::Watchers,
    },
    Route {
        path: "/v1/presentities/{uri}/{event}/events",
        methods: &["GET"],
        access: Access::Guarded,
        largest_body: 0,
        handler: Handler::Events,
    },
];

/// All paths, for people.
pub(super) const PATHS: &str = "there is /health, /RPC, /v1/openapi.json, /v1/presentities/{uri}/{event}, and below the latter /watchers and /events";

/// A route and what stands for its `{names}`, still percent-encoded, in order.
#[derive(Debug)]
pub(super) struct Found<'p> {
    pub(super) route: &'static Route,
    pub(super) segments: Vec<&'p str>,
}

/// The route of a path. A `/` in a segment must be percent-encoded; so an encoded one never divides.
pub(super) fn find(path: &str) -> Option<Found<'_>> {
    ROUTES.iter().find_map(|route| {
        let (mut wanted, mut given) = (route.path.split('/'), path.split('/'));
        let mut segments = Vec::new();
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(Found { route, segments }),
                (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {
                    segments.push(segment);
                }
                (Some(fixed), Some(segment)) if fixed == segment => {}
                _ => return None,
            }
        }
    })
}

// === impl Route ===

impl Route {
    /// The value of Allow.
    pub(super) fn allow(&self) -> String {
        self.methods.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_whole_or_not_at_all() {
        let found = |path| find(path).map(|found| (found.route.handler, found.segments.join(" ")));
        for (path, handler, segments) in [
            ("/RPC", Handler::Rpc, ""),
            (
                "/v1/presentities/sip:a@b/presence",
                Handler::Presentity,
                "sip:a@b presence",
            ),
            (
                "/v1/presentities/sip:a%2Fb@c/dialog;sla",
                Handler::Presentity,
                "sip:a%2Fb@c dialog;sla",
            ),
            ("/v1/presentities/a/b/watchers", Handler::Watchers, "a b"),
            (
                "/v1/presentities/watchers/events/events",
                Handler::Events,
                "watchers events",
            ),
        ] {
            assert_eq!(found(path), Some((handler, segments.to_owned())), "{path}");
        }
        for path in [
            "",
            "/",
            "/rpc",
            "/RPC/",
            "//RPC",
            "/v1",
            "/v1/presentities//presence",
            "/v1/presentities/a",
            "/v1/presentities/a/",
            "/v1/presentities/a/b/",
            "/v1/presentities/a/b/c",
            "/v1/presentities/a/b/events/1",
            "/v1/presentities/{uri}%2F{event}",
        ] {
            assert!(found(path).is_none(), "{path}");
        }
    }

    /// The description that is served names each path and method, and no other.
    #[test]
    fn the_description_is_of_these_routes() {
        let description: serde_json::Value =
            serde_json::from_str(super::super::v1::DESCRIPTION).unwrap();
        let mut described: Vec<(String, Vec<String>)> = description["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                let mut methods: Vec<String> = methods
                    .filter(|name| *name != "parameters")
                    .map(|name| name.to_uppercase())
                    .collect();
                methods.sort();
                (path.clone(), methods)
            })
            .collect();
        described.sort();
        let mut served: Vec<(String, Vec<String>)> = ROUTES
            .iter()
            .map(|route| {
                let mut methods: Vec<String> = route
                    .methods
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect();
                methods.sort();
                (route.path.to_owned(), methods)
            })
            .collect();
        served.sort();
        assert_eq!(described, served);
    }
}
