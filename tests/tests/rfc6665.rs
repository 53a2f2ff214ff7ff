//! RFC 6665 on the wire: one test for each MUST that concerns a notifier. The sentence is quoted
//! above each test.

mod failures;
mod notify;
mod routes;
mod subscribe;
mod superseded;
