//! The preprocessor: `#!define`, `#!ifdef`, `#!subst` and their kin.

use super::Scanner;
use super::source::is_word;
use crate::define::IfTaken;
use crate::error::{Fault, ReadError};
use crate::settings::Place;
use crate::substitute::split;

/// A string with variables, in bytes.
const MAX_EVALUATED: usize = 4096;

impl Scanner<'_, '_> {
    /// Carries out the directive at which the innermost file stands.
    pub(super) fn obey(&mut self, directive: &'static str) -> Result<(), ReadError> {
        let Some(source) = self.sources.last_mut() else {
            return Ok(());
        };
        let place = source.place.clone();
        source.at += 2 + directive.len();
        match directive {
            "include_file" | "import_file" => return self.include(directive, &place),
            "subst" | "substdef" | "substdefs" => return self.substitution(directive, &place),
            _ => {}
        }
        let line = source.logical_line();
        let line = line.trim();
        let (name, text) = line.split_at(
            line.bytes()
                .position(|byte| !is_word(byte))
                .unwrap_or(line.len()),
        );
        match directive {
            "define" | "def" => self.add_define(name, text, IfTaken::Complain, &place),
            "trydefine" | "trydef" => self.add_define(name, text, IfTaken::Keep, &place),
            "redefine" | "redef" => self.add_define(name, text, IfTaken::Replace, &place),
            "defexp" | "defexps" => self.problem(
                &place,
                format!("#!{directive} is not evaluated here: write a #!define instead"),
            ),
            "defenv" | "defenvs" | "trydefenv" | "trydefenvs" => {
                self.add_variable(directive, line, &place);
            }
            _ => {
                self.turn(directive, line, place);
                self.skip_what_does_not_hold();
            }
        }
        Ok(())
    }

    /// Carries out a directive that opens, turns or closes a condition; the source stands behind its name.
    fn turn(&mut self, directive: &'static str, line: &str, place: Place) {
        let name = line
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next();
        let has = self.defines.has(name.unwrap_or_default());
        match directive {
            "ifdef" => self.conditions.open(has, place),
            "ifndef" => self.conditions.open(!has, place),
            "ifexp" => {
                if self.conditions.hold() {
                    self.problem(
                        &place,
                        "#!ifexp is not evaluated here, and counts as false: write #!ifdef instead",
                    );
                }
                self.conditions.open(false, place);
            }
            "else" if self.conditions.reverse() => {}
            "else" => self.problem(&place, "this #!else belongs to no #!ifdef"),
            _ if self.conditions.close() => {}
            _ => self.problem(&place, "this #!endif belongs to no #!ifdef"),
        }
    }

    /// While a condition does not hold, nothing but the directives that open and close conditions is looked at; and these
    /// wherever they stand, in comments too: that is what Kamailio does. A file that ends leaves its includer in that state.
    fn skip_what_does_not_hold(&mut self) {
        while !self.conditions.hold() {
            let Some(source) = self.sources.last_mut() else {
                return;
            };
            let Some(directive) = source.next_condition() else {
                self.close();
                continue;
            };
            let place = source.place.clone();
            source.at += 2 + directive.len();
            let line = source.logical_line();
            self.turn(directive, line.trim(), place);
        }
    }

    fn add_define(&mut self, name: &str, text: &str, if_taken: IfTaken, place: &Place) {
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            self.problem(place, "a define needs a name of letters, digits and _");
        } else if text.starts_with('-') {
            self.problem(
                place,
                format!("a '-' is not allowed in a name, as in {name}-"),
            );
        } else if !self.defines.add(name, text.trim(), if_taken) {
            self.problem(
                place,
                format!("{name} is defined already, and stays as it is (Kamailio refuses this)"),
            );
        }
    }

    /// `#!defenv NAME` or `#!defenv NAME=VARIABLE`.
    fn add_variable(&mut self, directive: &str, line: &str, place: &Place) {
        let (name, variable) = line.split_once('=').unwrap_or((line, line));
        match self.environment(variable.trim()) {
            Some(value) if directive.ends_with('s') => {
                self.add_define(
                    name.trim(),
                    &format!("\"{value}\""),
                    IfTaken::Complain,
                    place,
                );
            }
            Some(value) => self.add_define(name.trim(), &value, IfTaken::Complain, place),
            None if directive.starts_with("try") => {}
            None => self.problem(
                place,
                format!(
                    "the environment variable {} is not set",
                    variable.trim().escape_debug()
                ),
            ),
        }
    }

    /// `#!subst "/a/b/"`; the other two define the expression as a name as well, the last one as a string.
    fn substitution(&mut self, directive: &'static str, place: &Place) -> Result<(), ReadError> {
        let fault = |fault| ReadError {
            place: place.clone(),
            fault,
        };
        let Some(source) = self.sources.last_mut() else {
            return Ok(());
        };
        source.skip_blanks();
        let Some(quote @ (b'"' | b'\'')) = source.text.get(source.at).copied() else {
            return Err(fault(Fault::Substitution {
                directive,
                reason: "needs a text in quotes, such as \"!NAME!value!g\"".to_owned(),
            }));
        };
        let text = source.string(quote)?;
        let text = self.substituted(text, place);
        let mut parts = split(directive, &text).map_err(fault)?;
        let value = self.evaluated(parts.replacement, place).unwrap_or_default();
        parts.replacement = &value;
        self.substitutions.add(directive, parts).map_err(fault)?;
        if directive == "substdefs" {
            self.add_define(
                parts.expression,
                &format!("\"{value}\""),
                IfTaken::Complain,
                place,
            );
        } else if directive == "substdef" {
            self.add_define(parts.expression, &value, IfTaken::Complain, place);
        }
        Ok(())
    }

    /// `$env(NAME)` and `$def(NAME)` in a value; other variables have no value at start. `None`: one of these has none, and
    /// that is reported.
    pub(crate) fn evaluated(&mut self, text: &str, place: &Place) -> Option<String> {
        if text.len() > MAX_EVALUATED {
            self.problem(place, "this string is too long for variables");
            return None;
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let variable = ["$env(", "$def("].into_iter().find_map(|kind| {
                let after = rest[at..].strip_prefix(kind)?;
                let (name, after) = after.split_once(')')?;
                Some((kind, name, after))
            });
            let Some((kind, name, after)) = variable else {
                out.push('$');
                rest = &rest[at + 1..];
                continue;
            };
            let value = match kind {
                "$env(" => self.environment(name),
                _ => self.define(name),
            };
            match value {
                Some(value) => out.push_str(&value),
                None => {
                    let message = format!("{kind}{}) has no value here", name.escape_debug());
                    self.problem(place, message);
                    return None;
                }
            }
            rest = after;
        }
        Some(out + rest)
    }
}
