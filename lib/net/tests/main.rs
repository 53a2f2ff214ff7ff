//! Endpoints, client transactions and the resolver over real loopback sockets.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod client;
mod endpoint;
mod resolver;
mod wire;
