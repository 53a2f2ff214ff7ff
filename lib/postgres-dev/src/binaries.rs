//! Where the installed PostgreSQL is, and what it brings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// The oldest major version that the schema works with.
const OLDEST_MAJOR: u32 = 15;

/// The folder that holds `initdb`, `postgres`, `psql`: `$PG_BIN_DIR`, else the newest of what packages of the usual systems
/// install, else what `pg_config` or the PATH name.
pub fn find_binaries() -> Result<PathBuf, Error> {
    let asked = ask_shell("printf %s \"$PG_BIN_DIR\"");
    if let Some(dir) = asked.filter(|dir| !dir.as_os_str().is_empty()) {
        // Named on purpose: no silent fall-back to another version.
        return if is_complete(&dir) {
            Ok(dir)
        } else {
            Err(Error::NotInstalled)
        };
    }
    let mut found: Vec<(u32, PathBuf)> = packaged_folders()
        .into_iter()
        .chain(ask_shell("pg_config --bindir"))
        .chain(ask_shell("command -v initdb").and_then(|path| path.parent().map(Path::to_owned)))
        // A folder of links to some of the programs stands for the folder with all of them.
        .filter_map(|dir| {
            fs::canonicalize(dir.join("initdb"))
                .ok()?
                .parent()
                .map(Path::to_owned)
        })
        .filter(|dir| is_complete(dir))
        .filter_map(|dir| Some((major_version(&dir)?.parse().ok()?, dir)))
        .filter(|(major, _)| *major >= OLDEST_MAJOR)
        .collect();
    found.sort();
    found.pop().map(|(_, dir)| dir).ok_or(Error::NotInstalled)
}

/// The major version of the binaries in `dir`, as `PG_VERSION` of their clusters says it: "15".
pub(crate) fn major_version(dir: &Path) -> Option<String> {
    let output = Command::new(dir.join("postgres"))
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    // "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)", "postgres (PostgreSQL) 18beta1"
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split("(PostgreSQL) ").nth(1)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

/// Whether this PostgreSQL has the library `name` to be preloaded (the contrib modules are a package of their own on
/// some systems).
pub(crate) fn has_library(dir: &Path, name: &str) -> bool {
    let pkglibdir = Command::new(dir.join("pg_config"))
        .arg("--pkglibdir")
        .stderr(Stdio::null())
        .output()
        .ok()
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    [
        "../lib",
        "../lib/postgresql",
        "../lib64",
        "../lib64/pgsql",
        "../lib/pgsql",
    ]
    .iter()
    .map(|relative| dir.join(relative))
    .chain(pkglibdir)
    .any(|lib| {
        ["so", "dylib"]
            .iter()
            .any(|ext| lib.join(format!("{name}.{ext}")).exists())
    })
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "postgres", "psql", "createdb", "dropdb"]
        .iter()
        .all(|program| dir.join(program).exists())
}

/// `/usr/lib/postgresql/15/bin` and its like.
fn packaged_folders() -> Vec<PathBuf> {
    let parents = [
        ("/usr/lib/postgresql", "bin"), // Debian, Ubuntu
        ("/usr/libexec", "."),          // Alpine: /usr/libexec/postgresql17
        ("/usr", "bin"),                // PGDG rpm: /usr/pgsql-17/bin
        ("/opt/homebrew/opt", "bin"),   // Homebrew on ARM: postgresql@17
        ("/usr/local/opt", "bin"),      // Homebrew on Intel
        ("/Library/PostgreSQL", "bin"), // EnterpriseDB on macOS
        ("/usr/local/lib/postgresql", "bin"),
    ];
    parents
        .iter()
        .flat_map(|(parent, bin)| {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            entries.map(move |entry| entry.path().join(bin))
        })
        .collect()
}

/// The shell knows the environment and the PATH; this crate stays free of both.
fn ask_shell(script: &str) -> Option<PathBuf> {
    let output = Command::new("sh")
        .args(["-c", script])
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_found_binaries_are_new_enough() {
        let dir = find_binaries().unwrap();
        assert!(major_version(&dir).unwrap().parse::<u32>().unwrap() >= OLDEST_MAJOR);
    }

    #[test]
    fn a_missing_server_is_explained() {
        let text = Error::NotInstalled.to_string();
        for hint in [
            "apt-get install postgresql",
            "dnf install",
            "brew install",
            "--database-url",
        ] {
            assert!(text.contains(hint), "{hint} is missing in: {text}");
        }
    }
}
