//! Authorization as RFC 4745, RFC 5025, RFC 4827 and OMA have it, by its public face.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "authorization/conditions.rs"]
mod conditions;
#[path = "authorization/model.rs"]
mod model;
#[path = "authorization/properties.rs"]
mod properties;
#[path = "authorization/rfc.rs"]
mod rfc;
#[path = "authorization/support.rs"]
mod support;
#[path = "authorization/transformations.rs"]
mod transformations;
