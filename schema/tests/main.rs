//! The migrations, on real databases.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod migrations;
mod uri_match;
