//! SIP on the wire: parsing, framing, transactions, torture.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod property;
mod torture;
mod transaction;
mod wire;
