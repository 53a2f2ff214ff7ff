-- Row trigger: a watcher that waited has been decided about.

CREATE FUNCTION mark_waiting_over() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF OLD.status = 4 AND NEW.status IN (1, 3) THEN
        NEW.waited_until    := floor(extract(epoch FROM presence_now()))::bigint;
        NEW.subscription_id := OLD.subscription_id;
    ELSIF NEW.status IN (2, 4) OR NEW.waited_until < extract(epoch FROM presence_now()) - 60 THEN
        -- It is pending again, or everybody has heard of it.
        NEW.waited_until := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION mark_waiting_over() IS
    'Row trigger: notes when a watcher that waited was decided about. Its WHEN clause keeps it away from all others.';

CREATE TRIGGER watchers_waiting_over
    BEFORE UPDATE ON watchers
    FOR EACH ROW
    WHEN (OLD.status = 4 OR OLD.waited_until IS NOT NULL)
    EXECUTE FUNCTION mark_waiting_over();
