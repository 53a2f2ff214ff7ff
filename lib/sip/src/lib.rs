//! SIP on the wire, and what RFC 3261 says about single messages: scanning and framing, typed headers, URIs, replies,
//! forwarding, requests inside and outside of dialogs, client transactions, signed tokens.
//!
//! Pure: no sockets, no clock, no randomness, no SQL. Time, addresses and random text are arguments.
//! `rsip` appears only in [`model`], as the shared vocabulary; wire bytes never reach it.

mod aor;
mod base32;
pub mod bound;
mod builder;
pub mod dialog;
pub mod digest;
mod encode;
mod equivalence;
mod error;
mod flow_token;
mod forward;
mod framing;
pub mod header;
mod headers;
mod host;
mod limits;
mod message;
mod method;
pub mod model;
pub mod multipart;
mod reply;
mod scan;
mod status;
pub mod token;
pub mod transaction;
mod transport;
mod uri;
mod work;

pub use aor::Aor;
pub use builder::RequestBuilder;
pub use error::ParseError;
pub use flow_token::FlowToken;
pub use forward::{ForwardError, ViaOut, forward_request, forward_request_from, forward_response};
pub use framing::{Frame, FramingError, StreamFramer, is_keepalive, is_stun};
pub use header::{CSeq, Event, HeaderName, MediaType, NameAddr, Params, Via, enclosed_uri};
pub use headers::Headers;
pub use host::Host;
pub use limits::Limits;
pub use message::{Message, Request, Response, parse_datagram};
pub use method::Method;
pub use reply::{Reply, reply_target};
pub use status::StatusCode;
pub use token::Secret;
pub use transport::{Transport, UnknownTransport};
pub use uri::{Scheme, Uri};
