//! Views as one line of text, for column `watchers.view`: whoever renders needs neither the rules nor their reader.
//!
//! Words with one blank between them, in a fixed order, so that equal views are equal texts:
//! `services services:class=friend persons activities user-input=bare unknown=foo,urn:x`. `all` and `nothing` stand alone.
//!
//! What rules select by hundreds of words is not text that an index takes: `nothing` then, which shows less than the rules allow, and
//! never more.

use std::collections::BTreeSet;

use super::view::{Attribute, Attributes, Selection, Selector, UserInput, View};

const ALL: &str = "all";
const NOTHING: &str = "nothing";
const LEVELS: [(UserInput, &str); 3] = [
    (UserInput::Bare, "bare"),
    (UserInput::Thresholds, "thresholds"),
    (UserInput::Full, "full"),
];

impl View {
    /// The text of the view; equal for equal views. `nothing` for one that is too long to be stored.
    pub fn encode(&self) -> String {
        if self.is_everything() {
            return ALL.to_owned();
        }
        let mut words = Vec::new();
        for (name, selection) in [
            ("services", &self.services),
            ("persons", &self.persons),
            ("devices", &self.devices),
        ] {
            match selection {
                Selection::All => words.push(name.to_owned()),
                Selection::Only(selectors) => words.extend(selectors.iter().map(|selector| {
                    let (kind, value) = parts(selector);
                    format!("{name}:{kind}={}", escape(value))
                })),
            }
        }
        match &self.attributes {
            Attributes::All => words.push("attributes".to_owned()),
            Attributes::Only {
                known,
                user_input,
                unknown,
            } => {
                for (attribute, name) in Attribute::NAMES {
                    if known.contains(&attribute) {
                        words.push(name.to_owned());
                    }
                }
                if let Some((_, level)) = LEVELS.iter().find(|(level, _)| level == user_input) {
                    words.push(format!("user-input={level}"));
                }
                words.extend(unknown.iter().map(|(namespace, name)| {
                    format!("unknown={},{}", escape(name), escape(namespace))
                }));
            }
        }
        if words.is_empty() {
            return NOTHING.to_owned();
        }
        let text = words.join(" ");
        match sip::bound::VIEW.check(&text) {
            Ok(()) => text,
            Err(_) => NOTHING.to_owned(),
        }
    }

    /// The view of a text; nothing if any of it is not understood. Show nothing then.
    pub fn decode(text: &str) -> Option<Self> {
        match text {
            ALL => return Some(Self::everything()),
            NOTHING => return Some(Self::nothing()),
            _ => {}
        }
        let mut view = Self::nothing();
        for word in text.split(' ') {
            let part = decode_selection(word).or_else(|| decode_attribute(word))?;
            view.join(&part);
        }
        Some(view)
    }
}

fn decode_selection(word: &str) -> Option<View> {
    let (name, selector) = match word.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (word, None),
    };
    let selection = match selector {
        None => Selection::All,
        Some(selector) => {
            let (kind, value) = selector.split_once('=')?;
            Selection::Only(BTreeSet::from([selector_of(kind, unescape(value)?)?]))
        }
    };
    let mut view = View::nothing();
    match name {
        "services" => view.services = selection,
        "persons" => view.persons = selection,
        "devices" => view.devices = selection,
        _ => return None,
    }
    Some(view)
}

fn decode_attribute(word: &str) -> Option<View> {
    let mut view = View::nothing();
    let (mut known, mut user_input, mut unknown) =
        (BTreeSet::new(), UserInput::False, BTreeSet::new());
    match word.split_once('=') {
        None if word == "attributes" => {
            view.attributes = Attributes::All;
            return Some(view);
        }
        None => {
            known.insert(Attribute::named(word)?);
        }
        Some(("user-input", level)) => {
            user_input = LEVELS.iter().find(|(_, name)| *name == level)?.0;
        }
        Some(("unknown", value)) => {
            let (name, namespace) = value.split_once(',')?;
            unknown.insert((unescape(namespace)?, unescape(name)?));
        }
        Some(_) => return None,
    }
    view.attributes = Attributes::Only {
        known,
        user_input,
        unknown,
    };
    Some(view)
}

fn parts(selector: &Selector) -> (&'static str, &str) {
    match selector {
        Selector::Class(value) => ("class", value),
        Selector::OccurrenceId(value) => ("id", value),
        Selector::ServiceUri(value) => ("uri", value),
        Selector::ServiceUriScheme(value) => ("scheme", value),
        Selector::ServiceId(value) => ("service-id", value),
        Selector::DeviceId(value) => ("device", value),
    }
}

fn selector_of(kind: &str, value: String) -> Option<Selector> {
    Some(match kind {
        "class" => Selector::Class(value),
        "id" => Selector::OccurrenceId(value),
        "uri" => Selector::ServiceUri(value),
        "scheme" => Selector::ServiceUriScheme(value),
        "service-id" => Selector::ServiceId(value),
        "device" => Selector::DeviceId(value),
        _ => return None,
    })
}

/// Percent signs, commas, blanks and controls are written as their code in hexadecimal.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || c.is_whitespace() || c == '%' || c == ',' {
            out.push_str(&format!("%{:x};", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_once(';')?;
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        out.push_str(rest);
    }
    Some(out)
}
