//! From tokens to settings: `loadmodule`, `modparam`, `listen`, `alias`, `port`; all else is passed over.

use std::collections::BTreeSet;
use std::path::Path;

use regex::bytes::{Regex, RegexBuilder};

use crate::Surroundings;
use crate::error::ReadError;
use crate::listen;
use crate::scan::{Kind, Scanner, Token};
use crate::script_route;
use crate::settings::{Parameter, Place, Route, Settings, Value};
use crate::table;

/// The size of the expression that names modules, in bytes once compiled.
const MAX_REGEX: usize = 64 * 1024;

/// Modules that one `modparam` may name, and modules that may be loaded; Kamailio has some 250.
const MAX_MODULES: usize = 512;

/// Routing blocks that are named, and the length of such a name.
const MAX_ROUTES: usize = 1000;
const MAX_NAME: usize = 256;

/// The parser, one token ahead.
pub(crate) struct Parser<'a, 'b> {
    scanner: Scanner<'a, 'b>,
    ahead: Option<Token>,
    /// Open braces: within them is a routing block.
    depth: usize,
    settings: Settings,
    loaded: BTreeSet<String>,
}

/// What stands between the parentheses of a `modparam`.
enum Parts {
    Whole {
        modules: String,
        name: String,
        value: Value,
    },
    WithoutValue,
    NotUnderstood,
}

impl<'a, 'b> Parser<'a, 'b> {
    pub(crate) fn start(
        file: &Path,
        around: &'a mut Surroundings<'b>,
    ) -> Result<Parser<'a, 'b>, ReadError> {
        Ok(Parser {
            scanner: Scanner::start(file, around)?,
            ahead: None,
            depth: 0,
            settings: Settings {
                files: Vec::new(),
                modules: Vec::new(),
                parameters: Vec::new(),
                listen: Vec::new(),
                aliases: Vec::new(),
                routes: Vec::new(),
                port: None,
                problems: Vec::new(),
            },
            loaded: BTreeSet::new(),
        })
    }

    pub(crate) fn run(mut self) -> Result<Settings, ReadError> {
        while let Some(token) = self.take()? {
            match &token.kind {
                Kind::Mark(b'{') => self.depth += 1,
                Kind::Mark(b'}') => self.depth = self.depth.saturating_sub(1),
                Kind::Word(word) if self.depth == 0 => self.statement(word, &token.place)?,
                Kind::Word(word) if script_route::FUNCTIONS.contains(&word.as_str()) => {
                    if let Some(route) = self.settings.routes.last_mut() {
                        route.calls.insert(word.clone());
                    }
                }
                _ => {}
            }
        }
        self.settings.files = std::mem::take(&mut self.scanner.files);
        self.settings.problems.append(&mut self.scanner.problems);
        Ok(self.settings)
    }

    fn statement(&mut self, word: &str, place: &Place) -> Result<(), ReadError> {
        match word {
            "loadmodule" => self.load_module(place),
            "loadmodulex" => self.load_module(place),
            "modparam" | "modparamx" => self.parameter(word, place),
            "listen" | "alias" | "port" if self.next_is(b'=')? => {
                self.take()?;
                match word {
                    "port" => self.port(place),
                    _ => self.addresses(word),
                }
            }
            "socket" if self.next_is(b'=')? => self.socket(),
            kind if script_route::KINDS.contains(&kind) => self.route(kind, place),
            _ => Ok(()),
        }
    }

    // === modules and their parameters ===

    fn load_module(&mut self, place: &Place) -> Result<(), ReadError> {
        let parenthesis = self.accept(b'(')?;
        let Some(Value::Text(path)) = self.value(place)? else {
            self.scanner
                .problem(place, "loadmodule needs a name in quotes");
            return Ok(());
        };
        if parenthesis {
            self.accept(b')')?;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".so").unwrap_or(name).to_owned();
        if self.loaded.len() == MAX_MODULES && !self.loaded.contains(&name) {
            let message = format!("more than {MAX_MODULES} modules: this one is skipped");
            self.scanner.problem(place, message);
        } else if self.loaded.insert(name.clone()) {
            self.scanner.module_loaded(&name);
            self.settings.modules.push(name);
        }
        Ok(())
    }

    /// `modparam("module|other", "name", value)`.
    fn parameter(&mut self, word: &str, place: &Place) -> Result<(), ReadError> {
        let (modules, name, value) = match self.parameter_parts(word, place)? {
            Parts::Whole {
                modules,
                name,
                value,
            } => (modules, name, value),
            Parts::WithoutValue => return Ok(()),
            Parts::NotUnderstood => {
                let message = format!(
                    "this {word} is not understood: write {word}(\"module\", \"name\", value)"
                );
                self.scanner.problem(place, message);
                return Ok(());
            }
        };
        let Some(modules) = self.matching(&modules) else {
            self.scanner.problem(
                place,
                format!("{word}: its first text is neither a module name nor a regular expression"),
            );
            return Ok(());
        };
        for module in modules {
            self.settings.parameters.push(Parameter {
                module,
                name: name.clone(),
                value: value.clone(),
                place: place.clone(),
            });
        }
        Ok(())
    }

    fn parameter_parts(&mut self, word: &str, place: &Place) -> Result<Parts, ReadError> {
        if !self.accept(b'(')? {
            return Ok(Parts::NotUnderstood);
        }
        let Some(Value::Text(modules)) = self.value(place)? else {
            return Ok(Parts::NotUnderstood);
        };
        if !self.accept(b',')? {
            return Ok(Parts::NotUnderstood);
        }
        let Some(Value::Text(name)) = self.value(place)? else {
            return Ok(Parts::NotUnderstood);
        };
        if !self.accept(b',')? {
            return Ok(Parts::NotUnderstood);
        }
        let Some(mut value) = self.value(place)? else {
            return Ok(Parts::NotUnderstood);
        };
        if !self.accept(b')')? {
            return Ok(Parts::NotUnderstood);
        }
        if word == "modparamx"
            && let Value::Text(text) = &value
        {
            // What has no value was reported; half of a value is none.
            let Some(text) = self.scanner.evaluated(text, place) else {
                return Ok(Parts::WithoutValue);
            };
            value = Value::Text(text);
        }
        Ok(Parts::Whole {
            modules,
            name,
            value,
        })
    }

    /// The modules that a `modparam` is for. Kamailio takes the text as an extended regular expression over the whole
    /// name, upper and lower case alike, and asks the loaded modules; a plain name stands for itself here in any case.
    fn matching(&self, text: &str) -> Option<BTreeSet<String>> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if text.split('|').take(MAX_MODULES).all(is_name) {
            if text.split('|').count() > MAX_MODULES {
                return None;
            }
            return Some(text.split('|').map(str::to_ascii_lowercase).collect());
        }
        let expression: Regex = RegexBuilder::new(&format!("^({text})$"))
            .unicode(false)
            .case_insensitive(true)
            .size_limit(MAX_REGEX)
            .build()
            .ok()?;
        let known = table::modules().map(str::to_owned);
        let candidates = self.loaded.iter().cloned().chain(known);
        Some(
            candidates
                .filter(|name| expression.is_match(name.as_bytes()))
                .collect(),
        )
    }

    /// A number or a string; `None` is anything else.
    fn value(&mut self, place: &Place) -> Result<Option<Value>, ReadError> {
        let negative = self.accept(b'-')?;
        let Some(token) = self.peek()? else {
            return Ok(None);
        };
        match &token.kind {
            Kind::Word(word) => {
                let Some(number) = number(word) else {
                    let message = format!(
                        "{word} is neither a number nor a string in quotes, and not defined"
                    );
                    self.scanner.problem(place, message);
                    return Ok(None);
                };
                self.take()?;
                Ok(Some(Value::Number(if negative { -number } else { number })))
            }
            Kind::Text(_) if !negative => {
                let mut joined = String::new();
                while let Some(Token {
                    kind: Kind::Text(part),
                    ..
                }) = self.peek()?
                {
                    joined.push_str(part);
                    self.take()?;
                }
                Ok(Some(Value::Text(self.scanner.substituted(joined, place))))
            }
            _ => Ok(None),
        }
    }

    // === addresses ===

    /// `listen=udp:10.0.0.1:5060 advertise 192.0.2.1:5060`, and what else stands on that line; the same for `alias`.
    fn addresses(&mut self, word: &str) -> Result<(), ReadError> {
        let Some((mut text, place)) = self.glued()? else {
            return Ok(());
        };
        let mut word = word.to_owned();
        loop {
            let mut advertised = None;
            // What follows on the same line, up to the next address.
            let mut next = None;
            while let Some(token) = self.peek()? {
                if token.place != place || matches!(token.kind, Kind::Mark(b';')) {
                    break;
                }
                let Some((found, _)) = self.glued()? else {
                    break;
                };
                match found.as_str() {
                    "advertise" => advertised = self.glued()?.map(|(text, _)| text),
                    "name" | "agname" => {
                        self.glued()?;
                    }
                    "virtual" => {}
                    _ => {
                        next = Some(found);
                        break;
                    }
                }
            }
            self.address(&word, &text, advertised, &place);
            let Some(found) = next else {
                return Ok(());
            };
            text = found;
            // Another statement on the same line.
            if self.accept(b'=')? {
                word = std::mem::take(&mut text);
                match (word.as_str(), self.glued()?) {
                    ("listen" | "alias", Some((found, _))) => text = found,
                    _ => return Ok(()),
                }
            }
        }
    }

    fn address(&mut self, word: &str, text: &str, advertised: Option<String>, place: &Place) {
        let text = self.scanner.substituted(text.to_owned(), place);
        if word == "alias" {
            self.settings.aliases.push((text, place.clone()));
            return;
        }
        match listen::parse(&text) {
            Ok((protocol, host, port)) => self.settings.listen.push(crate::Listening {
                protocol,
                host,
                port,
                advertised,
                place: place.clone(),
            }),
            Err(message) => self.scanner.problem(place, message),
        }
    }

    /// `socket = { bind = udp:10.0.0.1:5060; advertise = …; }`
    fn socket(&mut self) -> Result<(), ReadError> {
        self.take()?;
        if !self.accept(b'{')? {
            return Ok(());
        }
        let (mut bind, mut advertised) = (None, None);
        while let Some(token) = self.take()? {
            match token.kind {
                Kind::Mark(b'}') => break,
                Kind::Word(key) if self.next_is(b'=')? => {
                    self.take()?;
                    let value = self.glued()?;
                    match key.as_str() {
                        "bind" => bind = value,
                        "advertise" => advertised = value.map(|(text, _)| text),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        if let Some((text, place)) = bind {
            self.address("listen", &text, advertised, &place);
        }
        Ok(())
    }

    /// `event_route[presence:notify-reply] {`; what is in the block is passed over.
    fn route(&mut self, kind: &str, place: &Place) -> Result<(), ReadError> {
        let mut name = String::new();
        if self.accept(b'[')? {
            while let Some(token) = self.take()? {
                match token.kind {
                    Kind::Mark(b']') => break,
                    Kind::Word(part) | Kind::Text(part) => name.push_str(&part),
                    Kind::Mark(mark) => name.push(char::from(mark)),
                    Kind::Variable => {}
                }
                if name.len() > MAX_NAME {
                    break;
                }
            }
        }
        if !self.next_is(b'{')? {
            return Ok(());
        }
        if self.settings.routes.len() == MAX_ROUTES {
            let message =
                format!("more than {MAX_ROUTES} routing blocks: the others are not named");
            self.scanner.problem(place, message);
        }
        if self.settings.routes.len() <= MAX_ROUTES {
            self.settings.routes.push(Route {
                kind: kind.to_owned(),
                name,
                calls: BTreeSet::new(),
                place: place.clone(),
            });
        }
        Ok(())
    }

    fn port(&mut self, place: &Place) -> Result<(), ReadError> {
        let value = self.value(place)?.and_then(|value| value.number());
        match value.and_then(|number| u16::try_from(number).ok()) {
            Some(port) => self.settings.port = Some((port, place.clone())),
            None => self.scanner.problem(place, "port must be 0 to 65535"),
        }
        Ok(())
    }

    /// Words, marks and strings that stand together without white space, as one text; a colon binds in any case.
    fn glued(&mut self) -> Result<Option<(String, Place)>, ReadError> {
        let mut text = String::new();
        let mut start: Option<Place> = None;
        while let Some(token) = self.peek()? {
            let binds = start.is_none()
                || !token.apart
                || text.ends_with(':')
                || (token.kind == Kind::Mark(b':') && start.as_ref() == Some(&token.place));
            let part = match &token.kind {
                _ if !binds => break,
                Kind::Word(word) => word.clone(),
                Kind::Text(part) => part.clone(),
                Kind::Mark(mark) if b".:[]-*/(),".contains(mark) => (*mark as char).to_string(),
                Kind::Mark(_) | Kind::Variable => break,
            };
            start.get_or_insert_with(|| token.place.clone());
            text.push_str(&part);
            self.take()?;
        }
        Ok(start.map(|place| (text, place)))
    }

    // === tokens ===

    fn peek(&mut self) -> Result<Option<&Token>, ReadError> {
        if self.ahead.is_none() {
            self.ahead = self.scanner.next()?;
        }
        Ok(self.ahead.as_ref())
    }

    fn take(&mut self) -> Result<Option<Token>, ReadError> {
        match self.ahead.take() {
            Some(token) => Ok(Some(token)),
            None => self.scanner.next(),
        }
    }

    fn next_is(&mut self, mark: u8) -> Result<bool, ReadError> {
        Ok(self
            .peek()?
            .is_some_and(|token| token.kind == Kind::Mark(mark)))
    }

    fn accept(&mut self, mark: u8) -> Result<bool, ReadError> {
        let found = self.next_is(mark)?;
        if found {
            self.take()?;
        }
        Ok(found)
    }
}

/// A number as Kamailio writes it: decimal, 0x…, 0b…, 0…, yes and no.
fn number(word: &str) -> Option<i64> {
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "yes" | "true" | "on" | "enable" => return Some(1),
        "no" | "false" | "off" | "disable" => return Some(0),
        _ => {}
    }
    let in_radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    if let Some(digits) = lower.strip_prefix("0x") {
        return in_radix(digits, 16);
    }
    if let Some(digits) = lower.strip_prefix("0b") {
        return in_radix(digits, 2);
    }
    if !lower.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match lower.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => in_radix(digits, 8),
        _ => lower.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_many_forms() {
        for (text, value) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("0x10", Some(16)),
            ("017", Some(15)),
            ("0b101", Some(5)),
            ("yes", Some(1)),
            ("off", Some(0)),
            ("09", None),
            ("1h", None),
            ("maybe", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
