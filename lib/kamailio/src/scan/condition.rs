//! Which `#!ifdef`s are open, and whether all of them hold.

use crate::settings::Place;

/// The `#!ifdef`s that are open, each with whether it holds, and how many of them do not.
#[derive(Default)]
pub(super) struct Conditions {
    open: Vec<(bool, Place)>,
    failing: usize,
}

impl Conditions {
    pub(super) fn hold(&self) -> bool {
        self.failing == 0
    }

    pub(super) fn open(&mut self, holds: bool, place: Place) {
        self.failing += usize::from(!holds);
        self.open.push((holds, place));
    }

    /// `false`: none is open.
    pub(super) fn reverse(&mut self) -> bool {
        let Some((holds, _)) = self.open.last_mut() else {
            return false;
        };
        if *holds {
            self.failing += 1;
        } else {
            self.failing -= 1;
        }
        *holds = !*holds;
        true
    }

    /// `false`: none is open.
    pub(super) fn close(&mut self) -> bool {
        let Some((holds, _)) = self.open.pop() else {
            return false;
        };
        self.failing -= usize::from(!holds);
        true
    }

    /// Where the innermost one was opened.
    pub(super) fn innermost(&self) -> Option<&Place> {
        self.open.last().map(|(_, place)| place)
    }
}
