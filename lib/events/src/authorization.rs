//! Who may see what of a presentity: rules, decisions, views, and the states of watchers.
//!
//! A rules document ([`RuleSet`], RFC 4745 and RFC 5025) and the circumstances of one watcher give a [`Decision`]: how the
//! subscription is handled and which [`View`] of the document it shows. A view is applied to the merged document of a
//! resource, once for all watchers that share it. [`watcher_state`] says what a decision does to
//! a subscription (RFC 3857 section 4.7.1, RFC 6665). All of it is pure: the moment, the documents and the lists are arguments.
//!
//! Whatever cannot be understood never permits: an unknown condition is false, an exception that cannot be read excepts
//! everybody, and a document that cannot be read leaves every watcher pending.

pub mod auth_status;
mod circumstances;
pub mod condition;
pub mod evaluate;
mod filter;
pub mod identity;
pub mod lists;
pub mod moment;
mod outline;
pub mod pidf_manipulation;
pub mod reevaluation;
pub mod ruleset;
pub mod sphere;
mod transformation;
pub mod view;
mod view_text;
pub mod watcher_state;

pub use circumstances::Circumstances;
pub use evaluate::{AuthorizationPolicy, Basis, Decision, Rules};
pub use identity::Watcher;
pub use lists::{Anchor, Lists};
pub use moment::Moment;
pub use ruleset::{RuleSet, RulesFault, SubHandling};
pub use view::View;

/// Common policy (RFC 4745).
const COMMON_POLICY: &str = "urn:ietf:params:xml:ns:common-policy";
/// Presence rules (RFC 5025).
const PRES_RULES: &str = "urn:ietf:params:xml:ns:pres-rules";
/// OMA's conditions.
const OMA_COMMON_POLICY: &str = "urn:oma:xml:xdm:common-policy";
/// OMA's transformations.
const OMA_PRES_RULES: &str = "urn:oma:xml:prs:pres-rules";
/// OMA's presence attributes.
const OMA_PRESENCE: &str = "urn:oma:xml:prs:pidf:oma-pres";
const GEOPRIV: &str = "urn:ietf:params:xml:ns:pidf:geopriv10";
const RESOURCE_LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";
const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
