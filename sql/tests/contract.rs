//! Every statement is what its header says: named after its path, prepared, with these parameters and columns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::database::Database;
use sql::{SESSION_SETTINGS, STATEMENTS, Statement, Tables};

const KEYS: [&str; 8] = [
    "Purpose",
    "Called by",
    "Parameters",
    "Returns",
    "Locks",
    "Plan",
    "Retry",
    "RFC",
];

#[test]
fn every_file_is_registered_once_under_its_path() {
    let files = files_of("statements");
    let mut registered: Vec<&str> = STATEMENTS.iter().map(|statement| statement.name).collect();
    registered.sort_unstable();
    assert_eq!(files, registered);
}

#[test]
fn every_header_is_complete_and_in_order() {
    for statement in STATEMENTS {
        let mut lines = statement.text.lines();
        assert_eq!(
            lines.next(),
            Some(format!("-- {}", statement.name).as_str())
        );
        for key in KEYS {
            let line = lines.next().unwrap();
            let value = line
                .strip_prefix(&format!("-- {key}:"))
                .unwrap_or_else(|| panic!("{}: {line}", statement.name));
            assert!(
                !value.trim().is_empty(),
                "{}: {key} is empty",
                statement.name
            );
        }
    }
}

/// What the header of a file declares is what its SQL names, each of it, and PostgreSQL gets its number in place of the name.
#[test]
fn parameters_have_the_names_of_the_header() {
    for statement in STATEMENTS {
        let name = statement.name;
        let source = with_fragments(&read("statements", name));
        let list = header(&source, "Parameters");
        let declared = declared(list);
        let numbered: Vec<String> = list
            .split(" | ")
            .filter(|_| list != "none")
            .enumerate()
            .map(|(index, of)| format!("${} {of}", index + 1))
            .collect();
        let sent = header(statement.text, "Parameters");
        let expected = if list == "none" {
            list
        } else {
            &numbered.join(" | ")
        };
        assert_eq!(sent, expected, "{name}: header");
        let registered: Vec<(&str, &str)> = statement.parameters.to_vec();
        let found: Vec<(&str, &str)> = declared
            .iter()
            .map(|(name, kind)| (name.as_str(), kind.as_str()))
            .collect();
        assert_eq!(registered, found, "{name}: parameters of the struct");
        let declared: BTreeSet<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(declared.len(), found.len(), "{name}: a name stands twice");
        assert_eq!(named(&code(&source)), declared, "{name}: names in the SQL");
        let mut with_names = code(statement.text);
        for (index, (parameter, _)) in found.iter().enumerate().rev() {
            with_names = with_names.replace(&format!("${}", index + 1), &format!(":{parameter}"));
        }
        assert_eq!(with_names, code(&source), "{name}: numbers for names");
    }
}

/// A fragment says what it is part of, and which parameters it needs there.
#[test]
fn every_fragment_is_where_its_header_says() {
    for name in files_of("fragments") {
        let fragment = read("fragments", &name);
        assert!(fragment.starts_with(&format!("-- {name}\n")), "{name}");
        let place = format!("{{{{{name}}}}}");
        let uses = STATEMENTS.iter().map(|statement| statement.name);
        let uses: Vec<&str> = uses
            .filter(|statement| read("statements", statement).contains(&place))
            .collect();
        let said: Vec<&str> = header(&fragment, "Part of").split(", ").collect();
        assert_eq!(said, uses, "{name}: part of");
        let said: BTreeSet<&str> = header(&fragment, "Parameters").split(" | ").collect();
        assert_eq!(said, named(&code(&fragment)), "{name}: parameters");
        assert!(!header(&fragment, "Purpose").is_empty(), "{name}");
        assert!(!header(&fragment, "Needs").is_empty(), "{name}");
    }
}

/// The names of the files in `statements` or `fragments`, in order.
fn files_of(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    for area in std::fs::read_dir(folder).unwrap() {
        let area = area.unwrap();
        for file in std::fs::read_dir(area.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            let object = file
                .strip_suffix(".sql")
                .unwrap_or_else(|| panic!("{file} is not SQL"));
            files.push(format!("{}.{object}", area.file_name().to_str().unwrap()));
        }
    }
    files.sort();
    files
}

fn read(folder: &str, name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let file = folder.join(name.replace('.', "/")).with_extension("sql");
    std::fs::read_to_string(file).unwrap()
}

/// A file with its fragments, whose indentation does not matter here.
fn with_fragments(source: &str) -> String {
    let mut whole = source.to_owned();
    while let Some((before, rest)) = whole.split_once("{{") {
        let (name, after) = rest.split_once("}}").unwrap();
        whole = format!("{before}{}{after}", code(&read("fragments", name)));
    }
    whole
}

/// A text without the lines that are comments, and without indentation.
fn code(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    lines
        .filter(|line| !line.starts_with("--"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names that stand after one colon, not within quotes.
fn named(code: &str) -> BTreeSet<&str> {
    let unquoted = code.split('\'').step_by(2);
    let words = unquoted.flat_map(|sql| {
        sql.match_indices(':').filter_map(move |(at, _)| {
            let rest = &sql[at + 1..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let word = &rest[..end.unwrap_or(rest.len())];
            let is_type = sql[..at].ends_with(':');
            (!is_type && word.starts_with(|c: char| c.is_ascii_lowercase())).then_some(word)
        })
    });
    words.collect()
}

/// Each file that `Called by` names is there, and either runs the statement itself or calls what does.
#[test]
fn who_is_said_to_call_a_statement_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let functions = functions_of(&root.join("sql/src"));
    for statement in STATEMENTS {
        let name = statement.name;
        let call = call(name);
        let runs: Vec<&Function> = functions
            .iter()
            .filter(|function| has_word(&function.body, &call))
            .collect();
        let mut ways: Vec<&Function> = runs.clone();
        let mut next = 0;
        while let Some(way) = ways.get(next).copied() {
            next += 1;
            let call = format!("{}(", way.name);
            let callers = functions.iter().filter(|function| {
                !way.is_public && function.file == way.file && has_word(&function.body, &call)
            });
            for caller in callers {
                if !ways.contains(&caller) {
                    ways.push(caller);
                }
            }
        }
        let words = header(statement.text, "Called by").split([' ', ',', ';', ':']);
        let files: Vec<&str> = words
            .filter(|word| word.ends_with(".rs") && word.contains('/'))
            .collect();
        assert!(!files.is_empty(), "{name}: called by no file");
        for file in files {
            let path = root.join(file);
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            let calls = |way: &&Function| has_word(&text, &format!("{}(", way.name));
            let runs_it = runs.iter().any(|function| path.ends_with(&function.file));
            assert!(
                runs_it || ways.iter().any(calls),
                "{name} is not called by {file}"
            );
        }
    }
}

/// `publication.create_batch` as the crate says it: `publication::CreateBatch`.
fn call(statement: &str) -> String {
    let (area, object) = statement.split_once('.').unwrap();
    let words = object.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    format!("{area}::{}", words.collect::<String>())
}

/// A function of this crate, as its source has it.
#[derive(PartialEq)]
struct Function {
    /// From the root of the repository.
    file: PathBuf,
    name: String,
    is_public: bool,
    body: String,
}

fn functions_of(folder: &Path) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    let mut open = vec![(folder.to_owned(), PathBuf::from("sql/src"))];
    while let Some((folder, file)) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let file = file.join(entry.file_name());
            if entry.path().is_dir() {
                open.push((entry.path(), file));
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for line in text.lines() {
                let code = line.trim_start();
                let unasync = |code: &str| code.trim_start_matches("async ").to_owned();
                let (is_public, code) = match code.strip_prefix("pub ") {
                    Some(code) => (true, unasync(code)),
                    None => {
                        let private = ["pub(crate) ", "pub(super) "];
                        let inner = private.iter().find_map(|word| code.strip_prefix(word));
                        (false, unasync(inner.unwrap_or(code)))
                    }
                };
                if let Some(rest) = code.strip_prefix("fn ") {
                    let (name, _) = rest.split_once(['(', '<']).unwrap();
                    functions.push(Function {
                        file: file.clone(),
                        name: name.to_owned(),
                        is_public,
                        body: String::new(),
                    });
                } else if let Some(function) = functions.last_mut()
                    && function.file == file
                {
                    function.body.push_str(line);
                    function.body.push('\n');
                }
            }
        }
    }
    functions
}

/// Whether the text has this word, or this word with what is called by it (`name(`), and not as a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let goes_on = !word.ends_with('(') && text[at + word.len()..].starts_with(is_part);
        !text[..at].ends_with(is_part) && !goes_on
    })
}

/// What locks rows of `notify_queue` does it once a statement, in key order: a second trigger of the same statement would begin from
/// the front again, and two such statements could wait for each other.
#[test]
fn a_statement_fires_one_trigger_that_locks_the_queue() {
    const WRITES: [&str; 3] = ["INSERT INTO ", "UPDATE ", "DELETE FROM "];
    const TRIGGERING: [&str; 4] = ["presentity", "active_watchers", "watchers", "xcap"];
    // One row, which locks one row of the queue (its header says so).
    const EXCEPTION: &str = "publication.put_feature";
    for statement in STATEMENTS {
        let code = code(statement.text);
        let mut fired = code.matches("DO UPDATE").count();
        for (write, table) in WRITES
            .iter()
            .flat_map(|write| TRIGGERING.map(|table| (write, table)))
        {
            fired += code.matches(&format!("{write}{table} ")).count();
            fired += code.matches(&format!("{write}{table}\n")).count();
        }
        let most = 1 + usize::from(statement.name == EXCEPTION);
        assert!(fired <= most, "{} fires {fired}", statement.name);
    }
}

/// The same inside the functions that the steps of cleaning are; and `presence_cleanup` has none of it a second time.
#[tokio::test]
async fn cleaning_is_written_once() {
    let database = Database::new().await;
    let source = async |function: &str| -> String {
        let sql = format!("SELECT prosrc FROM pg_proc WHERE proname = '{function}'");
        database.value(&sql).await
    };
    let writes = |source: &str| {
        let words = ["INSERT INTO ", "UPDATE ", "DELETE FROM ", "DO UPDATE"];
        let code = source.replace("FOR UPDATE", "");
        words
            .map(|word| code.matches(word).count())
            .iter()
            .sum::<usize>()
    };
    let whole = source("presence_cleanup").await;
    assert_eq!(writes(&whole), 0, "{whole}");
    let mut steps = 0;
    for statement in STATEMENTS {
        if !header(statement.text, "Called by").starts_with("notifier/src/sweep.rs") {
            continue;
        }
        let (_, call) = statement.text.split_once("\nSELECT ").unwrap();
        let (function, _) = call.split_once('(').unwrap();
        let source = source(function).await;
        assert_eq!(writes(&source), 1, "{function}: {source}");
        assert!(whole.contains(&format!("{function}(")), "{function}");
        steps += 1;
    }
    assert_eq!(steps, 11);
}

#[tokio::test]
async fn parameters_and_columns_are_as_declared() {
    let database = Database::new().await;
    for (name, value) in SESSION_SETTINGS {
        database.by_hand(&format!("SET {name} = {value}")).await;
    }
    for statement in STATEMENTS {
        let name = statement.name;
        let prepared = database
            .hand
            .prepare(statement.text)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));

        let declared: Vec<&str> = statement.parameters.iter().map(|(_, kind)| *kind).collect();
        let found: Vec<String> = prepared
            .params()
            .iter()
            .map(|kind| spelled(kind.name()))
            .collect();
        assert_eq!(declared, found, "{name}: parameters");

        let declared_columns = declared_columns(statement);
        let columns: Vec<(String, String)> = prepared
            .columns()
            .iter()
            .map(|column| (column.name().to_owned(), spelled(column.type_().name())))
            .collect();
        assert_eq!(declared_columns, columns, "{name}: columns");
    }
}

/// No statement still says a usual name: there are no such tables.
#[tokio::test]
async fn statements_prepare_under_other_names() {
    let database = Database::new().await;
    let cluster = database.cluster();
    cluster.create_database("renamed").unwrap();
    let url = cluster.url("renamed");
    let tables = Tables::new("own.publications", "own.user", "decisions");
    let settings = schema::Settings {
        tables: tables.clone(),
        ..schema::Settings::default()
    };
    schema::migrate_with(&url, &settings).await.unwrap();
    let (hand, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut about = 0;
    for statement in STATEMENTS {
        let text = tables.in_sql(statement.text);
        about += usize::from(text != statement.text);
        if let Err(error) = hand.prepare(&text).await {
            panic!("{}: {error:?}", statement.name);
        }
    }
    assert!(about > 40, "{about} statements are about these tables");
}

fn declared_columns(statement: &Statement) -> Vec<(String, String)> {
    let returns = header(statement.text, "Returns");
    declared(
        returns
            .strip_prefix("one row per input, input order: ")
            .unwrap_or(returns),
    )
}

fn header<'a>(text: &'a str, key: &str) -> &'a str {
    let prefix = format!("-- {key}:");
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap()
        .trim()
}

/// `name type (remark) | …` as names and types; `none` and `nothing; …` as none.
fn declared(list: &str) -> Vec<(String, String)> {
    if list == "none" || list.starts_with("nothing") {
        return Vec::new();
    }
    let parts = list.split(" | ").map(|part| {
        let mut words = part.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    });
    parts.collect()
}

fn spelled(kind: &str) -> String {
    match kind.strip_prefix('_') {
        Some(element) => format!("{element}[]"),
        None => kind.to_owned(),
    }
}
