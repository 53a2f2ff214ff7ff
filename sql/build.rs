//! Makes Rust of `statements/`: of each file a struct with a field for each of its parameters, and the text that PostgreSQL gets, which
//! has `$1`, `$2` … where the file has `:name`, and a text of `fragments/` where it has `{{area.name}}`. What was made is in
//! `statements.rs` and beside it in Cargo's output folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Fails the build, and says which file is wrong.
type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    println!("cargo:rerun-if-changed=statements");
    println!("cargo:rerun-if-changed=fragments");
    let output = PathBuf::from(env::var("OUT_DIR")?);
    let fragments = read_all(Path::new("fragments"))?;
    let mut rust = String::from("// Made of sql/statements by sql/build.rs.\n");
    let mut list = String::new();
    for (area, files) in read_all(Path::new("statements"))? {
        fs::create_dir_all(output.join(&area))?;
        writeln!(rust, "\npub(crate) mod {area} {{\n    use super::*;")?;
        for (object, text) in files {
            let made = with_fragments(&text, &fragments).and_then(|text| {
                let statement = Statement::read(&area, &object, &text)?;
                let text = statement.text_for_postgresql()?;
                fs::write(output.join(&area).join(format!("{object}.sql")), text)?;
                statement.rust()
            });
            rust.push_str(&made.map_err(|fault| format!("{area}/{object}.sql: {fault}"))?);
            writeln!(list, "    <{area}::{} as Call>::STATEMENT,", camel(&object))?;
        }
        rust.push_str("}\n");
    }
    write!(
        rust,
        "\n/// All statements.\npub static STATEMENTS: &[&Statement] = &[\n{list}];\n"
    )?;
    fs::write(output.join("statements.rs"), rust)?;
    Ok(())
}

/// Texts by area and by object.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

fn read_all(folder: &Path) -> Result<Texts, Fault> {
    let mut areas = Texts::new();
    for area in fs::read_dir(folder)? {
        let area = area?.path();
        for file in fs::read_dir(&area)? {
            let file = file?.path();
            let text = fs::read_to_string(&file)?;
            let of_area = areas.entry(stem(&area)?).or_default();
            of_area.insert(stem(&file)?, text);
        }
    }
    Ok(areas)
}

fn stem(path: &Path) -> Result<String, Fault> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    Ok(stem.ok_or(format!("{}: no name", path.display()))?.into())
}

/// A text with fragments in place of their names, each without its header, and as far to the right as the name.
fn with_fragments(text: &str, fragments: &Texts) -> Result<String, Fault> {
    let mut whole = String::new();
    for line in text.lines() {
        let Some((before, rest)) = line.split_once("{{") else {
            whole.push_str(line);
            whole.push('\n');
            continue;
        };
        let (name, after) = rest.split_once("}}").ok_or("{{ without }}")?;
        let found = name
            .split_once('.')
            .and_then(|(area, object)| fragments.get(area)?.get(object));
        let fragment = found.ok_or(format!("there is no fragment {name}"))?;
        let sql = fragment.lines().filter(|line| !line.starts_with("--"));
        let indent = before.len() - before.trim_start().len();
        let next_line = format!("\n{:indent$}", "");
        let sql = sql.collect::<Vec<_>>().join(&next_line);
        writeln!(whole, "{before}{sql}{after}")?;
    }
    Ok(whole)
}

/// A file of `statements/`.
struct Statement<'a> {
    area: &'a str,
    object: &'a str,
    text: &'a str,
    /// What the header declares, in the order of `$1`, `$2` …
    parameters: Vec<Parameter<'a>>,
}

struct Parameter<'a> {
    name: &'a str,
    /// As PostgreSQL calls it: `int8[]`.
    kind: &'a str,
    /// What stands in brackets, with a space before it.
    remark: &'a str,
}

/// How the line of the header begins that declares parameters.
const PARAMETERS: &str = "-- Parameters: ";

// === impl Statement ===

impl<'a> Statement<'a> {
    fn read(area: &'a str, object: &'a str, text: &'a str) -> Result<Statement<'a>, Fault> {
        let list = text.lines().find_map(|line| line.strip_prefix(PARAMETERS));
        let list = list.ok_or("the header declares no parameters")?;
        let mut parameters: Vec<Parameter<'_>> = Vec::new();
        for declared in list.split(" | ").filter(|_| list != "none") {
            let (name, kind) = declared.split_once(' ').ok_or("a parameter has no type")?;
            let (kind, remark) = kind.split_at(kind.find(' ').unwrap_or(kind.len()));
            if parameters.iter().any(|before| before.name == name) {
                return Err(format!("{name} is declared twice").into());
            }
            parameters.push(Parameter { name, kind, remark });
        }
        Ok(Statement {
            area,
            object,
            text,
            parameters,
        })
    }

    /// With numbers for the names, and a header that explains them.
    fn text_for_postgresql(&self) -> Result<String, Fault> {
        let mut text = String::new();
        for line in self.text.lines() {
            if line.starts_with(PARAMETERS) {
                text.push_str(&self.numbered_header());
            } else if line.starts_with("--") {
                text.push_str(line);
            } else {
                for (index, part) in line.split('\'').enumerate() {
                    text.push_str(if index > 0 { "'" } else { "" });
                    match index % 2 {
                        0 => self.number(part, &mut text)?,
                        _quoted => text.push_str(part),
                    }
                }
            }
            text.push('\n');
        }
        Ok(text)
    }

    fn numbered_header(&self) -> String {
        let numbers = 1..;
        let numbered = numbers.zip(&self.parameters).map(|(number, parameter)| {
            let Parameter { name, kind, remark } = parameter;
            format!("${number} {name} {kind}{remark}")
        });
        let list = numbered.collect::<Vec<_>>().join(" | ");
        match list.is_empty() {
            true => format!("{PARAMETERS}none"),
            false => format!("{PARAMETERS}{list}"),
        }
    }

    /// Copies SQL that has nothing quoted in it: a name after a colon becomes a number, one after two colons is a type.
    fn number(&self, sql: &str, text: &mut String) -> Result<(), Fault> {
        if sql.contains('$') {
            return Err(format!("a parameter without a name: {sql}").into());
        }
        let mut parts = sql.split(':');
        text.push_str(parts.next().unwrap_or_default());
        let mut is_type = false;
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, rest) = part.split_at(end.unwrap_or(part.len()));
            if is_type || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
                write!(text, ":{part}")?;
            } else {
                let index = self.parameters.iter().position(|it| it.name == name);
                let index = index.ok_or(format!("{name} is not declared"))?;
                write!(text, "${}{rest}", index + 1)?;
            }
            is_type = part.is_empty() && !is_type;
        }
        Ok(())
    }

    /// The struct of the parameters, which is a call of the statement.
    fn rust(&self) -> Result<String, Fault> {
        let Statement { area, object, .. } = self;
        let call = camel(object);
        let (mut fields, mut declared, mut values) = <(String, String, String)>::default();
        for Parameter { name, kind, remark } in &self.parameters {
            writeln!(fields, "        /// `{kind}`{remark}")?;
            let rust_kind = rust_kind(kind)?;
            writeln!(
                fields,
                "        pub(crate) {name}: &'a dyn Value<{rust_kind}>,"
            )?;
            writeln!(declared, "                ({name:?}, {kind:?}),")?;
            writeln!(values, "                self.{name},")?;
        }
        let (generic, given, body) = match fields.is_empty() {
            true => ("", "", ";".to_owned()),
            false => ("<'a>", "<'_>", format!(" {{\n{fields}    }}")),
        };
        Ok(format!(
            r#"
    /// `sql/statements/{area}/{object}.sql`
    pub(crate) struct {call}{generic}{body}

    impl Call for {call}{given} {{
        const STATEMENT: &'static Statement = &Statement {{
            name: "{area}.{object}",
            text: include_str!(concat!(env!("OUT_DIR"), "/{area}/{object}.sql")),
            parameters: &[
{declared}            ],
        }};

        fn values(&self) -> impl AsRef<[Parameter<'_>]> + Send {{
            let values: [Parameter<'_>; {count}] = [
{values}            ];
            values
        }}
    }}
"#,
            count = self.parameters.len()
        ))
    }
}

/// What a value must be in Rust (`sql/src/statement.rs`).
fn rust_kind(kind: &str) -> Result<String, Fault> {
    if let Some(element) = kind.strip_suffix("[]") {
        return Ok(format!("Array<{}>", rust_kind(element)?));
    }
    let kind = match kind {
        "text" => "str",
        "bytea" => "[u8]",
        "bool" => "bool",
        "int2" => "i16",
        "int4" => "i32",
        "int8" => "i64",
        "float8" => "f64",
        "timestamptz" => "SystemTime",
        _ => return Err(format!("no value in Rust is known for {kind}").into()),
    };
    Ok(kind.to_owned())
}

/// `create_batch` as a type: `CreateBatch`.
fn camel(object: &str) -> String {
    let words = object.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}
