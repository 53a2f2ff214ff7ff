//! Lua's patterns (manual, section 6.4.1), matched with an eye on the clock.
//!
//! Lua's own matcher backtracks inside one C function, where no hook is called: `("a-"):rep(20) .. "b"` against a long header
//! would hold its thread for years. This one asks every few thousand steps whether it may go on.

/// How many steps are taken between two looks at the clock.
const STEPS_PER_CHECK: u32 = 4096;
/// Most captures of a pattern, as in Lua.
const MAX_CAPTURES: usize = 32;
/// How deep one match may nest, as in Lua.
const MAX_DEPTH: u32 = 200;
/// What makes a character of a pattern special.
const ESCAPE: u8 = b'%';

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    /// The pattern is none.
    Malformed(&'static str),
    /// It nests too deep for this text.
    TooComplex,
    /// The time is over.
    Over,
}

/// Where a pattern matched, from 0, the end excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) captures: Vec<Capture>,
}

/// What a pair of parentheses caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    Span(usize, usize),
    /// `()`
    Position(usize),
}

/// How a search goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// Where to begin, from 0.
    pub(crate) from: usize,
    /// Only there.
    pub(crate) anchored: bool,
    /// A match that ends here is the one before, and does not count.
    pub(crate) after: Option<usize>,
}

/// Finds the first match of `pattern` (without its `^`). `is_over` is asked every few thousand steps.
///
/// # Errors
/// See [`PatternError`].
pub(crate) fn search(
    text: &[u8],
    pattern: &[u8],
    search: Search,
    is_over: &dyn Fn() -> bool,
) -> Result<Option<Match>, PatternError> {
    let mut matcher = Matcher {
        text,
        pattern,
        captures: Vec::new(),
        depth: 0,
        steps: STEPS_PER_CHECK,
        is_over,
    };
    for start in search.from..=text.len() {
        matcher.captures.clear();
        matcher.depth = 0;
        if let Some(end) = matcher.run(start, 0)?
            && Some(end) != search.after
        {
            let captures = matcher.finished()?;
            return Ok(Some(Match {
                start,
                end,
                captures,
            }));
        }
        if search.anchored {
            break;
        }
    }
    Ok(None)
}

struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Caught>,
    depth: u32,
    steps: u32,
    is_over: &'a dyn Fn() -> bool,
}

#[derive(Clone, Copy)]
struct Caught {
    start: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    At(usize),
    /// It is a position, and has none.
    Position,
}

type Answer = Result<Option<usize>, PatternError>;

// === impl Matcher ===

impl Matcher<'_> {
    /// Matches the pattern from `p` on at `s`; where the match ends.
    fn run(&mut self, s: usize, p: usize) -> Answer {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PatternError::TooComplex);
        }
        let found = self.items(s, p);
        self.depth -= 1;
        found
    }

    fn items(&mut self, mut s: usize, mut p: usize) -> Answer {
        loop {
            self.step()?;
            let Some(&item) = self.pattern.get(p) else {
                return Ok(Some(s));
            };
            match item {
                b'(' if self.pattern.get(p + 1) == Some(&b')') => {
                    return self.open(s, p + 2, End::Position);
                }
                b'(' => return self.open(s, p + 1, End::Open),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                ESCAPE => match self.pattern.get(p + 1) {
                    Some(b'b') => match self.balance(s, p + 2)? {
                        None => return Ok(None),
                        Some(end) => {
                            s = end;
                            p += 4;
                            continue;
                        }
                    },
                    Some(b'f') => {
                        let set = p + 2;
                        if self.pattern.get(set) != Some(&b'[') {
                            return Err(PatternError::Malformed(
                                "missing '[' after '%f' in pattern",
                            ));
                        }
                        let end = self.class_end(set)?;
                        let before = s.checked_sub(1).map_or(0, |at| self.text[at]);
                        let here = self.text.get(s).copied().unwrap_or(0);
                        if self.in_set(before, set, end - 1) || !self.in_set(here, set, end - 1) {
                            return Ok(None);
                        }
                        p = end;
                        continue;
                    }
                    Some(digit @ b'0'..=b'9') => match self.back_reference(s, *digit)? {
                        None => return Ok(None),
                        Some(end) => {
                            s = end;
                            p += 2;
                            continue;
                        }
                    },
                    _ => {}
                },
                _ => {}
            }
            let end = self.class_end(p)?;
            match self.pattern.get(end) {
                Some(b'?') => {
                    if self.single(s, p, end)
                        && let Some(found) = self.run(s + 1, end + 1)?
                    {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'+') if !self.single(s, p, end) => return Ok(None),
                Some(b'+') => return self.longest(s, p, end, 1),
                Some(b'*') => return self.longest(s, p, end, 0),
                Some(b'-') => return self.shortest(s, p, end),
                _ if !self.single(s, p, end) => return Ok(None),
                _ => {
                    s += 1;
                    p = end;
                }
            }
        }
    }

    fn step(&mut self) -> Result<(), PatternError> {
        self.steps -= 1;
        if self.steps == 0 {
            self.steps = STEPS_PER_CHECK;
            if (self.is_over)() {
                return Err(PatternError::Over);
            }
        }
        Ok(())
    }

    fn longest(&mut self, s: usize, p: usize, end: usize, least: usize) -> Answer {
        let mut count = least;
        while self.single(s + count, p, end) {
            self.step()?;
            count += 1;
        }
        loop {
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == least {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Answer {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, end: End) -> Answer {
        if self.captures.len() >= MAX_CAPTURES {
            return Err(PatternError::Malformed("too many captures"));
        }
        let level = self.captures.len();
        self.captures.push(Caught { start: s, end });
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.truncate(level);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Answer {
        let open = self
            .captures
            .iter()
            .rposition(|caught| caught.end == End::Open);
        let level = open.ok_or(PatternError::Malformed("invalid pattern capture"))?;
        self.captures[level].end = End::At(s);
        let found = self.run(s, p)?;
        if found.is_none()
            && let Some(caught) = self.captures.get_mut(level)
        {
            caught.end = End::Open;
        }
        Ok(found)
    }

    fn balance(&mut self, s: usize, p: usize) -> Answer {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(PatternError::Malformed("missing arguments to '%b'"));
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.text.len() {
            self.step()?;
            let byte = self.text[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Answer {
        let caught = usize::from(digit - b'0')
            .checked_sub(1)
            .and_then(|level| self.captures.get(level));
        match caught {
            Some(&Caught {
                start,
                end: End::At(end),
            }) => {
                let wanted = &self.text[start..end];
                Ok(self.text[s..]
                    .starts_with(wanted)
                    .then_some(s + wanted.len()))
            }
            _ => Err(PatternError::Malformed("invalid capture index")),
        }
    }

    /// Where the item at `p` ends: one character, an escaped one, or a set.
    fn class_end(&self, p: usize) -> Result<usize, PatternError> {
        match self.pattern.get(p) {
            Some(&ESCAPE) if p + 1 >= self.pattern.len() => {
                Err(PatternError::Malformed("malformed pattern (ends with '%')"))
            }
            Some(&ESCAPE) => Ok(p + 2),
            Some(b'[') => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // The first ] of a set stands for itself.
                loop {
                    let byte = self
                        .pattern
                        .get(at)
                        .ok_or(PatternError::Malformed("malformed pattern (missing ']')"))?;
                    at += if *byte == ESCAPE { 2 } else { 1 };
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the character at `s` is one of the item from `p` to `end`.
    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(s) else {
            return false;
        };
        match self.pattern[p] {
            b'.' => true,
            ESCAPE => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// `p` is at the `[`, `last` at the `]`.
    fn in_set(&self, byte: u8, p: usize, last: usize) -> bool {
        let negated = self.pattern.get(p + 1) == Some(&b'^');
        let mut at = p + 1 + usize::from(negated);
        while at < last {
            let here = self.pattern[at];
            if here == ESCAPE {
                if in_class(byte, self.pattern[at + 1]) {
                    return !negated;
                }
                at += 2;
            } else if self.pattern[at + 1] == b'-' && at + 2 < last {
                if (here..=self.pattern[at + 2]).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if here == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }

    fn finished(&self) -> Result<Vec<Capture>, PatternError> {
        self.captures
            .iter()
            .map(|caught| match caught.end {
                End::At(end) => Ok(Capture::Span(caught.start, end)),
                End::Position => Ok(Capture::Position(caught.start)),
                End::Open => Err(PatternError::Malformed("unfinished capture")),
            })
            .collect()
    }
}

fn in_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        // Vertical tab is a space of C, not of Rust.
        b's' => byte.is_ascii_whitespace() || byte == 0x0B,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn at(from: usize, anchored: bool) -> Search {
        Search {
            from,
            anchored,
            after: None,
        }
    }

    #[test]
    fn a_pattern_that_would_take_years_is_stopped() {
        let text = vec![b'a'; 10_000];
        let pattern = [b"a-".repeat(20), b"b".to_vec()].concat();
        let looks = Cell::new(0);
        let is_over = || {
            looks.set(looks.get() + 1);
            looks.get() > 100
        };
        assert_eq!(
            search(&text, &pattern, at(0, false), &is_over),
            Err(PatternError::Over)
        );
    }

    #[test]
    fn depth_is_bounded() {
        let text = vec![b'a'; 1000];
        let pattern = b"a?".repeat(500);
        assert_eq!(
            search(&text, &pattern, at(0, false), &|| false),
            Err(PatternError::TooComplex)
        );
    }

    #[test]
    fn malformed_patterns_are_told() {
        for (pattern, at_text) in [
            ("%", "a"),
            ("[a", "a"),
            ("[", "a"),
            ("(a", "a"),
            ("a)", "a"),
            ("%f", "a"),
            ("%b(", "("),
            ("%1", "a"),
            ("[%", "a"),
            ("[a%", "a"),
            ("[^", "a"),
        ] {
            let found = search(
                at_text.as_bytes(),
                pattern.as_bytes(),
                at(0, false),
                &|| false,
            );
            assert!(
                matches!(found, Err(PatternError::Malformed(_))),
                "{pattern}: {found:?}"
            );
        }
    }

    #[test]
    fn a_search_goes_on_behind_the_match_before() {
        let next = |from, after| {
            let how = Search {
                from,
                anchored: false,
                after,
            };
            search(b"abc", b"x*", how, &|| false)
                .unwrap()
                .map(|found| (found.start, found.end))
        };
        assert_eq!(next(0, None), Some((0, 0)));
        assert_eq!(next(0, Some(0)), Some((1, 1)));
        assert_eq!(next(3, Some(3)), None);
    }
}
