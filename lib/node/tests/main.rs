//! The configuration: how it is read, and the pages that are generated from it.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod loading;
mod reference;
