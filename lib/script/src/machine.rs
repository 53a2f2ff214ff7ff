//! One Lua state, and the calls in it.
//!
//! Calls take turns: one runs until it is done or waits, then another may run. Each is a coroutine of its own with a budget of its own,
//! and whatever goes wrong in it ends it alone.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use mlua::{AnyUserData, Error, Function, IntoLuaMulti, Lua, MultiValue, Table, Thread, Value};

use crate::ask::{Ask, Told};
use crate::budget::Budget;
use crate::message::{Incoming, REPLY, ReplyTo};
use crate::program::{Limits, Program, ProgramError};
use crate::sandbox::{self, Complaints};
use crate::subscription::Subscription;
use crate::unused;

/// What the script may do while it is loaded.
const LOADING_TIME: Duration = Duration::from_secs(2);
/// The events of Kamailio's presence module.
const LOCAL_REQUEST: &str = "tm:local-request";
const NOTIFY_REPLY: &str = "presence:notify-reply";

/// A Lua state with a program loaded. It stays on the thread that made it.
pub struct Machine {
    lua: Lua,
    budget: Rc<Budget>,
    complaints: Rc<Complaints>,
    limits: Limits,
    driver: Driver,
    route: Option<Function>,
    local_request: Option<Function>,
    notify_reply: Option<Function>,
    /// The global variables without the program.
    native: BTreeSet<String>,
}

struct Driver {
    route: Function,
    event: Function,
}

/// Where a call is after it has run for a while.
#[derive(Debug)]
pub enum Step {
    /// It waits for this.
    Asks(Suspended, Ask),
    /// It has ended. For an event: `xavp.<xavp_cfg>.delete_subscription`, else 0.
    Done(i64),
    /// It was ended.
    Failed(Failure),
}

/// A call that waits. Whoever drops it ends it.
#[derive(Debug)]
pub struct Suspended {
    thread: Thread,
    spent: Duration,
    /// How often it has asked for something.
    asked: u32,
    /// The `subs` that it has asked about.
    subs: Option<AnyUserData>,
}

/// Why a call did not end by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An error of the script that it did not catch; with the line.
    #[error("{0}")]
    Error(String),
    /// It was still running at its deadline.
    #[error("it was still running at its deadline")]
    Deadline,
    /// It needed more memory than it may use. What the script keeps in its variables counts, so the state should be given up.
    #[error("it needed more memory than script.memory_bytes")]
    Memory,
}

// === impl Machine ===

impl Machine {
    /// Makes a state and loads the program into it.
    ///
    /// # Errors
    /// [`ProgramError`]; for a program that was loaded before only if it depends on chance.
    pub fn new(program: &Program) -> Result<Machine, ProgramError> {
        let budget = Rc::new(Budget::default());
        let complaints = Rc::new(Complaints::default());
        let faulty = |error: Error| ProgramError::Faulty(described(&error));
        let (lua, driver) = sandbox::open(
            &budget,
            &complaints,
            program.limits.memory,
            &program.xavp_cfg,
        )
        .map_err(faulty)?;
        let taken = |name| driver.get::<Function>(name);
        let route = taken("route").map_err(faulty)?;
        let event = taken("event").map_err(faulty)?;
        lua.set_named_registry_value(REPLY, taken("reply").map_err(faulty)?)
            .map_err(faulty)?;
        let mut machine = Machine {
            budget,
            complaints,
            limits: program.limits,
            driver: Driver { route, event },
            route: None,
            local_request: None,
            notify_reply: None,
            native: unused::globals(&lua),
            lua,
        };
        machine.load(program)?;
        Ok(machine)
    }

    fn load(&mut self, program: &Program) -> Result<(), ProgramError> {
        let faulty = |error: Error| ProgramError::Faulty(described(&error));
        let used = self.lua.used_memory();
        self.lua
            .set_memory_limit(used + program.limits.memory)
            .map_err(faulty)?;
        let chunk = self
            .lua
            .load(&program.source[..])
            .set_name(format!("@{}", program.name))
            .set_mode(mlua::chunk::ChunkMode::Text)
            .into_function()
            .map_err(faulty)?;
        let thread = self.lua.create_thread(chunk).map_err(faulty)?;
        match self.run(begun(thread), LOADING_TIME, ()) {
            Ok(_) => {}
            Err(Failure::Error(message)) => return Err(ProgramError::Faulty(message)),
            Err(_) => return Err(ProgramError::TooMuch(program.name.clone())),
        }
        let globals = self.lua.globals();
        let no_function = |name| ProgramError::NoFunction {
            file: program.name.clone(),
            name,
        };
        self.route = globals.raw_get("route").map_err(|_| no_function("route"))?;
        let events = globals.raw_get::<Table>("event_route");
        let events = events.map_err(|_| no_function("each value of the table event_route"))?;
        self.local_request = events
            .raw_get(LOCAL_REQUEST)
            .map_err(|_| no_function("event_route[\"tm:local-request\"]"))?;
        self.notify_reply = events
            .raw_get(NOTIFY_REPLY)
            .map_err(|_| no_function("event_route[\"presence:notify-reply\"]"))?;
        Ok(())
    }

    /// Whether there is a function `route`.
    pub fn has_route(&self) -> bool {
        self.route.is_some()
    }

    /// Whether there is a function for `tm:local-request`.
    pub fn hears_requests(&self) -> bool {
        self.local_request.is_some()
    }

    /// Whether there is a function for `presence:notify-reply`.
    pub fn hears_replies(&self) -> bool {
        self.notify_reply.is_some()
    }

    /// What in the program, which was loaded into this machine, is never called.
    pub(crate) fn unused(&self, program: &Program) -> Vec<String> {
        let Ok(events) = self.lua.globals().raw_get::<Table>("event_route") else {
            return Vec::new();
        };
        let (name, source) = (&program.name, &program.source);
        let called = [LOCAL_REQUEST, NOTIFY_REPLY];
        unused::find(&self.lua, name, source, &self.native, &events, &called)
    }

    /// Calls `route` with a request. Without that function: the default route.
    pub fn route(&self, request: Incoming) -> Step {
        let Some(route) = &self.route else {
            return Step::Done(0);
        };
        self.begin(&self.driver.route, (route.clone(), request))
    }

    /// Calls the function for `tm:local-request`, if there is one: a NOTIFY goes out.
    pub fn local_request(&self, subscription: Option<Subscription>) -> Step {
        let Some(handler) = &self.local_request else {
            return Step::Done(0);
        };
        let arguments = (handler.clone(), Value::Nil, subscription);
        self.begin(&self.driver.event, arguments)
    }

    /// Calls the function for `presence:notify-reply`, if there is one.
    pub fn notify_reply(&self, reply: ReplyTo, subscription: Option<Subscription>) -> Step {
        let Some(handler) = &self.notify_reply else {
            return Step::Done(0);
        };
        self.begin(&self.driver.event, (handler.clone(), reply, subscription))
    }

    /// Errors of the script since this was asked last that did not end its call: a value that cannot be used, and counts as not
    /// set. To be told like those that do.
    pub fn complaints(&self) -> Vec<Failure> {
        let complaints = self.complaints.take();
        complaints.into_iter().map(Failure::Error).collect()
    }

    fn begin(&self, function: &Function, arguments: impl IntoLuaMulti) -> Step {
        match self.lua.create_thread(function.clone()) {
            Ok(thread) => self.go_on(begun(thread), arguments),
            Err(error) => Step::Failed(failure(&error)),
        }
    }

    /// Goes on with a call of this machine.
    pub fn resume(&self, mut call: Suspended, told: Told) -> Step {
        match told.write(&self.lua, call.subs.take()) {
            Ok(values) => self.go_on(call, values),
            Err(error) => Step::Failed(failure(&error)),
        }
    }

    /// Runs a call until it is done, or waits for something that makes sense.
    fn go_on(&self, call: Suspended, arguments: impl IntoLuaMulti) -> Step {
        let mut ran = self.run(call, self.limits.deadline, arguments);
        loop {
            let (suspended, values) = match ran {
                Err(failure) => return Step::Failed(failure),
                Ok((None, values)) => {
                    let value = values.front().and_then(Value::as_integer);
                    return Step::Done(value.unwrap_or_default());
                }
                Ok((Some(suspended), values)) => (suspended, values),
            };
            match Ask::read(values) {
                Ok((ask, subs)) => return Step::Asks(Suspended { subs, ..suspended }, ask),
                Err(reason) => {
                    ran = self.run(suspended, self.limits.deadline, (false, reason));
                }
            }
        }
    }

    /// One stretch. `None`: it has ended, with these values; else it has yielded them.
    fn run(
        &self,
        call: Suspended,
        limit: Duration,
        arguments: impl IntoLuaMulti,
    ) -> Result<(Option<Suspended>, MultiValue), Failure> {
        let Suspended {
            thread,
            spent,
            asked,
            ..
        } = call;
        self.budget.begin(limit, spent, asked);
        let result = thread.resume::<MultiValue>(arguments);
        if self.budget.is_spent() {
            return Err(Failure::Deadline);
        }
        let values = result.map_err(|error| failure(&error))?;
        let suspended = thread.is_resumable().then(|| Suspended {
            thread,
            spent: self.budget.spent(),
            asked: asked.saturating_add(1),
            subs: None,
        });
        Ok((suspended, values))
    }
}

fn begun(thread: Thread) -> Suspended {
    Suspended {
        thread,
        spent: Duration::ZERO,
        asked: 0,
        subs: None,
    }
}

fn failure(error: &Error) -> Failure {
    if is_about_memory(error) {
        return Failure::Memory;
    }
    Failure::Error(described(error))
}

fn is_about_memory(error: &Error) -> bool {
    match error {
        Error::MemoryError(_) => true,
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => {
            is_about_memory(cause)
        }
        _ => false,
    }
}

/// The message without mlua's words and the traceback.
fn described(error: &Error) -> String {
    let message = match error {
        Error::RuntimeError(message) | Error::SyntaxError { message, .. } => message.clone(),
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => {
            return described(cause);
        }
        other => other.to_string(),
    };
    let end = message.find("\nstack traceback:").unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}
