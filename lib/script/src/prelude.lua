-- What a script finds: runs once in each new Lua state, before the script itself.
--
-- Two things are made here. The sandbox: all that could reach out of the state, or keep a C function busy where no deadline is
-- looked at, is taken away or done in Lua. And the functions under Kamailio's names: each that has to wait yields what it wants to
-- the driver (machine.rs), and is resumed with the answer; so a call never holds its thread while the database works.

local native, xavp_cfg = ...

local yield = coroutine.yield
local error, getmetatable, pcall, rawget, rawset, select, setmetatable, tonumber, tostring, type =
      error, getmetatable, pcall, rawget, rawset, select, setmetatable, tonumber, tostring, type
local concat, format, rep, sub, tointeger = table.concat, string.format, string.rep, string.sub, math.tointeger

-- === The sandbox ===

local kept = {
  _G = true, _VERSION = true, assert = true, error = true, getmetatable = true, ipairs = true, math = true, next = true,
  pairs = true, pcall = true, rawequal = true, rawget = true, rawlen = true, rawset = true, select = true, string = true,
  table = true, tonumber = true, tostring = true, type = true, utf8 = true, xpcall = true,
}
local gone = {}
for name in pairs(_G) do
  if not kept[name] then gone[#gone + 1] = name end
end
for _, name in ipairs(gone) do _G[name] = nil end

-- A finalizer runs outside of every call, where no hook is called.
function _G.setmetatable(value, meta)
  if type(meta) == "table" and rawget(meta, "__gc") ~= nil then error("a finalizer (__gc) is not allowed", 2) end
  return setmetatable(value, meta)
end

-- A message handler of C runs while the error is raised. If the hook raised it, no hook is called in there, and a handler without end
-- would have none.
local function handled(handler, good, ...)
  if good then return true, ... end
  return false, select(2, pcall(handler, ...))
end
function _G.xpcall(f, handler, ...)
  return handled(handler, pcall(f, ...))
end

string.dump = nil

local function text(value, position)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return tostring(value) end
  error(format("bad argument #%d (text expected, got %s)", position, kind), 3)
end

-- Nothing, repeated for ever, takes for ever.
function string.rep(value, count, between)
  value = text(value, 1)
  between = between == nil and "" or text(between, 3)
  if #value + #between == 0 then return "" end
  return rep(value, count, between)
end

function string.find(value, pattern, from, plain)
  return native.find(text(value, 1), text(pattern, 2), from, plain and true or false)
end

function string.match(value, pattern, from)
  return native.match(text(value, 1), text(pattern, 2), from)
end

function string.gmatch(value, pattern, from)
  value, pattern = text(value, 1), text(pattern, 2)
  local at, last = native.index(value, from), nil
  local function go_on(first, past, ...)
    if not first then
      at = #value + 2
      return nil
    end
    at, last = past, past
    if select("#", ...) == 0 then return sub(value, first, past - 1) end
    return ...
  end
  return function()
    return go_on(native.step(value, pattern, at, last, false))
  end
end

local function replaced(by, whole, ...)
  local key = whole
  if select("#", ...) > 0 then key = (...) end
  local with = by
  if type(by) == "table" then
    with = by[key]
  elseif type(by) == "function" then
    if select("#", ...) > 0 then with = by(...) else with = by(whole) end
  else
    return native.fill(by, whole, ...)
  end
  if not with then return whole end
  if type(with) ~= "string" and type(with) ~= "number" then
    error(format("invalid replacement value (a %s)", type(with)), 4)
  end
  return with
end

function string.gsub(value, pattern, by, most)
  value, pattern = text(value, 1), text(pattern, 2)
  local kind = type(by)
  if kind == "number" then
    by = tostring(by)
  elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
    error(format("bad argument #3 (text, table or function expected, got %s)", kind), 2)
  end
  local anchored = sub(pattern, 1, 1) == "^"
  if anchored then pattern = sub(pattern, 2) end
  local out, at, last, count = {}, 1, nil, 0
  local function add(first, past, ...)
    if not first then return false end
    count = count + 1
    out[#out + 1] = sub(value, at, first - 1)
    out[#out + 1] = replaced(by, sub(value, first, past - 1), ...)
    at, last = past, past
    return true
  end
  while (not most or count < most) and add(native.step(value, pattern, at, last, anchored)) and not anchored do end
  out[#out + 1] = sub(value, at)
  return concat(out), count
end

-- Those of C move elements without end, or call back where a call can neither wait nor be stopped.
function table.insert(list, ...)
  local count = select("#", ...)
  local size = #list
  if count == 1 then
    list[size + 1] = (...)
  elseif count == 2 then
    local position, value = ...
    position = tointeger(position)
    if not position or position < 1 or position > size + 1 then error("bad argument #2 (position out of bounds)", 2) end
    for at = size, position, -1 do list[at + 1] = list[at] end
    list[position] = value
  else
    error("wrong number of arguments to 'insert'", 2)
  end
end

function table.remove(list, position)
  local size = #list
  if position == nil then
    position = size
  else
    position = tointeger(position)
    if not position or (size + 1 ~= position and (position < 1 or position > size + 1) and not (size == 0 and position == 0)) then
      error("bad argument #2 (position out of bounds)", 2)
    end
  end
  local value = list[position]
  for at = position, size - 1 do list[at] = list[at + 1] end
  if position <= size then list[size] = nil end
  return value
end

function table.move(from, first, last, at, to)
  to = to or from
  if last >= first then
    if at > last or at <= first or to ~= from then
      for offset = 0, last - first do to[at + offset] = from[first + offset] end
    else
      for offset = last - first, 0, -1 do to[at + offset] = from[first + offset] end
    end
  end
  return to
end

-- Merge sort, from short runs upwards.
function table.sort(list, less)
  less = less or function(a, b) return a < b end
  local size = #list
  local from, to, width = list, {}, 1
  while width < size do
    for low = 1, size, 2 * width do
      local middle, high = low + width, low + 2 * width
      local left, right = low, middle
      for at = low, (high <= size + 1 and high or size + 1) - 1 do
        if left < middle and left <= size
           and (right >= high or right > size or not less(from[right], from[left])) then
          to[at] = from[left]
          left = left + 1
        else
          to[at] = from[right]
          right = right + 1
        end
      end
    end
    if from == list then from, to = to, {} else from, to = to, from end
    width = 2 * width
  end
  if from ~= list then
    for at = 1, size do list[at] = from[at] end
  end
end

-- === Calls ===

-- What belongs to the call that runs now. Calls take turns in a state, but only where one waits.
local current

local function ask(what, ...)
  local mine = current
  if not mine then error(format("%s: there is no request yet; call it inside of route or of an event_route", what), 3) end
  local good, first, second = yield(what, ...)
  current = mine
  if not good then error(first, 3) end
  return first, second
end

-- An error of the script that does not end its call: it is logged like one that does, and the value counts as not set. `level` as that
-- of error(), counted from whoever calls this.
local function complain(message, level)
  -- pcall and this function stand in between.
  local _, placed = pcall(error, message, level + 2)
  native.complain(placed)
end

-- What the configured xavp may say.
local numbers = { priority = true, delete_subscription = true }

local function wrong_number(name, value)
  local shown = type(value)
  if shown == "string" then shown = format('"%s"', sub(value, 1, 60))
  elseif shown == "number" then shown = tostring(value) end
  return format("xavp.%s.%s must be a whole number of 64 bits, not %s; it counts as not set", xavp_cfg, name, shown)
end

-- The attribute of the xavp that `xavp_cfg` names.
local function attribute(name)
  local lists = current and current.lists
  local list = lists and lists[xavp_cfg]
  local value = list and list[name]
  if value == nil then return nil end
  local number = tointeger(tonumber(value))
  -- The place is that of the presence function that looks at it.
  if not number then complain(wrong_number(name, value), 3) end
  return number
end

-- Of what cannot be used the script hears where it sets it.
local checked = {
  __newindex = function(list, name, value)
    if value ~= nil and numbers[name] and not tointeger(tonumber(value)) then
      complain(wrong_number(name, value), 2)
    else
      rawset(list, name, value)
    end
  end,
  __metatable = false,
}

xavp = setmetatable({}, {
  __index = function(_, name)
    if not current then error("xavp: there is no request yet", 2) end
    local lists = current.lists
    if not lists then
      lists = {}
      current.lists = lists
    end
    local list = lists[name]
    if list == nil then
      list = name == xavp_cfg and setmetatable({}, checked) or {}
      lists[name] = list
    end
    return list
  end,
  __newindex = function(_, name, list)
    if not current then error("xavp: there is no request yet", 2) end
    if list ~= nil and type(list) ~= "table" then
      complain(format("xavp.%s must be a table of attributes, not %s; it counts as not set", tostring(name), type(list)), 2)
      return
    end
    local lists = current.lists or {}
    current.lists = lists
    lists[name] = list
  end,
  __metatable = false,
})

function handle_publish(sender_uri)
  if sender_uri ~= nil and type(sender_uri) ~= "string" then
    complain(format("handle_publish: sender_uri must be a text, not %s; it counts as not given", type(sender_uri)), 2)
    sender_uri = nil
  end
  return (ask("handle_publish", sender_uri, attribute("priority")))
end

function handle_subscribe(watcher_uri)
  local code, subscription = ask("handle_subscribe", watcher_uri)
  current.subscription = subscription
  return code
end

function default_route()
  local code, subscription = ask("default_route", attribute("priority"))
  current.subscription = subscription
  return code
end

function pres_auth_status(watcher_uri, presentity_uri)
  return (ask("pres_auth_status", watcher_uri, presentity_uri))
end

function pres_has_subscribers(presentity_uri, event)
  return (ask("pres_has_subscribers", presentity_uri, event))
end

function pres_refresh_watchers(uri, event, kind, file_uri, filename)
  return (ask("pres_refresh_watchers", uri, event, kind, file_uri, filename))
end

function pres_update_watchers(uri, event)
  return (ask("pres_update_watchers", uri, event))
end

-- What a call does not know of its subscription by itself is read from the database when it is first asked for.
subs = setmetatable({}, {
  __index = function(_, name)
    local subscription = current and current.subscription
    if subscription == nil then return nil end
    local value = subscription[name]
    if value == nil then
      ask("read_subscription", subscription)
      value = subscription[name]
    end
    -- false: the database does not know it either.
    return value or nil
  end,
  __newindex = function() error("subs can only be read", 2) end,
  __metatable = false,
})

notify_reply = setmetatable({}, {
  __index = function(_, name)
    local reply = current and current.reply
    return reply and reply[name]
  end,
  __newindex = function() error("notify_reply can only be read", 2) end,
  __metatable = false,
})

event_route = {}

-- === The log ===

local levels = {
  L_ALERT = "error", L_BUG = "error", L_CRIT = "error", L_ERR = "error", L_WARN = "warn", L_NOTICE = "info", L_INFO = "info",
  L_DBG = "debug",
}

function xlog(level, message)
  if message == nil then level, message = "L_INFO", level end
  local known = levels[level]
  if not known then error("xlog: no such level", 2) end
  native.log(known, tostring(message))
end

function print(...)
  local words = { ... }
  for at = 1, select("#", ...) do words[at] = tostring(words[at]) end
  native.log("info", concat(words, "\t"))
end

-- === For the driver ===

return {
  route = function(route, request)
    current = {}
    route(request)
  end,
  event = function(handler, reply, subscription)
    current = { reply = reply, subscription = subscription }
    handler()
    return attribute("delete_subscription") or 0
  end,
  reply = function(_, code, reason)
    return (ask("reply", code, reason))
  end,
}
