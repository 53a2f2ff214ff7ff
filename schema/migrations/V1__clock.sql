-- The clock: one notion of "now" and one notion of "alive", for triggers and statements alike.

CREATE FUNCTION presence_now() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT COALESCE(NULLIF(current_setting('pgpresence.now', true), '')::timestamptz, now()) $$;
COMMENT ON FUNCTION presence_now() IS
    'The time by which triggers decide: the start of the transaction. Tests set pgpresence.now to be at another time.';

CREATE FUNCTION is_live(expires bigint, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT expires = -1 OR expires > extract(epoch FROM at) $$;
COMMENT ON FUNCTION is_live(bigint, timestamptz) IS
    'Whether a publication or subscription with this expires (epoch second; -1 = never ends) is alive. Written here only.';

CREATE FUNCTION expiry_at(granted_s bigint, at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT ceil(extract(epoch FROM at))::bigint + granted_s $$;
COMMENT ON FUNCTION expiry_at(bigint, timestamptz) IS
    'The epoch second at which granted_s seconds are over. Rounded up: nobody gets less than was granted.';

CREATE FUNCTION sweep_by_expires() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.sweep_at := NEW.expires;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION sweep_by_expires() IS
    'Row trigger: a row that would outlive its expires is swept then. Its WHEN clause keeps it away from all other writes.';
