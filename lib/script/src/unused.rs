//! What stands in a script and is never called. Lua takes a misspelt name without a word, and then nothing happens.

use std::collections::BTreeSet;

use mlua::{Function, Lua, Table, Value};

/// Remarks on one script, at most.
const MAX_REMARKS: usize = 20;
/// Of a name that somebody made up, so much is shown.
const MAX_NAME_BYTES: usize = 80;

/// The names of the global variables.
pub(crate) fn globals(lua: &Lua) -> BTreeSet<String> {
    named(&lua.globals()).map(|(name, _)| name).collect()
}

/// A sentence for each thing that is never called. `before` are the globals without the script; `called` those of the table
/// `event_route` that the program calls.
pub(crate) fn find(
    lua: &Lua,
    script: &str,
    source: &[u8],
    before: &BTreeSet<String>,
    events: &Table,
    called: &[&str],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_called = false;
    for (name, value) in named(events) {
        if called.contains(&name.as_str()) {
            is_called = true;
            continue;
        }
        let place = place(script, &value);
        let name = shown(&name);
        found.push(format!(
            "{place}: event_route[\"{name}\"] is never called: the events are {}",
            called.join(" and ")
        ));
    }
    let globals = lua.globals();
    if globals
        .raw_get::<Option<Function>>("route")
        .ok()
        .flatten()
        .is_none()
    {
        let functions = named(&globals)
            .filter(|(name, value)| !before.contains(name) && value.is_function())
            // With an event, others are there for it to call. What is named once is called by nobody.
            .filter(|(name, _)| !is_called || mentions(source, name) <= 1);
        for (name, value) in functions {
            let place = place(script, &value);
            let name = shown(&name);
            found.push(format!(
                "{place}: function {name} is never called: there is no function route, so that every PUBLISH and SUBSCRIBE is \
                 handled as without a script"
            ));
        }
        if !is_called && found.is_empty() {
            found.push(format!(
                "{script}: nothing in it is ever called: it has no global function route, and no event_route"
            ));
        }
    }
    // A table of Lua has no order.
    found.sort();
    found.truncate(MAX_REMARKS);
    found
}

/// What is in a table under texts, whatever else is in it.
fn named(table: &Table) -> impl Iterator<Item = (String, Value)> {
    table
        .pairs::<Value, Value>()
        .filter_map(|pair| match pair.ok()? {
            (Value::String(name), value) => Some((name.to_string_lossy().to_string(), value)),
            _ => None,
        })
}

/// The file, and the line where a function begins.
fn place(script: &str, value: &Value) -> String {
    let line = value
        .as_function()
        .and_then(|function| function.info().line_defined);
    match line {
        Some(line) => format!("{script}:{line}"),
        None => script.to_owned(),
    }
}

fn shown(name: &str) -> String {
    name.chars()
        .take(MAX_NAME_BYTES)
        .flat_map(char::escape_debug)
        .collect()
}

/// How often a name stands in the source, as a whole word.
fn mentions(source: &[u8], name: &str) -> usize {
    source
        .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .filter(|word| *word == name.as_bytes())
        .count()
}
