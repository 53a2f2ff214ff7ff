//! Storing what Kamailio has, table by table. A second run finds the rows of the first, and leaves alone what has become ours since.

use tokio_postgres::Row;

use crate::Store;
use crate::kamailio::place;

pub(crate) mod dialog;
pub(crate) mod publication;
pub(crate) mod rules;

/// How an imported row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportVerdict {
    /// It was not here.
    Created,
    /// It was here, and Kamailio's has changed since.
    Changed,
    /// It was here, just so.
    Same,
    /// It was here, and has been changed here since: ours stays.
    Newer,
}

/// The statements of this area; see [`Store::import`]. With `dry` nothing is stored, and the verdicts are what would be.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a>(pub(crate) &'a Store);

/// One value of each row.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// The verdict on each input; an input without an answer was not here.
fn verdicts(inputs: usize, answers: &[Row]) -> Vec<ImportVerdict> {
    let mut verdicts = vec![ImportVerdict::Created; inputs];
    for answer in answers {
        if let Some(verdict) = verdicts.get_mut(place(answer)) {
            *verdict = match answer.get("verdict") {
                "created" => ImportVerdict::Created,
                "same" => ImportVerdict::Same,
                "newer" => ImportVerdict::Newer,
                _ => ImportVerdict::Changed,
            };
        }
    }
    verdicts
}

/// The inputs that are new.
fn created<'a, T>(rows: &'a [T], verdicts: &[ImportVerdict]) -> Vec<&'a T> {
    let pairs = rows.iter().zip(verdicts);
    pairs
        .filter(|(_, verdict)| **verdict == ImportVerdict::Created)
        .map(|(row, _)| row)
        .collect()
}
