-- Watcher information (RFC 3857, 3858): who watches is state as well, of the resource (presentity, <package>.winfo).
--
-- Kamailio's flag active_watchers.updated_winfo says from row to trigger: the status of this subscription changed in this
-- statement. The trigger then queues a state change of the watcher information, if somebody watches that.

ALTER TABLE active_watchers
    ADD COLUMN created_time     bigint NOT NULL DEFAULT 0,
    ADD COLUMN from_display     text   NOT NULL DEFAULT '',
    ADD COLUMN winfo_changed_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN notified_at      timestamptz;
-- A new row is a change of status, also one that is written by hand. Of old ones it is not known when they began.
ALTER TABLE active_watchers
    ALTER COLUMN created_time     SET DEFAULT floor(extract(epoch FROM now()))::bigint,
    ALTER COLUMN winfo_changed_at SET DEFAULT presence_now(),
    ALTER COLUMN updated_winfo    SET DEFAULT 1;

COMMENT ON COLUMN active_watchers.created_time IS 'Epoch second of the first SUBSCRIBE; 0 = unknown. Written once, by servers.';
COMMENT ON COLUMN active_watchers.from_display IS 'Display name of the From header of the first SUBSCRIBE; empty if none. Written once, by servers.';
COMMENT ON COLUMN active_watchers.winfo_changed_at IS 'When status last changed: what a partial watcher information has to tell. Written by the database.';
COMMENT ON COLUMN active_watchers.notified_at IS 'When the last NOTIFY was taken; null before the first. Written by subscription.take.';
COMMENT ON COLUMN active_watchers.updated_winfo IS 'Flag: 1 = status changed in the statement that wrote the row last, which a trigger told the watchers of the watcher information; -1 = it did not. Written by the database, or by hand.';

ALTER TABLE notify_queue ADD COLUMN full_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN notify_queue.full_version IS 'A dialog that was last notified of an older version than this is told everything, not only what changed: a NOTIFY to it may have been lost, or a watcher deleted; 0 = none. Written by claim, settle and triggers.';

CREATE FUNCTION is_winfo(event text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT right(split_part(event, ';', 1), 6) = '.winfo' $$;
COMMENT ON FUNCTION is_winfo(text) IS 'Whether an event package is the watcher information of another.';

CREATE FUNCTION winfo_event(event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT split_part(event, ';', 1) || '.winfo' || substr(event, length(split_part(event, ';', 1)) + 1) $$;
COMMENT ON FUNCTION winfo_event(text) IS 'The watcher information of an event package: presence.winfo for presence.';

CREATE FUNCTION watched_event(event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT left(split_part(event, ';', 1), -6) || substr(event, length(split_part(event, ';', 1)) + 1) $$;
COMMENT ON FUNCTION watched_event(text) IS 'The event package that this one is the watcher information of (is_winfo): presence for presence.winfo.';

CREATE FUNCTION mark_status_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF NEW.status <> OLD.status THEN
        NEW.updated_winfo    := 1;
        NEW.winfo_changed_at := presence_now();
    ELSE
        -- A mark of an earlier statement, which has done its work.
        NEW.updated_winfo    := -1;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION mark_status_change() IS
    'Row trigger: whatever changes the status of a subscription marks it, and the next statement takes the mark away. Its WHEN clause keeps it away from all other writes.';

-- One place instead of one in each statement that may end a subscription, and SQL by hand counts as well. The comparison of two
-- columns that are at hand is not to be seen in subscription.take.
CREATE TRIGGER active_watchers_status_changes
    BEFORE UPDATE ON active_watchers
    FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR (NEW.updated_winfo <> -1 AND OLD.updated_winfo <> -1))
    EXECUTE FUNCTION mark_status_change();

-- === queue ===

-- Two statements, each in key order: first the rows of what is watched, then those of watcher information. So the order of locks
-- in notify_queue is, from here on: watcher information after everything else, and by key within both. All that lock
-- several rows and wait for them keep to it (queue.renew, queue.settle, queue_state_changes).
--
-- Why nobody who begins to watch the watchers misses one. A status change locks the row of its own resource (uri, event) to the
-- end of its transaction, and a new dialog of (uri, event.winfo) locks that same row. Whoever comes second waits for
-- the first to commit. If that is the status change, it only then looks for watchers of the watcher information, in a
-- statement with a snapshot of its own, and finds them. If it is the new dialog, it commits after the status change, and its first
-- NOTIFY, which is taken after that and tells everything, shows it.
CREATE OR REPLACE FUNCTION queue_flagged_dialogs() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    uris     text[];
    versions bigint[];
    queued_count bigint;
BEGIN
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, decide_at, due, owed_since)
        SELECT f.presentity_uri, f.event, min(f.flagged_due), min(f.decide_at), LEAST(min(f.flagged_due), min(f.decide_at)),
               CASE WHEN LEAST(min(f.flagged_due), min(f.decide_at)) < 'infinity' THEN presence_now() END
        FROM (SELECT n.presentity_uri, n.event, GREATEST(presence_now(), to_timestamp(n.retry_at)) AS flagged_due,
                     'infinity'::timestamptz AS decide_at
              FROM new_rows AS n
              WHERE n.updated <> -1 AND n.decided_version IS DISTINCT FROM -1 AND NOT is_winfo(n.event)
              UNION ALL
              -- Only locked: what is watched, when somebody begins to watch its watchers; that whose watchers change.
              SELECT n.presentity_uri, CASE WHEN is_winfo(n.event) THEN watched_event(n.event) ELSE n.event END, 'infinity', 'infinity'
              FROM new_rows AS n
              WHERE n.updated_winfo <> -1 OR (n.updated <> -1 AND is_winfo(n.event))
              UNION ALL
              -- Decided about, or to be: the lock of this row stands between the dialog and a document that is being stored. To be
              -- looked at are undecided dialogs, and pending ones that are over: their watcher may have to wait from now on.
              SELECT n.presentity_uri, 'presence', 'infinity',
                     CASE WHEN n.decided_version = -1 OR n.view = 'none' THEN presence_now() ELSE 'infinity' END
              FROM new_rows AS n
              WHERE n.decided_version IS NOT NULL
                AND (n.decided_version = -1 OR TG_OP = 'INSERT'
                     OR (n.status = 3 AND n.view = 'none' AND n.reason IN ('', 'timeout')))) AS f
        GROUP BY f.presentity_uri, f.event
        ORDER BY f.presentity_uri, f.event
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
            decide_at   = LEAST(q.decide_at, EXCLUDED.decide_at),
            due         = LEAST(q.due, EXCLUDED.due),
            owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since)
        RETURNING q.presentity_uri, q.event, q.rules_version
    )
    SELECT array_agg(q.presentity_uri) FILTER (WHERE q.event = 'presence' AND q.rules_version > 0),
           array_agg(q.rules_version) FILTER (WHERE q.event = 'presence' AND q.rules_version > 0),
           count(*)
    INTO uris, versions, queued_count
    FROM queued AS q;
    -- A take for a state change is done here, having looked at its rows once.
    IF queued_count = 0 THEN
        RETURN NULL;
    END IF;

    -- Before the update below: what that fires then locks nothing that is not locked already.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, flagged_due, due, owed_since)
    SELECT w.presentity_uri, w.event, CASE WHEN w.changed THEN nextval('notify_version') ELSE 0 END, w.flagged_due,
           LEAST(w.flagged_due, CASE WHEN w.changed THEN presence_now() END), presence_now()
    FROM (SELECT c.presentity_uri, c.event, bool_or(c.changed) AS changed, min(c.flagged_due) AS flagged_due
          FROM (SELECT n.presentity_uri, n.event, false AS changed,
                       GREATEST(presence_now(), to_timestamp(n.retry_at)) AS flagged_due
                FROM new_rows AS n
                WHERE n.updated <> -1 AND is_winfo(n.event)
                UNION ALL
                SELECT s.presentity_uri, s.event, true, 'infinity'
                FROM (SELECT DISTINCT n.presentity_uri, winfo_event(n.event) AS event
                      FROM new_rows AS n
                      WHERE n.updated_winfo <> -1 AND NOT is_winfo(n.event)) AS s
                CROSS JOIN LATERAL (SELECT a.id
                                    FROM active_watchers AS a
                                    WHERE a.presentity_uri = s.presentity_uri AND a.event = s.event AND a.status <> 3
                                    LIMIT 1) AS a) AS c
          GROUP BY c.presentity_uri, c.event) AS w
    ORDER BY w.presentity_uri, w.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version     = CASE WHEN EXCLUDED.version > 0 THEN nextval('notify_version') ELSE q.version END,
        flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
        due         = LEAST(q.due, EXCLUDED.flagged_due,
                            CASE WHEN EXCLUDED.version > 0 THEN GREATEST(presence_now(), q.not_before) END),
        owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since);
    IF TG_OP = 'INSERT' AND uris IS NOT NULL THEN
        -- Let in by default, while a document came that the statement could not see. Now, under the lock, it does not matter how
        -- far the other has got: the dialog is undecided like any other that comes from here on.
        UPDATE active_watchers AS a
        SET status          = CASE WHEN a.status = 1 THEN 2 ELSE a.status END,
            view            = 'none',
            decided_version = -1
        FROM new_rows AS n
        JOIN unnest(uris, versions) AS v (presentity_uri, rules_version) ON v.presentity_uri = n.presentity_uri
        WHERE a.id = n.id AND n.decided_version >= 0 AND n.decided_version < v.rules_version;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_flagged_dialogs() IS
    'Statement trigger of active_watchers: queues the resources of flagged dialogs, due at their retry_at, presentities about whose watchers is to be decided, and the watcher information of those whose status changed, if somebody watches it.';

CREATE OR REPLACE FUNCTION queue_state_changes(uris text[], events text[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    -- nextval() is called row by row, after the ORDER BY, and again after a wait for the row's lock: a number drawn before
    -- the wait could be lower than one that watchers have been notified of, and the change would be lost.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, due, owed_since)
    SELECT changed.presentity_uri, changed.event, nextval('notify_version'), presence_now(), presence_now()
    FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event
          FROM unnest(uris, events) AS u (presentity_uri, event)
          WHERE u.presentity_uri IS NOT NULL) AS changed
    ORDER BY is_winfo(changed.event), changed.presentity_uri, changed.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version    = nextval('notify_version'),
        due        = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since = COALESCE(q.owed_since, presence_now());
END
$$;

-- === rows that are deleted, and watchers that wait ===

CREATE FUNCTION queue_winfo(uris text[], events text[], is_whole boolean) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    -- Locked first, as above: whoever begins to watch these watchers at this moment is seen below, or sees what we did.
    INSERT INTO notify_queue AS q (presentity_uri, event, due)
    SELECT u.presentity_uri, u.event, 'infinity'
    FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event
          FROM unnest(uris, events) AS u (presentity_uri, event)) AS u
    ORDER BY u.presentity_uri, u.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE SET due = q.due;

    INSERT INTO notify_queue AS q (presentity_uri, event, version, full_version, due, owed_since)
    SELECT w.presentity_uri, w.event, w.number, CASE WHEN is_whole THEN w.number ELSE 0 END, presence_now(), presence_now()
    FROM (SELECT s.presentity_uri, s.event, nextval('notify_version') AS number
          FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, winfo_event(u.event) COLLATE "C" AS event
                FROM unnest(uris, events) AS u (presentity_uri, event)) AS s
          CROSS JOIN LATERAL (SELECT a.id
                              FROM active_watchers AS a
                              WHERE a.presentity_uri = s.presentity_uri AND a.event = s.event AND a.status <> 3
                              LIMIT 1) AS a
          ORDER BY s.presentity_uri, s.event) AS w
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version      = nextval('notify_version'),
        -- The number that was just drawn: columns are computed in their order in the table.
        full_version = CASE WHEN is_whole THEN lastval() ELSE q.full_version END,
        due          = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since   = COALESCE(q.owed_since, presence_now());
END
$$;
COMMENT ON FUNCTION queue_winfo(text[], text[], boolean) IS
    'Records a state change of the watcher information of these resources, if somebody watches it; is_whole: partial state cannot tell it. Takes queue locks in their order.';

-- What ends is deleted when its watchers have been told. A row that is deleted while it lives, by hand or because its dialog is at
-- Kamailio again, can be in no partial document any more: full ones are owed.
CREATE FUNCTION queue_deleted_dialogs() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    uris   text[];
    events text[];
BEGIN
    SELECT array_agg(o.presentity_uri), array_agg(o.event) INTO uris, events
    FROM old_rows AS o
    WHERE o.status <> 3 AND NOT is_winfo(o.event);
    IF uris IS NOT NULL THEN
        PERFORM queue_winfo(uris, events, true);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_deleted_dialogs() IS
    'Statement trigger of active_watchers: queues full watcher information where a living subscription was deleted, if somebody watches it.';

CREATE TRIGGER active_watchers_deleted AFTER DELETE ON active_watchers
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_deleted_dialogs();

-- A watcher whose subscription ended while it was pending waits for a decision (RFC 3857 section 4.7.1), in table watchers.
ALTER TABLE watchers ADD COLUMN subscription_id bigint;
COMMENT ON COLUMN watchers.subscription_id IS 'active_watchers.id of the subscription that ended while it was pending, by which watcher information names the watcher that waits; null = unknown. Written with status 4.';

-- Serves subscription.list_watchers. Partial: nearly empty, however many decisions a presentity has. The statement says status > 3 as
-- well, so that the planner cannot take watchers_waiting_idx for it, as it did with old statistics.
CREATE INDEX watchers_winfo_idx ON watchers (presentity_uri, event) WHERE status > 3;

CREATE FUNCTION queue_waiting_watchers() RETURNS trigger
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
        SELECT array_agg(o.presentity_uri), array_agg(o.event), true INTO uris, events, gone
        FROM old_rows AS o WHERE o.status = 4;
    ELSE
        SELECT array_agg(n.presentity_uri), array_agg(n.event), bool_or(o.status = 4) INTO uris, events, gone
        FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        WHERE (n.status = 4) <> (o.status = 4);
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_winfo(uris, events, gone);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_waiting_watchers() IS
    'Statement trigger of watchers: queues the watcher information where a watcher begins or ceases to wait, if somebody watches it.';

CREATE TRIGGER watchers_inserted AFTER INSERT ON watchers
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_waiting_watchers();
CREATE TRIGGER watchers_updated AFTER UPDATE ON watchers
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_waiting_watchers();
CREATE TRIGGER watchers_deleted AFTER DELETE ON watchers
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_waiting_watchers();
