-- Watcher information (RFC 3857, 3858): who watches is state as well, of the resource (presentity, <package>.winfo). These are its names.

-- The quick half first: hardly any event has the word in it at all.
CREATE FUNCTION is_winfo(event text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN event LIKE '%.winfo%' AND right(split_part(event, ';', 1), 6) = '.winfo';
COMMENT ON FUNCTION is_winfo(text) IS 'Whether an event package is the watcher information of another.';

CREATE FUNCTION winfo_event(event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN split_part(event, ';', 1) || '.winfo' || substr(event, length(split_part(event, ';', 1)) + 1);
COMMENT ON FUNCTION winfo_event(text) IS 'The watcher information of an event package: presence.winfo for presence.';

CREATE FUNCTION watched_event(event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(split_part(event, ';', 1), -6) || substr(event, length(split_part(event, ';', 1)) + 1);
COMMENT ON FUNCTION watched_event(text) IS
    'The event package that this one is the watcher information of (is_winfo): presence for presence.winfo.';
