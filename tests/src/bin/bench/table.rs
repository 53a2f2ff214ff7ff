//! The table, as text.

/// A workload's part of the table.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
    /// What the judge says of our runs.
    pub(crate) judge: String,
    /// Server and notifier, in MB.
    pub(crate) memory: String,
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) figure: String,
    pub(crate) measured: String,
    pub(crate) target: String,
    /// Ratios to PostgreSQL's own limit.
    pub(crate) of_limit: String,
    /// Whether the target is met; `None` where there is nothing to say.
    pub(crate) met: Option<bool>,
    /// A cell for each of the peers.
    pub(crate) peers: Vec<String>,
}

/// Renders the blocks under a heading; `peers` are the titles of further columns.
pub(crate) fn render(blocks: &[Block], peers: &[&str]) -> String {
    let mut heading = vec![
        "workload",
        "figure",
        "measured",
        "target",
        "of pgbench",
        "judge",
        "MB",
        "",
    ];
    heading.extend(peers);
    let mut rows: Vec<Vec<String>> = vec![heading.into_iter().map(str::to_owned).collect()];
    for block in blocks {
        for (number, line) in block.lines.iter().enumerate() {
            let first = |text: &str| {
                if number == 0 {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            let result = match line.met {
                Some(true) => "pass",
                Some(false) => "FALLS SHORT",
                None => "",
            };
            let mut row = vec![
                first(&block.title),
                line.figure.clone(),
                line.measured.clone(),
                line.target.clone(),
                line.of_limit.clone(),
                first(&block.judge),
                first(&block.memory),
                result.to_owned(),
            ];
            row.extend(line.peers.iter().cloned());
            rows.push(row);
        }
    }
    aligned(&rows)
}

/// Columns as wide as their widest cell, two spaces between them, a rule under the first row.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&rule.join("  "));
            text.push('\n');
        }
    }
    text
}

/// The middle value; of an even number, the lower middle one.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// A number for people: thousands apart, decimals only where they say something.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let text = format!("{value:.2}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return if text.is_empty() {
            "0".into()
        } else {
            text.into()
        };
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_numbers() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.0));
        for (value, text) in [
            (0.0, "0"),
            (0.904, "0.9"),
            (12.0, "12"),
            (868.4, "868"),
            (15_000.4, "15,000"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let line = |figure: &str, met| Line {
            figure: figure.into(),
            measured: "1".into(),
            target: String::new(),
            of_limit: String::new(),
            met,
            peers: vec!["peer".into()],
        };
        let block = Block {
            title: "a row".into(),
            lines: vec![line("p50", Some(true)), line("p99 ms", Some(false))],
            judge: "right".into(),
            memory: "9/8".into(),
        };
        let text = render(&[block], &["Peer"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        let at = lines[0].find("measured").unwrap();
        assert!(lines[2..].iter().all(|line| &line[at..=at] == "1"));
        assert!(lines[2].starts_with("a row ") && lines[3].starts_with("      "));
        assert!(lines[3].contains("FALLS SHORT"));
    }
}
