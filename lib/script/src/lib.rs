//! The operator's script, in Lua: what it finds, how long it may take, and what it asks for.
//!
//! A [`Program`] is a script that was read and tried. A [`Machine`] is one Lua state with that program loaded; it belongs to one
//! thread, so that calls on different threads never wait for each other. A call runs until it asks for something ([`Ask`]) that only
//! the process around it can do, and goes on with the answer ([`Told`]): nothing here waits, and nothing here knows a database or a
//! socket. What only a database knows is asked in the words of `events` ([`events::Inquiry`]).
//!
//! What a script may do is bounded (`sandbox.rs`): processor time for a call, memory for a state, no files, no processes, no code from
//! elsewhere, and no C function that runs for long without a look at the clock. Whatever it does, the caller gets a [`Step`] back.

mod ask;
mod budget;
mod machine;
mod message;
mod pattern;
mod program;
mod sandbox;
mod subscription;
mod unused;

pub use ask::{Ask, Told};
pub use machine::{Failure, Machine, Step, Suspended};
pub use message::{Incoming, ReplyTo, Way};
pub use program::{Limits, Program, ProgramError};
pub use subscription::{Attribute, Subscription};
