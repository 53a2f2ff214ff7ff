//! The configuration: how it is read, and the pages that are generated from it.
//!
//! One binary for all of them: linking it once costs less than linking each.

mod loading;
mod reference;
