//! From bytes to tokens, the preprocessor's directives carried out on the way.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Surroundings;
use crate::define::{Defines, IfTaken};
use crate::error::{Fault, ReadError};
use crate::settings::{Place, Problem};
use crate::substitute::{Substitutions, split};

/// Includes within includes; Kamailio's limit is 10.
const MAX_DEPTH: usize = 16;
/// All files together, and separately all expansions together, in MiB.
const MAX_TEXT_MIB: usize = 64;
/// A string with variables, in bytes.
const MAX_EVALUATED: usize = 4096;
/// Defines within defines.
const MAX_EXPANSION_DEPTH: usize = 64;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// Whether white space or a comment stands before it.
    pub(crate) apart: bool,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word, or a number as it is written.
    Word(String),
    /// A string, without its quotes, escapes resolved, before substitutions.
    Text(String),
    /// A variable of the routing language.
    Variable,
    /// Any other character.
    Mark(u8),
}

/// A text that is being read: a file, or what a define stands for.
struct Source {
    text: Arc<[u8]>,
    at: usize,
    place: Place,
    /// The define that this is the text of.
    define: Option<String>,
    /// For files: the path by which it was opened.
    path: Option<PathBuf>,
}

/// The `#!ifdef`s that are open, each with whether it holds, and how many of them do not.
#[derive(Default)]
struct Conditions {
    open: Vec<(bool, Place)>,
    failing: usize,
}

/// The scanner.
pub(crate) struct Scanner<'a, 'b> {
    around: &'a mut Surroundings<'b>,
    sources: Vec<Source>,
    conditions: Conditions,
    expanding: HashSet<String>,
    defines: Defines,
    substitutions: Substitutions,
    read_bytes: usize,
    expanded_bytes: usize,
    pub(crate) files: Vec<Arc<str>>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a, 'b> Scanner<'a, 'b> {
    pub(crate) fn start(
        file: &Path,
        around: &'a mut Surroundings<'b>,
    ) -> Result<Scanner<'a, 'b>, ReadError> {
        let mut defines = Defines::default();
        for (name, text) in around.defines {
            defines.add(name, text.trim(), IfTaken::Replace);
        }
        let mut scanner = Scanner {
            around,
            sources: Vec::new(),
            conditions: Conditions::default(),
            expanding: HashSet::new(),
            defines,
            substitutions: Substitutions::default(),
            read_bytes: 0,
            expanded_bytes: 0,
            files: Vec::new(),
            problems: Vec::new(),
        };
        let name = file.display().to_string();
        let place = Place {
            file: Arc::from(name.as_str()),
            line: 0,
        };
        let bytes = (scanner.around.files)(file).map_err(|error| ReadError {
            place: place.clone(),
            fault: Fault::Unreadable {
                file: name,
                reason: error.to_string(),
            },
        })?;
        scanner.open(file.to_owned(), &bytes, &place)?;
        Ok(scanner)
    }

    /// A module was loaded: `#!ifdef MOD_name` holds from here on.
    pub(crate) fn module_loaded(&mut self, module: &str) {
        self.defines
            .add(&format!("MOD_{module}"), "", IfTaken::Keep);
    }

    /// What a define stands for, of strings without their quotes.
    pub(crate) fn define(&self, name: &str) -> Option<String> {
        let text = self.defines.text(name)?;
        let unquoted = ['"', '\''].iter().find_map(|quote| {
            text.strip_prefix(*quote)
                .and_then(|rest| rest.strip_suffix(*quote))
        });
        Some(unquoted.unwrap_or(&text).to_owned())
    }

    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        (self.around.environment)(name)
    }

    /// The string after all `#!subst` so far.
    pub(crate) fn substituted(&mut self, text: String, place: &Place) -> String {
        self.substitutions.apply(text).unwrap_or_else(|| {
            self.problem(
                place,
                "this string is too long after #!subst, and taken as empty",
            );
            String::new()
        })
    }

    pub(crate) fn problem(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(Problem {
            place: place.clone(),
            message: message.into(),
        });
    }

    /// The next token; `None` at the end of everything.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, ReadError> {
        let mut apart = false;
        loop {
            let Some(source) = self.sources.last_mut() else {
                return self.end();
            };
            let rest = &source.text[source.at..];
            let Some(&byte) = rest.first() else {
                apart |= source.define.is_none();
                self.close();
                continue;
            };
            if let [b'#' | b'!', b'!', ..] = rest
                && source.define.is_none()
                && let Some(directive) = directive(&rest[2..])
            {
                self.obey(directive)?;
                apart = true;
                continue;
            }
            match byte {
                b'\n' => {
                    source.at += 1;
                    source.place.line += u32::from(source.define.is_none());
                    apart = true;
                }
                b' ' | b'\t' | b'\r' | 0x08 | 0x0c => {
                    source.at += 1;
                    apart = true;
                }
                b'\\' if rest.get(1).is_some_and(|next| b"\r\n".contains(next)) => source.at += 1,
                b'#' => {
                    source.skip_line();
                    apart = true;
                }
                b'/' if rest.get(1) == Some(&b'/') => {
                    source.skip_line();
                    apart = true;
                }
                b'/' if rest.get(1) == Some(&b'*') => {
                    source.skip_comment()?;
                    apart = true;
                }
                b'"' | b'\'' => {
                    let place = source.place.clone();
                    let text = source.string(byte)?;
                    return Ok(Some(Token {
                        kind: Kind::Text(text),
                        place,
                        apart,
                    }));
                }
                b'$' => {
                    let place = source.place.clone();
                    source.skip_variable();
                    return Ok(Some(Token {
                        kind: Kind::Variable,
                        place,
                        apart,
                    }));
                }
                byte if is_word(byte) => {
                    let place = source.place.clone();
                    let word = source.word();
                    if matches!(word.as_str(), "include_file" | "import_file") {
                        self.include(&word, &place)?;
                        apart = true;
                    } else if byte.is_ascii_digit() || !self.expand(&word, &place)? {
                        return Ok(Some(Token {
                            kind: Kind::Word(word),
                            place,
                            apart,
                        }));
                    }
                }
                other => {
                    let place = source.place.clone();
                    source.at += 1;
                    return Ok(Some(Token {
                        kind: Kind::Mark(other),
                        place,
                        apart,
                    }));
                }
            }
        }
    }

    fn end(&self) -> Result<Option<Token>, ReadError> {
        match self.conditions.open.last() {
            Some((_, place)) => Err(ReadError {
                place: place.clone(),
                fault: Fault::OpenCondition,
            }),
            None => Ok(None),
        }
    }

    fn close(&mut self) {
        if let Some(Source {
            define: Some(name), ..
        }) = self.sources.pop()
        {
            self.expanding.remove(&name);
        }
    }

    // === defines ===

    /// Puts the text of a define in place of its name. `false`: it is none, or one within itself.
    fn expand(&mut self, word: &str, place: &Place) -> Result<bool, ReadError> {
        let Some(text) = self.defines.text(word) else {
            return Ok(false);
        };
        if self.expanding.len() >= MAX_EXPANSION_DEPTH || self.expanding.contains(word) {
            return Ok(false);
        }
        // The name counts too: a chain of empty defines is work as well.
        self.expanded_bytes += text.len() + 1;
        if self.expanded_bytes > MAX_TEXT_MIB << 20 {
            return Err(ReadError {
                place: place.clone(),
                fault: Fault::Expansion(MAX_TEXT_MIB),
            });
        }
        self.expanding.insert(word.to_owned());
        self.sources.push(Source {
            text: Arc::from(text.as_bytes()),
            at: 0,
            place: place.clone(),
            define: Some(word.to_owned()),
            path: None,
        });
        Ok(true)
    }

    // === includes ===

    fn open(&mut self, path: PathBuf, bytes: &[u8], place: &Place) -> Result<(), ReadError> {
        self.read_bytes += bytes.len();
        if self.read_bytes > MAX_TEXT_MIB << 20 {
            return Err(ReadError {
                place: place.clone(),
                fault: Fault::TooMuchText(MAX_TEXT_MIB),
            });
        }
        let name: Arc<str> = Arc::from(path.display().to_string());
        self.files.push(name.clone());
        self.sources.push(Source {
            text: Arc::from(bytes),
            at: 0,
            place: Place {
                file: name,
                line: 1,
            },
            define: None,
            path: Some(path),
        });
        Ok(())
    }

    /// `include_file "name"`: the name stands behind the word, in the same source.
    fn include(&mut self, word: &str, place: &Place) -> Result<(), ReadError> {
        let is_import = word.ends_with("import_file");
        let word = if is_import {
            "import_file"
        } else {
            "include_file"
        };
        let fault = |fault| ReadError {
            place: place.clone(),
            fault,
        };
        let Some(source) = self.sources.last_mut() else {
            return Ok(());
        };
        source.skip_blanks();
        let quote = source.text.get(source.at).copied();
        let Some(quote @ (b'"' | b'\'')) = quote else {
            return Err(fault(Fault::IncludeName(word)));
        };
        let name = source.string(quote)?;
        let name = self.substituted(name, place);
        if name.is_empty() {
            return Err(fault(Fault::IncludeName(word)));
        }
        let open_files = || {
            self.sources
                .iter()
                .filter_map(|source| source.path.as_deref())
        };
        // Beside the file that includes it, then as it is written: where a daemon's folder was, nobody knows any more.
        let beside = open_files()
            .next_back()
            .and_then(Path::parent)
            .map(|folder| folder.join(&name));
        let mut reason = None;
        for path in beside.into_iter().chain([PathBuf::from(&name)]) {
            if open_files().any(|open| open == path) {
                let chain: Vec<_> = open_files()
                    .skip_while(|open| *open != path)
                    .chain([path.as_path()])
                    .map(|path| path.display().to_string())
                    .collect();
                return Err(fault(Fault::IncludeLoop {
                    file: name,
                    chain: chain.join(" -> "),
                }));
            }
            if open_files().count() >= MAX_DEPTH {
                return Err(fault(Fault::IncludeDepth(MAX_DEPTH)));
            }
            match (self.around.files)(&path) {
                Ok(bytes) => return self.open(path, &bytes, place),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    reason.get_or_insert(error);
                }
                Err(error) => {
                    reason = Some(error);
                    break;
                }
            }
        }
        match reason {
            // What import_file names may be missing.
            Some(error) if is_import && error.kind() == io::ErrorKind::NotFound => Ok(()),
            error => Err(fault(Fault::Unreadable {
                file: name,
                reason: error.map_or_else(String::new, |error| error.to_string()),
            })),
        }
    }

    // === directives ===

    /// Carries out the directive at which the innermost file stands.
    fn obey(&mut self, directive: &'static str) -> Result<(), ReadError> {
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
                format!("#!{directive} is not computed here: write a #!define instead"),
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
                        "#!ifexp is not computed here, and taken as false: write #!ifdef instead",
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

// === impl Conditions ===

impl Conditions {
    fn hold(&self) -> bool {
        self.failing == 0
    }

    fn open(&mut self, holds: bool, place: Place) {
        self.failing += usize::from(!holds);
        self.open.push((holds, place));
    }

    /// `false`: none is open.
    fn reverse(&mut self) -> bool {
        let Some((holds, _)) = self.open.last_mut() else {
            return false;
        };
        if *holds {
            self.failing += 1;
        } else {
            self.failing -= 1;
        }
        *holds = !*holds;
        true
    }

    /// `false`: none is open.
    fn close(&mut self) -> bool {
        let Some((holds, _)) = self.open.pop() else {
            return false;
        };
        self.failing -= usize::from(!holds);
        true
    }
}

// === impl Source ===

impl Source {
    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|byte| !b" \t".contains(byte))
            .unwrap_or(rest.len());
    }

    /// Goes on behind `to`, counting lines.
    fn pass(&mut self, to: usize) {
        if self.define.is_none() {
            let lines = self.text[self.at..to]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            self.place.line = self
                .place
                .line
                .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        }
        self.at = to;
    }

    fn skip_comment(&mut self) -> Result<(), ReadError> {
        let body = self.at + 2;
        let Some(end) = self.text[body..].windows(2).position(|pair| pair == b"*/") else {
            return Err(ReadError {
                place: self.place.clone(),
                fault: Fault::OpenComment,
            });
        };
        self.pass(body + end + 2);
        Ok(())
    }

    /// `$name`, `$name(…)`, `$(…)`: what is in the parentheses follows other rules, quotes mean nothing there.
    fn skip_variable(&mut self) {
        self.at += 1;
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| is_word(*byte) || *byte == b'.')
        {
            self.at += 1;
        }
        if self.text.get(self.at) != Some(&b'(') {
            return;
        }
        let mut depth = 0usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\n' => return,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn word(&mut self) -> String {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|byte| is_word(*byte)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// A string, from its opening quote on. Within `'…'` nothing is special.
    fn string(&mut self, quote: u8) -> Result<String, ReadError> {
        let open = || ReadError {
            place: self.place.clone(),
            fault: Fault::OpenString(quote as char),
        };
        let mut out = Vec::new();
        let mut at = self.at + 1;
        loop {
            let byte = *self.text.get(at).ok_or_else(open)?;
            at += 1;
            if byte == quote {
                break;
            }
            if byte != b'\\' || quote == b'\'' {
                out.push(byte);
                continue;
            }
            let next = *self.text.get(at).ok_or_else(open)?;
            at += 1;
            match next {
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'a' => out.push(0x07),
                b'"' | b'\\' => out.push(next),
                b'\n' => {}
                b'\r' if self.text.get(at) == Some(&b'\n') => at += 1,
                b'x' => match number(&self.text[at..], 16, 1, 2) {
                    Some((value, length)) => {
                        out.push(value);
                        at += length;
                    }
                    None => out.extend_from_slice(b"\\x"),
                },
                b'0'..=b'7' => match number(&self.text[at - 1..], 8, 2, 3) {
                    Some((value, length)) => {
                        out.push(value);
                        at += length - 1;
                    }
                    None => out.extend_from_slice(&[b'\\', next]),
                },
                other => out.extend_from_slice(&[b'\\', other]),
            }
        }
        self.pass(at);
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// The rest of the line; a backslash at its end draws the next one in.
    fn logical_line(&mut self) -> String {
        let mut line = String::new();
        loop {
            let start = self.at;
            self.skip_line();
            let part = String::from_utf8_lossy(&self.text[start..self.at]);
            let part = part.strip_suffix('\r').unwrap_or(&part);
            match part.strip_suffix('\\') {
                Some(part) if self.at < self.text.len() => {
                    line.push_str(part);
                    self.pass(self.at + 1);
                }
                _ => {
                    line.push_str(part);
                    return line;
                }
            }
        }
    }

    /// Goes to the next directive that opens, turns or closes a condition.
    fn next_condition(&mut self) -> Option<&'static str> {
        const CONDITIONS: [&str; 5] = ["ifdef", "ifndef", "ifexp", "else", "endif"];
        let mut at = self.at;
        while at + 1 < self.text.len() {
            if self.text[at + 1] == b'!'
                && b"#!".contains(&self.text[at])
                && let Some(found) = directive(&self.text[at + 2..])
                && CONDITIONS.contains(&found)
            {
                self.pass(at);
                return Some(found);
            }
            at += 1;
        }
        self.pass(self.text.len());
        None
    }
}

/// The directive whose name stands here, after `#!` or `!!`.
fn directive(text: &[u8]) -> Option<&'static str> {
    const NAMES: [&str; 21] = [
        "define",
        "def",
        "trydefine",
        "trydef",
        "redefine",
        "redef",
        "defexp",
        "defexps",
        "defenv",
        "defenvs",
        "trydefenv",
        "trydefenvs",
        "subst",
        "substdef",
        "substdefs",
        "ifdef",
        "ifndef",
        "ifexp",
        "else",
        "endif",
        "include_file",
    ];
    let length = text
        .iter()
        .take(16)
        .position(|byte| !is_word(*byte))
        .unwrap_or(text.len().min(16));
    NAMES
        .into_iter()
        .chain(["import_file"])
        .find(|name| name.as_bytes() == &text[..length])
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A number of so many digits, and how many it has; only its last eight bits count.
fn number(text: &[u8], radix: u32, least: usize, most: usize) -> Option<(u8, usize)> {
    let digits: Vec<u32> = text
        .iter()
        .take(most)
        .map_while(|byte| (*byte as char).to_digit(radix))
        .collect();
    let value = digits.iter().fold(0, |value, digit| value * radix + digit);
    (digits.len() >= least).then_some(((value & 0xff) as u8, digits.len()))
}
