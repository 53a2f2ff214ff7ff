//! From Kamailio's settings to our configuration.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::database;
use crate::report::{Entry, Report, SettingOutcome};
use crate::route;
use crate::settings::{Listening, Parameter, Place, Protocol, Settings, Value};
use crate::table::{self, Fate, Form};
use crate::toml::{self, Line, Literal};

/// Characters of a text that a report shows.
const MAX_SHOWN: usize = 60;
const SIP_PORT: u16 = 5060;
const MAX_EXPIRES_DEFAULT: i64 = 3600;

/// Our configuration, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// The TOML file.
    pub toml: String,
    /// What became of each setting.
    pub report: Report,
}

/// Says in our TOML what can be said in it, and reports the rest.
pub fn translate(settings: &Settings) -> Translation {
    let mut translator = Translator::default();
    translator.problems(settings);
    translator.modules(settings);
    translator.parameters(settings);
    translator.agree();
    translator.confirm(settings);
    translator.listen(settings);
    translator.contact();
    translator.routes(settings);
    translator.finish(settings)
}

#[derive(Default)]
struct Translator {
    lines: Vec<(Line, Place)>,
    entries: Vec<Entry>,
    foreign_parameters: usize,
    foreign_modules: BTreeSet<String>,
}

impl Translator {
    fn say(
        &mut self,
        outcome: SettingOutcome,
        place: Option<&Place>,
        subject: &str,
        sentence: &str,
    ) {
        self.entries.push(Entry {
            place: place.cloned(),
            subject: subject.to_owned(),
            outcome,
            sentence: sentence.to_owned(),
        });
    }

    fn problems(&mut self, settings: &Settings) {
        for problem in &settings.problems {
            self.say(
                SettingOutcome::Wrong,
                Some(&problem.place),
                "",
                &problem.message,
            );
        }
    }

    /// Kamailio adds the transport of the request to `server_address`; here it is used as it is written.
    fn contact(&mut self) {
        let is_tcp = |(address, _): &(String, String)| {
            address.starts_with("tcp:") && !address.contains(" advertise ")
        };
        let takes_tcp = self.lines.iter().any(|(line, _)| match &line.value {
            Literal::List(addresses) if line.key == "server.listen" => addresses.iter().any(is_tcp),
            _ => false,
        });
        let found = self
            .lines
            .iter()
            .find_map(|(line, place)| match &line.value {
                Literal::Text(uri) if line.key == "presence.server_address" => {
                    Some((uri.to_ascii_lowercase(), place.clone()))
                }
                _ => None,
            });
        let Some((uri, place)) = found else { return };
        if takes_tcp && !uri.starts_with("sips:") && !uri.contains(";transport=") {
            let sentence = "is used as it is written, where Kamailio adds the transport of the request: phones on TCP would send their \
                            refreshes by UDP; write the URI behind the TCP listener instead (`advertise`), or ;transport=tcp";
            self.say(
                SettingOutcome::Note,
                Some(&place),
                "presence server_address",
                sentence,
            );
        }
    }

    fn routes(&mut self, settings: &Settings) {
        for found in &settings.routes {
            let subject = shortened(&route::subject(found));
            let sentence = route::sentence(found);
            self.say(
                SettingOutcome::Route,
                Some(&found.place),
                &subject,
                &sentence,
            );
        }
    }

    fn modules(&mut self, settings: &Settings) {
        if !settings.modules.iter().any(|module| module == "presence") {
            let hint = "the module presence is not loaded: if an #!ifdef hides it, give --define NAME, as with kamailio -A";
            self.say(SettingOutcome::Note, None, "", hint);
        }
    }

    // === parameters ===

    fn parameters(&mut self, settings: &Settings) {
        let named = settings.parameters.iter().enumerate();
        let last: HashMap<(&str, &str), usize> = named
            .map(|(at, parameter)| ((parameter.module.as_str(), parameter.name.as_str()), at))
            .collect();
        for (at, parameter) in settings.parameters.iter().enumerate() {
            let Parameter { module, name, .. } = parameter;
            let Some(fate) = table::fate(module, name) else {
                self.foreign_parameters += 1;
                self.foreign_modules.insert(module.clone());
                continue;
            };
            let Some(fate) = fate else {
                let sentence = format!("the module {module} has no such parameter");
                self.say(
                    SettingOutcome::Wrong,
                    Some(&parameter.place),
                    &shown(parameter),
                    &sentence,
                );
                continue;
            };
            let later = last.get(&(module.as_str(), name.as_str())).copied();
            match later.filter(|later| *later != at) {
                Some(later) => {
                    let later = &settings.parameters[later].place;
                    let sentence = format!("set again at {later}; that value counts");
                    self.say(
                        SettingOutcome::Note,
                        Some(&parameter.place),
                        &shown(parameter),
                        &sentence,
                    );
                }
                None => self.parameter(parameter, fate),
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter, fate: Fate) {
        let subject = shown(parameter);
        let place = Some(&parameter.place);
        if let Some((min, max)) = table::range(&parameter.module, &parameter.name)
            && let Err(reason) = literal(&parameter.value, Form::Number(min, max))
        {
            return self.say(SettingOutcome::Wrong, place, &subject, &reason);
        }
        match fate {
            Fate::Becomes(key, form) => self.becomes(parameter, key, form),
            Fate::Beware(key, form, value, sentence) => {
                self.becomes(parameter, key, form);
                if parameter.value.number() == Some(value) {
                    self.say(SettingOutcome::Note, place, &subject, sentence);
                }
            }
            Fate::NotYet(sentence) => self.say(SettingOutcome::NotYet, place, &subject, sentence),
            Fate::NoMeaning(sentence) => {
                self.say(SettingOutcome::NoMeaning, place, &subject, sentence)
            }
            Fate::Always(value, sentence) => {
                let sentence = if parameter.value.text() == value {
                    format!("always so here: {sentence}")
                } else {
                    sentence.to_owned()
                };
                self.say(SettingOutcome::NoMeaning, place, &subject, &sentence);
            }
        }
    }

    fn becomes(&mut self, parameter: &Parameter, key: &'static str, form: Form) {
        let subject = shown(parameter);
        match literal(&parameter.value, form) {
            Ok(value) => {
                let mut comments = vec![parameter.place.to_string()];
                if form == Form::Database {
                    comments.push(
                        "Kamailio's own database has tables of the same names: create another one, and change this."
                            .to_owned(),
                    );
                    self.say(
                        SettingOutcome::Note,
                        Some(&parameter.place),
                        &subject,
                        "this is Kamailio's own database, whose tables have the same names as ours: create another \
                         database, and write its URL; `pgpresence import --from` copies the rows",
                    );
                }
                self.say(SettingOutcome::Taken, Some(&parameter.place), &subject, key);
                let line = Line {
                    key,
                    value,
                    comments,
                };
                self.lines.push((line, parameter.place.clone()));
            }
            Err(reason) => self.say(
                SettingOutcome::Wrong,
                Some(&parameter.place),
                &subject,
                &reason,
            ),
        }
    }

    /// What Kamailio puts right by itself, and what our configuration would refuse.
    fn agree(&mut self) {
        let number = |lines: &[(Line, Place)], wanted: &str| {
            lines
                .iter()
                .enumerate()
                .find_map(|(at, (line, _))| match line.value {
                    Literal::Number(number) if line.key == wanted => Some((at, number)),
                    _ => None,
                })
        };
        let max = number(&self.lines, "presence.max_expires")
            .map_or(MAX_EXPIRES_DEFAULT, |(_, number)| number);
        if let Some((at, min)) = number(&self.lines, "presence.min_expires")
            && min > max
        {
            self.lines[at].0.value = Literal::Number(max);
            let place = self.lines[at].1.clone();
            let sentence = format!("is above max_expires, so {max} was written, as Kamailio does");
            let subject = format!("presence min_expires = {min}");
            self.say(SettingOutcome::Note, Some(&place), &subject, &sentence);
        }
        if let Some((at, offset)) = number(&self.lines, "presence.expires_offset")
            && offset >= max
        {
            let (_, place) = self.lines.remove(at);
            self.entries.retain(|entry| {
                entry.outcome != SettingOutcome::Taken
                    || entry.sentence != "presence.expires_offset"
            });
            let sentence = format!("must stay below max_expires ({max}): no time would be left");
            let subject = format!("presence expires_offset = {offset}");
            self.say(SettingOutcome::Wrong, Some(&place), &subject, &sentence);
        }
    }

    /// Kamailio's presence_xml leaves watchers pending without rules, unless force_active is set.
    fn confirm(&mut self, settings: &Settings) {
        let is_loaded = settings
            .modules
            .iter()
            .any(|module| module == "presence_xml");
        let forced = self
            .lines
            .iter()
            .find(|(line, _)| line.key == "presence.force_active");
        if !is_loaded || forced.is_some_and(|(line, _)| line.value == Literal::Number(1)) {
            return;
        }
        let place = forced.map_or_else(
            || Place {
                file: settings.files.first().cloned().unwrap_or_else(|| "".into()),
                line: 0,
            },
            |(_, place)| place.clone(),
        );
        let sentence = "watchers of a presentity without rules are pending, as in Kamailio: presence.default_policy = \"confirm\"; \
                        here the default would allow them";
        self.say(
            SettingOutcome::Note,
            Some(&place),
            "presence_xml force_active = 0",
            sentence,
        );
        let line = Line {
            key: "presence.default_policy",
            value: Literal::Text("confirm".to_owned()),
            comments: vec!["As Kamailio without force_active.".to_owned()],
        };
        self.lines.push((line, place));
    }

    // === addresses ===

    fn listen(&mut self, settings: &Settings) {
        let port = settings.port.as_ref().map_or(SIP_PORT, |(port, _)| *port);
        let port = if port == 0 { SIP_PORT } else { port };
        let mut addresses: Vec<(String, String)> = Vec::new();
        let mut known = BTreeSet::new();
        for listening in &settings.listen {
            for address in self.addresses(listening, port) {
                if known.insert(address.clone()) {
                    addresses.push((address, listening.place.to_string()));
                }
            }
        }
        if settings.listen.is_empty() {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            let why = "no listen: Kamailio takes all addresses";
            addresses.extend(["udp", "tcp"].map(|word| (format!("{word}:{any}"), why.to_owned())));
            let sentence = format!(
                "there is no listen line: as Kamailio does, all IPv4 addresses are taken, port {port}"
            );
            self.say(SettingOutcome::Note, None, "", &sentence);
        } else if addresses.is_empty() {
            let sentence = "no listen line could be converted: server.listen stays at 127.0.0.1";
            self.say(SettingOutcome::Note, None, "", sentence);
        }
        for (alias, place) in &settings.aliases {
            let subject = format!("alias = {}", shortened(alias));
            let sentence =
                "requests for any domain are answered here: the edge decides which ones come";
            self.say(SettingOutcome::NoMeaning, Some(place), &subject, sentence);
        }
        if addresses.is_empty() {
            return;
        }
        let place = settings
            .listen
            .first()
            .map(|listening| listening.place.clone())
            .or_else(|| settings.port.as_ref().map(|(_, place)| place.clone()));
        let line = Line {
            key: "server.listen",
            value: Literal::List(addresses),
            comments: Vec::new(),
        };
        let place = place.unwrap_or_else(|| Place {
            file: settings.files.first().cloned().unwrap_or_else(|| "".into()),
            line: 0,
        });
        self.lines.insert(0, (line, place));
    }

    /// The addresses of one `listen`, as our configuration writes them.
    fn addresses(&mut self, listening: &Listening, port: u16) -> Vec<String> {
        let place = Some(&listening.place);
        let subject = format!("listen {}", shortened(&listening.host));
        let words: &[&str] = match listening.protocol {
            None => &["udp", "tcp"],
            Some(Protocol::Udp) => &["udp"],
            Some(Protocol::Tcp) => &["tcp"],
            Some(Protocol::Tls | Protocol::WebSocket) => {
                let sentence = "TLS and WebSocket are not supported yet: let the edge handle them";
                self.say(SettingOutcome::NotYet, place, &subject, sentence);
                return Vec::new();
            }
            Some(Protocol::Sctp) => {
                let sentence = "SCTP is not supported: let the edge handle it";
                self.say(SettingOutcome::NoMeaning, place, &subject, sentence);
                return Vec::new();
            }
        };
        let host = match listening.host.as_str() {
            "*" => Ok(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            host => host.parse::<IpAddr>(),
        };
        let Ok(host) = host else {
            let sentence = "is an interface or a name: write its address into server.listen";
            self.say(SettingOutcome::Wrong, place, &subject, sentence);
            return Vec::new();
        };
        let port = listening.port.filter(|port| *port != 0).unwrap_or(port);
        let address = SocketAddr::new(host, port);
        self.say(
            SettingOutcome::Taken,
            place,
            &format!("listen {address}"),
            "server.listen",
        );
        let mut advertise = String::new();
        if let Some(advertised) = &listening.advertised {
            let of_address = |c: char| c.is_ascii_alphanumeric() || ".:[]-".contains(c);
            if !advertised.is_empty()
                && advertised.len() < 256
                && advertised.chars().all(of_address)
            {
                advertise = format!(" advertise sip:{advertised}");
            } else {
                let sentence = format!(
                    "advertise {} is not an address: write the address for phones' refreshes behind the listener in server.listen",
                    shortened(advertised)
                );
                self.say(SettingOutcome::Wrong, place, &subject, &sentence);
            }
        }
        words
            .iter()
            .map(|word| format!("{word}:{address}{advertise}"))
            .collect()
    }

    fn finish(mut self, settings: &Settings) -> Translation {
        self.lines
            .sort_by_key(|(line, _)| (line.key != "server.listen", table::order(line.key)));
        self.entries.sort_by_key(|entry| entry.outcome);
        let name = settings.files.first().map_or("", |name| name);
        let header = [
            format!(
                "Made from {name} by `pgpresence config import`. The comment above each key says where it comes from."
            ),
            "Keys that are missing here have their defaults: see docs/CONFIGURATION.md.".to_owned(),
        ];
        let lines: Vec<Line> = self.lines.into_iter().map(|(line, _)| line).collect();
        Translation {
            toml: toml::write(&header, &lines),
            report: Report {
                entries: self.entries,
                foreign_parameters: self.foreign_parameters,
                foreign_modules: self.foreign_modules.len(),
            },
        }
    }
}

/// The value as our configuration takes it, or what is wrong with it.
fn literal(value: &Value, form: Form) -> Result<Literal, String> {
    let number = |min: i64, max: i64| match value.number() {
        Some(number) if (min..=max).contains(&number) => Ok(Literal::Number(number)),
        Some(_) => Err(format!("must be {min} to {max}")),
        None => Err("must be a number".to_owned()),
    };
    let text = value.text();
    match form {
        Form::Number(min, max) => number(min, max),
        Form::Flag => number(0, 1).map_err(|_| "must be 0 or 1".to_owned()),
        Form::Text => Ok(Literal::Text(text)),
        Form::Xavp => fitting(
            text,
            is_xavp_name,
            "must be a name of letters, digits and _ that is not a Lua keyword",
        ),
        Form::Element => fitting(
            text,
            is_element_name,
            "must be the name of an element, without prefix",
        ),
        Form::Reason => fitting(
            text,
            is_reason,
            "must be a reason, optionally with parameters, such as probation;retry-after=30",
        ),
        Form::Columns => columns(text),
        Form::Table => table_name(text),
        Form::Facility => facility(&text),
        Form::Database => database::translate(&text).map(Literal::Text),
        Form::SipUri => {
            let clean = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
            };
            let host = text
                .strip_prefix("sip:")
                .or_else(|| text.strip_prefix("sips:"));
            match host {
                Some(host) if clean(host) => Ok(Literal::Text(text)),
                _ => Err("must be a SIP URI, such as sip:10.0.0.1:5060".to_owned()),
            }
        }
    }
}

fn fitting(text: String, fits: fn(&str) -> bool, wanted: &str) -> Result<Literal, String> {
    match fits(&text) {
        true => Ok(Literal::Text(text)),
        false => Err(wanted.to_owned()),
    }
}

/// What a script can write as `xavp.<name>`.
fn is_xavp_name(text: &str) -> bool {
    const LUA: [&str; 22] = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if",
        "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
    ];
    let of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !LUA.contains(&text)
        && text.bytes().all(of_word)
}

/// The local name of an element.
fn is_element_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// RFC 6665 section 8.4.
fn is_reason(text: &str) -> bool {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(of_token);
    let mut parts = text.split(';');
    parts.next().is_some_and(is_token)
        && parts.all(|parameter| {
            parameter
                .split_once('=')
                .is_some_and(|(name, value)| is_token(name) && is_token(value))
        })
}

/// What our `retrieve_order_by` takes; Kamailio pastes any text into its SQL.
fn columns(text: String) -> Result<Literal, String> {
    const KNOWN: [&str; 6] = [
        "priority",
        "received_time",
        "expires",
        "id",
        "etag",
        "sender",
    ];
    let fits = |part: &str| {
        let lower = part.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        matches!(words.as_slice(), [column] | [column, "asc" | "desc"] if KNOWN.contains(column))
    };
    match text.split(',').all(fits) {
        true => Ok(Literal::Text(text)),
        false => Err(format!(
            "must be columns, each of {}, with asc or desc, separated by commas",
            KNOWN.join(", ")
        )),
    }
}

/// Kamailio writes the name into its SQL as it is, where PostgreSQL reads it in lower case.
fn table_name(text: String) -> Result<Literal, String> {
    let is_identifier = |part: &str| {
        let of_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        part.len() <= 63
            && part.bytes().next().is_some_and(of_word)
            && part
                .bytes()
                .all(|byte| of_word(byte) || byte.is_ascii_digit())
    };
    let parts: Vec<&str> = text.split('.').collect();
    match parts.len() <= 2 && parts.into_iter().all(is_identifier) {
        true => Ok(Literal::Text(text.to_ascii_lowercase())),
        false => Err("must be the name of a table, or of a schema and a table".to_owned()),
    }
}

/// syslog(3)'s names.
fn facility(text: &str) -> Result<Literal, String> {
    const NAMES: [&str; 12] = [
        "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON",
        "AUTHPRIV", "FTP",
    ];
    let name = text.strip_prefix("LOG_").unwrap_or_default();
    let is_local = || {
        name.strip_prefix("LOCAL")
            .is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'7']))
    };
    match NAMES.contains(&name) || is_local() {
        true => Ok(Literal::Text(text.to_owned())),
        false => Err(
            "must be a facility, LOG_LOCAL0 to LOG_LOCAL7 or another one of syslog(3)".to_owned(),
        ),
    }
}

/// `module name = value`, without what may be secret.
fn shown(parameter: &Parameter) -> String {
    let Parameter {
        module,
        name,
        value,
        ..
    } = parameter;
    let (module, name) = (shortened(module), shortened(name));
    match value {
        Value::Number(number) => format!("{module} {name} = {number}"),
        Value::Text(text) if text.contains("://") || name.contains("url") => {
            format!("{module} {name}")
        }
        Value::Text(text) => format!("{module} {name} = \"{}\"", shortened(text)),
    }
}

/// On one line, and not for ever.
fn shortened(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
