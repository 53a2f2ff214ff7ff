//! Connections to a real PostgreSQL that has TLS, in each mode.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod authority;
mod modes;
