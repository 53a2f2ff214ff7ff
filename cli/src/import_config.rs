//! `config import`: our configuration from Kamailio's.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use kamailio::{SettingOutcome, Surroundings, Translation};
use node::Config;

use crate::arguments::ConfigImportArgs;
use crate::{complain, remark};

/// More of a file than the reader accepts need not be read: it may be a device.
const MAX_FILE: u64 = 65 << 20;

pub(crate) fn run(args: &ConfigImportArgs) -> anyhow::Result<ExitCode> {
    let mut around = Surroundings {
        files: &mut read,
        environment: &|name| std::env::var(name).ok(),
        defines: &args.define,
    };
    let settings = match kamailio::read(&args.file, &mut around) {
        Ok(settings) => settings,
        Err(error) => {
            complain(error);
            return Ok(ExitCode::from(2));
        }
    };
    let Translation { toml, report } = kamailio::translate(&settings);
    // Each value was checked when it was translated. Our own reader has the last word all the same.
    Config::from_toml(&toml).context("the result is not a valid configuration")?;
    match &args.output {
        Some(file) => {
            write(file, &toml).with_context(|| format!("cannot write {}", file.display()))?
        }
        None => {
            io::stdout().lock().write_all(toml.as_bytes())?;
        }
    }
    for line in report.to_string().lines() {
        remark(line);
    }
    let left_out = [
        SettingOutcome::Wrong,
        SettingOutcome::NotYet,
        SettingOutcome::NoMeaning,
        SettingOutcome::Route,
    ]
    .map(|outcome| report.count(outcome))
    .iter()
    .sum::<usize>();
    remark(format_args!(
        "{} converted, {left_out} left out",
        report.count(SettingOutcome::Taken)
    ));
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file may hold a password: a new one is for its owner only.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
