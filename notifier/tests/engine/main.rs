//! The engine against a real PostgreSQL and phones on loopback: what it sends, when, and what it makes of the answers.
//!
//! Rows are written through the store, as a server would; the engine runs in this process; phones are UDP sockets that check
//! every NOTIFY. Nothing is waited for by sleeping: each wait is for a message and has a deadline.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod crowd;
mod failure;
mod phone;
mod stage;
mod subscription;
mod takeover;
