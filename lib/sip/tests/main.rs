//! SIP on the wire: parsing, framing, transactions, torture.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod property;
mod torture;
mod transaction;
mod wire;
