//! The program as an operator runs it.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod command_line;
mod compose;
mod config_check;
mod config_import;
mod load;
mod program;
mod run;
