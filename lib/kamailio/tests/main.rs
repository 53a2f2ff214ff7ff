//! Kamailio's configurations: what is understood of them, and what hostile ones cost.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod configs;
mod hostile;
