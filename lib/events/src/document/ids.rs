//! Makes the identifiers of a merged document unique.
//!
//! Identifiers are unique in a document (xs:ID), but two phones may well both call their tuple `t1`. The publication
//! that was made first keeps the identifier; in the others it is followed by the publication's number (`t1-9k`). Neither a
//! refresh, nor a modification, nor a new publication changes a name that watchers have seen; only when the older
//! publication ends does the other one get its own name back.

use std::collections::{HashMap, HashSet};

/// One identifier where it stands.
#[derive(Debug, Clone)]
pub(super) struct Occurrence {
    /// The publication it is in.
    pub(super) publication: i64,
    /// How far down the list of publications that is: settles the order if numbers are equal.
    pub(super) position: usize,
    /// The identifier, unescaped.
    pub(super) value: String,
}

/// The new identifier of each occurrence, or nothing where it keeps its own. Occurrences of one publication are in
/// document order. Linear but for one sort.
pub(super) fn renamed(occurrences: &[Occurrence]) -> Vec<Option<String>> {
    let mut order: Vec<usize> = (0..occurrences.len()).collect();
    order.sort_by_key(|&index| {
        let occurrence = &occurrences[index];
        (
            occurrence.publication,
            std::cmp::Reverse(occurrence.position),
            index,
        )
    });

    // Every identifier as published is taken, wherever it comes: whoever bears it first keeps it.
    let mut taken: HashSet<String> = occurrences.iter().map(|o| o.value.clone()).collect();
    let mut borne: HashSet<&str> = HashSet::with_capacity(taken.len());
    let mut copies: HashMap<String, u32> = HashMap::new();
    let mut result = vec![None; occurrences.len()];
    for index in order {
        let occurrence = &occurrences[index];
        if borne.insert(&occurrence.value) {
            continue;
        }
        let stem = format!("{}-{}", occurrence.value, base36(occurrence.publication));
        let mut name = stem.clone();
        let copy = copies.entry(stem.clone()).or_insert(1);
        while taken.contains(&name) {
            *copy += 1;
            name = format!("{stem}.{copy}");
        }
        taken.insert(name.clone());
        result[index] = Some(name);
    }
    result
}

fn base36(number: i64) -> String {
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        digits.push(char::from(
            b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize],
        ));
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        digits.push('_');
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(input: &[(i64, &str)]) -> Vec<String> {
        let occurrences: Vec<_> = input
            .iter()
            .enumerate()
            .map(|(position, (publication, value))| Occurrence {
                publication: *publication,
                position,
                value: (*value).to_owned(),
            })
            .collect();
        renamed(&occurrences)
            .into_iter()
            .zip(input)
            .map(|(new, (_, value))| new.unwrap_or_else(|| (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_first_publication_keeps_its_names() {
        assert_eq!(names(&[(1, "a"), (1, "b"), (2, "c")]), ["a", "b", "c"]);
        assert_eq!(names(&[(9, "a"), (7, "a"), (8, "a")]), ["a-9", "a", "a-8"]);
        // The order of the list, which a refresh changes, changes no name.
        assert_eq!(names(&[(7, "a"), (8, "a"), (9, "a")]), ["a", "a-8", "a-9"]);
        // Without numbers, the last of the list is the oldest.
        assert_eq!(names(&[(0, "a"), (0, "a")]), ["a-0", "a"]);
    }

    #[test]
    fn names_that_look_like_ours_are_avoided() {
        assert_eq!(
            names(&[(8, "a"), (7, "a"), (7, "a-8"), (6, "a-8.2")]),
            ["a-8.3", "a", "a-8", "a-8.2"]
        );
        let occurrences: Vec<_> = (0..3)
            .map(|_| Occurrence {
                publication: 37,
                position: 0,
                value: "a".to_owned(),
            })
            .collect();
        assert_eq!(
            renamed(&occurrences),
            [None, Some("a-11".to_owned()), Some("a-11.2".to_owned())]
        );
    }

    #[test]
    fn numbers_are_short_and_distinct() {
        for (number, text) in [
            (0, "0"),
            (35, "z"),
            (36, "10"),
            (-1, "_1"),
            (i64::MIN, "_1y2p0ij32e8e8"),
        ] {
            assert_eq!(base36(number), text);
        }
    }
}
