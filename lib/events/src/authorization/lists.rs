//! Resource lists that rules refer to (RFC 4826), for OMA's `external-list` condition.
//!
//! A rule names a list by its address in the XCAP server. Clients build their lists of references: `oma_grantedcontacts` holds
//! nothing but `external` links to lists beside it. Whoever evaluates rules reads the documents that [`RuleSet::anchors`] and
//! then [`Lists::missing`] name, and hands them over; nothing is fetched from here. A list of which a part is not at hand might
//! hold anybody.
//!
//! [`RuleSet::anchors`]: super::RuleSet::anchors

use std::collections::{BTreeSet, HashMap, HashSet};

use roxmltree::{Document, Node};
use sip::Aor;

use super::RESOURCE_LISTS;
use super::identity::{Address, read_address};
use crate::document::xml;

/// Most references followed from one list; honest ones have a handful.
const MAX_REFERENCES: usize = 256;

/// The members of the lists that rules refer to, by the address as the rules write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    by_anchor: HashMap<String, Members>,
    missing: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Members {
    aors: HashSet<Aor>,
    /// A part of the list is not at hand.
    is_partial: bool,
}

impl Lists {
    /// Collects the members of the lists at these addresses from documents, which are found by [`document_path`].
    pub fn gather<'a>(
        anchors: impl IntoIterator<Item = &'a str>,
        documents: &HashMap<String, Vec<u8>>,
        fold_case: bool,
    ) -> Self {
        let mut gathering = Gathering {
            documents: documents
                .iter()
                .map(|(path, document)| (path.as_str(), read(document)))
                .collect(),
            fold_case,
            missing: BTreeSet::new(),
        };
        let by_anchor = anchors
            .into_iter()
            .map(|anchor| (anchor.to_owned(), gathering.members(anchor)))
            .collect();
        Self {
            by_anchor,
            missing: gathering.missing,
        }
    }

    /// Adds a list whose members are known.
    pub fn insert(&mut self, anchor: &str, members: HashSet<Aor>) {
        let members = Members {
            aors: members,
            is_partial: false,
        };
        self.by_anchor.insert(anchor.to_owned(), members);
    }

    /// The documents that lists referred to and that were not handed over, by their path. Worth another round, if they are stored.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str)
    }

    /// Whether the list at this address has that member; nothing if that cannot be known.
    pub(super) fn holds(&self, anchor: &str, watcher: &Aor) -> Option<bool> {
        let members = self.by_anchor.get(anchor)?;
        if members.aors.contains(watcher) {
            return Some(true);
        }
        (!members.is_partial).then_some(false)
    }
}

/// The path of a document of resource lists from the application usage on, as [`Anchor::document`] has it, from its address in
/// column `xcap.doc_uri`. Nothing if it is not one.
pub fn document_path(doc_uri: &str, fold_case: bool) -> Option<String> {
    let path = percent_decoded(doc_uri)?;
    let at = path.find(USAGE)?;
    Some(canonical_path(&path[at..], fold_case))
}

const USAGE: &str = "resource-lists/";
const USERS: &str = "resource-lists/users/";

/// The path with its owner in canonical form, however rules and documents write them.
fn canonical_path(path: &str, fold_case: bool) -> String {
    let owned = path
        .strip_prefix(USERS)
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(owner, rest)| match read_address(owner, fold_case)? {
            Address::Ours(aor) => Some(format!("{USERS}{}/{rest}", aor.uri())),
            Address::Foreign => None,
        });
    owned.unwrap_or_else(|| path.to_owned())
}

/// Where a list is, or an entry of one: the document, and the way inside it (RFC 4825 section 6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Anchor {
    /// The path of the document from the application usage on: `resource-lists/users/sip:bob@example.com/index`.
    pub document: String,
    /// Whose document it is: `sip:bob@example.com`; empty for a global one.
    pub owner: String,
    steps: Vec<Step>,
    /// The entry that is meant, if it is not the list.
    entry: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// `list[@name="…"]`
    Named(String),
    /// `list[n]`, from 1; `list` alone is the first.
    Numbered(usize),
}

impl Anchor {
    /// Reads an address, absolute or relative to the XCAP root, escapes and all. Nothing if it is of no list or entry.
    /// The owner of the document is in canonical form, as `fold_case` says.
    pub fn parse(anchor: &str, fold_case: bool) -> Option<Self> {
        let path = percent_decoded(anchor.split(['?', '#']).next().unwrap_or(anchor))?;
        let (document, node) = path.split_once("/~~/")?;
        let document = &canonical_path(&document[document.find(USAGE)?..], fold_case);
        let owner = match document.strip_prefix(USERS) {
            Some(rest) => rest.split_once('/')?.0,
            None if document.starts_with("resource-lists/global/") => "",
            None => return None,
        };
        let mut parts = split_steps(node);
        if local_name(parts.first()?) != "resource-lists" {
            return None;
        }
        let entry = parts
            .last()
            .and_then(|last| attribute_step(last, "entry", "@uri"));
        if entry.is_some() {
            parts.pop();
        }
        let steps: Option<Vec<Step>> = parts.into_iter().skip(1).map(Step::parse).collect();
        Some(Self {
            document: document.to_owned(),
            owner: owner.to_owned(),
            steps: steps.filter(|steps| !steps.is_empty())?,
            entry,
        })
    }

    fn find<'a>(&self, document: &'a Document<'a>) -> Option<Node<'a, 'a>> {
        self.steps
            .iter()
            .try_fold(document.root_element(), |parent, step| step.find(parent))
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        if let Some(name) = attribute_step(text, "list", "@name") {
            return Some(Self::Named(name));
        }
        let (name, number) = match text.split_once('[') {
            Some((name, rest)) => (name, rest.strip_suffix(']')?.trim().parse().ok()?),
            None => (text, 1),
        };
        (local_name(name) == "list" && number > 0).then_some(Self::Numbered(number))
    }

    fn find<'a>(&self, parent: Node<'a, 'a>) -> Option<Node<'a, 'a>> {
        let mut lists = parent.children().filter(|node| is(node, "list"));
        match self {
            Self::Named(name) => lists.find(|list| list.attribute("name") == Some(name)),
            Self::Numbered(number) => lists.nth(number - 1),
        }
    }
}

/// The documents at hand, each read once.
struct Gathering<'a> {
    documents: HashMap<&'a str, Option<Document<'a>>>,
    fold_case: bool,
    missing: BTreeSet<String>,
}

impl Gathering<'_> {
    /// All members of a list, those of lists inside it and of lists it refers to included (RFC 4826 section 3.1).
    fn members(&mut self, anchor: &str) -> Members {
        let mut members = Members::default();
        let mut budget = MAX_REFERENCES;
        let mut seen = HashSet::new();
        let mut to_follow = vec![anchor.to_owned()];
        while let Some(anchor) = to_follow.pop() {
            let Some(anchor) = Anchor::parse(&anchor, self.fold_case) else {
                members.is_partial = true;
                continue;
            };
            if !seen.insert(anchor.clone()) {
                continue;
            }
            if budget == 0 {
                members.is_partial = true;
                break;
            }
            budget -= 1;
            match self.documents.get(anchor.document.as_str()) {
                Some(Some(document)) => {
                    // A list that is not there has no members.
                    if let Some(list) = anchor.find(document) {
                        self.read_list(list, anchor.entry.as_deref(), &mut members, &mut to_follow);
                    }
                }
                Some(None) => members.is_partial = true,
                None => {
                    members.is_partial = true;
                    self.missing.insert(anchor.document);
                }
            }
        }
        members
    }

    /// Takes the entries of a list, or the one that is meant, and what is to be followed.
    fn read_list(
        &self,
        list: Node<'_, '_>,
        only: Option<&str>,
        members: &mut Members,
        to_follow: &mut Vec<String>,
    ) {
        for node in list.descendants() {
            let uri = node.attribute("uri").filter(|_| is(&node, "entry"));
            if let Some(uri) = uri.filter(|uri| only.is_none_or(|only| only == *uri)) {
                if let Some(Address::Ours(aor)) = read_address(uri, self.fold_case) {
                    members.aors.insert(aor);
                }
            } else if only.is_none() && (is(&node, "external") || is(&node, "entry-ref")) {
                let reference = node.attribute("anchor").or(node.attribute("ref"));
                to_follow.push(reference.unwrap_or_default().to_owned());
            }
        }
    }
}

fn read(document: &[u8]) -> Option<Document<'_>> {
    xml::parse(document)
        .ok()
        .filter(|document| is(&document.root_element(), "resource-lists"))
}

fn is(node: &Node<'_, '_>, name: &'static str) -> bool {
    node.has_tag_name((RESOURCE_LISTS, name))
}

/// The value of a step such as `list[@name="x"]`.
fn attribute_step(step: &str, element: &str, attribute: &str) -> Option<String> {
    let (name, predicate) = step.split_once('[')?;
    let value = predicate
        .strip_suffix(']')?
        .trim()
        .strip_prefix(attribute)?;
    let value = value.trim_start().strip_prefix('=')?.trim();
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let value = value[1..].strip_suffix(quote)?;
    (local_name(name) == element).then(|| value.to_owned())
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
        <list name='close/st \"1\"'><entry uri='sip:joe@Example.COM'/></list></list>\
        <list name='work'><entry uri='tel:+1-2'/><entry uri='mailto:a@b'/><entry/></list>\
        <list name='granted'><external anchor='http://x/resource-lists/users/sip:bob@example.com/index/~~/resource-lists/list%5B@name=%22work%22%5D'/>\
        <external anchor='http://x/resource-lists/users/sip:bob@example.com/index/~~/resource-lists/list%5B@name=%22granted%22%5D'/>\
        <entry-ref ref='resource-lists/users/sip:bob@example.com/index/~~/resource-lists/list%5B@name=%22friends%22%5D/entry%5B@uri=%22sip:bill@example.com%22%5D'/></list>\
        <list name='elsewhere'><entry uri='sip:ann@x'/><external anchor='resource-lists/users/sip:zoe@x/more/~~/resource-lists/list'/></list>\
        <list name='nonsense'><external/></list></resource-lists>";
    const PATH: &str = "resource-lists/users/sip:bob@example.com/index";

    fn gather(anchor: &str, documents: &[(&str, &str)]) -> Lists {
        let documents = documents
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect();
        Lists::gather([anchor], &documents, false)
    }

    /// The members of a list, and a question mark if there may be more.
    fn members(node: &str) -> Vec<String> {
        let anchor = format!("http://xcap.example.com/{PATH}/~~/{node}");
        let lists = gather(&anchor, &[(PATH, DOCUMENT)]);
        let members = &lists.by_anchor[&anchor];
        let mut found: Vec<_> = members.aors.iter().map(Aor::uri).collect();
        found.sort();
        found.extend(members.is_partial.then(|| "?".to_owned()));
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
    fn follows_references_and_no_circles() {
        assert_eq!(
            members("resource-lists/list[@name='granted']"),
            ["sip:bill@example.com", "tel:+12"]
        );
        assert_eq!(members("resource-lists/list[@name='nonsense']"), ["?"]);
        assert_eq!(
            members("resource-lists/list[@name='elsewhere']"),
            ["sip:ann@x", "?"]
        );
    }

    #[test]
    fn asks_for_the_documents_that_it_needs() {
        let anchor = format!("{PATH}/~~/resource-lists/list[@name='elsewhere']");
        let other = "resource-lists/users/sip:zoe@x/more";
        let aor = |username: &str| Aor {
            username: username.to_owned(),
            domain: "x".to_owned(),
        };
        let lists = gather(&anchor, &[]);
        assert_eq!(lists.missing().collect::<Vec<_>>(), [PATH]);
        assert_eq!(lists.holds(&anchor, &aor("ann")), None);
        let lists = gather(&anchor, &[(PATH, DOCUMENT)]);
        assert_eq!(lists.missing().collect::<Vec<_>>(), [other]);
        assert_eq!(
            (
                lists.holds(&anchor, &aor("ann")),
                lists.holds(&anchor, &aor("zoe"))
            ),
            (Some(true), None)
        );
        let more = "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list><entry uri='sip:zoe@x'/></list></resource-lists>";
        let lists = gather(&anchor, &[(PATH, DOCUMENT), (other, more)]);
        assert_eq!(lists.missing().count(), 0);
        assert_eq!(
            (
                lists.holds(&anchor, &aor("zoe")),
                lists.holds(&anchor, &aor("eve"))
            ),
            (Some(true), Some(false))
        );
        // One that cannot be read is not missing, and tells nothing.
        let lists = gather(&anchor, &[(PATH, DOCUMENT), (other, "<resource-lists/>")]);
        assert_eq!(
            (lists.missing().count(), lists.holds(&anchor, &aor("eve"))),
            (0, None)
        );
    }

    #[test]
    fn follows_a_bounded_number_of_references() {
        let lists: String = (0..400)
            .map(|n| format!("<list name='l{n}'><external anchor='{PATH}/~~/resource-lists/list[{}]'/></list>", n + 2))
            .collect();
        let document = format!(
            "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'>{lists}</resource-lists>"
        );
        let anchor = format!("{PATH}/~~/resource-lists/list");
        let lists = gather(&anchor, &[(PATH, &document)]);
        assert!(lists.by_anchor[&anchor].is_partial);
        let anchor = format!("{PATH}/~~/resource-lists/list[200]");
        assert!(!gather(&anchor, &[(PATH, &document)]).by_anchor[&anchor].is_partial);
    }

    #[test]
    fn knows_what_is_no_list() {
        for anchor in [
            "",
            "resource-lists/users/sip:a@b/index",
            "resource-lists/users/sip:a@b/index/~~/resource-lists",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/entry",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/entry[@uri='sip:a@b']",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list[@uri='x']",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list[0]",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list[@name='x]",
            "pres-rules/users/sip:a@b/index/~~/resource-lists/list",
            "resource-lists/elsewhere/index/~~/resource-lists/list",
            "resource-lists/users/sip:a@b/index/~~/resource-lists/list%5",
        ] {
            assert_eq!(Anchor::parse(anchor, false), None, "{anchor}");
        }
        let anchor = Anchor::parse(
            "/xcap-root/resource-lists/global/index/~~/resource-lists/list",
            false,
        )
        .unwrap();
        assert_eq!(
            (anchor.owner.as_str(), anchor.document.as_str()),
            ("", "resource-lists/global/index")
        );
        let anchor =
            Anchor::parse(&format!("http://x/{PATH}/~~/resource-lists/list"), false).unwrap();
        assert_eq!(
            (anchor.owner.as_str(), anchor.document.as_str()),
            ("sip:bob@example.com", PATH)
        );
        assert_eq!(
            document_path(
                "/xcap-root/resource-lists/users/sip%3Abob@example.com/index",
                false
            )
            .as_deref(),
            Some(PATH)
        );
        assert_eq!(
            document_path("/xcap-root/pres-rules/users/sip:a@b/index", false),
            None
        );
    }

    /// Rules and documents may write the owner of a list differently.
    #[test]
    fn the_owner_of_a_list_has_one_form() {
        let path = |owner: &str| format!("/x/resource-lists/users/{owner}/index");
        for (fold_case, owner, expected) in [
            (false, "sip:Bob@Example.com", "sip:Bob@example.com"),
            (true, "sip:%2542OB@example.com", "sip:bob@example.com"),
            (true, "BOB@example.com", "sip:bob@example.com"),
            (true, "BOB", "BOB"),
        ] {
            let expected = format!("resource-lists/users/{expected}/index");
            assert_eq!(
                document_path(&path(owner), fold_case),
                Some(expected.clone())
            );
            let anchor = Anchor::parse(
                &format!("{}/~~/resource-lists/list", path(owner)),
                fold_case,
            )
            .unwrap();
            assert_eq!(anchor.document, expected);
        }
    }
}
