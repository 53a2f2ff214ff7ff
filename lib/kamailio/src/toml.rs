//! Our TOML, key by key, each with the place that it comes from.

use std::fmt::Write;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `section.key`.
    pub(crate) key: &'static str,
    pub(crate) value: Literal,
    /// The comment above it, one line each.
    pub(crate) comments: Vec<String>,
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    Number(i64),
    Text(String),
    /// Texts, each with a comment.
    List(Vec<(String, String)>),
}

/// The file: sections in the order in which they first come, `header` as a comment above all.
pub(crate) fn write(header: &[String], lines: &[Line]) -> String {
    let mut out = String::new();
    comment(&mut out, header);
    let section = |line: &Line| line.key.split('.').next().unwrap_or_default();
    let mut sections: Vec<&str> = Vec::new();
    for line in lines {
        if !sections.contains(&section(line)) {
            sections.push(section(line));
        }
    }
    for name in sections {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n[{name}]\n");
        for line in lines.iter().filter(|line| section(line) == name) {
            comment(&mut out, &line.comments);
            let key = &line.key[name.len() + 1..];
            let _ = match &line.value {
                Literal::Number(number) => writeln!(out, "{key} = {number}"),
                Literal::Text(text) => writeln!(out, "{key} = {}", quoted(text)),
                Literal::List(texts) => {
                    let _ = writeln!(out, "{key} = [");
                    for (text, note) in texts {
                        let _ = writeln!(out, "    {}, # {}", quoted(text), clean(note));
                    }
                    writeln!(out, "]")
                }
            };
        }
    }
    out
}

fn comment(out: &mut String, lines: &[String]) {
    for line in lines {
        out.push_str("# ");
        out.push_str(&clean(line));
        out.push('\n');
    }
}

/// No control characters: TOML forbids them in comments, and a line break would end one.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::{Line, Literal, write};

    #[test]
    fn texts_and_comments_cannot_break_out() {
        let text = write(
            &["a\nb = 1".to_owned()],
            &[Line {
                key: "s.k",
                value: Literal::Text("x\"\\\n\u{1}y".to_owned()),
                comments: vec!["c\r\nd".to_owned()],
            }],
        );
        assert_eq!(
            text,
            "# a b = 1\n\n[s]\n# c  d\nk = \"x\\\"\\\\\\n\\u0001y\"\n"
        );
    }
}
