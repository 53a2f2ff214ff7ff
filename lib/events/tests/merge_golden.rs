//! Merges of presence documents, compared octet by octet with files that a person has read.
//!
//! A folder of `golden/` is one case: `presentity`, the publications newest first as `<place>-<row id>.xml`, and
//! `expected`. A deliberate change is written down with `BLESS=1 cargo nextest run -p events` and read in the diff.

use std::fs;
use std::path::Path;

use events::PublishedBody;
use events::document::pidf;

#[test]
fn merges_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut different = Vec::new();
    for case in &cases {
        let rendered = render(case);
        roxmltree::Document::parse(&rendered).unwrap();
        let expected = case.join("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &rendered).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != rendered {
            different.push(format!("{}:\n{rendered}", case.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn render(case: &Path) -> String {
    let presentity = fs::read_to_string(case.join("presentity")).unwrap();
    let mut rows: Vec<(u32, i64, Vec<u8>)> = Vec::new();
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            let (place, id) = path
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .split_once('-')
                .unwrap();
            rows.push((
                place.parse().unwrap(),
                id.parse().unwrap(),
                fs::read(&path).unwrap(),
            ));
        }
    }
    rows.sort();
    let bodies: Vec<_> = rows
        .iter()
        .map(|(_, id, body)| PublishedBody {
            id: *id,
            content_type: pidf::CONTENT_TYPE,
            body,
        })
        .collect();
    let document = pidf::merge(presentity.trim_end(), &bodies);
    assert_eq!(document.content_type, "application/pidf+xml");
    String::from_utf8(document.body.to_vec()).unwrap()
}
