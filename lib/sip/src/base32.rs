//! Base32 in lower case (RFC 4648 section 6, no padding): every character is a token character, may stand in a URI's user
//! without escapes, and survives peers that fold case.

use data_encoding::BASE32_NOPAD_NOCASE;

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = BASE32_NOPAD_NOCASE.encode(bytes);
    text.make_ascii_lowercase();
    text
}

/// The bytes, if the text is exactly what [`encode`] makes of them, in any case.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE32_NOPAD_NOCASE.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(
                decode(&text.to_ascii_uppercase()).as_deref(),
                Some(bytes.as_bytes())
            );
        }
        for text in ["m", "mz1", "mz=", "mzx", "mr", "mzxw6ytboj", "ä"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
