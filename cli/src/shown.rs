//! How times, and the words of others, are shown on a terminal.

/// `3.2 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{:.1} s", s.max(0.0)),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// What phones sent must not steer the terminal that it is shown on.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_steered() {
        assert_eq!(printable("a\u{1b}[2Jb\tc"), "a\u{fffd}[2Jb\tc");
    }

    #[test]
    fn durations_are_short() {
        for (seconds, shown) in [
            (-1.0, "0.0 s"),
            (3.21, "3.2 s"),
            (300.0, "5 min"),
            (7200.0, "2 h"),
            (259_200.0, "3 d"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
