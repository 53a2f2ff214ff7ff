//! Storing what Kamailio has, table by table. A second run finds the rows of the first, and leaves alone what has become ours since.

use tokio_postgres::Row;

use crate::Store;
use crate::kamailio::place;

pub(crate) mod dialog;
pub(crate) mod publication;
pub(crate) mod rules;

/// How an imported row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It was not here.
    Created,
    /// It was here, and Kamailio's has changed since.
    Changed,
    /// It was here, just so.
    Same,
    /// It was here, and has been changed here since: ours stays.
    Newer,
}

/// The statements of this area; see [`Store::import`]. With `dry` nothing is stored, and the outcomes are what would be.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a>(pub(crate) &'a Store);

/// The outcome on each input; an input without an answer was not here.
fn outcomes(inputs: usize, answers: &[Row]) -> Vec<ImportOutcome> {
    let mut outcomes = vec![ImportOutcome::Created; inputs];
    for answer in answers {
        if let Some(outcome) = outcomes.get_mut(place(answer)) {
            *outcome = match answer.get("verdict") {
                "created" => ImportOutcome::Created,
                "same" => ImportOutcome::Same,
                "newer" => ImportOutcome::Newer,
                _ => ImportOutcome::Changed,
            };
        }
    }
    outcomes
}

/// The inputs that are new.
fn created<'a, T>(rows: &'a [T], outcomes: &[ImportOutcome]) -> Vec<&'a T> {
    let pairs = rows.iter().zip(outcomes);
    pairs
        .filter(|(_, outcome)| **outcome == ImportOutcome::Created)
        .map(|(row, _)| row)
        .collect()
}
