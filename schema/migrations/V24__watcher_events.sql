-- Watcher information says what brought each subscription into its status (RFC 3857 section 4.7.1, RFC 3858 section 4.3.2).
--
-- A status and a reason do not tell all of it: who is active was let in at once (subscribe) or had to wait for a decision (approved).
-- The row trigger that marks a change of status sees both sides of it, whoever makes it: a SUBSCRIBE, rules, the sweep, the answer to
-- a NOTIFY, or SQL by hand. So it writes the event down there, into the row version that is written anyway.

ALTER TABLE active_watchers ADD COLUMN status_event text NOT NULL DEFAULT '';
COMMENT ON COLUMN active_watchers.status_event IS 'Event of RFC 3857 that led to status: subscribe, approved, deactivated, probation, rejected, timeout, giveup, noresource; empty = none since the row was stored: subscribe, or what reason says. Written by a trigger, or by hand together with status.';

CREATE OR REPLACE FUNCTION mark_status_change() RETURNS trigger
LANGUAGE plpgsql
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

-- === watchers that wait ===

-- Who is decided about while waiting has come to the end of that subscription: approved or rejected. It was told by full state that does
-- not have it, which does not say why. Now partial state shows it as terminated.
ALTER TABLE watchers ADD COLUMN waited_until bigint;
COMMENT ON COLUMN watchers.waited_until IS 'Epoch second of the decision about one that waited, by which partial watcher information tells of it; null = it did not wait lately. Written by a trigger.';
COMMENT ON COLUMN watchers.subscription_id IS 'active_watchers.id of the subscription that ended while it was pending, by which watcher information names the watcher that waits; null = unknown. Written with status 4; stays when the waiting ends.';

-- Serves subscription.list_watchers. Partial: nearly empty.
CREATE INDEX watchers_waited_idx ON watchers (presentity_uri, event) WHERE waited_until IS NOT NULL;

CREATE FUNCTION mark_waiting_over() RETURNS trigger
LANGUAGE plpgsql
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

CREATE OR REPLACE FUNCTION queue_waiting_watchers() RETURNS trigger
LANGUAGE plpgsql
-- Transition tables carry no statistics and no index: a nested loop over two of them is quadratic.
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
    uris   text[];
    events text[];
    gone   boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.event), false INTO uris, events, gone
        FROM new_rows AS n WHERE n.status = 4;
    ELSIF TG_OP = 'DELETE' THEN
        -- Who was given up on has been told of.
        SELECT array_agg(o.presentity_uri), array_agg(o.event), true INTO uris, events, gone
        FROM old_rows AS o WHERE o.status = 4 AND o.reason <> 'giveup';
    ELSE
        -- One that is pending again is so by another subscription: of the one by which it waited there is nothing left to show.
        SELECT array_agg(n.presentity_uri), array_agg(n.event),
               bool_or(o.status = 4 AND o.reason <> 'giveup' AND n.status = 2)
        INTO uris, events, gone
        FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        WHERE (n.status = 4) <> (o.status = 4)
           OR (n.status = 4 AND (n.reason = 'giveup') <> (o.reason = 'giveup'));
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_winfo(uris, events, gone);
    END IF;
    RETURN NULL;
END
$$;
