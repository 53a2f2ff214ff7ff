//! `config check` and `config show`.

use std::process::ExitCode;

use node::{ConfigError, Fault, Origin};

use crate::configuration::{Role, load};
use crate::settings::Settings;
use crate::{remark, say};

/// `config check`: all that is wrong, the script included; what is odd beside it.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    let about_script = |message: String| Fault {
        origin: Origin::Default,
        path: "script.file".to_owned(),
        message,
    };
    let script = match server::read_script(&config) {
        Ok(script) => script,
        Err(error) => {
            return Err(ConfigError::Faults(vec![about_script(error.to_string())]).into());
        }
    };
    config.remarks.iter().for_each(remark);
    let unused = script.iter().flat_map(|script| script.unused());
    for sentence in unused {
        remark(about_script(sentence.clone()));
    }
    say("the configuration is valid");
    Ok(ExitCode::SUCCESS)
}

/// `config show`: what is in force.
pub(crate) fn show(settings: &Settings) -> anyhow::Result<ExitCode> {
    say(load(settings, Role::Other)?.to_toml().trim_end());
    Ok(ExitCode::SUCCESS)
}
