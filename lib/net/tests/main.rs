//! Endpoints, client transactions and the resolver over real loopback sockets.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod client;
mod crowd;
mod destinations;
mod endpoint;
mod resolver;
mod wire;
