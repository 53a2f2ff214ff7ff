-- Statement trigger: whatever changes presentity, by SIP, by the sweep or by hand, puts the resource into notify_queue.
--
-- All that write the queue are statement triggers with transition tables: measured, 8 us a row in batches of 64, of the 24 us that a modified
-- publication takes in all. They lock queue rows by key, so two statements that change the same resources cannot wait for each other; for
-- that to hold, a statement of ours fires exactly one of them (insert and update are never mixed in one statement). Watcher information
-- comes after everything else. (Others that lock several queue rows and wait keep to this order too: queue.renew, queue_state_changes.)

CREATE FUNCTION queue_publications() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
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

CREATE FUNCTION queue_publication_changes(uris text[], events text[], senders text[], octets bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
COMMENT ON FUNCTION queue_publication_changes(text[], text[], text[], bigint[]) IS
    'Records a change of publications of each of these resources, who made it and how large they are, due at once or when the pacing allows. Takes queue locks by key.';

-- How much may be published for one resource.
--
-- Whoever publishes without end for one presentity would make each NOTIFY of it more work than the one before, for ever: all of it is read
-- to be merged. So a resource has 512 KiB of publications at most, each counted as 1 KiB at least; a merged document has room for an eighth
-- of that by default. To count them at each PUBLISH would cost an index scan. Instead the row of the queue, which each PUBLISH writes
-- anyway, sums up what comes, and only when that reaches the limit the publications are counted.
--
-- Nobody is refused for want of room: then whoever filled it first would keep others out. The oldest publications of the publisher that has
-- most give way, so that a device that publishes once is not driven out by another one that publishes a thousand times. (What tells them apart
-- is what they say of themselves; whoever lies about that with each request drives out by age.)
CREATE FUNCTION make_room(uri text, package text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    at     timestamptz := presence_now();
    held   bigint;
    going  bigint := 0;
    gone   bigint[];
BEGIN
    SELECT COALESCE(sum(GREATEST(1024, octet_length(p.body))), 0)
    INTO held
    FROM presentity AS p
    WHERE p.presentity_uri = uri AND p.event = package AND NOT p.removed AND is_live(p.expires, at);
    IF held > 524288 THEN
        -- Each publisher keeps its newest, up to a level that is the same for all, in steps of 16 KiB; of one step the oldest go first. The
        -- newest of all stays in any case. Until a quarter is free, so that not the next one has to count again.
        SELECT array_agg(v.id), COALESCE(sum(v.octets), 0)
        INTO gone, going
        FROM (SELECT l.id, l.octets, sum(l.octets) OVER (ORDER BY l.level DESC, l.age DESC) - l.octets AS freed_before
              FROM (SELECT p.id, GREATEST(1024, octet_length(p.body)) AS octets,
                           sum(GREATEST(1024, octet_length(p.body)))
                               OVER (PARTITION BY presence_publisher(p.etag, p.id) ORDER BY p.received_time DESC, p.modified DESC, p.id DESC)
                               / 16384 AS level,
                           row_number() OVER (ORDER BY p.received_time DESC, p.modified DESC, p.id DESC) AS age
                    FROM presentity AS p
                    WHERE p.presentity_uri = uri AND p.event = package AND NOT p.removed AND is_live(p.expires, at)) AS l
              WHERE l.age > 1) AS v
        WHERE v.freed_before < held - 393216;
    END IF;
    -- Before they end, so that their own trigger does not count once more.
    UPDATE notify_queue AS q SET published_octets = held - going WHERE q.presentity_uri = uri AND q.event = package;
    IF going > 0 THEN
        -- We hold the queue's row, which others want who hold publications: never wait for one of these.
        WITH ended AS (
            UPDATE presentity AS p
            SET removed = true, sweep_at = expiry_at(32, at)
            WHERE p.id IN (SELECT g.id FROM presentity AS g WHERE g.id = ANY (gone) AND NOT g.removed FOR UPDATE SKIP LOCKED)
            RETURNING GREATEST(1024, octet_length(p.body)) AS octets
        )
        SELECT going - COALESCE(sum(e.octets), 0) INTO going FROM ended AS e;
        IF going > 0 THEN
            UPDATE notify_queue AS q SET published_octets = q.published_octets + going WHERE q.presentity_uri = uri AND q.event = package;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION make_room(text, text) IS
    'Counts the live publications of a resource and ends the oldest if they are too many. For queue_publication_changes, which holds its row of the queue.';

CREATE FUNCTION presence_publisher(etag text, id bigint) RETURNS text
LANGUAGE sql IMMUTABLE
-- Entity-tags of ours have 2 characters for the presentity, 5 for the device, and 26 more; those of earlier versions tell no device.
RETURN CASE WHEN etag ~ '^[a-z2-7]{33}(\.[0-9]*)?$' THEN substr(etag, 3, 5)
            WHEN etag ~ '^[a-z2-7]{28}(\.[0-9]*)?$' THEN ''
            ELSE id::text END;
COMMENT ON FUNCTION presence_publisher(text, bigint) IS
    'Who a publication is by: what its entity-tag tells of the device that published it; of one that is not by SIP its own number.';
