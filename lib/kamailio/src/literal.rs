//! From the value of a parameter to that of our key, if it can be one.

use crate::database;
use crate::settings::Value;
use crate::table::Form;
use crate::toml::Literal;

/// The value as our configuration takes it, or what is wrong with it.
pub(crate) fn literal(value: &Value, form: Form) -> Result<Literal, String> {
    let number = |min: i64, max: i64| match value.number() {
        Some(number) if (min..=max).contains(&number) => Ok(Literal::Number(number)),
        Some(_) => Err(format!("must be {min} to {max}")),
        None => Err("must be a number".to_owned()),
    };
    let text = value.text();
    match form {
        Form::Number(min, max) => number(min, max),
        Form::Flag => number(0, 1).map_err(|_| "must be 0 or 1".to_owned()),
        Form::Text => Ok(Literal::Text(text)),
        Form::Xavp => fitting(
            text,
            is_xavp_name,
            "must be a name of letters, digits and _ that is not a Lua keyword",
        ),
        Form::Element => fitting(
            text,
            is_element_name,
            "must be the name of an element, without prefix",
        ),
        Form::Reason => fitting(
            text,
            is_reason,
            "must be a reason, optionally with parameters, such as probation;retry-after=30",
        ),
        Form::Columns => columns(text),
        Form::Table => table_name(text),
        Form::Facility => facility(&text),
        Form::Database => database::translate(&text).map(Literal::Text),
        Form::SipUri => {
            let clean = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
            };
            let host = text
                .strip_prefix("sip:")
                .or_else(|| text.strip_prefix("sips:"));
            match host {
                Some(host) if clean(host) => Ok(Literal::Text(text)),
                _ => Err("must be a SIP URI, such as sip:10.0.0.1:5060".to_owned()),
            }
        }
    }
}

fn fitting(text: String, fits: fn(&str) -> bool, wanted: &str) -> Result<Literal, String> {
    match fits(&text) {
        true => Ok(Literal::Text(text)),
        false => Err(wanted.to_owned()),
    }
}

/// What a script can write as `xavp.<name>`.
fn is_xavp_name(text: &str) -> bool {
    const LUA: [&str; 22] = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if",
        "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
    ];
    let of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !LUA.contains(&text)
        && text.bytes().all(of_word)
}

/// The local name of an element.
fn is_element_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// RFC 6665 section 8.4.
fn is_reason(text: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(of_token);
    let mut parts = text.split(';');
    parts.next().is_some_and(is_token)
        && parts.all(|parameter| {
            parameter
                .split_once('=')
                .is_some_and(|(name, value)| is_token(name) && is_token(value))
        })
}

/// What our `retrieve_order_by` takes; Kamailio pastes any text into its SQL.
fn columns(text: String) -> Result<Literal, String> {
    const KNOWN: [&str; 6] = [
        "priority",
        "received_time",
        "expires",
        "id",
        "etag",
        "sender",
    ];
    let fits = |part: &str| {
        let lower = part.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        matches!(words.as_slice(), [column] | [column, "asc" | "desc"] if KNOWN.contains(column))
    };
    match text.split(',').all(fits) {
        true => Ok(Literal::Text(text)),
        false => Err(format!(
            "must be columns, each of {}, with asc or desc, separated by commas",
            KNOWN.join(", ")
        )),
    }
}

/// Kamailio writes the name into its SQL as it is, where PostgreSQL reads it in lower case.
fn table_name(text: String) -> Result<Literal, String> {
    let is_identifier = |part: &str| {
        let of_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        part.len() <= 63
            && part.bytes().next().is_some_and(of_word)
            && part
                .bytes()
                .all(|byte| of_word(byte) || byte.is_ascii_digit())
    };
    let parts: Vec<&str> = text.split('.').collect();
    match parts.len() <= 2 && parts.into_iter().all(is_identifier) {
        true => Ok(Literal::Text(text.to_ascii_lowercase())),
        false => Err("must be the name of a table, or of a schema and a table".to_owned()),
    }
}

/// syslog(3)'s names.
fn facility(text: &str) -> Result<Literal, String> {
    const NAMES: [&str; 12] = [
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON",
        "AUTHPRIV", "FTP",
    ];
    let name = text.strip_prefix("LOG_").unwrap_or_default();
    let is_local = || {
        name.strip_prefix("LOCAL")
            .is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'7']))
    };
    match NAMES.contains(&name) || is_local() {
        true => Ok(Literal::Text(text.to_owned())),
        false => Err(
            "must be a facility, LOG_LOCAL0 to LOG_LOCAL7 or another one of syslog(3)".to_owned(),
        ),
    }
}
