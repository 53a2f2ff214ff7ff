-- Row trigger: what brought each subscription into its status (RFC 3857 section 4.7.1, RFC 3858 section 4.3.2).
--
-- A status and a reason do not tell all of it: who is active was let in at once (subscribe) or had to wait for a decision (approved).
-- This trigger sees both sides of a change, whoever makes it: a SUBSCRIBE, rules, the sweep, the answer to a NOTIFY, or SQL by hand. So it
-- writes the event down there, into the row version that is written anyway. One place instead of one in each statement that may end a
-- subscription.

CREATE FUNCTION mark_status_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    said text := lower(btrim(split_part(NEW.reason, ';', 1)));
BEGIN
    IF NEW.status <> OLD.status THEN
        NEW.updated_winfo    := 1;
        NEW.winfo_changed_at := presence_now();
        NEW.status_event     := CASE
            -- Whoever changed it by hand said so himself.
            WHEN NEW.status_event <> OLD.status_event THEN NEW.status_event
            -- Before the first decision nobody was pending, whatever the row says: it is about the SUBSCRIBE.
            WHEN NEW.status = 1 AND OLD.status IN (2, 4) AND OLD.decided_version IS DISTINCT FROM -1 THEN 'approved'
            WHEN NEW.status IN (1, 2) THEN 'subscribe'
            WHEN NEW.status = 4 THEN 'timeout'
            WHEN said IN ('deactivated', 'probation', 'rejected', 'timeout', 'giveup', 'noresource') THEN said
            -- Without a reason: the watcher is gone, or somebody ended it by hand, and the watcher may come back.
            WHEN NEW.ended OR NOT is_live(NEW.expires, presence_now()) THEN 'timeout'
            ELSE 'deactivated' END;
    ELSE
        -- A mark of an earlier statement, which has done its work.
        NEW.updated_winfo    := -1;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION mark_status_change() IS
    'Row trigger: whatever changes the status of a subscription marks it and writes down which event of RFC 3857 that was; the next statement takes the mark away. Its WHEN clause keeps it away from all other writes.';

-- The comparison of two columns that are at hand is not to be seen in subscription.take.
CREATE TRIGGER active_watchers_status_changes
    BEFORE UPDATE ON active_watchers
    FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR (NEW.updated_winfo <> -1 AND OLD.updated_winfo <> -1))
    EXECUTE FUNCTION mark_status_change();
