//! The order of SRV records (RFC 2782, "Usage rules"), with the dice as an argument.

/// Sorts (priority, weight, item): lowest priority first, inside a priority by weighted chance.
pub(super) fn in_order<T>(
    mut records: Vec<(u16, u16, T)>,
    mut roll: impl FnMut(u32) -> u32,
) -> Vec<T> {
    // "arrange all SRV RRs … with weight 0 … at the beginning", so that they keep their small chance.
    records.sort_by_key(|(priority, weight, _)| (*priority, *weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some((priority, ..)) = records.first() {
        let priority = *priority;
        let group = records
            .iter()
            .take_while(|record| record.0 == priority)
            .count();
        let total: u32 = records[..group]
            .iter()
            .map(|record| u32::from(record.1))
            .sum();
        // "select the RR whose running sum value is the first in the selected order which is greater than or equal to the
        // random number selected".
        let rolled = roll(total);
        let mut sum = 0;
        let chosen = records[..group].iter().position(|record| {
            sum += u32::from(record.1);
            sum >= rolled
        });
        ordered.push(records.remove(chosen.unwrap_or(0)).2);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_then_weight() {
        let records = || {
            vec![
                (20, 0, "backup"),
                (10, 60, "big"),
                (10, 0, "zero"),
                (10, 40, "small"),
            ]
        };
        for (rolls, expected) in [
            ([0, 0, 0, 0], ["zero", "small", "big", "backup"]),
            ([100, 40, 0, 0], ["big", "small", "zero", "backup"]),
            ([40, 60, 0, 0], ["small", "big", "zero", "backup"]),
        ] {
            let mut rolls = rolls.into_iter();
            let mut totals = Vec::new();
            let order = in_order(records(), |total| {
                totals.push(total);
                rolls.next().unwrap().min(total)
            });
            assert_eq!(order, expected);
            assert_eq!((totals[0], totals[3]), (100, 0));
        }
        assert!(in_order(Vec::<(u16, u16, ())>::new(), |_| 0).is_empty());
    }
}
