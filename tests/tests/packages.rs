//! The event packages besides `presence`, end to end: two publishers, two watchers, one publication expires, one is removed.
//! The phones check each NOTIFY strictly, the document's number and its ids among it.

mod bodies;
mod conference;
mod dialog;
mod feature_event;
mod id_alone;
mod keys;
mod message_summary;
mod reg;
mod requests;
mod sla;
mod winfo;

const BOB: &str = "sip:bob@example.org";
