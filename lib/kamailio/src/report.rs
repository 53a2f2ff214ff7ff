//! What became of each setting, for people.

use std::fmt;

use crate::settings::Place;

/// What became of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingOutcome {
    /// It is in the file that was written.
    Taken,
    /// It says something that is wrong or not understood; left out.
    Wrong,
    /// It will have a meaning here, and has none yet; left out.
    NotYet,
    /// It has no meaning here; left out, and something else does its job.
    NoMeaning,
    /// A routing block. None is carried over; the sentence says what does its job.
    Route,
    /// Nothing was left out, but something is to be known.
    Note,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: Option<Place>,
    /// What it is, as far as it can be shown; passwords never are.
    pub subject: String,
    /// What became of it.
    pub outcome: SettingOutcome,
    /// One sentence: the key that it became, or why not and what does its job.
    pub sentence: String,
}

/// All of them, and what was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// By outcome, then in the order of the configuration.
    pub entries: Vec<Entry>,
    /// Parameters of modules that are not about presence.
    pub foreign_parameters: usize,
    /// How many such modules there are.
    pub foreign_modules: usize,
}

impl Report {
    /// How many settings met this fate.
    pub fn count(&self, outcome: SettingOutcome) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.outcome == outcome)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (outcome, title) in [
            (SettingOutcome::Taken, "converted"),
            (SettingOutcome::Wrong, "left out, because it is wrong"),
            (
                SettingOutcome::NotYet,
                "left out, because it is not supported yet",
            ),
            (
                SettingOutcome::NoMeaning,
                "left out, because it has no meaning here",
            ),
            (
                SettingOutcome::Route,
                "routing blocks, which are not converted",
            ),
            (SettingOutcome::Note, "notes"),
        ] {
            let count = self.count(outcome);
            if count == 0 {
                continue;
            }
            writeln!(f, "{title} ({count}):")?;
            for entry in self.entries.iter().filter(|entry| entry.outcome == outcome) {
                write!(f, "  ")?;
                if let Some(place) = &entry.place {
                    write!(f, "{place}: ")?;
                }
                if !entry.subject.is_empty() {
                    write!(f, "{}: ", entry.subject)?;
                }
                writeln!(f, "{}", entry.sentence)?;
            }
        }
        if self.foreign_parameters > 0 {
            writeln!(
                f,
                "ignored: {} parameters of {} modules that do not concern presence",
                self.foreign_parameters, self.foreign_modules
            )?;
        }
        Ok(())
    }
}
