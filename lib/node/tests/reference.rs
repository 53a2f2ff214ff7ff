//! `docs/CONFIGURATION.md` and `config/pgpresence.toml` are made from the doc comments of `src/config.rs`; and what those
//! say of defaults and ranges is true.
//!
//! `PGPRESENCE_BLESS=1 cargo test -p node --test suite reference` writes both files anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use node::Config;
use toml::{Table, Value};

const SOURCE: &str = concat!(
    include_str!("../src/config.rs"),
    include_str!("../src/config/outbound.rs"),
    include_str!("../src/config/package.rs")
);

struct Section {
    name: String,
    doc: String,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    text: String,
    unit: String,
    default: String,
    range: String,
}

/// Reads the structs `XxxConfig` and the comments of their fields.
fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in SOURCE.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if let Some(name) = line
            .strip_prefix("pub struct ")
            .and_then(|rest| rest.strip_suffix("Config {"))
        {
            let (name, doc) = (snake_case(name), comment.join(" "));
            inside = !name.is_empty();
            if inside {
                sections.push(Section {
                    name,
                    doc,
                    keys: Vec::new(),
                });
            }
            comment.clear();
        } else if let Some((name, _)) = line
            .strip_prefix("pub ")
            .and_then(|rest| rest.split_once(": "))
            && inside
        {
            let key = key(name, &comment);
            sections.last_mut().unwrap().keys.push(key);
            comment.clear();
        } else if !line.starts_with("#[") {
            inside &= line != "}";
            comment.clear();
        }
    }
    sections
}

/// `MessageSummary` is the section `message_summary`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn key(name: &str, comment: &[&str]) -> Key {
    let facts_at = comment
        .iter()
        .position(|line| line.starts_with("Unit: "))
        .unwrap_or_else(|| panic!("{name}: no Unit"));
    let facts = comment[facts_at..].join(" ");
    let (unit, rest) = facts
        .strip_prefix("Unit: ")
        .unwrap()
        .split_once(". Default: ")
        .expect("a default");
    let (default, range) = rest.split_once(". Range: ").expect("a range");
    Key {
        name: name.to_owned(),
        text: comment[..facts_at].join(" ").trim().to_owned(),
        unit: unit.to_owned(),
        default: default.trim_matches('`').to_owned(),
        range: range.trim_end_matches('.').to_owned(),
    }
}

fn reference_page(sections: &[Section]) -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Made from the comments in lib/node/src/config.rs: `./dev verify` writes it anew. -->\n\n\
         One TOML file for all processes (`--config FILE`; [config/pgpresence.toml](../config/pgpresence.toml) is one with\n\
         every key at its default). The environment overrides it: `PGPRESENCE_SECTION__KEY`, such as\n\
         `PGPRESENCE_PRESENCE__MAX_EXPIRES=600`. The command line overrides both: `--set presence.max_expires=600`.\n\
         `--database-url` stands for `presence.db_url`, `--listen` for `server.listen`.\n\n\
         `pgpresence config check` reports everything that is wrong, with its place, and exits with 2.\n\
         `pgpresence config show` prints what is in force. Flags are 0 or 1; `true` and `false` are understood as well.\n",
    );
    for section in sections {
        let doc = section
            .doc
            .split_once(": ")
            .map_or(section.doc.as_str(), |(_, doc)| doc);
        write!(page, "\n## `[{}]`\n\n{}\n", section.name, upper_first(doc)).unwrap();
        for key in &section.keys {
            write!(
                page,
                "\n### `{}`\n\n{}\n\n",
                key.name,
                wrap(&key.text, "", 100)
            )
            .unwrap();
            writeln!(page, "| unit | default | range |\n|---|---|---|").unwrap();
            let default = key.default.replace('|', "\\|");
            writeln!(page, "| {} | `{default}` | {} |", key.unit, key.range).unwrap();
        }
    }
    page
}

fn sample_file(sections: &[Section]) -> String {
    let mut file = String::from(
        "# pgpresence: every key, at its default. docs/CONFIGURATION.md is the reference.\n\
         # Made from the comments in lib/node/src/config.rs: `./dev verify` writes it anew.\n",
    );
    for section in sections {
        write!(file, "\n[{}]\n", section.name).unwrap();
        for key in &section.keys {
            let facts =
                format!("{} Unit: {}. Range: {}.", key.text, key.unit, key.range).replace('`', "");
            write!(
                file,
                "\n{}\n{} = {}\n",
                wrap(&facts, "# ", 100),
                key.name,
                key.default
            )
            .unwrap();
        }
    }
    file
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn wrap(text: &str, prefix: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().unwrap();
        if !last.is_empty() && prefix.len() + last.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    lines
        .iter()
        .map(|line| format!("{prefix}{line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn check_file(path: &str, expected: &str) {
    let file = repository().join(path);
    if std::env::var_os("PGPRESENCE_BLESS").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{path} is not what the comments in lib/node/src/config.rs say; ./dev verify writes it anew"
    );
}

#[test]
fn the_reference_page_is_up_to_date() {
    check_file("docs/CONFIGURATION.md", &reference_page(&sections()));
}

#[test]
fn the_sample_file_is_up_to_date_and_holds_the_defaults() {
    check_file("config/pgpresence.toml", &sample_file(&sections()));
    let config = Config::load(
        Some(&repository().join("config/pgpresence.toml")),
        std::iter::empty(),
        &[],
    )
    .unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn every_key_is_documented_with_its_true_default() {
    let defaults: Table = Config::default().to_toml().parse().unwrap();
    let sections = sections();
    let documented: Vec<String> = sections
        .iter()
        .map(|section| section.name.clone())
        .collect();
    let mut known: Vec<String> = defaults.keys().cloned().collect();
    known.sort();
    assert_eq!(
        {
            let mut sorted = documented.clone();
            sorted.sort();
            sorted
        },
        known
    );
    for section in &sections {
        let values = defaults[&section.name].as_table().unwrap();
        assert_eq!(values.len(), section.keys.len(), "[{}]", section.name);
        for key in &section.keys {
            let said: Table = format!("value = {}", key.default).parse().unwrap();
            assert_eq!(
                said["value"], values[&key.name],
                "{}.{}",
                section.name, key.name
            );
            assert!(
                key.text.len() > 20,
                "{}.{} wants a sentence",
                section.name,
                key.name
            );
        }
    }
}

#[test]
fn the_stated_ranges_are_those_of_the_types() {
    let mut checked = 0;
    for section in sections() {
        for key in section.keys {
            let Some((low, high)) = key
                .range
                .split_once(" to ")
                .or_else(|| key.range.split_once(" or "))
            else {
                continue;
            };
            let (Ok(low), Ok(high)) = (low.parse::<i64>(), high.parse::<i64>()) else {
                continue;
            };
            let path = format!("{}.{}", section.name, key.name);
            for (value, allowed) in [
                (low - 1, false),
                (low, true),
                (high, true),
                (high + 1, false),
            ] {
                let result = Config::load(
                    None,
                    std::iter::empty(),
                    &[(path.clone(), value.to_string())],
                );
                // Keys that must agree with one another say so in other words.
                let refused = result.is_err_and(|error| error.to_string().contains(": must be "));
                assert_eq!(!refused, allowed, "{path} = {value}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} ranges were understood");
}

#[test]
fn the_guides_parameters_are_all_there() {
    let presence = Config::default().to_toml().parse::<Table>().unwrap()["presence"].clone();
    let guide = [
        ("clean_period", 100),
        ("cseq_offset", 0),
        ("waitn_time", 5),
        ("notifier_poll_rate", 10),
        ("notifier_processes", 1),
        ("force_delete", 0),
        ("expires_offset", 0),
        ("max_expires", 3600),
        ("min_expires", 0),
        ("min_expires_action", 1),
        ("send_fast_notify", 1),
        ("timeout_rm_subs", 1),
        ("fetch_rows", 500),
        ("sip_uri_match", 0),
    ];
    for (name, default) in guide {
        assert_eq!(presence[name], Value::Integer(default), "{name}");
    }
    assert_eq!(
        (
            presence["db_url"].as_str(),
            presence["server_address"].as_str()
        ),
        (Some(""), Some(""))
    );
}
