//! Writing: everything is appended to one `Vec`. Nothing that goes through here can start a new header line.

/// Appends a header line.
pub(crate) fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    text(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a header line whose name came from a caller: what is not a token character is left out.
pub(crate) fn header_of_caller(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend(
        name.bytes()
            .filter(|byte| super::header::text::is_token_byte(*byte)),
    );
    out.extend_from_slice(b": ");
    text(out, value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends text with CR and LF as spaces: the guard against header injection.
pub(crate) fn text(out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

/// Appends a URI without the bytes that could end it: controls and spaces.
pub(crate) fn uri(out: &mut Vec<u8>, uri: &str) {
    out.extend(uri.bytes().filter(|byte| *byte > b' ' && *byte != 0x7F));
}

/// Appends a decimal number.
pub(crate) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `name: number`.
pub(crate) fn numeric_header(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends Content-Type if there is a type, Content-Length, the blank line and the body.
pub(crate) fn body(out: &mut Vec<u8>, body: Option<(&str, &[u8])>) {
    if let Some((content_type, _)) = body {
        header(out, "Content-Type", content_type.as_bytes());
    }
    end(out, body.map_or(&[], |(_, bytes)| bytes));
}

/// Appends Content-Length, the blank line and the body.
pub(crate) fn end(out: &mut Vec<u8>, body: &[u8]) {
    numeric_header(out, "Content-Length", body.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for value in [0, 7, 10, 65_535, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

    #[test]
    fn no_value_starts_a_line() {
        let mut out = Vec::new();
        header(&mut out, "A", b"x\r\nEvil: 1");
        header_of_caller(&mut out, "B\r\nEvil: 2", "y\rz\n");
        uri(&mut out, "sip:a@b SIP/2.0\r\nEvil: 3");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "A: x  Evil: 1\r\nBEvil2: y z \r\nsip:a@bSIP/2.0Evil:3"
        );
    }
}
