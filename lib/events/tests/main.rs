//! The events crate by its public face: documents, merging, packages, rules.
//!
//! One binary for all of them: linking it once costs less than linking each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod authorization;
mod hostile_xml;
mod merge_golden;
mod merge_properties;
mod model_deviations;
mod package_golden;
mod package_hostile;
mod package_properties;
mod rfc_examples;
