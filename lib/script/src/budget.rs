//! How much processor time a call has left.
//!
//! Processor time of this thread, not time on the wall: a call must not fail because the machine is busy with something else, nor while
//! it waits for the database. The clock costs a system call, so it is first looked at when the first thousand instructions are over;
//! most calls end before.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use mlua::{HookTriggers, Lua, VmState};
use rustix::time::{ClockId, clock_gettime};

/// Instructions between two looks at the clock.
const INSTRUCTIONS_PER_CHECK: u32 = 1000;

/// From so many questions on, each stretch of a call is measured as a whole.
const MANY_QUESTIONS: u32 = 16;

/// The budget of the call that runs now, shared by the hook, the pattern matcher and the machine.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    limit: Cell<Duration>,
    /// Used up by earlier stretches of this call.
    spent: Cell<Duration>,
    /// The thread's clock when it was first looked at in this stretch.
    since: Cell<Option<Duration>>,
    over: Cell<bool>,
}

// === impl Budget ===

impl Budget {
    /// A stretch of a call begins. One that has asked for much already is measured from here on: a loop that only asks never comes to a
    /// thousand instructions in a stretch.
    pub(crate) fn begin(&self, limit: Duration, spent: Duration, asked: u32) {
        self.limit.set(limit);
        self.spent.set(spent);
        self.since.set((asked >= MANY_QUESTIONS).then(thread_time));
        self.over.set(false);
    }

    /// Whether a call that is about to wait has used up all it had.
    pub(crate) fn is_spent(&self) -> bool {
        self.over.get() || self.spent() > self.limit.get()
    }

    /// What the call has used up so far.
    pub(crate) fn spent(&self) -> Duration {
        let stretch = self
            .since
            .get()
            .map_or(Duration::ZERO, |since| thread_time().saturating_sub(since));
        self.spent.get() + stretch
    }

    /// Whether the call was, or must now be, stopped.
    pub(crate) fn check(&self) -> bool {
        if !self.over.get() {
            if self.since.get().is_none() {
                self.since.set(Some(thread_time()));
            }
            self.over.set(self.spent() > self.limit.get());
        }
        self.over.get()
    }

    /// Has the clock looked at in all that runs in `lua` from now on.
    ///
    /// A call that is over is left by a yield, which `pcall` cannot catch. Where a C function is in between (a metamethod that
    /// `ipairs` or `tostring` calls), Lua cannot yield: there an error is raised, at each instruction anew, until so much of the
    /// stack is gone that it can.
    pub(crate) fn watch(self: &Rc<Self>, lua: &Lua) -> mlua::Result<()> {
        let budget = Rc::clone(self);
        let every = HookTriggers::new().every_nth_instruction(INSTRUCTIONS_PER_CHECK);
        lua.set_global_hook(every, move |lua, _| {
            if !budget.check() {
                return Ok(VmState::Continue);
            }
            let raise = Cell::new(true);
            let each = HookTriggers::new().every_nth_instruction(1);
            lua.set_hook(each, move |_, _| {
                if raise.replace(!raise.get()) {
                    Err(over())
                } else {
                    Ok(VmState::Yield)
                }
            })?;
            Ok(VmState::Yield)
        })
    }
}

/// The error that a script gets at its deadline, if it can get one.
pub(crate) fn over() -> mlua::Error {
    mlua::Error::runtime("the deadline of this call is over")
}

fn thread_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}
