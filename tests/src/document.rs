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
            // Who published is told that nothing else has changed: partial state without a dialog.
            let is_echo = event.contains(";sla") && text.contains("state=\"partial\"");
            let state = if is_echo { "partial" } else { "full" };
            let named: &[&str] = if is_echo { &[] } else { &["dialog"] };
            if is_echo && text.contains("<dialog ") {
                return Err("partial state with a dialog".to_owned());
            }
            numbered(text, presentity, "dialog-info", "dialog-info", state, named)
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

/// RFC 3842 section 5.2: the status line first, then lines of `name: value`, all ended by CRLF.
fn summary(text: &str) -> Result<(), String> {
    let first = text.split("\r\n").next().unwrap_or_default();
    if !["Messages-Waiting: yes", "Messages-Waiting: no"].contains(&first) {
        return Err(format!("a summary that begins with {first:?}"));
    }
    if !text.ends_with("\r\n") || text.replace("\r\n", "").contains(['\r', '\n']) {
        return Err(format!("line ends of {text:?}"));
    }
    let fields = text.trim_end_matches("\r\n").split("\r\n");
    match fields
        .clone()
        .all(|line| line.is_empty() || line.contains(": "))
    {
        true => Ok(()),
        false => Err(format!("lines of {text:?}")),
    }
}
