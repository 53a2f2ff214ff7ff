-- Statement trigger: what ends is deleted when its watchers have been told. A row that is deleted while it lives, by hand or because its dialog
-- is at Kamailio again, can be in no partial document any more: full ones are owed.

CREATE FUNCTION queue_deleted_dialogs() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
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

-- Here and in queue_waiting_watchers.
CREATE FUNCTION queue_winfo(uris text[], events text[], is_whole boolean) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
