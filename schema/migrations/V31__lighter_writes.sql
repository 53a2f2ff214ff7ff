-- What each PUBLISH and each SUBSCRIBE costs, with the same results for less work.

-- No index knows `updated` any more, so that PostgreSQL writes a refresh, and the NOTIFY that answers it, into the page of the row and into no
-- index (HOT): four or five insertions less for each of the two, and less to clean up. What is flagged is found among the dialogs of its resource.
-- It stands in the schema of its table, which is known by its trigger: both may be called otherwise.
DO $$
DECLARE
    flagged regclass;
BEGIN
    SELECT i.indexrelid INTO STRICT flagged
    FROM pg_trigger AS t
    JOIN pg_index AS i ON i.indrelid = t.tgrelid
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE t.tgfoid = 'queue_flagged_dialogs'::regproc AND t.tgname = 'active_watchers_updated' AND c.relname = 'active_watchers_flagged_idx';
    EXECUTE format('DROP INDEX %s', flagged);
END
$$;
-- Serves watcher.list_undecided. Nearly empty; a refresh leaves decided_version alone.
CREATE INDEX active_watchers_undecided_idx ON active_watchers (presentity_uri, event, id) WHERE decided_version = -1;
-- Serves operator.count_failing. Nearly empty.
CREATE INDEX active_watchers_failing_idx ON active_watchers (presentity_uri) WHERE failures > 0;

-- date_part() counts in double precision, to the microsecond until the year 2255; extract() in numeric, which takes ten times as long.
CREATE OR REPLACE FUNCTION is_live(expires bigint, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT expires = -1 OR expires > date_part('epoch', at) $$;

CREATE OR REPLACE FUNCTION expiry_at(granted_s bigint, at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT ceil(date_part('epoch', at))::bigint + granted_s $$;

CREATE OR REPLACE FUNCTION queue_publication_changes(uris text[], events text[], senders text[], octets bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    -- Read once: presence_now() looks into the settings of the session.
    at          timestamptz := presence_now();
    full_uris   text[];
    full_events text[];
BEGIN
    -- nextval() is called row by row, after the ORDER BY, and again after a wait for the row's lock: a number drawn before
    -- the wait could be lower than one that watchers have been notified of, and the change would be lost. lastval() is that number:
    -- columns are computed in their order in the table.
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, version, due, owed_since, sender, sender_version, published_octets)
        SELECT n.presentity_uri, n.event, n.number, at, at, n.sender, n.number, 458752 + n.octets
        FROM (SELECT c.presentity_uri, c.event, c.sender, c.octets, nextval('notify_version') AS number
              FROM (SELECT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event,
                           CASE WHEN min(u.sender COLLATE "C") = max(u.sender COLLATE "C") THEN min(u.sender COLLATE "C") ELSE '' END AS sender,
                           sum(u.octets)::bigint AS octets
                    FROM unnest(uris, events, senders, octets) AS u (presentity_uri, event, sender, octets)
                    WHERE u.presentity_uri IS NOT NULL
                    GROUP BY 1, 2) AS c
              ORDER BY is_winfo(c.event), c.presentity_uri, c.event) AS n
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET version          = nextval('notify_version'),
            due              = LEAST(q.due, GREATEST(at, q.not_before)),
            owed_since       = COALESCE(q.owed_since, at),
            sender           = EXCLUDED.sender,
            sender_version   = lastval(),
            -- One more by whoever made the last one: what was new to him before is new to him still.
            sender_since     = CASE WHEN q.sender = EXCLUDED.sender AND q.sender_version = q.version THEN q.sender_since ELSE q.version END,
            published_octets = q.published_octets + EXCLUDED.published_octets - 458752
        RETURNING q.presentity_uri, q.event, q.published_octets
    )
    SELECT array_agg(q.presentity_uri), array_agg(q.event)
    INTO full_uris, full_events
    FROM queued AS q
    WHERE q.published_octets > 524288;
    FOR i IN 1 .. COALESCE(cardinality(full_uris), 0) LOOP
        PERFORM make_room(full_uris[i], full_events[i]);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION queue_publications() RETURNS trigger
LANGUAGE plpgsql
-- Transition tables carry no statistics and no index: a nested loop over two of them is quadratic.
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
    at      timestamptz := presence_now();
    uris    text[];
    events  text[];
    senders text[];
    octets  bigint[];
BEGIN
    -- force_delete: publications expire without a word to their watchers.
    IF current_setting('pgpresence.quiet', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.event), array_agg(n.sender), array_agg(GREATEST(1024, octet_length(n.body))::bigint)
        INTO uris, events, senders, octets
        FROM new_rows AS n WHERE NOT n.removed;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri), array_agg(o.event), array_agg(''::text), array_agg(0::bigint) INTO uris, events, senders, octets
        FROM old_rows AS o WHERE NOT o.removed;
    ELSE
        -- What a watcher could see. is_live tells when expires was moved over the present, either way, by hand. A row that was
        -- given to another resource by hand concerns both; one whose id was changed is in one half of the join only.
        -- Only a PUBLISH (by SIP, or by presence_publish) leaves an entity-tag behind. What ends by itself, or is changed by hand,
        -- is nobody's own change, whoever published the row.
        SELECT array_agg(c.presentity_uri) || array_agg(c.left_uri) FILTER (WHERE c.has_moved),
               array_agg(c.event) || array_agg(c.left_event) FILTER (WHERE c.has_moved),
               array_agg(c.sender) || array_agg(c.sender) FILTER (WHERE c.has_moved),
               array_agg(c.octets) || array_agg(0::bigint) FILTER (WHERE c.has_moved)
        INTO uris, events, senders, octets
        FROM (SELECT n.presentity_uri, n.event, o.presentity_uri AS left_uri, o.event AS left_event,
                     (n.presentity_uri, n.event) IS DISTINCT FROM (o.presentity_uri, o.event) AS has_moved,
                     CASE WHEN n.past_etags <> o.past_etags THEN n.sender ELSE '' END AS sender,
                     CASE WHEN n.removed THEN 0 ELSE GREATEST(1024, octet_length(n.body)) END::bigint AS octets
              FROM new_rows AS n
              FULL JOIN old_rows AS o ON o.id = n.id
              WHERE (n.removed, n.content_type, n.priority, n.sender, n.presentity_uri, n.event, n.body)
                        IS DISTINCT FROM (o.removed, o.content_type, o.priority, o.sender, o.presentity_uri, o.event, o.body)
                 OR is_live(n.expires, at) IS DISTINCT FROM is_live(o.expires, at)) AS c;
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_publication_changes(uris, events, senders, octets);
    END IF;
    RETURN NULL;
END
$$;
