-- Whatever changes presentity, active_watchers or hard state in xcap, by SIP, by the sweep or by hand, puts the resource into notify_queue.
--
-- Statement triggers with transition tables: measured, 8 us a row in batches of 64, of the 24 us that a modified publication
-- takes in all. They lock queue
-- rows by key, so two statements that change the same resources cannot wait for each other; for that to hold, a statement of
-- ours fires exactly one of them (insert and update are never mixed in one statement).

CREATE FUNCTION queue_state_changes(uris text[], events text[]) RETURNS void
-- plpgsql, because it keeps its plan: a function in plain SQL is parsed and planned in each transaction, 0.26 ms of it.
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
    ORDER BY changed.presentity_uri, changed.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version    = nextval('notify_version'),
        due        = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since = COALESCE(q.owed_since, presence_now());
END
$$;
COMMENT ON FUNCTION queue_state_changes(text[], text[]) IS
    'Records a state change of each of these resources, due at once or when the pacing allows. Takes queue locks by key.';

CREATE FUNCTION queue_publications() RETURNS trigger
LANGUAGE plpgsql
-- Transition tables carry no statistics and no index: a nested loop over two of them is quadratic.
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
    uris   text[];
    events text[];
BEGIN
    -- force_delete: publications expire without a word to their watchers.
    IF current_setting('pgpresence.quiet', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.event) INTO uris, events
        FROM new_rows AS n WHERE NOT n.removed;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri), array_agg(o.event) INTO uris, events
        FROM old_rows AS o WHERE NOT o.removed;
    ELSE
        -- What a watcher could see. is_live tells when expires was moved over the present, either way, by hand. A row that was
        -- given to another resource by hand concerns both; one whose id was changed is in one half of the join only.
        SELECT array_agg(n.presentity_uri) || array_agg(o.presentity_uri), array_agg(n.event) || array_agg(o.event)
        INTO uris, events
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.id = n.id
        WHERE (n.removed, n.content_type, n.priority, n.sender, n.presentity_uri, n.event, n.body)
                  IS DISTINCT FROM (o.removed, o.content_type, o.priority, o.sender, o.presentity_uri, o.event, o.body)
           OR is_live(n.expires, presence_now()) IS DISTINCT FROM is_live(o.expires, presence_now());
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_state_changes(uris, events);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_publications() IS
    'Statement trigger of presentity: queues the resources whose visible state changed. A refresh queues nothing.';

CREATE TRIGGER presentity_inserted AFTER INSERT ON presentity
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_publications();
CREATE TRIGGER presentity_updated AFTER UPDATE ON presentity
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_publications();
CREATE TRIGGER presentity_deleted AFTER DELETE ON presentity
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_publications();

CREATE FUNCTION queue_hard_state() RETURNS trigger
LANGUAGE plpgsql
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
    uris text[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri) INTO uris FROM new_rows AS n WHERE n.doc_type = 16;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri) INTO uris FROM old_rows AS o WHERE o.doc_type = 16;
    ELSE
        -- A document that changed its owner concerns both; one whose id was changed is in one half of the join only.
        SELECT array_agg(n.presentity_uri) || array_agg(o.presentity_uri) INTO uris
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.id = n.id
        WHERE (n.doc_type = 16 OR o.doc_type = 16)
          AND (n.doc_type, n.presentity_uri, n.doc) IS DISTINCT FROM (o.doc_type, o.presentity_uri, o.doc);
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_state_changes(uris, array_fill('presence'::text, ARRAY[cardinality(uris)]));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_hard_state() IS
    'Statement trigger of xcap: a changed pidf-manipulation document (RFC 4827) is a state change of its owner''s presence.';

CREATE TRIGGER xcap_inserted AFTER INSERT ON xcap
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_hard_state();
CREATE TRIGGER xcap_updated AFTER UPDATE ON xcap
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_hard_state();
CREATE TRIGGER xcap_deleted AFTER DELETE ON xcap
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_hard_state();

CREATE FUNCTION queue_flagged_dialogs() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, due, owed_since)
    SELECT f.presentity_uri, f.event, f.due, f.due, presence_now()
    FROM (SELECT n.presentity_uri, n.event, GREATEST(presence_now(), to_timestamp(min(n.retry_at))) AS due
          FROM new_rows AS n
          WHERE n.updated <> -1
          GROUP BY n.presentity_uri, n.event) AS f
    ORDER BY f.presentity_uri, f.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
        due         = LEAST(q.due, EXCLUDED.due),
        owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_flagged_dialogs() IS
    'Statement trigger of active_watchers: queues the resources of flagged dialogs, due at their retry_at.';

CREATE TRIGGER active_watchers_inserted AFTER INSERT ON active_watchers
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_flagged_dialogs();
CREATE TRIGGER active_watchers_updated AFTER UPDATE ON active_watchers
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_flagged_dialogs();
