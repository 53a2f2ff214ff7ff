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

    /// The types that can be made out in a value that is not one: phones put semicolons and spaces between them. A
    /// parameter belongs to the type before it; what is neither is left out.
    pub fn in_disorder(text: &str) -> Vec<MediaType> {
        let mut found: Vec<String> = Vec::new();
        for piece in text.split([';', ' ', '\t', ',']) {
            if MediaType::parse(piece).is_ok() {
                found.push(piece.to_owned());
            } else if let Some(last) = found.last_mut()
                && Params::parse(&format!(";{piece}")).is_ok()
            {
                last.push(';');
                last.push_str(piece);
            }
        }
        // Each was read above, its parameters one by one.
        found
            .iter()
            .filter_map(|text| MediaType::parse(text).ok())
            .collect()
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

    #[test]
    fn types_in_disorder() {
        for (text, kinds) in [
            ("a/b; c/d", vec!["a/b", "c/d"]),
            ("a/b c/d", vec!["a/b", "c/d"]),
            ("a/b;q=0 ; c/d;;", vec!["a/b", "c/d"]),
            ("nonsense", vec![]),
            ("q=1; a/b; \"", vec!["a/b"]),
        ] {
            let found = MediaType::in_disorder(text);
            assert_eq!(
                found
                    .iter()
                    .map(|media| media.kind.as_str())
                    .collect::<Vec<_>>(),
                kinds,
                "{text:?}"
            );
        }
        let refused = MediaType::in_disorder("a/b;q=0; c/d");
        assert_eq!(refused[0].params.value("q"), Some("0"));
    }
}
