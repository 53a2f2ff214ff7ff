//! RFC 3261 and 3581 on the wire: what any user agent server owes its peers. The sentence is quoted
//! above each test.

mod bounds;
mod forms;
mod odd_phones;
mod refusals;
mod repeats;
mod responses;
mod streams;
