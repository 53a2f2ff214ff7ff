//! The migrations, on real databases.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod dump;
mod history;
mod migrations;
mod search_path;
mod squash;
mod uri_match;
