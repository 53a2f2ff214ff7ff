//! The store: each statement by its behaviour, its races, its plan, its contract.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod behaviour;
mod concurrency;
mod contract;
mod database;
mod documentation;
mod plans;
mod roles;
mod stress;
mod winfo_stress;
