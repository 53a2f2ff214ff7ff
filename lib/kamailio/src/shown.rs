//! What a report shows of settings.

use crate::settings::{Parameter, Value};

/// Characters of a text that a report shows.
const MAX_SHOWN: usize = 60;

/// `module name = value`, without what may be secret.
pub(crate) fn shown(parameter: &Parameter) -> String {
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
pub(crate) fn shortened(text: &str) -> String {
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
