//! Every statement is what its header says: registered, named after its path, prepared, with these parameters and columns.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("statements");
    let mut files = Vec::new();
    for area in std::fs::read_dir(folder).unwrap() {
        let area = area.unwrap();
        for file in std::fs::read_dir(area.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            let object = file
                .strip_suffix(".sql")
                .unwrap_or_else(|| panic!("{file} is no statement"));
            files.push(format!("{}.{object}", area.file_name().to_str().unwrap()));
        }
    }
    files.sort();
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

/// What locks rows of `notify_queue` does it once a statement, in key order: a second trigger of the same statement would begin from
/// the front again, and two such statements could wait for each other.
#[test]
fn a_statement_fires_one_trigger_that_locks_the_queue() {
    const WRITES: [&str; 3] = ["INSERT INTO ", "UPDATE ", "DELETE FROM "];
    const TRIGGERING: [&str; 4] = ["presentity", "active_watchers", "watchers", "xcap"];
    // One row, which locks one row of the queue (its header says so).
    const EXCEPTION: &str = "publication.put_feature";
    for statement in STATEMENTS {
        let code = statement
            .text
            .lines()
            .filter(|line| !line.starts_with("--"));
        let code = code.collect::<Vec<_>>().join("\n");
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
        if !header(statement, "Called by").starts_with("notifier/src/sweep.rs") {
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

        let declared: Vec<String> = declared(header(statement, "Parameters"))
            .into_iter()
            .map(|(_, kind)| kind)
            .collect();
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
    let returns = header(statement, "Returns");
    declared(
        returns
            .strip_prefix("one row per input, input order: ")
            .unwrap_or(returns),
    )
}

fn header<'a>(statement: &'a Statement, key: &str) -> &'a str {
    let prefix = format!("-- {key}:");
    statement
        .text
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap()
        .trim()
}

/// `$1 name type (remark) | …` as names and types; `none` and `nothing; …` as none.
fn declared(list: &str) -> Vec<(String, String)> {
    if list == "none" || list.starts_with("nothing") {
        return Vec::new();
    }
    let mut numbered = BTreeMap::new();
    for (index, part) in list.split(" | ").enumerate() {
        let mut words = part.split_whitespace().peekable();
        if let Some(number) = words.peek().and_then(|word| word.strip_prefix('$')) {
            assert_eq!(number, (index + 1).to_string(), "{list}");
            words.next();
        }
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        numbered.insert(index, (name.to_owned(), kind.to_owned()));
    }
    numbered.into_values().collect()
}

fn spelled(kind: &str) -> String {
    match kind.strip_prefix('_') {
        Some(element) => format!("{element}[]"),
        None => kind.to_owned(),
    }
}
