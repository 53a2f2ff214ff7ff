//! Documents of every package, compared octet by octet with files that a person has read.
//!
//! A folder of `packages/PACKAGE/` is one case: `case` says what is given, one thing a line; `expected` is the Content-Type and the
//! body, or nothing. A deliberate change is written down with `BLESS=1 cargo nextest run -p events` and read in the diff.
//!
//! ```text
//! presentity sip:bob@example.org
//! option force_single_dialog          (any of those below)
//! row 7 file=a.xml received=100 modified=5 sender=sip:a@b priority=1 type=text/xml
//! watcher 12 active approved sip:a@b expiration=5 subscribed=509 name=Mr. Subscriber
//! ended ID CALL-ID LOCAL-TAG REMOTE-TAG
//! now 160
//! state partial
//! nth 3
//! ```

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use events::document::dialog_info::{self, Ended};
use events::notification::SubscriptionStatus;
use events::package::{
    Accounts, DeclaredPackage, Features, MergePolicy, NeutralDocument, RetrieveOrder, SingleBody,
    Within,
};
use events::{
    DocumentState, MergeInput, PackageOptions, Publication, Publisher, Registry, WatcherEvent,
    WatcherRecord,
};

#[test]
fn documents_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages");
    let mut different = Vec::new();
    let mut count = 0;
    for package in folders(&folder) {
        let name = package
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('_', ";");
        for case in folders(&package) {
            count += 1;
            let rendered = Case::read(&case).render(&name, &case);
            let expected = case.join("expected");
            if std::env::var_os("BLESS").is_some() {
                fs::write(&expected, &rendered).unwrap();
            }
            if fs::read_to_string(&expected).unwrap_or_default() != rendered {
                different.push(format!("{}:\n{rendered}", case.display()));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(count > 30, "only {count} cases");
}

/// What the page of packages promises is what comes out.
#[test]
fn the_page_shows_real_documents() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../../docs/PACKAGES.md")).unwrap();
    let case = root.join("tests/packages/dialog/a_phone_rings");
    let published = fs::read_to_string(case.join("phone.xml")).unwrap();
    let expected = fs::read_to_string(case.join("expected")).unwrap();
    let (_, notified) = expected.split_once("\n\n").unwrap();
    for text in [&published, notified] {
        assert!(page.contains(&format!("```xml\n{text}```")), "{text}");
    }
    for package in Registry::standard().packages() {
        let name = package
            .watched_package()
            .map_or(&*package.name, |_| ".winfo");
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

#[derive(Default)]
struct Case {
    presentity: String,
    options: PackageOptions,
    rows: Vec<Row>,
    watchers: Vec<Watcher>,
    ended: Vec<Ended>,
    now: i64,
    state: DocumentState,
    nth: u32,
}

#[derive(Default)]
struct Row {
    id: i64,
    body: Vec<u8>,
    values: HashMap<String, String>,
}

struct Watcher {
    id: i64,
    status: SubscriptionStatus,
    reason: String,
    uri: String,
    name: String,
    values: HashMap<String, String>,
}

/// The words `key=value` of a line.
fn values(words: &[&str]) -> HashMap<String, String> {
    words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The end of a dialog: id, call-id, local-tag, remote-tag.
fn ended(words: &[&str]) -> Vec<Ended> {
    let names = ["id", "call-id", "local-tag", "remote-tag"];
    let attributes: String = names
        .iter()
        .zip(words)
        .map(|(name, value)| format!(" {name}=\"{value}\""))
        .collect();
    let body = format!(
        "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" entity=\"sip:x@y\">\
         <dialog{attributes}><state>terminated</state></dialog></dialog-info>"
    );
    let note = dialog_info::note(body.as_bytes(), Publisher::Untold).unwrap();
    let end = |key| Ended { key, at_us: 0 };
    note.ended.into_iter().map(end).collect()
}

impl Case {
    fn read(folder: &Path) -> Self {
        let mut case = Self {
            nth: 1,
            ..Self::default()
        };
        for line in fs::read_to_string(folder.join("case")).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "" => {}
                "presentity" => case.presentity = words[1].to_owned(),
                "option" => set(&mut case.options, words[1]),
                "row" => {
                    let values = values(&words);
                    case.rows.push(Row {
                        id: words[1].parse().unwrap(),
                        body: fs::read(folder.join(&values["file"])).unwrap(),
                        values,
                    });
                }
                "watcher" => case.watchers.push(Watcher {
                    id: words[1].parse().unwrap(),
                    status: match words[2] {
                        "active" => SubscriptionStatus::Active,
                        "pending" => SubscriptionStatus::Pending,
                        "terminated" => SubscriptionStatus::Terminated,
                        "waiting" => SubscriptionStatus::Waiting,
                        other => panic!("{other}"),
                    },
                    reason: words[3].to_owned(),
                    uri: words[4].to_owned(),
                    name: line
                        .split_once("name=")
                        .map_or("", |(_, name)| name)
                        .to_owned(),
                    values: values(&words),
                }),
                "ended" => case.ended.extend(ended(&words[1..])),
                "now" => case.now = words[1].parse().unwrap(),
                "state" => {
                    case.state = match words[1] {
                        "full" => DocumentState::Full,
                        "partial" => DocumentState::Partial,
                        other => panic!("{other}"),
                    }
                }
                "nth" => case.nth = words[1].parse().unwrap(),
                other => panic!("{}: {other}", folder.display()),
            }
        }
        case
    }

    fn render(&self, package: &str, folder: &Path) -> String {
        let registry = Registry::new(&self.options).unwrap();
        let package = registry.find_name(package).unwrap();
        let text = |row: &'_ Row, key: &str| row.values.get(key).cloned().unwrap_or_default();
        let texts: Vec<[String; 3]> = self
            .rows
            .iter()
            .map(|row| [text(row, "type"), text(row, "sender"), text(row, "etag")])
            .collect();
        let number = |row: &Row, key: &str| {
            row.values
                .get(key)
                .map_or(0, |value| value.parse().unwrap())
        };
        let mut publications: Vec<Publication<'_>> = self
            .rows
            .iter()
            .zip(&texts)
            .map(|(row, [content_type, sender, entity_tag])| Publication {
                id: row.id,
                content_type,
                body: &row.body,
                entity_tag,
                sender,
                received_time: number(row, "received"),
                modified_us: number(row, "modified"),
                expires: -1,
                priority: number(row, "priority"),
            })
            .collect();
        let seconds = |watcher: &Watcher, key: &str| {
            watcher.values.get(key).map(|value| value.parse().unwrap())
        };
        let mut watchers: Vec<WatcherRecord<'_>> = self
            .watchers
            .iter()
            .map(|watcher| WatcherRecord {
                id: watcher.id,
                uri: &watcher.uri,
                display_name: &watcher.name,
                status: watcher.status,
                event: WatcherEvent::of(watcher.status, &watcher.reason),
                expiration_s: seconds(watcher, "expiration"),
                subscribed_s: seconds(watcher, "subscribed"),
            })
            .collect();
        let mut rendered: Option<String> = None;
        // The same set gives the same document, in whatever order it comes.
        for _ in 0..publications.len().max(watchers.len()).max(1) {
            let document = package.merge(&MergeInput {
                presentity: &self.presentity,
                publications: &publications,
                watchers: &watchers,
                ended: &self.ended,
                state: self.state,
                now: self.now,
            });
            let text = document.map_or_else(String::new, |document| {
                let body = document.for_notify(self.nth);
                if document.content_type.ends_with("xml") {
                    roxmltree::Document::parse(std::str::from_utf8(&body).unwrap()).unwrap();
                }
                if package.takes(&document.content_type) && self.state == DocumentState::Full {
                    assert_eq!(package.check(&body), Ok(()), "{}", folder.display());
                }
                let body = String::from_utf8(body.into_owned()).unwrap();
                format!("{}\n\n{body}", document.content_type)
            });
            let first = rendered.get_or_insert_with(|| text.clone());
            assert_eq!(*first, text, "{}", folder.display());
            if !publications.is_empty() {
                publications.rotate_left(1);
            }
            if !watchers.is_empty() {
                watchers.rotate_left(1);
            }
        }
        rendered.unwrap()
    }
}

fn set(options: &mut PackageOptions, option: &str) {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match name {
        "retrieve_order_by" => {
            options.retrieve_order = RetrieveOrder::by(&value.replace('+', " ")).unwrap();
        }
        "force_dummy_presence" => options.presence.force_dummy_presence = true,
        "force_presence_single_body" => {
            options.presence.force_presence_single_body = Some(SingleBody::default());
        }
        "force_single_dialog" => options.dialog.force_single_dialog = true,
        "force_dummy_dialog" => options.dialog.force_dummy_dialog = true,
        "accounts_each" => options.message_summary.accounts = Accounts::Each,
        "neutral_omitted" => options.message_summary.neutral = NeutralDocument::Omitted,
        "aggregate_presentities" => options.reginfo.aggregate_presentities = value != "0",
        "features_newest" => options.feature_event.features = Features::Newest,
        "lamp" => options.declared.push(DeclaredPackage {
            name: "lamp".to_owned(),
            parameters: Vec::new(),
            content_types: vec!["application/x-lamp+xml".to_owned()],
            merge: match value {
                "newest" => MergePolicy::Newest,
                "all" => MergePolicy::All,
                "id" => MergePolicy::ById,
                other => panic!("{other}"),
            },
            authorization: false,
            default_expires: const { Within::of(600) },
            winfo: false,
        }),
        other => panic!("{other}"),
    }
}
