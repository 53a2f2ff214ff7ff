//! What a request is about: the names in its path.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use events::EventPackage;
use events::publication::find_resource;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sip::Aor;
use sql::Resource;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

use crate::Web;
use crate::description::text;
use crate::problem::Problem;

/// What of a path stands before the names.
const BEFORE: &str = "/v1/presentities/";
/// What stays as it is in the names of a path and in the value of a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const IN_EVENT: &AsciiSet = &IN_QUERY.remove(b';');
const IN_URI: &AsciiSet = &IN_EVENT
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=');

/// A presentity and an event package that is served.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) aor: Aor,
    pub(super) package: EventPackage,
}

// === impl Target ===

impl FromRequestParts<Arc<Web>> for Target {
    type Rejection = Problem;

    /// # Errors
    /// 400 for what is no URI, 404 for an unknown event package.
    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Target, Problem> {
        // Not by axum's Path, which lets a broken percent-encoding pass.
        let names = parts.uri.path().strip_prefix(BEFORE).unwrap_or_default();
        let mut names = names.split('/').map(decoded);
        let mut next = || names.next().unwrap_or_else(|| Ok(String::new()));
        let (uri, event) = (next()?, next()?);
        let (aor, package) = find_resource(&uri, &event, &web.registry, &web.policy)
            .map_err(|reject| Problem::of_reject(&reject, &web.registry))?;
        let package = package.clone();
        Ok(Target { aor, package })
    }
}

impl IntoParams for Target {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let name = |name: &str, description: &str, example: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(description))
                .schema(Some(text()))
                .example(Some(example.into()))
                .build()
        };
        vec![
            name(
                "uri",
                "URI of the presentity: sip:alice@example.org, or tel:. Percent-encoded where it has a / ? # or %.",
                "sip:alice@example.org",
            ),
            name(
                "event",
                "Event package: presence, dialog, message-summary, presence.winfo, ...",
                "presence",
            ),
        ]
    }
}

impl Target {
    pub(super) fn resource(&self) -> Resource {
        Resource {
            presentity_uri: self.aor.uri(),
            event: self.package.name.clone().into_owned(),
        }
    }

    /// Where the publication of a source is.
    pub(super) fn location(&self, source: &str) -> String {
        format!(
            "{BEFORE}{}/{}?source={}",
            utf8_percent_encode(&self.aor.uri(), IN_URI),
            utf8_percent_encode(&self.package.name, IN_EVENT),
            utf8_percent_encode(source, IN_QUERY),
        )
    }
}

/// Percent-decoding, once (RFC 3986 section 2.4).
///
/// # Errors
/// 400
pub(super) fn decoded(raw: &str) -> Result<String, Problem> {
    let mut after_percent = raw.split('%').skip(1).map(str::as_bytes);
    let is_hexadecimal = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    if !after_percent.all(|rest| rest.get(..2).is_some_and(is_hexadecimal)) {
        return Err(Problem::bad_request(
            "A % must be followed by two hexadecimal digits; write %25 for a % itself",
        ));
    }
    let text = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| Problem::bad_request("A name in the URL is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            "A name in the URL has a control character",
        ));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        for (raw, expected) in [
            ("sip:a@b", "sip:a@b"),
            ("sip%3Aa%40b", "sip:a@b"),
            ("sip:a%252Fb@c", "sip:a%2Fb@c"),
            ("%C3%A9+", "é+"),
            ("", ""),
        ] {
            assert_eq!(decoded(raw).unwrap(), expected, "{raw}");
            assert_eq!(
                decoded(&utf8_percent_encode(expected, NON_ALPHANUMERIC).to_string()).unwrap(),
                expected
            );
        }
        for raw in [
            "%", "%4", "%zz", "%+1", "a%0", "%FF", "%C3%28", "%00", "a%0Ab", "%7f",
        ] {
            assert!(decoded(raw).is_err(), "{raw}");
        }
    }
}
