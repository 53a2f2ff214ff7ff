//! The Lua state of a machine, and the functions of Rust that its prelude stands on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, LuaOptions, MultiValue, Result, StdLib, Table, Value};

use crate::budget::{self, Budget};
use crate::pattern::{self, Capture, Match, PatternError, Search};

/// The type's name is taken by std's.
type Text = mlua::LuaString;

/// What is written of one message to the log, in bytes.
const MAX_LINE_BYTES: usize = 8192;

/// What is kept of one stretch of a call; it may complain in a loop.
const MAX_COMPLAINTS: usize = 8;

/// Makes a state with nothing in it but what `prelude.lua` leaves; returns what that gives to the driver.
///
/// `memory` bounds what the functions of Rust make outside of Lua's own memory.
pub(crate) fn open(
    budget: &Rc<Budget>,
    complaints: &Rc<Complaints>,
    memory: usize,
    xavp_cfg: &str,
) -> Result<(Lua, Table)> {
    let libraries =
        StdLib::TABLE | StdLib::STRING | StdLib::UTF8 | StdLib::MATH | StdLib::COROUTINE;
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    let native = native(&lua, budget, memory)?;
    let noted = Rc::clone(complaints);
    native.set(
        "complain",
        lua.create_function(move |_, what: Text| {
            noted.add(&what);
            Ok(())
        })?,
    )?;
    let driver = lua
        .load(include_str!("prelude.lua"))
        .set_name("=prelude")
        .call((native, xavp_cfg))?;
    budget.watch(&lua)?;
    Ok((lua, driver))
}

/// Errors of the script that did not end its call, until somebody takes them.
#[derive(Debug, Default)]
pub(crate) struct Complaints(RefCell<Vec<String>>);

impl Complaints {
    fn add(&self, what: &Text) {
        let mut all = self.0.borrow_mut();
        if all.len() < MAX_COMPLAINTS {
            let mut what = what.to_string_lossy();
            what.truncate(what.floor_char_boundary(MAX_LINE_BYTES));
            all.push(what);
        }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

fn native(lua: &Lua, budget: &Rc<Budget>, memory: usize) -> Result<Table> {
    let table = lua.create_table()?;
    table.set("log", log(lua)?)?;
    table.set(
        "index",
        lua.create_function(|_, (text, from)| Ok(index(&text, from)))?,
    )?;
    let fill =
        move |lua: &Lua, (with, values): (Text, MultiValue)| fill(lua, &with, values, memory);
    table.set("fill", lua.create_function(fill)?)?;

    let watch = Rc::clone(budget);
    let find = move |lua: &Lua, (text, pattern, from, plain): (Text, Text, Option<i64>, bool)| {
        let start = index(&text, from);
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        if start > text.len() as i64 + 1 {
            return nothing(lua);
        }
        if plain {
            let from = (start - 1) as usize;
            return match memchr::memmem::find(&text[from..], &pattern) {
                None => nothing(lua),
                Some(at) => {
                    (start + at as i64, start + (at + pattern.len()) as i64 - 1).into_lua_multi(lua)
                }
            };
        }
        match first(&text, &pattern, start, &watch)? {
            None => nothing(lua),
            Some(found) => {
                let mut values = captures(lua, &text, &found)?;
                values.push_front(Value::Integer(found.end as i64));
                values.push_front(Value::Integer(found.start as i64 + 1));
                Ok(values)
            }
        }
    };
    table.set("find", lua.create_function(find)?)?;

    let watch = Rc::clone(budget);
    let matched = move |lua: &Lua, (text, pattern, from): (Text, Text, Option<i64>)| {
        let start = index(&text, from);
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        if start > text.len() as i64 + 1 {
            return nothing(lua);
        }
        match first(&text, &pattern, start, &watch)? {
            None => nothing(lua),
            Some(found) if found.captures.is_empty() => {
                let whole = lua.create_string(&text[found.start..found.end])?;
                Ok(MultiValue::from_iter([Value::String(whole)]))
            }
            Some(found) => captures(lua, &text, &found),
        }
    };
    table.set("match", lua.create_function(matched)?)?;

    let watch = Rc::clone(budget);
    let step = move |lua: &Lua,
                     (text, pattern, at, last, anchored): (
        Text,
        Text,
        usize,
        Option<usize>,
        bool,
    )| {
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        let how = Search {
            from: at.saturating_sub(1),
            anchored,
            after: last.map(|last| last.saturating_sub(1)),
        };
        match searched(&text, &pattern, how, &watch)? {
            None => nothing(lua),
            Some(found) => {
                let mut values = captures(lua, &text, &found)?;
                values.push_front(Value::Integer(found.end as i64 + 1));
                values.push_front(Value::Integer(found.start as i64 + 1));
                Ok(values)
            }
        }
    };
    table.set("step", lua.create_function(step)?)?;
    Ok(table)
}

/// Lua's way to say where in a text: from 1, or from the end if negative.
fn index(text: &Text, from: Option<i64>) -> i64 {
    match from.unwrap_or(1) {
        from if from > 0 => from,
        0 => 1,
        from => (text.as_bytes().len() as i64 + from + 1).max(1),
    }
}

fn nothing(_: &Lua) -> Result<MultiValue> {
    Ok(MultiValue::from_iter([Value::Nil]))
}

/// The first match of a pattern that may be anchored, from a position as Lua counts.
fn first(text: &[u8], pattern: &[u8], start: i64, budget: &Budget) -> Result<Option<Match>> {
    let anchored = pattern.first() == Some(&b'^');
    let how = Search {
        from: (start - 1) as usize,
        anchored,
        after: None,
    };
    searched(text, &pattern[usize::from(anchored)..], how, budget)
}

fn searched(text: &[u8], pattern: &[u8], how: Search, budget: &Budget) -> Result<Option<Match>> {
    pattern::search(text, pattern, how, &|| budget.check()).map_err(|error| match error {
        PatternError::Malformed(reason) => mlua::Error::runtime(reason),
        PatternError::TooComplex => mlua::Error::runtime("pattern too complex"),
        PatternError::Over => budget::over(),
    })
}

fn captures(lua: &Lua, text: &[u8], found: &Match) -> Result<MultiValue> {
    found
        .captures
        .iter()
        .map(|capture| {
            Ok(match *capture {
                Capture::Span(start, end) => Value::String(lua.create_string(&text[start..end])?),
                Capture::Position(at) => Value::Integer(at as i64 + 1),
            })
        })
        .collect()
}

/// A replacement text of `string.gsub`: `%0` is the whole match, `%1` the first capture, or the whole if there is none.
fn fill(lua: &Lua, with: &Text, values: MultiValue, memory: usize) -> Result<Text> {
    // Matches and positions: all of them texts and numbers.
    let values: Vec<Text> = values
        .into_iter()
        .filter_map(|value| lua.coerce_string(value).transpose())
        .collect::<Result<_>>()?;
    let mut out = Vec::new();
    let with = with.as_bytes();
    let mut bytes = with.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let value = match bytes.next() {
            Some(b'%') => {
                out.push(b'%');
                continue;
            }
            Some(b'0') => values.first(),
            Some(b'1') if values.len() == 1 => values.first(),
            Some(digit @ b'1'..=b'9') => values.get(usize::from(digit - b'0')),
            _ => {
                return Err(mlua::Error::runtime(
                    "invalid use of '%' in replacement string",
                ));
            }
        };
        let value = value
            .ok_or_else(|| mlua::Error::runtime("invalid capture index in replacement string"))?;
        if out.len() + value.as_bytes().len() > memory {
            return Err(mlua::Error::MemoryError("not enough memory".to_owned()));
        }
        out.extend_from_slice(&value.as_bytes());
    }
    lua.create_string(out)
}

fn log(lua: &Lua) -> Result<Function> {
    lua.create_function(|_, (level, message): (Text, Text)| {
        let shown = message.as_bytes();
        let message = String::from_utf8_lossy(&shown[..shown.len().min(MAX_LINE_BYTES)]);
        let message = one_line(message.trim_end());
        match &*level.as_bytes() {
            b"error" => tracing::error!(target: "script", "{message}"),
            b"warn" => tracing::warn!(target: "script", "{message}"),
            b"debug" => tracing::debug!(target: "script", "{message}"),
            _ => tracing::info!(target: "script", "{message}"),
        }
        Ok(())
    })
}

/// A text without control characters but tabs: what a phone has written into a header, and a script logs, must not look like a line of the
/// log that somebody else has written.
fn one_line(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| c.is_control() && c != '\t';
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unsafe(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_text_is_one_line() {
        for (text, expected) in [
            ("plain\tö", "plain\tö"),
            (
                "a\r\n2026-01-01 ERROR forged",
                "a\\r\\n2026-01-01 ERROR forged",
            ),
            ("\u{1b}[31mred\u{85}", "\\u{1b}[31mred\\u{85}"),
        ] {
            assert_eq!(one_line(text), expected);
        }
    }
}
