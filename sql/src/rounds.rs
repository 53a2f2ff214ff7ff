//! Splits a batch so that no statement carries two operations on one row: an UPDATE joined with two inputs for one row would
//! silently carry out only one of them.

use std::collections::HashMap;
use std::hash::Hash;

/// Indices of the inputs in rounds to be run one after the other: the n-th input with a key is in round n.
pub(crate) fn split<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut seen: HashMap<K, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (index, key) in keys.enumerate() {
        let round = seen.entry(key).or_insert(0);
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(index);
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn repeated_keys_go_to_later_rounds_in_order() {
        let table: &[(&str, &[&[usize]])] = &[
            ("", &[]),
            ("abc", &[&[0, 1, 2]]),
            ("aab", &[&[0, 2], &[1]]),
            ("abaa", &[&[0, 1], &[2], &[3]]),
        ];
        for (keys, rounds) in table {
            assert_eq!(split(keys.chars()), *rounds, "{keys}");
        }
    }
}
