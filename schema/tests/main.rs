//! The migrations, on real databases.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod dump;
mod history;
mod migrations;
mod search_path;
mod squash;
mod uri_match;
