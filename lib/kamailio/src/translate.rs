//! From Kamailio's settings to our configuration.

mod addresses;

use std::collections::{BTreeSet, HashMap};

use crate::literal::literal;
use crate::report::{Entry, Report, SettingOutcome};
use crate::script_route;
use crate::settings::{Parameter, Place, Settings};
use crate::shown::{shortened, shown};
use crate::table::{self, Fate, Form};
use crate::toml::{self, Line, Literal};

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
            let subject = shortened(&script_route::subject(found));
            let sentence = script_route::sentence(found);
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
