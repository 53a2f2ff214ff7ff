//! What no configuration should be: it gets a clear error with its place, or is passed over; never a panic, never more work
//! than its length warrants.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use kamailio::{ReadError, Settings, Surroundings, Translation, Value, read, translate};
use proptest::prelude::*;

/// Far more than 10 MB take even on a machine that does something else meanwhile, and far less than anything that grows
/// with the square of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

fn read_files(files: Files<'_>) -> Result<Settings, ReadError> {
    let files: BTreeMap<&Path, &[u8]> = files
        .iter()
        .map(|(name, text)| (Path::new(*name), *text))
        .collect();
    let mut give = |path: &Path| {
        let found = files.get(path).map(|text| text.to_vec());
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let mut around = Surroundings {
        files: &mut give,
        environment: &|_| None,
        defines: &[],
    };
    read(Path::new("k.cfg"), &mut around)
}

fn read_text(text: &[u8]) -> Result<Settings, ReadError> {
    read_files(&[("k.cfg", text)])
}

/// Reading and translating, against the clock.
fn in_time(text: &[u8]) -> Result<Translation, ReadError> {
    let begin = Instant::now();
    let result = read_text(text).map(|settings| translate(&settings));
    let took = begin.elapsed();
    assert!(took < PATIENCE, "{} bytes took {took:?}", text.len());
    result
}

#[test]
fn each_fault_has_its_place() {
    let long_chain: Vec<(String, Vec<u8>)> = (0..20)
        .map(|at| {
            let name = match at {
                0 => "k.cfg".to_owned(),
                at => format!("{at}.cfg"),
            };
            (
                name,
                format!("include_file \"{}.cfg\"\n", at + 1).into_bytes(),
            )
        })
        .collect();
    let long_chain: Vec<(&str, &[u8])> = long_chain
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_slice()))
        .collect();
    let table: &[(Files<'_>, &str)] = &[
        (&[], "k.cfg: cannot read k.cfg: "),
        (
            &[(
                "k.cfg",
                b"\n\nmodparam(\"presence\", \"db_url\", \"secret\n\n",
            )],
            "k.cfg:3: this string has no end: a \" is missing",
        ),
        (
            &[("k.cfg", b"\nloadmodule 'presence\\'\n'")],
            "k.cfg:3: this string has no end: a ' is missing",
        ),
        (
            &[("k.cfg", b"a\n/* b\n/* c\n")],
            "k.cfg:2: this comment has no end",
        ),
        (&[("k.cfg", b"/*/")], "k.cfg:1: this comment has no end"),
        (
            &[("k.cfg", b"\n#!ifdef A\n#!else\n")],
            "k.cfg:2: this #!ifdef, #!ifndef or #!ifexp has no #!endif",
        ),
        (
            &[("k.cfg", b"\n\ninclude_file \"gone.cfg\"\n")],
            "k.cfg:3: cannot read gone.cfg: ",
        ),
        (
            &[("k.cfg", b"include_file gone.cfg\n")],
            "k.cfg:1: include_file needs a file name in quotes",
        ),
        (
            &[
                ("k.cfg", b"\ninclude_file \"a.cfg\""),
                ("a.cfg", b"\n\nimport_file \"k.cfg\""),
            ],
            "a.cfg:3: k.cfg includes itself: k.cfg -> a.cfg -> k.cfg",
        ),
        (
            &[("k.cfg", b"include_file \"b.cfg\""), ("b.cfg", b"\n\"open")],
            "b.cfg:2: this string has no end",
        ),
        (&long_chain, "15.cfg:1: includes are nested deeper than 16"),
        (
            &[("k.cfg", b"#!subst \"/a/b\"")],
            "k.cfg:1: #!subst: a third '/' is missing",
        ),
        (
            &[("k.cfg", b"\n#!substdef \"!(!b!\"")],
            "k.cfg:2: #!substdef: the text between",
        ),
        (
            &[("k.cfg", b"#!substdefs X")],
            "k.cfg:1: #!substdefs: needs a text in quotes",
        ),
    ];
    for (files, wanted) in table {
        let error = read_files(files).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}\nnot: {wanted}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn defines_that_multiply_are_stopped() {
    // Each doubles the one before: 2^40 words.
    let mut text = String::from("#!define A0 x\n");
    for at in 1..40 {
        let before = at - 1;
        text.push_str(&format!("#!define A{at} A{before} A{before}\n"));
    }
    text.push_str("A39\n");
    let error = in_time(text.as_bytes()).unwrap_err().to_string();
    assert!(
        error.starts_with("k.cfg:41: the defines used here expand to more than"),
        "{error}"
    );
}

#[test]
fn ten_megabytes_of_anything_are_read_in_time() {
    const SIZE: usize = 10 << 20;
    let repeated = |part: &str| part.repeat(SIZE / part.len()).into_bytes();
    for part in [
        "modparam(\"presence\", \"max_expires\", 600)\n",
        "listen=udp:10.0.0.1:5060\n",
        "#!ifdef A\n#!endif\n",
        "#!ifndef A\n",
        "#!ifdef A\n",
        "#!else\n",
        "#!define A B\n",
        "/**/",
        "$(a(",
        "\"a\" ",
        "{",
        "loadmodule \"a\"\n",
        "modparam(\"p.*\", \"a\", 1)\n",
        "modparam(\"presence\", \"a\n\", \"",
        "\\\n",
        "#!subst \"/a/aa/g\"\n",
        "include_file \"k.cfg\"\n",
        "import_file \"none.cfg\"\n",
        "alias=a ",
        "a|",
        "\u{0}",
        "ä",
    ] {
        let _ = in_time(&repeated(part));
    }
    // Values that many rules rewrite, and names that many modules answer to.
    let mut text = "#!subst \"/q/qq/g\"\n".repeat(400);
    text.push_str(&"modparam(\"presence\", \"xavp_cfg\", \"p\")\n".repeat(20_000));
    let _ = in_time(text.as_bytes());
    let modules = "a|".repeat(SIZE / 4) + "b";
    let text = format!(
        "modparam(\"{modules}\", \"c\", \"{}\")",
        "d".repeat(SIZE / 2)
    );
    let _ = in_time(text.as_bytes());
}

#[test]
fn what_is_not_understood_is_said_with_its_place() {
    let settings = read_text(
        b"modparam(\"presence\", 1, 2)\nmodparam()\nmodparam(\"presence\", \"a\", \"b\"\nmodparam(\"presence\", \"c\", 3)",
    )
    .unwrap();
    let lines: Vec<u32> = settings
        .problems
        .iter()
        .map(|problem| problem.place.line)
        .collect();
    assert_eq!(lines, [1, 2, 3], "{:?}", settings.problems);
    assert_eq!(settings.parameters.len(), 1);
    assert_eq!(settings.parameters[0].value, Value::Number(3));
}

/// Bits of the language in any order: more likely to reach the corners than random bytes.
fn bits() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "modparam",
        "modparamx",
        "loadmodule",
        "listen=",
        "alias=",
        "port=",
        "socket={",
        "(",
        ")",
        ",",
        "\"presence\"",
        "\"presence_xml|tm\"",
        "'max_expires'",
        "\"db_url\"",
        "\"postgres://u:p@h/d\"",
        "600",
        "-1",
        "0x",
        "yes",
        "udp:",
        "[::1]",
        ":5060",
        "10.0.0.1",
        "advertise",
        "{",
        "}",
        "\n",
        " ",
        "\\",
        "\"",
        "'",
        "$",
        "$(",
        "$def(A)",
        "/*",
        "*/",
        "//",
        "#",
        "#!define A ",
        "#!define A A A",
        "A",
        "#!ifdef A\n",
        "#!ifndef B\n",
        "#!else\n",
        "#!endif\n",
        "#!ifexp 1\n",
        "!!trydef B \\\n",
        "#!redef A \"x\"\n",
        "#!subst \"/a/\\1b/g\"\n",
        "#!substdef \"!A!1!g\"\n",
        "#!substdefs \"!C!$env(X)!\"\n",
        "include_file \"k.cfg\"\n",
        "import_file \"none\"\n",
        "#!defenv E\n",
        "é",
        "\u{0}",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn nothing_makes_it_panic(text in prop_oneof![bits(), prop::collection::vec(any::<u8>(), 0..300)]) {
        if let Ok(settings) = read_text(&text) {
            let lines = u32::try_from(text.iter().filter(|byte| **byte == b'\n').count()).unwrap() + 1;
            for parameter in &settings.parameters {
                prop_assert!((1..=lines).contains(&parameter.place.line));
            }
            let Translation { toml, report } = translate(&settings);
            prop_assert!(!toml.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(!report.to_string().chars().any(|c| c.is_control() && c != '\n'));
        }
    }

    #[test]
    fn what_is_written_is_read_back(value in "[ -~]{0,40}", number in any::<i32>(), lines in 0u32..20) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(
            "{}modparam(\"presence\", \"a\", \"{escaped}\")\nmodparam(\"presence\", \"b\", {number})",
            "\n".repeat(lines as usize)
        );
        let settings = read_text(text.as_bytes()).unwrap();
        prop_assert_eq!(&settings.problems, &[]);
        prop_assert_eq!(&settings.parameters[0].value, &Value::Text(value));
        prop_assert_eq!(settings.parameters[0].place.line, lines + 1);
        prop_assert_eq!(&settings.parameters[1].value, &Value::Number(number.into()));
    }
}
