//! Scripts that mean harm, or have a fault that comes to the same. Each is ended in time, and the calls after it know nothing of it.

use std::time::{Duration, Instant};

use super::*;

/// Every second call does harm.
fn harmful(harm: &str) -> Machine {
    machine(&format!(
        "calls = 0\nfunction route(request)\n calls = calls + 1\n if calls % 2 == 1 then\n{harm}\n end\n handle_publish()\nend"
    ))
}

fn ends(harm: &str, expected: impl Fn(&Failure) -> bool) {
    let machine = harmful(harm);
    for _ in 0..3 {
        let begun = Instant::now();
        let failure = failed(machine.route(publish()));
        assert!(expected(&failure), "{harm}\n{failure:?}");
        // The deadline is 50 ms of processor time; a busy machine may take several times as long.
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{harm}\ntook {:?}",
            begun.elapsed()
        );
        is_well(&machine);
    }
}

#[test]
fn endless_scripts_are_ended_at_their_deadline() {
    for harm in [
        "while true do end",
        "local function f() return f() end f()",
        "for i = 1, math.huge do end",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(pcall, pcall, function() while true do end end) end",
        "pcall(function() while true do pcall(error) end end) while true do end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "xpcall(error, function() while true do pcall(function() while true do end end) end end)",
        // From C, where nothing can yield.
        "for _ in ipairs(setmetatable({}, {__index = function() while true do pcall(function() while true do end end) end end})) do end",
        "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
        "local a = setmetatable({}, {__lt = function() while true do end end}) local b = a < a",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end",
        "do local x <close> = setmetatable({}, {__close = function() while true do end end}) end",
        "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "('a'):gsub('a', function() while true do end end)",
        "('a'):gsub('a', function() while true do pcall(function() while true do end end) end end)",
        "table.sort({1, 2, 3}, function() while true do end end)",
        "for x in function() return 1 end do end",
        "for _ in ('x'):gmatch('') do while true do end end",
        "goto again ::again:: goto again",
        "local s = ('x'):rep(1000) while true do s = s:upper() end",
    ] {
        ends(harm, |failure| *failure == Failure::Deadline);
    }
}

#[test]
fn no_function_of_c_runs_for_long() {
    for harm in [
        "('a'):rep(10000):find(('a-'):rep(20) .. 'b')",
        "('a'):rep(10000):match(('a*'):rep(20) .. 'b')",
        "for _ in ('a'):rep(10000):gmatch(('.-'):rep(20) .. 'b') do end",
        "('a'):rep(10000):gsub(('.-'):rep(20) .. 'b', '')",
        "while true do pcall(string.find, ('a'):rep(10000), ('a-'):rep(20) .. 'b') end",
        "table.move({}, 1, math.maxinteger - 1, 2)",
        "table.move({}, 1, math.maxinteger - 1, 1, {})",
        "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)",
        "table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)",
        "table.sort(setmetatable({}, {__len = function() return 1 << 60 end, __index = function() return 1 end, __newindex = function() end}))",
        "local t = {} for i = 1, 60000 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
        "(('('):rep(200000)):match('%b()')   while true do end",
    ] {
        ends(harm, |failure| {
            matches!(failure, Failure::Deadline | Failure::Memory)
        });
    }
    // Nothing, repeated for ever.
    let machine = route(
        "assert((''):rep(1 << 62) == '') assert((''):rep(1 << 62, '') == '') handle_publish()",
    );
    is_well(&machine);
}

#[test]
fn memory_is_bounded() {
    let about_memory = |failure: &Failure| {
        matches!(failure, Failure::Memory | Failure::Deadline)
            || matches!(failure, Failure::Error(message) if message.contains("too large"))
    };
    for harm in [
        "('x'):rep(1 << 30)",
        "('x'):rep(1 << 62)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, math.huge do t[i] = {i} end",
        "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end",
        "local s = ('x'):rep(1 << 16) s:gsub('.', ('%0'):rep(1000))",
        "local s = ('x'):rep(1 << 20) s:gsub(s, ('%0'):rep(1 << 18))",
        "local f = '' for i = 1, 30 do f = f .. '%99d' end local s = f:format(table.unpack({}, 1, 30)) .. ('x'):rep(1 << 40)",
    ] {
        let machine = harmful(harm);
        let failure = failed(machine.route(publish()));
        assert!(
            about_memory(&failure)
                || matches!(&failure, Failure::Error(_) if harm.contains("%99d")),
            "{harm}\n{failure:?}"
        );
        is_well(&machine);
    }
    // Caught, it does no good either.
    ends(
        "while true do pcall(string.rep, 'x', 1 << 30) end",
        |failure| *failure == Failure::Deadline,
    );
}

#[test]
fn what_a_script_keeps_counts() {
    let machine = machine(
        "kept = {} function route(request) for i = 1, 1000 do kept[#kept + 1] = ('x'):rep(100) .. #kept end handle_publish() end",
    );
    for _ in 0..1000 {
        match machine.route(publish()) {
            Step::Asks(..) => {}
            Step::Failed(Failure::Memory) => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("a hundred megabytes were kept");
}

#[test]
fn deep_recursion_is_an_error() {
    for harm in [
        "local function f() return 1 + f() end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end local x = t.a",
        "local function f() pcall(f) end f()   error('out')",
        "local function f(...) return f(1, ...) end f()",
        "local t = {} t.__index = t setmetatable(t, t) local x = t.a",
    ] {
        ends(harm, |_| true);
    }
}

#[test]
fn errors_of_any_kind_are_failures() {
    for harm in [
        "error('on purpose')",
        "error({})",
        "error(nil)",
        "error(setmetatable({}, {__tostring = function() error('again') end}))",
        "local x = nil + 1",
        "undefined_function()",
        "request:reply('x')",
        "request:reply(99)",
        "request:reply(100)",
        "request:reply(700)",
        "request:reply({})",
        "request:reply(1e300)",
        "request:reply(404, {})",
        "request:reply(404, 'a\\0b')",
        "request:header()",
        "request:header({})",
        "request.method = 'X'",
        "request:nothing()",
        "handle_subscribe(true)",
        "pres_auth_status()",
        "pres_auth_status('sip:a@b')",
        "pres_has_subscribers({}, {})",
        "pres_refresh_watchers('sip:a@b', 'presence', 3)",
        "pres_refresh_watchers('sip:a@b', 'presence', 'x')",
        "pres_update_watchers('sip:a@b', nil)",
        "subs.uri = 'x'",
        "xlog('L_NONE', 'x')",
        "setmetatable({}, {__gc = function() end})",
    ] {
        ends(harm, |failure| matches!(failure, Failure::Error(_)));
    }
}

#[test]
fn nothing_reaches_out_of_the_state() {
    for name in [
        "io",
        "os",
        "require",
        "package",
        "debug",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "coroutine",
        "collectgarbage",
        "string.dump",
        "warn",
        "getmetatable('').__index.dump",
        "_G.load",
    ] {
        let machine = route(&format!("assert({name} == nil) handle_publish()"));
        is_well(&machine);
    }
    // A call cannot be left open in a state of its own making, nor be told what is not for it.
    let machine =
        route("xavp.pres.priority = 5 assert(getmetatable(xavp) == false) handle_publish()");
    is_well(&machine);
}

#[test]
fn bytecode_is_no_script() {
    let lua = mlua::Lua::new();
    let code = lua
        .load("function route() end")
        .into_function()
        .unwrap()
        .dump(true);
    assert!(matches!(
        Program::new("route.lua", code, LIMITS, ""),
        Err(ProgramError::Faulty(_))
    ));
}

#[test]
fn a_program_that_does_not_load_is_none() {
    for (source, wanted) in [
        ("function route(", "route.lua:1"),
        ("local x = nil + 1", "route.lua:1"),
        ("error('no')", "no"),
        ("while true do end", "takes too long"),
        ("x = ('x'):rep(1 << 30)", "too much memory"),
        ("route = 5", "route must be a function"),
        ("event_route = 5", "must be a function"),
        (
            "event_route['presence:notify-reply'] = {}",
            "must be a function",
        ),
        ("handle_publish()", "there is no request yet"),
        ("xavp.pres.priority = 1", "there is no request yet"),
    ] {
        let error = program(source).unwrap_err().to_string();
        assert!(error.contains(wanted), "{source}: {error}");
    }
}

#[test]
fn a_call_that_is_dropped_while_it_waits_leaves_nothing() {
    let machine = route("handle_publish() while true do end");
    for _ in 0..20_000 {
        let (call, _) = asks(machine.route(publish()));
        drop(call);
    }
    let (call, _) = asks(machine.route(publish()));
    assert_eq!(
        failed(machine.resume(call, Told::Code(1))),
        Failure::Deadline
    );
}

#[test]
fn the_deadline_is_of_the_whole_call() {
    let machine =
        route("while true do for i = 1, 100000 do end pres_has_subscribers('a', 'b') end");
    let mut step = machine.route(publish());
    let mut stretches = 0;
    while let Step::Asks(call, _) = step {
        stretches += 1;
        assert!(stretches < 10_000, "it goes on for ever");
        step = machine.resume(call, Told::Code(1));
    }
    assert_eq!(failed(step), Failure::Deadline);
}

#[test]
fn asking_without_end_is_ended_too() {
    for harm in [
        "while true do request:reply(200) end",
        "while true do pcall(handle_publish) end",
        "while true do pcall(handle_publish, {}) end",
        "while true do pres_has_subscribers('a', 'b') end",
        "while true do local x = subs.uri end",
    ] {
        let machine = harmful(harm);
        let mut step = machine.route(publish());
        let mut asked = 0;
        while let Step::Asks(call, _) = step {
            asked += 1;
            assert!(asked < 1_000_000, "{harm}");
            step = machine.resume(call, Told::Code(1));
        }
        assert_eq!(failed(step), Failure::Deadline, "{harm}");
        is_well(&machine);
    }
}
