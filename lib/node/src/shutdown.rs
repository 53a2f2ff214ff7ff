//! The word to stop: given once, heard everywhere.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A handle on the signal to stop. Clones get the same signal; [`Shutdown::child`] can also be stopped alone.
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

    /// Stops with this one, and can be stopped without it.
    pub fn child(&self) -> Shutdown {
        Shutdown {
            token: self.token.child_token(),
        }
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
    async fn the_word_goes_down_to_children_and_not_up() {
        let all = Shutdown::new();
        let (one, other) = (all.child(), all.clone());
        one.trigger();
        one.triggered().await;
        assert!(one.is_triggered() && !all.is_triggered());
        let second = all.child();
        all.trigger();
        second.triggered().await;
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
