//! Dialog information documents (RFC 4235): what is merged, and how it is written.
//!
//! A dialog goes from `trying` through `proceeding`, `early` and `confirmed` to `terminated`, and never back (RFC 4235 section
//! 3.7.1). So which of two publications of one dialog is right does not depend on which came later, or on which of two servers
//! was slower: it is the one that is further on. That is what keeps lamps from staying lit. Where nothing but an `id` says that it is one
//! dialog, it is the last word of its publisher: that is what keeps them from staying dark.

mod identity;

use roxmltree::Node;

use super::element::{Edits, push_element, require_affordable, value_range};
use super::ids::{Occurrence, renamed};
use super::namespaces::{Root, Scope};
use super::writer::{DECLARATION, push_attribute, push_escaped};
use super::{BodyFault, Document, xml};
use crate::package::{BodyNote, DialogOptions, MergeInput, Publication, Publisher};
use identity::{Identity, Said, Survivors};

pub use crate::package::input::Ended;

/// The media type of dialog information.
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";

/// The state of a dialog, in the order in which it goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialogState {
    /// The INVITE is on its way.
    Trying,
    /// A provisional response without tag came.
    Proceeding,
    /// A provisional response with a tag came: it rings.
    Early,
    /// It was answered.
    Confirmed,
    /// It is over.
    Terminated,
}

impl DialogState {
    const ALL: [Self; 5] = [
        Self::Trying,
        Self::Proceeding,
        Self::Early,
        Self::Confirmed,
        Self::Terminated,
    ];

    /// The text of the element `state`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Proceeding => "proceeding",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated => "terminated",
        }
    }

    /// The state of a text, whatever its case: some publishers write `Trying`.
    fn of(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|state| text.trim().eq_ignore_ascii_case(state.word()))
    }

    /// How much it counts where only one dialog can be shown: what rings before what is answered, what is over last.
    fn importance(self) -> u8 {
        match self {
            Self::Early => 4,
            Self::Confirmed => 3,
            Self::Proceeding => 2,
            Self::Trying => 1,
            Self::Terminated => 0,
        }
    }
}

/// Whether a body is dialog information that watchers can be shown: each dialog has an id and a state that exists.
///
/// # Errors
/// Says why not.
pub fn check(body: &[u8]) -> Result<(), BodyFault> {
    note(body, Publisher::Untold).map(|_| ())
}

/// The same, and what has to be stored beside a body of this publisher: the keys of the dialogs that it calls terminated, to be remembered
/// for [`MergeInput::ended`], and whether it has any dialog.
///
/// # Errors
/// Says why the body cannot be shown to watchers.
pub fn note(body: &[u8], publisher: Publisher<'_>) -> Result<BodyNote, BodyFault> {
    let document = read(body)?;
    let entries = entries(&document, publisher)?;
    let mut ended: Vec<i64> = entries
        .iter()
        .filter(|entry| entry.state == DialogState::Terminated)
        .flat_map(|entry| entry.identity.ended_keys())
        .collect();
    ended.sort_unstable();
    ended.dedup();
    Ok(BodyNote {
        ended,
        has_dialog: !entries.is_empty(),
    })
}

/// The dialogs of all publications, each once.
///
/// `state="full"` always: every document stands for itself. A dialog whose publication expired, or that has been in a passing
/// state for too long, is left out: the lamp goes dark.
pub fn merge(options: &DialogOptions, input: &MergeInput<'_>) -> Document {
    let documents = readable(input.publications);
    let sources = sources(&documents);
    let dialogs = survivors(options, input, &sources);
    render(options, input.presentity, &sources, &dialogs)
}

/// The epoch second at which a dialog is first left out because it has been in a passing state for too long.
pub fn next_change(options: &DialogOptions, input: &MergeInput<'_>) -> Option<i64> {
    let documents = readable(input.publications);
    let sources = sources(&documents);
    survivors(options, input, &sources)
        .iter()
        .filter_map(|dialog| {
            let received_time = sources[dialog.source].publication.received_time;
            deadline(options, dialog.entry.state, received_time)
        })
        .min()
}

/// One `<dialog>` as it was published.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    node: Node<'a, 'a>,
    identity: Identity<'a>,
    state: DialogState,
}

/// One publication's part in the merge.
struct Source<'a> {
    publication: Publication<'a>,
    publisher: Publisher<'a>,
    scope: Scope<'a>,
    entries: Vec<Entry<'a>>,
    /// Elements of extensions beside the dialogs.
    others: Vec<Node<'a, 'a>>,
}

/// A dialog that is shown.
#[derive(Clone, Copy)]
struct Shown<'s, 'a> {
    source: usize,
    entry: &'s Entry<'a>,
}

/// Parses a body and makes sure of all that merging relies on.
fn read(body: &[u8]) -> Result<roxmltree::Document<'_>, BodyFault> {
    let document = xml::parse(body)?;
    let root = document.root_element();
    if !root.has_tag_name((NAMESPACE, "dialog-info")) {
        return Err(BodyFault::WrongRoot);
    }
    // A publication tells all that its publisher knows. Taken for that, a part would put out the lamps of all that it leaves out.
    if root.attribute("state").map(str::trim) == Some("partial") {
        return Err(BodyFault::PartialState);
    }
    require_affordable(root, root.children().filter(Node::is_element), NAMESPACE)?;
    Ok(document)
}

fn entries<'a>(
    document: &'a roxmltree::Document<'a>,
    publisher: Publisher<'a>,
) -> Result<Vec<Entry<'a>>, BodyFault> {
    document
        .root_element()
        .children()
        .filter(|node| node.has_tag_name((NAMESPACE, "dialog")))
        .map(|node| {
            let state = node
                .children()
                .find(|child| child.has_tag_name((NAMESPACE, "state")))
                .and_then(|state| DialogState::of(state.text().unwrap_or_default()))
                .ok_or(BodyFault::Incomplete)?;
            let id = node.attribute("id").ok_or(BodyFault::Incomplete)?;
            let parts = ["call-id", "local-tag", "remote-tag"].map(|name| node.attribute(name));
            Ok(Entry {
                node,
                identity: Identity::new(id, parts, publisher),
                state,
            })
        })
        .collect()
}

fn readable<'a>(
    publications: &[Publication<'a>],
) -> Vec<(Publication<'a>, roxmltree::Document<'a>)> {
    publications
        .iter()
        .filter_map(|publication| Some((*publication, read(publication.body).ok()?)))
        .collect()
}

fn sources<'a>(documents: &'a [(Publication<'a>, roxmltree::Document<'a>)]) -> Vec<Source<'a>> {
    documents
        .iter()
        .filter_map(|(publication, document)| {
            let root = document.root_element();
            let is_other = |node: &Node<'a, 'a>| {
                node.is_element() && node.tag_name().namespace() != Some(NAMESPACE)
            };
            let publisher = Publisher::of_row(publication.entity_tag, publication.id);
            Some(Source {
                publication: *publication,
                publisher,
                scope: Scope::of(root),
                entries: entries(document, publisher).ok()?,
                others: root.children().filter(is_other).collect(),
            })
        })
        .collect()
}

/// When a dialog is no longer believed to be in a passing state.
fn deadline(options: &DialogOptions, state: DialogState, received_time: i64) -> Option<i64> {
    let max_s = match state {
        DialogState::Trying => options.max_trying.get(),
        DialogState::Proceeding => options.max_proceeding.get(),
        DialogState::Early => options.max_early.get(),
        DialogState::Confirmed | DialogState::Terminated => 0,
    };
    (max_s > 0).then(|| received_time.saturating_add(i64::from(max_s)))
}

/// The dialogs that are shown, in the order of the publications, each once.
fn survivors<'s, 'a>(
    options: &DialogOptions,
    input: &MergeInput<'_>,
    sources: &'s [Source<'a>],
) -> Vec<Shown<'s, 'a>>
where
    'a: 's,
{
    let candidates: Vec<Shown<'s, 'a>> = sources
        .iter()
        .enumerate()
        .flat_map(|(source, s)| s.entries.iter().map(move |entry| Shown { source, entry }))
        .collect();
    let mut survivors = Survivors::default();
    for ended in input.ended {
        survivors.remember(ended);
    }
    for (at, shown) in candidates.iter().enumerate() {
        let Source {
            publication,
            publisher,
            ..
        } = &sources[shown.source];
        survivors.add(Said {
            at,
            identity: shown.entry.identity,
            publisher: *publisher,
            state: shown.entry.state,
            age: (
                publication.received_time,
                publication.modified_us,
                publication.id,
            ),
        });
    }
    let mut shown: Vec<Shown<'s, 'a>> = survivors
        .indexes()
        .into_iter()
        .map(|at| candidates[at])
        .filter(|dialog| {
            let received_time = sources[dialog.source].publication.received_time;
            deadline(options, dialog.entry.state, received_time)
                .is_none_or(|deadline| input.now < deadline)
        })
        .collect();
    if options.force_single_dialog {
        // Of equals the first: the order of the publications is the operator's.
        let best = shown
            .iter()
            .enumerate()
            .max_by_key(|(at, dialog)| (dialog.entry.state.importance(), std::cmp::Reverse(*at)))
            .map(|(_, dialog)| *dialog);
        shown = best.into_iter().collect();
    }
    shown
}

fn render<'a>(
    options: &DialogOptions,
    presentity: &str,
    sources: &[Source<'a>],
    dialogs: &[Shown<'_, 'a>],
) -> Document {
    let length: usize = sources.iter().map(|s| s.publication.body.len()).sum();
    let mut out = String::with_capacity(300 + length);
    out.push_str(DECLARATION);
    out.push_str("<dialog-info");
    let root = Root::covering(NAMESPACE, sources.iter().map(|source| &source.scope));
    root.push_declarations(&mut out);
    let version_at = push_version(&mut out, "full", presentity);
    out.push_str(">\n");

    let occurrences: Vec<Occurrence> = dialogs
        .iter()
        .map(|dialog| Occurrence {
            publication: sources[dialog.source].publication.id,
            position: dialog.source,
            value: dialog.entry.identity.id.to_owned(),
        })
        .collect();
    for (dialog, name) in dialogs.iter().zip(renamed(&occurrences)) {
        let passage = root.passage(&sources[dialog.source].scope);
        let edits = edits(dialog.entry, name.as_deref());
        push_element(&mut out, &passage, dialog.entry.node, &edits);
        out.push('\n');
    }
    if dialogs.is_empty() && options.force_dummy_dialog {
        out.push_str(
            "<dialog id=\"none\" direction=\"recipient\"><state>terminated</state></dialog>\n",
        );
    }
    for source in sources {
        let passage = root.passage(&source.scope);
        for other in &source.others {
            push_element(&mut out, &passage, *other, &Edits::new());
            out.push('\n');
        }
    }
    out.push_str("</dialog-info>\n");
    Document::versioned(CONTENT_TYPE, out, version_at)
}

/// Appends the attributes of the root and says where the version stands.
fn push_version(out: &mut String, state: &str, presentity: &str) -> usize {
    out.push_str(" version=\"");
    let version_at = out.len();
    out.push_str("0\"");
    push_attribute(out, "state", state);
    push_attribute(out, "entity", presentity);
    version_at
}

/// What is written differently: the id if another dialog has it too, the state if phones might not know the spelling.
fn edits(entry: &Entry<'_>, name: Option<&str>) -> Edits {
    let text = entry.node.document().input_text();
    let mut edits = Edits::new();
    if let Some(name) = name
        && let Some(attribute) = entry
            .node
            .attributes()
            .find(|attribute| attribute.name() == "id" && attribute.namespace().is_none())
    {
        let mut value = String::new();
        push_escaped(&mut value, name);
        edits.push((value_range(text, &attribute), value));
    }
    let words = entry
        .node
        .children()
        .find(|child| child.has_tag_name((NAMESPACE, "state")))
        .and_then(|state| state.children().find(Node::is_text));
    if let Some(words) = words
        && words.text().map(str::trim) != Some(entry.state.word())
        && text[words.range()].trim() == words.text().unwrap_or_default().trim()
    {
        edits.push((words.range(), entry.state.word().to_owned()));
    }
    edits
}
