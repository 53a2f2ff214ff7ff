//! The queries of requests.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sip::bound;
use utoipa::IntoParams;

use super::target::decoded;
use crate::problem::Problem;

/// Most rows of a page.
const LARGEST_PAGE: u32 = 10_000;

/// A request that has no parameters.
pub(crate) struct NoQuery;

/// Whose publication is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SourceQuery {
    /// Who publishes: a name that the program chooses, the same by HTTP and in SQL (presence_publish). PUT and DELETE without it mean http.
    #[param(nullable = false, min_length = 1, max_length = 128)]
    pub(super) source: Option<String>,
}

/// How a document is published.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PutQuery {
    /// Who publishes: a name that the program chooses, the same by HTTP and in SQL (presence_publish). PUT and DELETE without it mean http.
    #[param(nullable = false, min_length = 1, max_length = 128)]
    pub(super) source: Option<String>,
    /// The lifetime, in seconds.
    #[param(nullable = false, minimum = 1, maximum = 4_294_967_295_i64)]
    pub(super) expires: Option<i64>,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The largest number of rows in the page.
    #[param(nullable = false, minimum = 1, maximum = 10_000, default = 1000)]
    pub(super) limit: Option<i64>,
    /// next of the page before.
    #[param(nullable = false, minimum = 0, default = 0)]
    pub(super) after: Option<i64>,
}

/// The parameters of a query, decoded.
#[derive(Debug)]
struct Query(Vec<(String, String)>);

/// Reads the query of a request, of which these parameters are known.
macro_rules! read {
    ($type:ident, $known:expr, $read:expr) => {
        impl<S: Sync> FromRequestParts<S> for $type {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<$type, Problem> {
                let query = Query::read(parts.uri.query(), &$known)?;
                let read: fn(Query) -> Result<$type, Problem> = $read;
                read(query)
            }
        }
    };
}

read!(NoQuery, [], |_| Ok(NoQuery));
read!(SourceQuery, ["source"], |query| {
    let source = query.source()?;
    Ok(SourceQuery { source })
});
read!(PutQuery, ["source", "expires"], |query| {
    Ok(PutQuery {
        source: query.source()?,
        expires: query.number("expires", 1, u32::MAX.into())?,
    })
});
read!(PageQuery, ["limit", "after"], |query| {
    Ok(PageQuery {
        limit: query.number("limit", 1, LARGEST_PAGE.into())?,
        after: query.number("after", 0, i64::MAX)?,
    })
});

// === impl Query ===

impl Query {
    /// # Errors
    /// 400 for a parameter that is none of `known`, or is given twice: a typing error should not do something else.
    fn read(raw: Option<&str>, known: &[&str]) -> Result<Query, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if !known.contains(&name.as_str()) {
                let detail = match known {
                    [] => "This path has no parameters".to_owned(),
                    known => format!("The parameters of this path are: {}", known.join(", ")),
                };
                return Err(Problem::bad_request(detail));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_request(format!("{name} is given twice")));
            }
            pairs.push((name, decoded(&value.replace('+', " "))?));
        }
        Ok(Query(pairs))
    }

    fn find(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// 400 for a name that is empty or too long.
    fn source(&self) -> Result<Option<String>, Problem> {
        match self.find("source") {
            Some("") => Err(Problem::bad_request("source is empty")),
            Some(source) => match bound::SOURCE.check(source) {
                Ok(()) => Ok(Some(source.to_owned())),
                Err(reason) => Err(Problem::bad_request(reason)),
            },
            None => Ok(None),
        }
    }

    /// # Errors
    /// 400 for what is no whole number from `least` to `most`.
    fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Problem> {
        self.find(name)
            .map(|text| whole_number(name, text, least, most))
            .transpose()
    }
}

/// # Errors
/// 400
pub(super) fn whole_number(name: &str, text: &str, least: i64, most: i64) -> Result<i64, Problem> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| is_digits && (least..=most).contains(number))
        .ok_or_else(|| {
            Problem::bad_request(format!("{name} is a whole number from {least} to {most}"))
        })
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    #[test]
    fn a_query_says_what_is_known_and_once() {
        let known = ["source", "expires"];
        let query = Query::read(Some("source=a+b%26&&expires=60"), &known).unwrap();
        assert_eq!(query.find("source"), Some("a b&"));
        assert_eq!(query.number("expires", 1, 60).unwrap(), Some(60));
        assert_eq!(query.number("limit", 1, 60).unwrap(), None);
        for raw in ["sources=a", "source=a&source=a", "source=%", "%=a", "=a"] {
            assert!(Query::read(Some(raw), &known).is_err(), "{raw}");
        }
        for raw in ["source=", "source"] {
            assert!(Query::read(Some(raw), &known).unwrap().source().is_err());
        }
        for value in [
            "",
            "-1",
            "+1",
            "61",
            "0",
            "1e1",
            " 1",
            "99999999999999999999",
        ] {
            let raw = format!("expires={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
            let query = Query::read(Some(&raw), &known).unwrap();
            assert!(query.number("expires", 1, 60).is_err(), "{value}");
        }
    }
}
