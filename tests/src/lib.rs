//! The harness of the whole-system tests: real processes of the built binary, a real PostgreSQL,
//! and phones of our own that check every message strictly. Talks only SIP, HTTP and SQL.

pub mod document;
pub mod encrypted;
pub mod http;
pub mod judge;
pub mod message;
pub mod phone;
pub mod pidf;
pub mod process;
pub mod system;
pub mod watcherinfo;
