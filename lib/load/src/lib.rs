//! A SIP load generator and judge for presence servers: ours or any other.
//!
//! - [`Workload`]: what is asked of the server, from a small TOML file or by the name of one in the box.
//! - [`run()`]: runs it: few sockets, one thread for each worker, closed and open loops.
//! - [`Report`]: requests per second, latencies, and the verdict of the judge, as text and as JSON.
//!
//! It behaves as real user agents do (retransmissions, 412, 423, 481, 503 with Retry-After), and reads from each NOTIFY which
//! state it shows: every published body carries a number.
//!
//! RFC-GAP: no authentication; strict routing; requests inside a dialog go to the servers named, not to the remote target, as
//! through an outbound proxy.

mod document;
mod histogram;
mod judge;
mod login;
mod people;
mod plan;
mod report;
mod run;
mod tally;
mod task;
mod text;
mod timers;
mod transport;
mod wire;
mod worker;
mod workload;

pub use document::Package;
pub use report::{
    Latencies, Messages, NotifyCounts, Percentiles, PhaseReport, Report, RequestCounts, Requests,
    Retransmissions, RunVerdict,
};
pub use run::{Options, Progress, RunError, Server, run};
pub use workload::{Fault, NAMES, Pace, Phase, Workload, WorkloadError};
