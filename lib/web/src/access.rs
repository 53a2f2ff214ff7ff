//! Who may ask: whoever has the token; without one, whoever is on this machine and calls it by its own name, himself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use node::Token;
use subtle::ConstantTimeEq;

use crate::Web;
use crate::problem::Problem;
use crate::reply::Reply;

/// Lets those through who may ask.
///
/// # Errors
/// 401 without the right token; 403, where there is no token, by a name that is not this machine's own, through a proxy, or for a web page of
/// another origin.
pub(crate) async fn guard(
    State(web): State<Arc<Web>>,
    request: Request,
    next: Next,
) -> Result<Reply, Problem> {
    check(web.token.as_ref(), request.headers())?;
    Ok(next.run(request).await)
}

fn check(token: Option<&Token>, headers: &HeaderMap) -> Result<(), Problem> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = token {
        return match is_bearer(header(AUTHORIZATION), token) {
            true => Ok(()),
            false => Err(Problem::unauthorized()),
        };
    }
    if headers.contains_key(FORWARDED) || headers.keys().any(is_of_proxy) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forwarded",
            "Without http.token, nothing that came through a proxy is served: it would come from other machines",
        ));
    }
    let Some(host) = header(HOST).filter(|host| is_own_name(host)) else {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-host",
            "Without http.token, Host must be an address or localhost",
        ));
    };
    match headers.get(ORIGIN) {
        Some(origin) if !is_origin(origin.as_bytes(), host) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            "Without http.token, no web page of another origin is served",
        )),
        _ => Ok(()),
    }
}

/// What proxies write by custom. RFC 7239 has `Forwarded` in their place.
fn is_of_proxy(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-")
}

/// RFC 6454 section 7: whether a page that was loaded from `host` has this origin.
fn is_origin(origin: &[u8], host: &str) -> bool {
    let origin = std::str::from_utf8(origin).ok();
    let authority = origin.and_then(|origin| origin.split_once("://"));
    authority.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// Compares in a time that tells nothing of the token but its length.
fn is_bearer(header: Option<&str>, token: &Token) -> bool {
    let Some((scheme, given)) = header.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let is_equal = given.trim().as_bytes().ct_eq(token.expose().as_bytes());
    scheme.eq_ignore_ascii_case("bearer") && bool::from(is_equal)
}

/// An address or `localhost`, with or without port: no name that somebody's name server could point here.
fn is_own_name(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bracketed = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || bracketed.is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName};
    use axum::response::IntoResponse as _;

    use super::{check, is_bearer, is_own_name};

    #[test]
    fn without_a_token_only_this_machine_itself() {
        for (headers, expected) in [
            (&[("host", "localhost:8080")][..], 200),
            (
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://LOCALHOST:8080"),
                ],
                200,
            ),
            (
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://localhost:3000"),
                ],
                403,
            ),
            (
                &[
                    ("host", "localhost:8080"),
                    ("origin", "https://evil.example"),
                ],
                403,
            ),
            (&[("host", "localhost:8080"), ("origin", "null")], 403),
            (
                &[("host", "localhost"), ("forwarded", "for=192.0.2.1")],
                403,
            ),
            (
                &[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")],
                403,
            ),
            (
                &[("host", "localhost"), ("X-Forwarded-Proto", "https")],
                403,
            ),
            (&[("host", "evil.example")], 403),
            (&[], 403),
        ] {
            let named = headers.iter().map(|(name, value)| {
                let name: HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            });
            let named = HeaderMap::from_iter(named);
            let status = match check(None, &named) {
                Ok(()) => 200,
                Err(problem) => problem.into_response().status().as_u16(),
            };
            assert_eq!(status, expected, "{headers:?}");
            let token = "0123456789abcdef".parse().unwrap();
            let mut named = named;
            named.insert("authorization", "Bearer 0123456789abcdef".parse().unwrap());
            assert!(check(Some(&token), &named).is_ok(), "{headers:?}");
        }
    }

    #[test]
    fn only_names_that_nobody_else_can_give() {
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "10.1.2.3",
        ] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "[evil]:1",
        ] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_whole_token_and_nothing_else() {
        let token = "0123456789abcdef".parse().unwrap();
        for good in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(is_bearer(Some(good), &token), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdefg",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!is_bearer(Some(bad), &token), "{bad}");
        }
        assert!(!is_bearer(None, &token));
    }
}
