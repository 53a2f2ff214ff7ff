//! From bytes to tokens, the preprocessor's directives carried out on the way.

mod condition;
mod directive;
mod source;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Surroundings;
use crate::define::{Defines, IfTaken};
use crate::error::{Fault, ReadError};
use crate::settings::{Place, Problem};
use crate::substitute::Substitutions;
use condition::Conditions;
use source::{Source, directive, is_word};

/// Includes within includes; Kamailio's limit is 10.
const MAX_DEPTH: usize = 16;
/// All files together, and separately all expansions together, in MiB.
const MAX_TEXT_MIB: usize = 64;
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
        match self.conditions.innermost() {
            Some(place) => Err(ReadError {
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
}
