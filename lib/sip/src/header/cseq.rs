//! CSeq (RFC 3261 section 20.16).

use super::number::digits;
use super::text::{is_token, trim};
use crate::{Method, ParseError};

/// Sequence number and method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// "The sequence number value MUST be expressible as a 32-bit unsigned integer and MUST be less than 2**31"
    /// (section 8.1.1.5).
    pub number: u32,
    /// Must equal the method of the request, or of the request that a response answers.
    pub method: Method,
}

impl CSeq {
    /// Reads a CSeq value.
    ///
    /// # Errors
    /// It is not a number below 2^31 and a method.
    pub fn parse(text: &str) -> Result<CSeq, ParseError> {
        let fault = || ParseError::new("Bad CSeq");
        let (number, method) = trim(text).split_once([' ', '\t']).ok_or_else(fault)?;
        let method = trim(method);
        if !is_token(method.as_bytes()) {
            return Err(fault());
        }
        Ok(CSeq {
            number: digits(number.as_bytes())
                .filter(|number| *number < 1 << 31)
                .ok_or_else(fault)?,
            method: Method::new(method),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_methods() {
        for (text, number, method) in [
            ("1 PUBLISH", 1, "PUBLISH"),
            ("0009 \t  INVITE", 9, "INVITE"),
            ("2147483647 FOO", (1 << 31) - 1, "FOO"),
            (" 0 invite ", 0, "invite"),
        ] {
            assert_eq!(
                CSeq::parse(text),
                Ok(CSeq {
                    number,
                    method: Method::new(method)
                }),
                "{text:?}"
            );
        }
        for text in [
            "",
            "1",
            "INVITE",
            "x INVITE",
            "-1 INVITE",
            "2147483648 INVITE",
            "4294967295 INVITE",
            "4294967296 INVITE",
            "36893488147419103232 REGISTER",
            "1 IN VITE",
            "1 <x>",
        ] {
            assert!(CSeq::parse(text).is_err(), "{text:?}");
        }
    }
}
