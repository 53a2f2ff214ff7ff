//! Each configuration key of `[presence]`, by its effect on the wire or in the tables. (Those of
//! expiry are in `rfc3903` and `rfc6665`; `timeout_rm_subs` is in `rfc6665::failures`.)

mod address;
mod expiry;
mod log;
mod reading;
mod requests;
mod sending;

const BOB: &str = "sip:bob@example.org";
