//! SIGHUP: read again what can be read again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears each SIGHUP from now on; it ends the process no more.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The system's, if there are no signals.
    pub fn listen() -> io::Result<Hangups> {
        signal(SignalKind::hangup()).map(Hangups)
    }

    /// Returns after the next SIGHUP. Safe to drop and to call again (`select!`).
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // No more signals: the runtime ends.
            std::future::pending::<()>().await;
        }
    }
}
