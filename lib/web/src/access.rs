//! Who may ask: whoever has the token; without one, whoever is on this machine and calls it by its own name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use node::Token;
use subtle::ConstantTimeEq;

use crate::Web;
use crate::problem::Problem;
use crate::reply::Reply;

/// Lets those through who may ask.
///
/// # Errors
/// 401 without the right token; 403 by a name that is not this machine's own, where there is no token.
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
    match token {
        Some(token) if !is_bearer(header(AUTHORIZATION), token) => Err(Problem::unauthorized()),
        None if !header(HOST).is_some_and(is_own_name) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-host",
            "Without http.token, Host must be an address or localhost",
        )),
        _ => Ok(()),
    }
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
    use super::{is_bearer, is_own_name};

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
