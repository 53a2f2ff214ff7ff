//! What was done anew behaves as Lua's own: each line runs in both, and says the same.

use super::*;

/// Expressions of any number of values, made of what the sandbox replaces.
const LINES: &[&str] = &[
    "('hello world'):find('wor')",
    "('hello world'):find('o', 6)",
    "('hello'):find('l+')",
    "('hello'):find('(l)(l)')",
    "('hello'):find('xyz')",
    "('hello'):find('')",
    "('hello'):find('', 10)",
    "('hello'):find('', 6)",
    "('hello'):find('l', -2)",
    "('hello'):find('h', -100)",
    "('a.b'):find('.', 1, true)",
    "('a.b'):find('.', 2, true)",
    "('a.b'):find('', 4, true)",
    "('a.b'):find('x', 1, true)",
    "('hello'):find('^h')",
    "('hello'):find('^e')",
    "('hello'):find('^l', 3)",
    "('hello'):find('o$')",
    "('hello'):find('l$')",
    "('a$b'):find('$b')",
    "('hello'):find('()ll()')",
    "('key = value'):match('^(%w+)%s*=%s*(%w+)$')",
    "('sip:alice@example.org;x=y'):match('^sip:([^@;]*)@([^;]*)')",
    "('<sip:a@b>'):match('<(.-)>')",
    "('  trim  '):match('^%s*(.-)%s*$')",
    "('2024-05-06'):match('(%d+)-(%d+)-(%d+)')",
    "('hello'):match('.-(l)')",
    "('hello'):match('.*(l)')",
    "('hello'):match('l?l?l?o')",
    "('THE (quick) fox'):find('%((%a+)%)')",
    "('f(a(b)c)d'):match('%b()')",
    "('f(a(b'):match('%b()')",
    "('THE (quick) fox'):gsub('%f[%a]%a+', string.lower)",
    "('hello'):match('%f[%w]%w+%f[%W]')",
    "('aa bb cd'):match('(%a)%1')",
    "('[x]'):match('[]x]+')",
    "('a-z'):match('[a-]+')",
    "('x^y'):match('[%^x]+')",
    "('abc'):match('[^a]+')",
    "('a]b'):match('[%]a]+')",
    "('abc'):match('[%a-c]+')",
    "('\\0a\\0'):find('%z')",
    "('a\\0b'):match('.+')",
    "('\\11x'):match('%s')",
    "('x1 y2'):gsub('%a(%d)', '<%1:%0>')",
    "('abc'):gsub('', '-')",
    "('abc'):gsub('.', {a = 1, b = true and 'B', c = false})",
    "('abc'):gsub('%w', '%0%0', 2)",
    "('abc'):gsub('^a', 'x')",
    "('aaa'):gsub('^a', 'x')",
    "('abc'):gsub('b*', 'x')",
    "('hello world'):gsub('o', '0', 1)",
    "('abc'):gsub('b', function() return nil end)",
    "('abc'):gsub('(b)(c)', function(b, c) return c .. b end)",
    "('abc'):gsub('()', '%1')",
    "('abc'):gsub('b', '%%')",
    "('abc'):gsub('b', 5)",
    "('abc'):gsub('.', '%1')",
    "('x'):rep(3)",
    "('x'):rep(3, ',')",
    "('x'):rep(0)",
    "('x'):rep(-1, 'y')",
    "(5):rep == nil",
    "string.rep(5, 2)",
    "string.find(1234, 23)",
    "string.gsub(121, 1, 3)",
    "(function() local t = {} for k, v in ('a=1, b=2'):gmatch('(%w)=(%w)') do t[#t + 1] = k .. v end return table.concat(t, ';') end)()",
    "(function() local t = {} for w in ('one two'):gmatch('%a+') do t[#t + 1] = w end return table.concat(t, ';') end)()",
    "(function() local t = {} for w in ('abc'):gmatch('') do t[#t + 1] = '.' end return #t end)()",
    "(function() local t = {} for w in ('abc'):gmatch('b*') do t[#t + 1] = '[' .. w .. ']' end return table.concat(t) end)()",
    "(function() local t = {} for w in ('hello'):gmatch('l', 4) do t[#t + 1] = w end return #t end)()",
    "(function() local t = {} for p in ('abc'):gmatch('()%a') do t[#t + 1] = p end return table.concat(t, ',') end)()",
    "(function() local t = {1, 2, 3} table.insert(t, 4) table.insert(t, 1, 0) table.insert(t, 3, 9) return table.concat(t, ',') end)()",
    "(function() local t = {1, 2, 3} local a = table.remove(t) local b = table.remove(t, 1) return a, b, #t, table.remove(t, 2), table.remove({}) end)()",
    "(function() local t = {1, 2, 3} return table.concat(table.move(t, 1, 3, 2), ','), table.concat(table.move({1, 2, 3}, 2, 3, 1), ','), table.concat(table.move({1, 2}, 1, 2, 3, {7, 8}), ',') end)()",
    "(function() local t = {3, 1, 2, 5, 4, 9, 8, 7, 6, 10, 0} table.sort(t) local a = table.concat(t, ',') table.sort(t, function(x, y) return x > y end) return a, table.concat(t, ',') end)()",
    "(function() local t = {'b', 'a', 'c'} table.sort(t) return table.concat(t) end)()",
    "(function() local t = {} table.sort(t) table.sort({1}) return #t end)()",
    "pcall(table.insert, {}, 3, 1) == false",
    "pcall(table.insert, {}) == false",
    "pcall(table.remove, {1}, 5) == false",
    "pcall(string.gsub, 'x', 'x', '%9') == false",
    "pcall(string.gsub, 'x', 'x', true) == false",
    "pcall(string.find, {}, 'x') == false",
    "pcall(string.match, 'x', '[a') == false",
    "pcall(string.match, 'x', '%') == false",
    "pcall(table.sort, {1, 'x'}) == false",
];

/// What an expression gives, in words.
const TELL: &str = "local function tell(...) local all = {} for at = 1, select('#', ...) do all[at] = math.type((select(at, ...))) or type((select(at, ...))) all[at] = all[at] .. ' ' .. tostring((select(at, ...))) end return table.concat(all, ' | ') end";

#[test]
fn replaced_functions_are_as_luas_own() {
    let own = mlua::Lua::new();
    for line in LINES.iter().filter(|line| !line.starts_with("(5)")) {
        let wanted: String = own
            .load(format!("{TELL} return tell({line})"))
            .eval()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let machine = route(&format!("{TELL} request:reply(200, tell({line}))"));
        let step = machine.route(publish());
        let Step::Asks(
            _,
            Ask::Reply {
                reason: Some(found),
                ..
            },
        ) = step
        else {
            // NUL is nothing for a reason phrase.
            assert!(wanted.contains('\0'), "{line}: {step:?}");
            continue;
        };
        assert_eq!(found, wanted, "{line}");
    }
}

/// Texts and patterns at random: whatever Lua finds, we find.
#[test]
fn any_pattern_matches_as_in_lua() {
    let own = mlua::Lua::new();
    own.load("function find(s, p) return pcall(function() return table.concat({tostring((s:find(p))), tostring(select(2, s:find(p))), tostring((s:match(p))), (s:gsub(p, '<%0>'))}, '|') end) end")
        .exec()
        .unwrap();
    let find: mlua::Function = own.globals().get("find").unwrap();
    let pieces = [
        "a", "b", ".", "%a", "%d", "[ab]", "[^a]", "[a-c]", "*", "+", "-", "?", "(", ")", "()",
        "^", "$", "%1", "%b()", "%f[a]", "%", "[", "1",
    ];
    // xorshift, seeded: the same on every run.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let machine = machine(
        "function route(request)
           local p, s = request:header('X-P'), request:header('X-S') or ''
           local ok, found = pcall(function() return table.concat({tostring((s:find(p))), tostring(select(2, s:find(p))), tostring((s:match(p))), (s:gsub(p, '<%0>'))}, '|') end)
           request:reply(ok and 200 or 400, ok and found or nil)
         end",
    );
    let mut matched = 0;
    for _ in 0..8_000 {
        let pattern: String = (0..1 + random(6))
            .map(|_| pieces[random(pieces.len())])
            .collect();
        let text: String = (0..random(8))
            .map(|_| ["a", "b", "1", "(", ")"][random(5)])
            .collect();
        let wanted: (bool, String) = find
            .call::<(bool, mlua::LuaString)>((text.as_str(), pattern.as_str()))
            .map(|(ok, text)| (ok, text.to_string_lossy()))
            .unwrap();
        let asked = request(&format!(
            "PUBLISH sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK2\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\n\
             Call-ID: 2\r\nCSeq: 1 PUBLISH\r\nX-P: {pattern}\r\nX-S: {text}\r\nContent-Length: 0\r\n\r\n",
        ));
        let (_, ask) = asks(machine.route(asked));
        match ask {
            Ask::Reply {
                code: 200,
                reason: Some(found),
            } => {
                assert!(
                    wanted.0,
                    "{text:?} {pattern:?}: {found}, Lua says {wanted:?}"
                );
                assert_eq!(found, wanted.1, "{text:?} {pattern:?}");
                matched += usize::from(!found.starts_with("nil"));
            }
            _ => assert!(
                !wanted.0,
                "{text:?} {pattern:?}: an error, Lua says {wanted:?}"
            ),
        }
    }
    assert!(
        matched > 800,
        "only {matched} matched: the test looks at too little"
    );
}
