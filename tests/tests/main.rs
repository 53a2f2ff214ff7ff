//! The system tests: real processes, a real PostgreSQL, phones of ours and of others.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod architecture;
mod bench;
mod budget;
mod chaos;
mod cleaning;
mod connections;
mod encrypted;
mod fan_out;
mod flows;
mod foreign;
mod harness;
mod http;
mod http_v1;
mod identity;
mod import;
mod isolation;
mod keys;
mod load;
mod operator;
mod outbound;
mod packages;
mod parameters;
mod process;
mod pua;
mod readme;
mod rfc3261;
mod rfc3903;
mod rfc6665;
mod rounds;
mod rules;
mod script;
mod spray;
mod sql_interface;
mod tables;
mod terminal;
mod uri_match;
