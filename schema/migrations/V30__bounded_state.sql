-- State of any size: watcher information in pieces, and a bound of what is published for one resource.
--
-- The list of ten thousand watchers does not fit in a NOTIFY. Who is to be told all of it gets an empty full state and then partial ones,
-- each with the next watchers by their number (RFC 3857 section 4.5: "partial notifications"; RFC 3858 section 4). How far it was told stands
-- with the dialog, so that any notifier can go on.

ALTER TABLE active_watchers ADD COLUMN winfo_told_to bigint;
COMMENT ON COLUMN active_watchers.winfo_told_to IS 'Only in dialogs of watcher information that is told in pieces: up to which watcher (id in watcher information, without its letter) it has been told. Null: the next NOTIFY tells all, or what changed. Written by notifiers; a SUBSCRIBE begins anew.';

-- As before (V26), but a dialog that ends while watcher information is told in pieces stays until the last of them, too: then nothing is owed by
-- version, only by the flag of whom it is told. No longer than ten minutes, because a phone that is gone is owed something for an hour.
CREATE OR REPLACE FUNCTION delete_ended_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM active_watchers AS a WHERE a.sweep_at <= now_s AND a.ended) THEN
        RETURN 0;
    END IF;
    -- One that the watchers of the watcher information have yet to be told of stays until then: a partial document tells of its end.
    WITH due AS MATERIALIZED (
        SELECT a.id
        FROM active_watchers AS a
        WHERE a.sweep_at <= now_s AND a.ended
          AND NOT EXISTS (
              SELECT 1
              FROM notify_queue AS q
              WHERE q.presentity_uri = a.presentity_uri AND q.event = winfo_event(a.event)
                AND (q.version > 0 OR q.owed_since > presence_now() - interval '10 minutes'))
        ORDER BY a.sweep_at
        LIMIT max_rows
        FOR UPDATE OF a SKIP LOCKED
    )
    DELETE FROM active_watchers AS a
    USING due AS d
    WHERE a.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;

-- How much may be published for one resource.
--
-- Whoever publishes without end for one presentity would make each NOTIFY of it more work than the one before, for ever: all of it is read
-- to be merged. So a resource has 512 KiB of publications at most, each counted as 1 KiB at least; a merged document has room for an eighth
-- of that by default. To count them at each PUBLISH would cost an index scan. Instead the row of the queue, which each PUBLISH writes
-- anyway, sums up what comes. It is an upper bound, because nothing is ever taken off; only when it reaches the limit the
-- publications are counted, and from then on it is right again. Where nobody knows what there is already (a new row of the queue), it begins
-- near the limit, so that it is counted soon.
--
-- Nobody is refused for want of room: then whoever filled it first would keep others out. The oldest publications of the publisher that has
-- most give way, so that a device that publishes once is not driven out by another one that publishes a thousand times. (What tells them apart
-- is what they say of themselves; whoever lies about that with each request drives out by age.)

ALTER TABLE notify_queue ADD COLUMN published_octets bigint NOT NULL DEFAULT 458752;
COMMENT ON COLUMN notify_queue.published_octets IS 'No less than the octets of all live publications, each counted as 1024 at least: what has come since they were counted last. Counted when it exceeds 524288; then the oldest of the publisher that has most are ended. Written by triggers.';

CREATE FUNCTION presence_publisher(etag text, id bigint) RETURNS text
LANGUAGE sql IMMUTABLE
-- Entity-tags of ours have 2 characters for the presentity, 5 for the device, and 26 more; those of earlier versions tell no device.
RETURN CASE WHEN etag ~ '^[a-z2-7]{33}(\.[0-9]*)?$' THEN substr(etag, 3, 5)
            WHEN etag ~ '^[a-z2-7]{28}(\.[0-9]*)?$' THEN ''
            ELSE id::text END;
COMMENT ON FUNCTION presence_publisher(text, bigint) IS 'Who a publication is by: what its entity-tag tells of the device that published it; of one that is not by SIP its own number.';

CREATE FUNCTION make_room(uri text, package text) RETURNS void
LANGUAGE plpgsql
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
COMMENT ON FUNCTION make_room(text, text) IS 'Counts the live publications of a resource and ends the oldest if they are too many. For queue_publication_changes, which holds its row of the queue.';

DROP FUNCTION queue_publication_changes(text[], text[], text[]);

CREATE FUNCTION queue_publication_changes(uris text[], events text[], senders text[], octets bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    full_uris   text[];
    full_events text[];
BEGIN
    -- nextval() is called row by row, after the ORDER BY, and again after a wait for the row's lock: a number drawn before
    -- the wait could be lower than one that watchers have been notified of, and the change would be lost. lastval() is that number:
    -- columns are computed in their order in the table.
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, version, due, owed_since, sender, sender_version, published_octets)
        SELECT n.presentity_uri, n.event, n.number, presence_now(), presence_now(), n.sender, n.number, 458752 + n.octets
        FROM (SELECT c.presentity_uri, c.event, c.sender, c.octets, nextval('notify_version') AS number
              FROM (SELECT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event,
                           CASE WHEN min(u.sender) = max(u.sender) THEN min(u.sender) ELSE '' END AS sender,
                           sum(u.octets)::bigint AS octets
                    FROM unnest(uris, events, senders, octets) AS u (presentity_uri, event, sender, octets)
                    WHERE u.presentity_uri IS NOT NULL
                    GROUP BY 1, 2) AS c
              ORDER BY is_winfo(c.event), c.presentity_uri, c.event) AS n
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET version          = nextval('notify_version'),
            due              = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
            owed_since       = COALESCE(q.owed_since, presence_now()),
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

CREATE OR REPLACE FUNCTION queue_publications() RETURNS trigger
LANGUAGE plpgsql
-- Transition tables carry no statistics and no index: a nested loop over two of them is quadratic.
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
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
        SELECT array_agg(n.presentity_uri) || array_agg(o.presentity_uri), array_agg(n.event) || array_agg(o.event),
               array_agg(CASE WHEN n.past_etags <> o.past_etags THEN n.sender ELSE '' END)
                   || array_agg(CASE WHEN n.past_etags <> o.past_etags THEN n.sender ELSE '' END),
               array_agg(CASE WHEN n.removed THEN 0 ELSE GREATEST(1024, octet_length(n.body)) END::bigint)
                   || array_agg(0::bigint)
        INTO uris, events, senders, octets
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.id = n.id
        WHERE (n.removed, n.content_type, n.priority, n.sender, n.presentity_uri, n.event, n.body)
                  IS DISTINCT FROM (o.removed, o.content_type, o.priority, o.sender, o.presentity_uri, o.event, o.body)
           OR is_live(n.expires, presence_now()) IS DISTINCT FROM is_live(o.expires, presence_now());
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_publication_changes(uris, events, senders, octets);
    END IF;
    RETURN NULL;
END
$$;
