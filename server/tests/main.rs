//! The SIP server: its answers, its batches, its flows.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod answers;
mod flows;
mod group_commit;
mod stateless;
mod support;
mod write_batch;
