//! What long work shows of itself: a line on standard error that changes, and only where that is a terminal.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

/// The line that is shown, for whoever prints something above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// One line. It is gone when this is dropped.
pub(crate) struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// Begins with this text.
    pub(crate) fn start(text: impl Display) -> ProgressLine {
        // Draws nothing where standard error is not a terminal.
        let bar = ProgressBar::new_spinner().with_message(text.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        *shown() = Some(bar.clone());
        ProgressLine(bar)
    }

    /// From now on it shows this.
    pub(crate) fn show(&self, text: impl Display) {
        self.0.set_message(text.to_string());
    }

    /// Whether anybody sees it.
    pub(crate) fn is_shown(&self) -> bool {
        !self.0.is_hidden()
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        shown().take();
        self.0.finish_and_clear();
    }
}

/// Prints by `print`, above the line if one is shown.
pub(crate) fn above<T>(print: impl FnOnce() -> T) -> T {
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    // A panic leaves nothing half-done in it.
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
