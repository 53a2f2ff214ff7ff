//! Authorization as RFC 4745, RFC 5025, RFC 4827 and OMA have it, by its public face.

mod conditions;
mod model;
mod properties;
mod rfc;
mod support;
mod transformations;
