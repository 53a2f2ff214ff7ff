//! Documents of the event packages, as strict phones write and read them.

use crate::message::Message;
use crate::pidf::{self, Presence};
use crate::watcherinfo;

/// What a phone shows of a NOTIFY's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Of `presence`: what it says.
    pub presence: Option<Presence>,
    /// Of packages that number their documents: the number.
    pub version: Option<u32>,
}

/// The media type that a package's NOTIFYs have; `value` is that of the Event header.
pub fn media_type(value: &str) -> &'static str {
    if package(value).ends_with(".winfo") {
        return watcherinfo::TYPE;
    }
    match package(value) {
        "dialog" => "application/dialog-info+xml",
        "message-summary" => "application/simple-message-summary",
        "conference" => "application/conference-info+xml",
        "reg" => "application/reginfo+xml",
        "ua-profile" => "text/xml",
        "xcap-diff" => "application/xcap-diff+xml",
        "as-feature-event" => "application/x-as-feature-event+xml",
        "lamp" | "signal-lamp" => "application/x-lamp+xml",
        _ => pidf::TYPE,
    }
}

/// Reads the body of a NOTIFY, and holds against it what its package's RFC demands.
///
/// # Errors
/// A sentence that names the first fault.
pub fn read(presentity: &str, message: &Message) -> Result<Document, String> {
    let event = message.header("Event").unwrap_or_default();
    let expected = media_type(event);
    let found = message.header("Content-Type").unwrap_or_default();
    let text = std::str::from_utf8(&message.body).map_err(|_| "the body is not UTF-8")?;
    if package(event) == "as-feature-event" && found.starts_with("multipart/mixed;") {
        return features(text, found).map(|()| Document::default());
    }
    if found != expected {
        return Err(format!("Content-Type {found:?}"));
    }
    match package(event) {
        "presence" => {
            let presence = pidf::read(&message.body)?;
            same(&presence.entity, presentity)?;
            Ok(Document {
                presence: Some(presence),
                version: None,
            })
        }
        event if event.ends_with(".winfo") => {
            let info = watcherinfo::read(text)?;
            same(&info.resource, presentity)?;
            if format!("{}.winfo", info.package) != event {
                return Err(format!("watchers of {} for {event}", info.package));
            }
            Ok(Document {
                presence: None,
                version: Some(info.version),
            })
        }
        "message-summary" => summary(text).map(|()| Document::default()),
        "dialog" => {
            states(text)?;
            numbered(
                text,
                presentity,
                "dialog-info",
                "dialog-info",
                "full",
                &["dialog"],
            )
        }
        "conference" => numbered(
            text,
            presentity,
            "conference-info",
            "conference-info",
            "full",
            &["user"],
        ),
        // RFC 3680: the presentity is in each registration, not in the root.
        "reg" => numbered(
            text,
            presentity,
            "reginfo",
            "reginfo",
            "full",
            &["registration", "contact"],
        ),
        _ => parse(text).map(|_| Document::default()),
    }
}

/// The package of an Event header.
fn package(event: &str) -> &str {
    event.split(';').next().unwrap_or_default().trim()
}

fn same(entity: &str, presentity: &str) -> Result<(), String> {
    match entity == presentity {
        true => Ok(()),
        false => Err(format!("the document is of {entity}, not of {presentity}")),
    }
}

fn parse(text: &str) -> Result<roxmltree::Document<'_>, String> {
    roxmltree::Document::parse(text)
        .map_err(|fault| format!("the body is not well-formed: {fault}: {text}"))
}

/// Several features: parts that each are a document of the package's type.
fn features(text: &str, content_type: &str) -> Result<(), String> {
    let boundary = content_type
        .split_once("boundary=")
        .map(|(_, boundary)| boundary.trim_matches('"'))
        .ok_or("no boundary")?;
    let delimiter = format!("--{boundary}\r\n");
    let inside = text
        .strip_suffix(&format!("--{boundary}--\r\n"))
        .ok_or("no last boundary")?;
    let parts: Vec<&str> = inside.split(delimiter.as_str()).skip(1).collect();
    if parts.len() < 2 {
        return Err(format!("{} parts", parts.len()));
    }
    for part in parts {
        let (head, body) = part.split_once("\r\n\r\n").ok_or("a part without head")?;
        if !head.contains("Content-Type: application/x-as-feature-event+xml") {
            return Err(format!("a part with {head:?}"));
        }
        parse(body.trim_end())?;
    }
    Ok(())
}

/// A document with a number and this state, whose elements of these names have ids of their own.
fn numbered(
    text: &str,
    presentity: &str,
    root_name: &str,
    namespace: &str,
    state: &str,
    named: &[&str],
) -> Result<Document, String> {
    let tree = parse(text)?;
    let root = tree.root_element();
    let namespace = format!("urn:ietf:params:xml:ns:{namespace}");
    if !root.has_tag_name((namespace.as_str(), root_name)) {
        return Err(format!("the root is {:?}", root.tag_name()));
    }
    if let Some(entity) = root.attribute("entity") {
        same(entity, presentity)?;
    } else if root_name != "reginfo" {
        return Err("no entity attribute".to_owned());
    }
    if root.attribute("state") != Some(state) {
        return Err(format!("state {:?}", root.attribute("state")));
    }
    for name in named {
        let ids: Vec<&str> = root
            .descendants()
            .filter(|node| node.has_tag_name((namespace.as_str(), *name)))
            .map(|node| {
                node.attribute("id")
                    .or(node.attribute("entity"))
                    .unwrap_or_default()
            })
            .collect();
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        if distinct.len() != ids.len() || distinct.contains(&"") {
            return Err(format!("ids of <{name}>: {ids:?}"));
        }
    }
    let version = root.attribute("version").ok_or("no version attribute")?;
    let version = version
        .parse()
        .map_err(|_| format!("version {version:?}"))?;
    Ok(Document {
        presence: None,
        version: Some(version),
    })
}

/// RFC 3842 section 5.2: a status line, an account, and counts by class of message, each line ended by CRLF. Several accounts
/// stand one after the other, with an empty line between. Headers of messages must not be in a NOTIFY that answers a SUBSCRIBE
/// (section 3.5), and are in none of ours.
fn summary(text: &str) -> Result<(), String> {
    if !text.ends_with("\r\n") || text.replace("\r\n", "").contains(['\r', '\n']) {
        return Err(format!("line ends of {text:?}"));
    }
    for block in text.trim_end_matches("\r\n").split("\r\n\r\n") {
        let mut lines = block.split("\r\n").peekable();
        let first = lines.next().unwrap_or_default();
        if !["Messages-Waiting: yes", "Messages-Waiting: no"].contains(&first) {
            return Err(format!("a summary that begins with {first:?}"));
        }
        lines.next_if(|line| line.starts_with("Message-Account: "));
        for line in lines {
            let counts = line.split_once(": ").map(|(_, counts)| counts);
            if !counts.is_some_and(are_counts) {
                return Err(format!("the line {line:?}"));
            }
        }
    }
    Ok(())
}

/// `2/8`, or `2/8 (0/2)`, of numbers that "MUST NOT exceed 2^32-1".
fn are_counts(text: &str) -> bool {
    let (all, urgent) = match text.split_once(" (") {
        Some((all, urgent)) => (all, urgent.strip_suffix(')')),
        None => (text, Some("0/0")),
    };
    let is_pair = |pair: &str| {
        let numbers: Vec<_> = pair.split('/').map(str::parse::<u32>).collect();
        numbers.len() == 2 && numbers.iter().all(Result::is_ok)
    };
    is_pair(all) && urgent.is_some_and(is_pair)
}

/// RFC 4235 section 4.4: each dialog has one state, of those that there are.
fn states(text: &str) -> Result<(), String> {
    let tree = parse(text)?;
    for dialog in tree
        .root_element()
        .children()
        .filter(|node| node.tag_name().name() == "dialog")
    {
        let states: Vec<_> = dialog
            .children()
            .filter(|node| node.tag_name().name() == "state")
            .map(|state| state.text().unwrap_or_default())
            .collect();
        match states.as_slice() {
            ["trying" | "proceeding" | "early" | "confirmed" | "terminated"] => {}
            other => return Err(format!("states {other:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read_strictly() {
        for (text, is_one) in [
            ("Messages-Waiting: no\r\n", true),
            (
                "Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nVoice-Message: 2/8 (0/2)\r\n",
                true,
            ),
            (
                "Messages-Waiting: yes\r\nVoice-Message: 2/8\r\n\r\nMessages-Waiting: no\r\n",
                true,
            ),
            ("Messages-Waiting: yes\r\n\r\nFrom: <sip:a@b>\r\n", false),
            ("Messages-Waiting: yes\r\nVoice-Message: 2\r\n", false),
            (
                "Messages-Waiting: yes\r\nVoice-Message: 4294967296/0\r\n",
                false,
            ),
            (
                "Messages-Waiting: yes\r\nVoice-Message: 1/0 (1/0\r\n",
                false,
            ),
            (
                "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\nMessage-Account: sip:a@b\r\n",
                false,
            ),
            ("messages-waiting: yes\r\n", false),
            ("Messages-Waiting: yes\n", false),
            ("", false),
        ] {
            assert_eq!(summary(text).is_ok(), is_one, "{text:?}");
        }
    }

    #[test]
    fn dialogs_have_one_state_that_exists() {
        for (inside, is_right) in [
            ("", true),
            ("<dialog id='1'><state>early</state></dialog>", true),
            ("<dialog id='1'><state>Early</state></dialog>", false),
            ("<dialog id='1'/>", false),
            (
                "<dialog id='1'><state>early</state><state>early</state></dialog>",
                false,
            ),
        ] {
            let text = format!("<dialog-info>{inside}</dialog-info>");
            assert_eq!(states(&text).is_ok(), is_right, "{inside}");
        }
    }
}
