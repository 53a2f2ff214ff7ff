//! The walls between the crates (ARCHITECTURE.md, "The map"), kept by Cargo's own metadata and
//! by a look at the sources, so that no reviewer has to.

mod circles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each crate may depend on (normal dependencies).
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sip", &[]),
    ("options", &[]),
    ("events", &["sip", "options"]),
    ("net", &["sip"]),
    ("node", &["options"]),
    ("postgres-dev", &[]),
    ("postgres-tls", &[]),
    ("load", &["sip", "net"]),
    ("kamailio", &["sip", "events", "sql"]),
    ("script", &["sip", "events"]),
    ("tables", &[]),
    ("schema", &["postgres-tls", "tables"]),
    ("sql", &["events", "node", "postgres-tls", "sip", "tables"]),
    ("web", &["sip", "events", "sql", "node"]),
    (
        "server",
        &["sip", "net", "events", "sql", "node", "script", "web"],
    ),
    (
        "notifier",
        &["sip", "net", "events", "sql", "node", "script"],
    ),
    (
        "pgpresence",
        &[
            "sip",
            "net",
            "load",
            "events",
            "schema",
            "sql",
            "node",
            "postgres-dev",
            "kamailio",
            "server",
            "notifier",
            "web",
        ],
    ),
    ("system-tests", &["sip", "postgres-dev"]),
];

/// Foreign crates that only some of ours may use, tests included where they are named.
const GUARDED: &[(&str, &[&str])] = &[
    ("rsip", &["sip"]),
    ("roxmltree", &["events", "system-tests"]),
    (
        "tokio-postgres",
        &["postgres-tls", "sql", "schema", "system-tests"],
    ),
    ("tokio-postgres-rustls", &["postgres-tls"]),
    ("deadpool-postgres", &["sql"]),
    ("refinery", &["schema"]),
    (
        "tokio",
        &[
            "net",
            "node",
            "postgres-tls",
            "schema",
            "sql",
            "web",
            "server",
            "notifier",
            "pgpresence",
            "system-tests",
        ],
    ),
    ("axum", &["web"]),
    ("hyper", &["web"]),
    ("utoipa", &["web"]),
    ("regex", &["kamailio"]),
    ("mlua", &["script"]),
    ("anyhow", &["pgpresence"]),
    // Random bytes are an argument of the protocol crates.
    (
        "rand",
        &[
            "net",
            "sql",
            "web",
            "server",
            "notifier",
            "pgpresence",
            "system-tests",
        ],
    ),
];

/// Words that must not stand in the sources of a crate, outside its tests, with the rule they break.
const BANNED_WORDS: &[(&str, &[&str], &str)] = &[
    (
        "std::net::UdpSocket",
        &["lib/sip", "lib/events"],
        "protocol crates have no sockets",
    ),
    (
        "std::net::TcpStream",
        &["lib/sip", "lib/events"],
        "protocol crates have no sockets",
    ),
    (
        "Instant::now",
        &["lib/sip", "lib/events"],
        "protocol crates have no clock",
    ),
    (
        "SystemTime",
        &["lib/sip", "lib/events"],
        "protocol crates have no clock",
    ),
    (
        "std::env",
        &[
            "lib/sip",
            "lib/events",
            "lib/net",
            "lib/postgres-dev",
            "lib/postgres-tls",
            "lib/load",
            "lib/kamailio",
            "lib/script",
            "lib/web",
            "schema",
            "sql",
            "server",
            "notifier",
        ],
        "settings come through lib/node",
    ),
    (
        "std::fs",
        &["lib/kamailio"],
        "the reader of configurations is given its files",
    ),
    (
        "LOCK TABLE",
        &["sql", "schema", "lib/web", "server", "notifier", "cli"],
        "rows are locked, never tables",
    ),
];

/// Statements that would be SQL text outside a `.sql` file. Upper case, as ours is written; a bare quote in front where the
/// word alone could be something else.
const SQL_WORDS: &[&str] = &[
    "SELECT ",
    "INSERT INTO",
    "DELETE FROM",
    "CREATE TABLE",
    "ALTER TABLE",
    "TRUNCATE ",
    "FOR UPDATE",
    "\"UPDATE ",
    "\"WITH ",
    "\"LISTEN ",
    "\"SET ",
];
/// The folders of all crates but the tests.
const CRATES: &[&str] = &[
    "lib/sip",
    "lib/options",
    "lib/events",
    "lib/net",
    "lib/node",
    "lib/postgres-dev",
    "lib/postgres-tls",
    "lib/load",
    "lib/kamailio",
    "lib/script",
    "lib/web",
    "schema",
    "sql",
    "server",
    "notifier",
    "cli",
];

const VAGUE_NAMES: &[&str] = &["common", "util", "utils", "helpers", "manager", "types"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests folder has a parent")
        .to_path_buf()
}

/// Normal dependencies of each of our packages, by name.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"]
        .as_array()
        .expect("metadata lists packages");
    packages
        .iter()
        .map(|package| {
            let normal = package["dependencies"].as_array().into_iter().flatten();
            let names = normal
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| text(&dependency["name"]));
            (text(&package["name"]), names.collect())
        })
        .collect()
}

/// Every Rust source below `folder/src`, with the trailing unit-test module cut off.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder).join("src")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        {
            let path = entry.expect("a readable directory").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                let code = text
                    .split("#[cfg(test)]\nmod tests")
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                found.push((path, code));
            }
        }
    }
    assert!(
        !found.is_empty(),
        "{folder} has no sources: this test looks at the wrong place"
    );
    found
}

fn offences(folder: &str, word: &str) -> Vec<String> {
    let hit = |line: &str| line.contains(word) && !line.trim_start().starts_with("//");
    sources(folder)
        .into_iter()
        .flat_map(|(path, code)| {
            let lines = code.lines().enumerate().filter(|(_, line)| hit(line));
            lines
                .map(|(at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_map_allows() {
    let dependencies = dependencies();
    let ours: Vec<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = dependencies
        .keys()
        .filter(|name| !ours.contains(&name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "crates that the map does not know: {unknown:?}"
    );
    for (name, allowed) in MAY_IMPORT {
        for dependency in dependencies[*name]
            .iter()
            .filter(|dependency| ours.contains(&dependency.as_str()))
        {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not import {dependency}"
            );
        }
    }
}

/// A file that no `main.rs` names is compiled by nobody, and its tests never run.
#[test]
fn every_test_file_belongs_to_the_binary_of_its_crate() {
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|folder| root().join(folder)).collect();
    folders.push(root().join("tests"));
    let mut binaries = 0;
    for tests in folders.iter().map(|folder| folder.join("tests")) {
        let Ok(main) = std::fs::read_to_string(tests.join("main.rs")) else {
            continue; // one file, or one folder, which Cargo finds by itself
        };
        binaries += 1;
        for entry in std::fs::read_dir(&tests).expect("a readable directory") {
            let path = entry.expect("a readable directory").path();
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            let is_file = path.extension().is_some_and(|extension| extension == "rs");
            assert!(
                !is_file || name == "main" || main.contains(&format!("\nmod {name};\n")),
                "{} is not a module of {}/main.rs",
                path.display(),
                tests.display()
            );
        }
    }
    assert!(binaries >= 9, "this test looks at the wrong place");
}

#[test]
fn guarded_libraries_stay_behind_their_wall() {
    for (name, uses) in dependencies() {
        for (library, allowed) in GUARDED {
            let used = uses.iter().any(|dependency| dependency == library);
            assert!(
                !used || allowed.contains(&name.as_str()),
                "{name} must not use {library}"
            );
        }
    }
}

#[test]
fn sources_keep_to_their_side() {
    let broken: Vec<String> = BANNED_WORDS
        .iter()
        .flat_map(|(word, folders, rule)| {
            folders
                .iter()
                .flat_map(|folder| offences(folder, word))
                .map(move |line| format!("{rule}: {line}"))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn sql_lives_in_sql_files() {
    let broken: Vec<String> = CRATES
        .iter()
        .flat_map(|folder| SQL_WORDS.iter().flat_map(|word| offences(folder, word)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_module_has_a_vague_name() {
    for folder in CRATES {
        for (path, _) in sources(folder) {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            assert!(
                !VAGUE_NAMES.contains(&stem),
                "{} says nothing about what it holds",
                path.display()
            );
        }
    }
}

/// A file of a walk: its path, and the name by which a file before it calls or reads it.
type WalkStep = (String, Option<String>);

/// The files of each walk of ARCHITECTURE.md, in order: its numbered steps, to the first paragraph that is not one.
fn walks() -> Vec<Vec<WalkStep>> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    let walks = page.split("\n## Walk ").skip(1);
    walks
        .map(|walk| {
            let steps = walk
                .split("\n\n")
                .find(|part| part.trim_start().starts_with("1. "));
            let words = steps
                .expect("numbered steps")
                .split('`')
                .collect::<Vec<_>>();
            // Between two backticks: every second piece. The name stands in parentheses right behind the path.
            (1..words.len())
                .step_by(2)
                .filter(|at| {
                    let is_source = words[*at].ends_with(".rs") || words[*at].ends_with(".sql");
                    is_source && words[*at].contains('/')
                })
                .map(|at| {
                    let is_named = words
                        .get(at + 1)
                        .is_some_and(|text| text.trim_start() == "(");
                    (
                        words[at].to_owned(),
                        is_named.then(|| words[at + 2].to_owned()),
                    )
                })
                .collect()
        })
        .collect()
}

/// Whether the name stands in the text as a word.
fn names(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part)
    })
}

/// The walks lead from file to file: each exists, stands there once, and is called by one before it by the name that the walk gives.
#[test]
fn walks_lead_from_file_to_file() {
    let walks = walks();
    assert_eq!(walks.len(), 2);
    for walk in walks {
        assert!(walk.len() >= 15, "{walk:?}");
        let mut before: Vec<(&str, String)> = Vec::new();
        for (number, (path, name)) in walk.iter().enumerate() {
            let text = std::fs::read_to_string(root().join(path))
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(
                before.iter().all(|(earlier, _)| earlier != path),
                "{path} stands there twice"
            );
            match name {
                Some(name) => {
                    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str());
                    assert!(
                        stem == Some(name) || names(&text, name),
                        "{path} has no {name}"
                    );
                    assert!(
                        before.iter().any(|(_, earlier)| names(earlier, name)),
                        "no file before {path} names {name}"
                    );
                }
                // Where a walk begins, and where a channel leads from one crate to another.
                None => assert!(number <= 1, "{path} has no name in parentheses"),
            }
            before.push((path, text));
        }
    }
}
