-- The clock: one notion of "now" and one notion of "alive", for triggers and statements alike.
--
-- Of all functions here: those in SQL have a body that PostgreSQL reads once, when they are created. What they name is settled then, whatever
-- search_path a session has, and PostgreSQL puts their text in place of a call. Those in PL/pgSQL are read when they run, so they carry the
-- search_path with them (FROM CURRENT: the schema that is being migrated, and temporary tables last; see fix_search_path.sql).

CREATE FUNCTION presence_now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN COALESCE(NULLIF(current_setting('pgpresence.now', true), '')::timestamptz, now());
COMMENT ON FUNCTION presence_now() IS
    'The time by which triggers decide: the start of the transaction. Tests set pgpresence.now to be at another time.';

-- date_part() counts in double precision, to the microsecond until the year 2255; extract() in numeric, which takes ten times as long.
CREATE FUNCTION is_live(expires bigint, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN expires = -1 OR expires > date_part('epoch', at);
COMMENT ON FUNCTION is_live(bigint, timestamptz) IS
    'Whether a publication or subscription with this expires (epoch second; -1 = never ends) is alive. Written here only.';

CREATE FUNCTION expiry_at(granted_s bigint, at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ceil(date_part('epoch', at))::bigint + granted_s;
COMMENT ON FUNCTION expiry_at(bigint, timestamptz) IS
    'The epoch second at which granted_s seconds are over. Rounded up: nobody gets less than was granted.';
