//! Media types of Content-Type and Accept (RFC 3261 sections 20.1 and 20.15).

use super::Params;
use super::text::{is_token, trim};
use crate::ParseError;

/// A media type or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype` in lower case, without spaces: `application/pidf+xml`, `*/*`.
    pub kind: String,
    /// `charset`, `boundary`, and in Accept also `q`.
    pub params: Params,
}

impl MediaType {
    /// Reads one media type or range.
    ///
    /// # Errors
    /// It is not `type/subtype`, or a parameter is malformed.
    pub fn parse(text: &str) -> Result<MediaType, ParseError> {
        let end = text.find(';').unwrap_or(text.len());
        let kind = text[..end]
            .split_once('/')
            .map(|(kind, subtype)| (trim(kind), trim(subtype)));
        match kind {
            Some((kind, subtype)) if is_token(kind.as_bytes()) && is_token(subtype.as_bytes()) => {
                let params = Params::parse(&text[end..])?;
                Ok(MediaType {
                    kind: format!("{kind}/{subtype}").to_ascii_lowercase(),
                    params,
                })
            }
            _ => Err(ParseError::new("Bad media type")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_parameters() {
        for (text, kind) in [
            ("application/pidf+xml", "application/pidf+xml"),
            (
                "Application / PIDF+XML ; charset=\"utf-8\"",
                "application/pidf+xml",
            ),
            ("*/*;q=0.1", "*/*"),
            (
                "multipart/mixed;boundary=7a9cbec02ceef655",
                "multipart/mixed",
            ),
        ] {
            assert_eq!(
                MediaType::parse(text).map(|media| media.kind),
                Ok(kind.to_owned()),
                "{text:?}"
            );
        }
        for text in [
            "",
            "text",
            "text/",
            "/plain",
            "text/pl ain",
            "a/b/c",
            "text/plain;;",
        ] {
            assert!(MediaType::parse(text).is_err(), "{text:?}");
        }
    }
}
