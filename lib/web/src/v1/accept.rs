//! Accept (RFC 9110 section 12.5.1). There is one representation of everything here; a client that does not accept it gets 406.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use sip::MediaType;

use crate::problem::Problem;

/// # Errors
/// 406 if the request has an Accept and it does not allow this type.
pub(super) fn require(headers: &HeaderMap, content_type: &str) -> Result<(), Problem> {
    if !headers.contains_key(ACCEPT) {
        return Ok(());
    }
    // What is not a media range allows nothing.
    let ranges: Vec<MediaType> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|range| MediaType::parse(range.trim()).ok())
        .collect();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if ::events::subscription::accepts(&ranges, &kind.to_ascii_lowercase()) {
        Ok(())
    } else {
        Err(Problem::not_acceptable(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_most_specific_range_decides() {
        for (lines, allowed) in [
            (&[][..], true),
            (&["*/*"], true),
            (&["application/*"], true),
            (&["Application/PIDF+XML"], true),
            (&["text/html, application/xml;q=0.9, */*;q=0.1"], true),
            (&["text/html", "application/pidf+xml;q=0.1"], true),
            (&["text/html"], false),
            (&[""], false),
            (&["nonsense"], false),
            (&["*/*, application/pidf+xml;q=0"], false),
            (&["application/*;q=0.0"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, HeaderValue::from_static(line));
            }
            let answer = require(&headers, "application/pidf+xml");
            assert_eq!(answer.is_ok(), allowed, "{lines:?}");
        }
    }
}
