//! If-Match and If-None-Match in HTTP's own meaning (RFC 9110 section 13.1).

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use sql::{EntityTags, Precondition};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::description::{header, text};
use crate::problem::Problem;

/// The conditions of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions(Precondition);

/// What becomes of a GET or HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered.
    Holds,
    /// 304: the client has it already.
    NotModified,
    /// 412
    Fails,
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Conditions, Problem> {
        of(&parts.headers)
    }
}

impl IntoParams for Conditions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            header(
                "If-Match",
                "* or a list of entity-tags (RFC 9110 section 13.1.1).",
                text(),
            ),
            header(
                "If-None-Match",
                "* or a list of entity-tags (RFC 9110 section 13.1.2).",
                text(),
            ),
        ]
    }
}

/// Reads the conditions.
///
/// # Errors
/// 400 if one is neither `*` nor a list of entity-tags.
fn of(headers: &HeaderMap) -> Result<Conditions, Problem> {
    Ok(Conditions(Precondition {
        if_match: tags(headers, IF_MATCH, Comparison::Strong)?,
        if_none_match: tags(headers, IF_NONE_MATCH, Comparison::Weak)?,
    }))
}

/// The tag as it stands in a header.
pub(super) fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

impl Conditions {
    /// For the statement that looks at them under the row's lock.
    pub(super) fn into_precondition(self) -> Precondition {
        self.0
    }

    /// For GET and HEAD of what has this tag now, or is not there.
    pub(super) fn judge(&self, current: Option<&str>) -> Verdict {
        let is_met = |tags: &EntityTags| tags.matches(current);
        let Precondition {
            if_match,
            if_none_match,
        } = &self.0;
        if if_match.as_ref().is_some_and(|tags| !is_met(tags)) {
            Verdict::Fails
        } else if if_none_match.as_ref().is_some_and(is_met) {
            Verdict::NotModified
        } else {
            Verdict::Holds
        }
    }

    /// # Errors
    /// 412
    pub(super) fn require(&self, current: Option<&str>) -> Result<(), Problem> {
        match self.judge(current) {
            Verdict::Fails => Err(Problem::precondition_failed()),
            Verdict::Holds | Verdict::NotModified => Ok(()),
        }
    }
}

/// How a tag that is weak (`W/"a"`) is compared with ours, which are all strong (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// It never is the same.
    Strong,
    /// By its text.
    Weak,
}

fn tags(
    headers: &HeaderMap,
    name: HeaderName,
    comparison: Comparison,
) -> Result<Option<EntityTags>, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "{name} is neither * nor a list of entity-tags in double quotes"
        ))
    };
    let mut found = None;
    for line in headers.get_all(&name) {
        let line = line.to_str().map_err(|_| wrong())?.trim();
        let tags = match (found.take(), line) {
            (None, "*") => EntityTags::Any,
            (None, _) => EntityTags::OneOf(list(line, comparison).ok_or_else(wrong)?),
            (Some(EntityTags::OneOf(mut tags)), _) if line != "*" => {
                tags.extend(list(line, comparison).ok_or_else(wrong)?);
                EntityTags::OneOf(tags)
            }
            _ => return Err(wrong()),
        };
        found = Some(tags);
    }
    Ok(found)
}

/// `1#entity-tag`; a tag may hold commas.
fn list(line: &str, comparison: Comparison) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = line;
    loop {
        // Empty elements are to be ignored (RFC 9110 section 5.6.1.2).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags).filter(|_| line.contains('"'));
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if tag.contains([' ', '\t']) || !(after.is_empty() || after.starts_with([',', ' ', '\t'])) {
            return None;
        }
        if !is_weak || comparison == Comparison::Weak {
            tags.push(tag.to_owned());
        }
        rest = after.trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(lines: &[(HeaderName, &'static str)]) -> Result<Conditions, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        of(&headers)
    }

    #[test]
    fn of_what_is_there_and_what_is_not() {
        use Verdict::{Fails, Holds, NotModified};
        let (yes, no) = (IF_MATCH, IF_NONE_MATCH);
        for (lines, there, absent) in [
            (&[][..], Holds, Holds),
            (&[(yes.clone(), "*")], Holds, Fails),
            (&[(no.clone(), "*")], NotModified, Holds),
            (&[(yes.clone(), "\"a\"")], Holds, Fails),
            (&[(yes.clone(), "\"b\"")], Fails, Fails),
            (&[(yes.clone(), "\"b\", \"a\"")], Holds, Fails),
            (
                &[(yes.clone(), "\"b\""), (yes.clone(), ",\"a\" ,")],
                Holds,
                Fails,
            ),
            (&[(yes.clone(), "W/\"a\"")], Fails, Fails),
            (&[(yes.clone(), "\"a,b\"")], Fails, Fails),
            (&[(no.clone(), "\"a\"")], NotModified, Holds),
            (&[(no.clone(), "W/\"a\"")], NotModified, Holds),
            (&[(no.clone(), "\"b\"")], Holds, Holds),
            (
                &[(yes.clone(), "\"b\""), (no.clone(), "\"a\"")],
                Fails,
                Fails,
            ),
            (
                &[(yes.clone(), "\"a\""), (no.clone(), "\"a\"")],
                NotModified,
                Fails,
            ),
        ] {
            let conditions = read(lines).unwrap();
            assert_eq!(conditions.judge(Some("a")), there, "{lines:?}");
            assert_eq!(conditions.judge(None), absent, "{lines:?}");
        }
    }

    #[test]
    fn nothing_else_is_a_condition() {
        for value in [
            "",
            "a",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\" \"b\"",
            "*, \"a\"",
            "\"a\", *",
            "W\"a\"",
            "w/\"a\"",
            "\"a b\"",
            ",",
            "'a'",
        ] {
            for name in [IF_MATCH, IF_NONE_MATCH] {
                assert!(read(&[(name, value)]).is_err(), "{value}");
            }
        }
        assert!(read(&[(IF_MATCH, "*"), (IF_MATCH, "\"a\"")]).is_err());
    }
}
