-- An order to tell everybody.

CREATE FUNCTION queue_state_changes(uris text[], events text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    -- nextval() as in queue_publication_changes.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, full_version, due, owed_since)
    SELECT n.presentity_uri, n.event, n.number, n.number, presence_now(), presence_now()
    FROM (SELECT c.presentity_uri, c.event, nextval('notify_version') AS number
          FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event
                FROM unnest(uris, events) AS u (presentity_uri, event)
                WHERE u.presentity_uri IS NOT NULL) AS c
          ORDER BY is_winfo(c.event), c.presentity_uri, c.event) AS n
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version      = nextval('notify_version'),
        full_version = lastval(),
        due          = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since   = COALESCE(q.owed_since, presence_now());
END
$$;
COMMENT ON FUNCTION queue_state_changes(text[], text[]) IS
    'Has all watchers of each of these resources told the state in full, whatever they were shown last, at once or when the pacing allows. Takes queue locks by key.';
