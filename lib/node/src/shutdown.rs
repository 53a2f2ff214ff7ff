//! The word to stop: given once, heard everywhere.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A handle on the signal to stop. Clones get the same signal.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Nobody has said stop yet.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Says stop at the first SIGTERM or SIGINT (Ctrl-C). Must be called inside a tokio runtime.
    pub fn on_signals() -> io::Result<Shutdown> {
        let shutdown = Shutdown::new();
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let token = shutdown.token.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            token.cancel();
            tracing::info!("{name}: stopping");
        });
        Ok(shutdown)
    }

    /// Says stop.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether stop has been said.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns once stop has been said; at once if it has been already. Safe to drop and to call again (`select!`).
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }

    /// The same as a `CancellationToken`, for libraries that take one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn the_word_is_heard_everywhere() {
        let one = Shutdown::new();
        let other = one.clone();
        assert!(!other.is_triggered());
        one.trigger();
        other.triggered().await;
        assert!(other.is_triggered());
    }

    #[tokio::test]
    async fn sigterm_says_stop() {
        let shutdown = Shutdown::on_signals().unwrap();
        assert!(!shutdown.is_triggered());
        let us = std::process::id().to_string();
        std::process::Command::new("kill")
            .args(["-TERM", &us])
            .status()
            .unwrap();
        shutdown.triggered().await;
    }
}
