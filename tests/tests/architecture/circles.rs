//! The files of a crate depend on one another in one direction: whoever reads one follows it down and never comes back to where he began.
//!
//! A file depends on another if a path in it (`use`, or written out in the code) leads to something that is declared there. Paths are
//! followed through re-exports, so `crate::Config` leads to the file of the struct and not to `lib.rs`; and what is only re-exported
//! or declared (`pub use`, `mod`) is no dependency.
//!
//! Between a file and those in its own folder (`queue.rs` and `queue/claim.rs`) both directions are allowed: they are one subject in several
//! files, where the parts go on with what the whole has declared. All others are held to one direction, wherever they stand in the tree.
//! Methods cannot be seen here, nor can what only unit tests use.

use std::collections::{BTreeMap, BTreeSet};

use super::{CRATES, root, sources};

/// Dependencies that close a circle and stay: from the files with this beginning to those with that one, and why. The list may become shorter;
/// one that closes no circle any more must leave it.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "lib/sip/src/error.rs",
        "lib/sip/src/message.rs",
        "an error of parsing carries the request, where there is enough of one to be answered",
    ),
    (
        "lib/script/src/program.rs",
        "lib/script/src/machine.rs",
        "a script is tried in a machine before it is a program",
    ),
    (
        "lib/web/src/v1.rs",
        "lib/web/src/routes.rs",
        "the description is made of all routes, and one of them serves it",
    ),
    (
        "lib/web/src/description.rs",
        "lib/web/src/v1/events.rs",
        "the description has a type that no handler takes or gives: a stream is a text",
    ),
    (
        "sql/src/store.rs",
        "sql/src/",
        "the one handle gives out one for each area, and each area works on its connections",
    ),
    (
        "sql/src/queue.rs",
        "sql/src/subscription/notice.rs",
        "a claim is handed from the queue to the take, and what dialogs have seen goes back with it",
    ),
    (
        "server/src/front.rs",
        "server/src/script",
        "what all requests share has the script, which handles requests",
    ),
    (
        "server/src/script/call.rs",
        "server/src/script/worker.rs",
        "a call goes on in the worker that began it",
    ),
    (
        "notifier/src/step",
        "notifier/src/engine.rs",
        "the engine starts the steps, and a step works on the engine",
    ),
];

/// The names from the root of the crate to something, or to a module: `["xml", "parse"]`.
type Names = Vec<String>;

/// What a file says of others, as it is written.
#[derive(Default)]
struct Source {
    /// What it brings into its own scope, by the name that it has there.
    imports: BTreeMap<String, Names>,
    /// What it hands on.
    exports: BTreeMap<String, Names>,
    /// Paths in its code.
    paths: Vec<Names>,
}

/// The files of a crate, by their modules.
struct Crate {
    files: BTreeMap<Names, (String, Source)>,
}

/// Which file depends on which, with a path that shows it.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

// === impl Source ===

impl Source {
    fn read(code: &str) -> Source {
        let tokens = tokens(code);
        let mut source = Source::default();
        let mut at = 0;
        while at < tokens.len() {
            let rest = &tokens[at..];
            let is_path = rest.len() > 2 && is_name(rest[0]) && rest[1] == "::";
            if rest[0] == "use" && rest.get(1).is_some_and(|next| *next != "<") {
                let end = rest.iter().position(|token| *token == ";");
                let end = end.unwrap_or(rest.len());
                // `pub use` and `pub(crate) use`.
                let is_public = at > 0 && ["pub", ")"].contains(&tokens[at - 1]);
                let found = match is_public {
                    true => &mut source.exports,
                    false => &mut source.imports,
                };
                branches(&rest[1..end], &[], found);
                at += end;
            } else if is_path && (at == 0 || tokens[at - 1] != "::") {
                let mut path = vec![rest[0].to_owned()];
                for pair in rest[1..].chunks_exact(2) {
                    if pair[0] != "::" || !is_name(pair[1]) {
                        break;
                    }
                    path.push(pair[1].to_owned());
                }
                at += 2 * path.len() - 1;
                source.paths.push(path);
            } else {
                at += 1;
            }
        }
        source
    }
}

/// The branches of a `use`, by the names that they get.
fn branches(tokens: &[&str], before: &[String], found: &mut BTreeMap<String, Names>) {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        *token == "," && depth == 0
    });
    for part in parts.filter(|part| !part.is_empty()) {
        let mut path = before.to_vec();
        let brace = part.iter().position(|token| *token == "{");
        let alias = part.iter().position(|token| *token == "as");
        let names = &part[..brace.or(alias).unwrap_or(part.len())];
        path.extend(
            names
                .iter()
                .filter(|token| **token != "::")
                .map(|token| (*token).to_owned()),
        );
        if let Some(brace) = brace {
            branches(&part[brace + 1..part.len() - 1], &path, found);
            continue;
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let name = alias.and_then(|at| part.get(at + 1).map(|name| (*name).to_owned()));
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            found.insert(name, path);
        }
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The words and marks of Rust, without comments, texts, characters and lifetimes.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let of_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            1 + end_of_text(&rest[1..], '"')
        } else if first == '\'' {
            let mut after = rest[1..].chars();
            match (after.next(), after.next()) {
                (Some('\\'), _) => 1 + end_of_text(&rest[1..], '\''),
                (Some(character), Some('\'')) => 2 + character.len_utf8(),
                _ => 1,
            }
        } else if of_word(first) {
            let length = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
            found.push(&rest[..length]);
            length
        } else if rest.starts_with("::") {
            found.push("::");
            2
        } else {
            if !first.is_whitespace() {
                found.push(&rest[..first.len_utf8()]);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

/// The length of `r"…"` or `r#"…"#`, if that is what begins here.
fn raw_text(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('r')?;
    let marks = inner.len() - inner.trim_start_matches('#').len();
    inner[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let text = &rest[marks + 2..];
    Some(marks + 2 + text.find(&end).map_or(text.len(), |at| at + end.len()))
}

/// How far it is to behind the mark that ends a text, in which `\` goes before any mark that does not.
fn end_of_text(text: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        if c == mark && !is_escaped {
            return at + mark.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    text.len()
}

// === impl Crate ===

impl Crate {
    fn read(folder: &str) -> Crate {
        let source_folder = root().join(folder).join("src");
        let files = sources(folder).into_iter().filter_map(|(path, code)| {
            let inside = path.strip_prefix(&source_folder).ok()?.with_extension("");
            let mut module: Names = inside
                .iter()
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            // A binary of its own.
            if module.first().is_some_and(|first| first == "bin") {
                return None;
            }
            if module == ["lib"] || module == ["main"] || module.ends_with(&["mod".to_owned()]) {
                module.pop();
            }
            let shown = path.strip_prefix(root()).ok()?.display().to_string();
            Some((module, (shown, Source::read(&code))))
        });
        Crate {
            files: files.collect(),
        }
    }

    /// The module that a path leads to, seen from another one, and what is named in it. `None` for what is of another crate, or no path at all.
    fn place(&self, from: &Names, path: &[String]) -> Option<(Names, Names)> {
        let ups = path.iter().take_while(|name| *name == "super").count();
        let (mut module, mut names) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..]),
            _ => {
                let child = [from.as_slice(), &path[..1]].concat();
                self.files.contains_key(&child).then_some(())?;
                (from.clone(), path)
            }
        };
        while let Some((name, after)) = names.split_first() {
            let child = [module.as_slice(), std::slice::from_ref(name)].concat();
            if !self.files.contains_key(&child) {
                break;
            }
            (module, names) = (child, after);
        }
        Some((module, names.to_vec()))
    }

    /// The module in which that is declared which a path names: through whatever hands it on.
    fn declared(&self, from: &Names, path: &[String], depth: usize) -> Option<Names> {
        let (module, names) = self.place(from, path)?;
        let source = &self.files.get(&module)?.1;
        let handed_on = names.first().and_then(|name| {
            let import = (module != *from).then(|| source.imports.get(name));
            source.exports.get(name).or(import.flatten())
        });
        match handed_on {
            Some(origin) if depth < 8 => {
                let path = [origin.as_slice(), &names[1..]].concat();
                self.declared(&module, &path, depth + 1)
            }
            _ => Some(module),
        }
    }

    /// Dependencies between files that are not one subject.
    fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        for (module, (file, source)) in &self.files {
            for path in source.imports.values().chain(&source.paths) {
                let Some(other) = self.declared(module, path, 0) else {
                    continue;
                };
                if !other.starts_with(module) && !module.starts_with(&other) {
                    let shown = (self.files[&other].0.clone(), path.join("::"));
                    graph.entry(file.clone()).or_default().extend([shown]);
                }
            }
        }
        graph
    }
}

/// All that can be reached from a file, itself only by a circle.
fn reached<'g>(graph: &'g Graph, from: &'g str) -> BTreeSet<&'g str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let next = graph.get(file).into_iter().flat_map(BTreeMap::keys);
        open.extend(next.map(String::as_str).filter(|next| found.insert(*next)));
    }
    found
}

/// The dependencies that are part of a circle, with what shows them.
fn circular(graph: &Graph) -> Vec<(&str, &str, &str)> {
    let edges = graph.iter().flat_map(|(from, others)| {
        others
            .iter()
            .map(move |(to, path)| (from.as_str(), to.as_str(), path.as_str()))
    });
    edges
        .filter(|(from, to, _)| reached(graph, to).contains(from))
        .collect()
}

fn is_allowed(from: &str, to: &str) -> bool {
    let fits =
        |(begin, end, _): &(&str, &str, &str)| from.starts_with(begin) && to.starts_with(end);
    ALLOWED.iter().any(fits)
}

#[test]
fn files_of_a_crate_depend_on_one_another_in_one_direction() {
    let (mut circles, mut used) = (Vec::new(), BTreeSet::new());
    let mut edges = 0;
    for folder in CRATES {
        let mut graph = Crate::read(folder).graph();
        edges += graph.values().map(BTreeMap::len).sum::<usize>();
        for (from, to, _) in circular(&graph) {
            let allowed = ALLOWED.iter().enumerate();
            used.extend(
                allowed
                    .filter(|(_, (begin, end, _))| from.starts_with(begin) && to.starts_with(end))
                    .map(|(at, _)| at),
            );
        }
        for (from, others) in &mut graph {
            others.retain(|to, _| !is_allowed(from, to));
        }
        let left = circular(&graph).into_iter();
        circles.extend(left.map(|(from, to, path)| format!("{from} -> {to}: {path}")));
    }
    assert!(edges > 500, "only {edges} dependencies were understood");
    assert!(circles.is_empty(), "{}", circles.join("\n"));
    let stale: Vec<_> = ALLOWED
        .iter()
        .enumerate()
        .filter(|(at, _)| !used.contains(at))
        .collect();
    assert!(stale.is_empty(), "close no circle any more: {stale:?}");
}

/// An operator asks the database without any code of the processes that serve SIP.
#[test]
fn questions_to_the_database_need_no_server() {
    let cli = Crate::read("cli");
    let graph = cli.graph();
    for command in ["rpc", "status", "explain"] {
        let file = format!("cli/src/{command}.rs");
        let mut files = reached(&graph, &file);
        files.insert(&file);
        for (name, source) in cli.files.values() {
            let paths = source.imports.values().chain(&source.paths);
            let foreign = paths.filter_map(|path| path.first());
            let mut serving =
                foreign.filter(|name| ["server", "notifier"].contains(&name.as_str()));
            assert!(
                !files.contains(name.as_str()) || serving.next().is_none(),
                "{command} needs {name}, which serves SIP"
            );
        }
    }
}

#[test]
fn code_is_read_as_it_is_meant() {
    let source = Source::read(
        "//! use crate::no;\npub use a::{self, b::C as D};\nuse crate::x::{y, self};\n\
         fn f<'a>(t: &'a str) -> crate::Z { let q = '\"'; g(\"crate::no\", r#\"super::no\"#); super::u::v::<T>() }",
    );
    let names = |text: &str| text.split("::").map(str::to_owned).collect::<Names>();
    assert_eq!(
        source.exports,
        BTreeMap::from([
            ("a".to_owned(), names("a")),
            ("D".to_owned(), names("a::b::C"))
        ])
    );
    assert_eq!(
        source.imports,
        BTreeMap::from([
            ("y".to_owned(), names("crate::x::y")),
            ("x".to_owned(), names("crate::x"))
        ])
    );
    assert_eq!(source.paths, [names("crate::Z"), names("super::u::v")]);
}
