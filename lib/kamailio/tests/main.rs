//! Kamailio's configurations: what is understood of them, and what hostile ones cost.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod configs;
mod hostile;
