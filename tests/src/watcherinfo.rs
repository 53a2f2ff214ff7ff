//! Watcher information (RFC 3858), as a strict phone reads it: document by document, and as the table that it makes of them.

use std::collections::BTreeMap;

use crate::phone::Notify;

/// The media type.
pub const TYPE: &str = "application/watcherinfo+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo {
    /// Its number.
    pub version: u32,
    /// Whether it tells everything.
    pub is_full: bool,
    /// Who is watched.
    pub resource: String,
    /// For which package.
    pub package: String,
    /// By whom.
    pub watchers: Vec<Watcher>,
}

/// One `<watcher>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Its name in the table.
    pub id: String,
    /// The watcher's URI.
    pub uri: String,
    /// `active`, `pending`, `waiting` or `terminated`.
    pub status: String,
    /// What led there.
    pub event: String,
    /// The watcher's display name, if it has one.
    pub display_name: Option<String>,
    /// Seconds left.
    pub expiration_s: Option<u32>,
    /// Seconds since it began.
    pub subscribed_s: Option<u32>,
}

/// Reads a document, and holds it against the schema of RFC 3858 section 6.
///
/// # Errors
/// A sentence that names the first fault.
pub fn read(text: &str) -> Result<WatcherInfo, String> {
    let tree = roxmltree::Document::parse(text)
        .map_err(|fault| format!("the body is not well-formed: {fault}: {text}"))?;
    let root = tree.root_element();
    if !root.has_tag_name((NAMESPACE, "watcherinfo")) {
        return Err(format!("the root is {:?}", root.tag_name()));
    }
    let is_full = match root.attribute("state") {
        Some("full") => true,
        Some("partial") => false,
        other => return Err(format!("state {other:?}")),
    };
    let lists: Vec<_> = root.children().filter(|node| node.is_element()).collect();
    let [list] = lists.as_slice() else {
        return Err(format!("{} lists", lists.len()));
    };
    if !list.has_tag_name((NAMESPACE, "watcher-list")) {
        return Err(format!("in it there is {:?}", list.tag_name()));
    }
    let watchers = list
        .children()
        .filter(|node| node.is_element())
        .map(watcher)
        .collect::<Result<Vec<_>, _>>()?;
    let ids: std::collections::BTreeSet<&str> =
        watchers.iter().map(|watcher| watcher.id.as_str()).collect();
    // "The id MUST be representable using the grammar for token" (section 3).
    let is_token = |id: &&str| {
        let is_token_char = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        !id.is_empty() && id.bytes().all(is_token_char)
    };
    if ids.len() != watchers.len() || !ids.iter().all(is_token) {
        return Err(format!("ids of watchers: {ids:?}"));
    }
    if is_full
        && watchers
            .iter()
            .any(|watcher| watcher.status == "terminated")
    {
        return Err("full state with somebody who is no watcher any more".to_owned());
    }
    Ok(WatcherInfo {
        version: number(root, "version")?.ok_or("no version")?,
        is_full,
        resource: list.attribute("resource").unwrap_or_default().to_owned(),
        package: list.attribute("package").unwrap_or_default().to_owned(),
        watchers,
    })
}

fn watcher(node: roxmltree::Node<'_, '_>) -> Result<Watcher, String> {
    if !node.has_tag_name((NAMESPACE, "watcher")) {
        return Err(format!("in the list there is {:?}", node.tag_name()));
    }
    let one_of = |name: &str, allowed: &[&str]| match node.attribute(name) {
        Some(value) if allowed.contains(&value) => Ok(value.to_owned()),
        other => Err(format!("{name} {other:?}")),
    };
    let watcher = Watcher {
        id: node.attribute("id").unwrap_or_default().to_owned(),
        uri: node.text().unwrap_or_default().to_owned(),
        status: one_of("status", &["active", "pending", "waiting", "terminated"])?,
        event: one_of(
            "event",
            &[
                "subscribe",
                "approved",
                "deactivated",
                "probation",
                "rejected",
                "timeout",
                "giveup",
                "noresource",
            ],
        )?,
        display_name: node.attribute("display-name").map(str::to_owned),
        expiration_s: number(node, "expiration")?,
        subscribed_s: number(node, "duration-subscribed")?,
    };
    match watcher.uri.starts_with("sip:") || watcher.uri.starts_with("tel:") {
        true => Ok(watcher),
        false => Err(format!("the watcher {:?}", watcher.uri)),
    }
}

fn number(node: roxmltree::Node<'_, '_>, name: &str) -> Result<Option<u32>, String> {
    let number = node.attribute(name).map(str::parse);
    number
        .transpose()
        .map_err(|_| format!("{name} {:?}", node.attribute(name)))
}

/// What a phone knows of the watchers, from all the documents that it was sent (RFC 3858 section 4).
#[derive(Clone, Debug, Default)]
pub struct Table {
    next_version: u32,
    rows: BTreeMap<String, Watcher>,
}

impl Table {
    /// The table after these NOTIFYs of one dialog, in their order.
    ///
    /// # Panics
    /// When a document cannot be read, or one is missing: "if the version number is more than one higher", something was lost.
    pub fn after(notifies: &[Notify]) -> Table {
        let mut table = Table::default();
        for notify in notifies {
            let info = read(notify.body()).unwrap_or_else(|fault| panic!("{fault}"));
            table.add(&info);
        }
        table
    }

    /// Takes one document into account.
    ///
    /// # Panics
    /// When it is not the next one, or the first one is not full.
    pub fn add(&mut self, info: &WatcherInfo) {
        assert_eq!(info.version, self.next_version, "{info:?}");
        assert!(
            info.is_full || info.version > 0,
            "the first one is partial: {info:?}"
        );
        self.next_version += 1;
        if info.is_full {
            self.rows.clear();
        }
        for watcher in &info.watchers {
            match watcher.status.as_str() {
                "terminated" => {
                    self.rows.remove(&watcher.id);
                }
                _ => {
                    self.rows.insert(watcher.id.clone(), watcher.clone());
                }
            }
        }
    }

    /// User and status of each, in order of the user.
    pub fn users(&self) -> Vec<(String, String)> {
        let mut users: Vec<_> = self
            .rows
            .values()
            .map(|watcher| (watcher.uri.clone(), watcher.status.clone()))
            .collect();
        users.sort();
        users
    }
}
