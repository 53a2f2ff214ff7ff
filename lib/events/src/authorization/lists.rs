//! Resource lists that rules refer to (RFC 4826), for OMA's `external-list` condition.
//!
//! A rule names a list by its address in the XCAP server. Whoever evaluates rules reads the documents of
//! [`RuleSet::anchors`](super::RuleSet::anchors) first, and hands over what they hold. Nothing is fetched from elsewhere.

use std::collections::{HashMap, HashSet};

use roxmltree::Node;
use sip::Aor;

use super::RESOURCE_LISTS;
use super::identity::{Address, read_address};
use crate::document::{BodyFault, xml};

/// The members of the lists that rules refer to, by the address as the rules write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    by_anchor: HashMap<String, HashSet<Aor>>,
}

impl Lists {
    /// Adds the members of the list at an address.
    pub fn insert(&mut self, anchor: &str, members: HashSet<Aor>) {
        self.by_anchor.insert(anchor.to_owned(), members);
    }

    /// Whether the list at this address has that member; nothing if the list is not stored.
    pub(super) fn holds(&self, anchor: &str, watcher: &Aor) -> Option<bool> {
        Some(self.by_anchor.get(anchor)?.contains(watcher))
    }
}

/// Where a list is: the document, and the way to the list in it (RFC 4825 section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The path of the document from the application usage on: `resource-lists/users/sip:bob@example.com/index`.
    pub document: String,
    /// Whose document it is: `sip:bob@example.com`; empty for a global one.
    pub owner: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// `list[@name="…"]`
    Named(String),
    /// `list[n]`, from 1; `list` alone is the first.
    Numbered(usize),
}

impl Anchor {
    /// Reads an address, absolute or relative to the XCAP root, escapes and all. Nothing if it is not one of a list.
    pub fn parse(anchor: &str) -> Option<Self> {
        let path = percent_decoded(anchor.split(['?', '#']).next().unwrap_or(anchor))?;
        let (document, node) = path.split_once("/~~/")?;
        let document = &document[document.find("resource-lists/")?..];
        let owner = match document.strip_prefix("resource-lists/users/") {
            Some(rest) => rest.split_once('/')?.0,
            None if document.starts_with("resource-lists/global/") => "",
            None => return None,
        };
        let mut parts = split_steps(node).into_iter();
        if local_name(parts.next()?) != "resource-lists" {
            return None;
        }
        let steps: Option<Vec<Step>> = parts.map(Step::parse).collect();
        Some(Self {
            document: document.to_owned(),
            owner: owner.to_owned(),
            steps: steps.filter(|steps| !steps.is_empty())?,
        })
    }

    /// The members of the list in its document, those of lists inside it included (RFC 4826 section 3.1). `entry-ref` and
    /// `external` point to other documents and are not followed. A list that is not there has no members.
    ///
    /// # Errors
    /// The document is not one of resource lists.
    pub fn members(&self, document: &[u8], fold_case: bool) -> Result<HashSet<Aor>, BodyFault> {
        let document = xml::parse(document)?;
        let mut list = document.root_element();
        if !list.has_tag_name((RESOURCE_LISTS, "resource-lists")) {
            return Err(BodyFault::WrongRoot);
        }
        for step in &self.steps {
            match step.find(list) {
                Some(found) => list = found,
                None => return Ok(HashSet::new()),
            }
        }
        Ok(list
            .descendants()
            .filter(|node| node.has_tag_name((RESOURCE_LISTS, "entry")))
            .filter_map(
                |entry| match read_address(entry.attribute("uri")?, fold_case)? {
                    Address::Ours(aor) => Some(aor),
                    Address::Foreign => None,
                },
            )
            .collect())
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        let (name, predicate) = match text.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']')?)),
            None => (text, None),
        };
        if local_name(name) != "list" {
            return None;
        }
        let Some(predicate) = predicate else {
            return Some(Self::Numbered(1));
        };
        if let Some(value) = predicate.trim().strip_prefix("@name") {
            let value = value.trim_start().strip_prefix('=')?.trim();
            let quote = value.chars().next().filter(|c| ['"', '\''].contains(c))?;
            let value = value[1..].strip_suffix(quote)?;
            return Some(Self::Named(value.to_owned()));
        }
        predicate
            .trim()
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .map(Self::Numbered)
    }

    fn find<'a>(&self, parent: Node<'a, 'a>) -> Option<Node<'a, 'a>> {
        let mut lists = parent
            .children()
            .filter(|node| node.has_tag_name((RESOURCE_LISTS, "list")));
        match self {
            Self::Named(name) => lists.find(|list| list.attribute("name") == Some(name)),
            Self::Numbered(number) => lists.nth(number - 1),
        }
    }
}

/// Splits at the slashes that are not in quotes.
fn split_steps(path: &str) -> Vec<&str> {
    let mut quote = None;
    path.split(|c: char| {
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            _ => {}
        }
        quote.is_none() && c == '/'
    })
    .collect()
}

fn local_name(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'>\
        <list name='friends'><entry uri='sip:bill@example.com'><display-name>Bill</display-name></entry>\
        <entry-ref ref='resource-lists/users/sip:x@y/index/~~/resource-lists/list/entry'/>\
        <list name='close/st \"1\"'><entry uri='sip:joe@Example.COM'/></list></list>\
        <list name='work'><entry uri='tel:+1-2'/><entry uri='mailto:a@b'/><entry/></list></resource-lists>";

    fn members(node: &str) -> Vec<String> {
        let anchor = format!(
            "http://xcap.example.com/resource-lists/users/sip:bob@example.com/index/~~/{node}"
        );
        let anchor = Anchor::parse(&anchor).unwrap();
        assert_eq!(
            anchor.document,
            "resource-lists/users/sip:bob@example.com/index"
        );
        assert_eq!(anchor.owner, "sip:bob@example.com");
        let mut found: Vec<_> = anchor
            .members(DOCUMENT.as_bytes(), false)
            .unwrap()
            .iter()
            .map(Aor::uri)
            .collect();
        found.sort();
        found
    }

    #[test]
    fn finds_the_members_of_lists() {
        let friends = ["sip:bill@example.com", "sip:joe@example.com"];
        assert_eq!(
            members("resource-lists/list%5b@name=%22friends%22%5D"),
            friends
        );
        assert_eq!(members("resource-lists/list[1]"), friends);
        assert_eq!(members("rl:resource-lists/rl:list"), friends);
        assert_eq!(
            members("resource-lists/list[@name='friends']/list[@name='close/st \"1\"']"),
            friends[1..]
        );
        assert_eq!(
            members("resource-lists/list[@name = \"work\"]?xmlns(a=b)"),
            ["tel:+12"]
        );
        assert_eq!(members("resource-lists/list[7]"), [""; 0]);
        assert_eq!(members("resource-lists/list[@name='none']"), [""; 0]);
    }

    #[test]
    fn knows_what_is_no_list() {
        for anchor in [
            "",
            "resource-lists/users/sip:a@b/index",
            "resource-lists/users/sip:a@b/index/~~/resource-lists",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/entry",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list[@uri='x']",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list[0]",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list[@name='x]",
            "pres-rules/users/sip:a@b/index/~~/resource-lists/list",
            "resource-lists/elsewhere/index/~~/resource-lists/list",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list%5",
        ] {
            assert_eq!(Anchor::parse(anchor), None, "{anchor}");
        }
        let anchor =
            Anchor::parse("/xcap-root/resource-lists/global/index/~~/resource-lists/list").unwrap();
        assert_eq!(anchor.owner, "");
        assert_eq!(anchor.members(b"<a/>", false), Err(BodyFault::WrongRoot));
        assert_eq!(anchor.members(b"<a", false), Err(BodyFault::NotWellFormed));
    }
}
