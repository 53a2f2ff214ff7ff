//! Event (RFC 6665 section 8.2.1).
use super::Params;

/// The event package that a SUBSCRIBE, PUBLISH or NOTIFY is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Package with its templates, as written: `presence`, `presence.winfo`. `dialog;sla` is `dialog` with parameter `sla`.
    pub package: String,
    /// The `id` parameter.
    pub id: Option<String>,
    /// All parameters, `id` too.
    pub params: Params,
}
