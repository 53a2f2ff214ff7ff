-- Who is told of a change of state: whom it shows something else, and not who made it.

-- === what a dialog was shown ===

ALTER TABLE active_watchers ADD COLUMN shown bigint;
COMMENT ON COLUMN active_watchers.shown IS 'Digest of the document that the last NOTIFY showed: a change of state that shows the same again sends none. 0 = no document, null = not known. Written by subscription.take and subscription.settle_batch; null by hand makes the next change sent whatever it shows.';

-- Serves publication.list_claimed: which views a resource has beside that of nearly all. Partial, so that it holds nothing but
-- dialogs that rules have decided about; neither a NOTIFY nor a refresh touches it.
CREATE INDEX active_watchers_view_idx ON active_watchers (presentity_uri, event, view) WHERE view <> 'all';

-- === who made a change ===

ALTER TABLE notify_queue
    ADD COLUMN sender         text   NOT NULL DEFAULT '',
    ADD COLUMN sender_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN sender_since   bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN notify_queue.sender IS 'presentity.sender of all changes after sender_since up to sender_version: that watcher is not told of them. Empty = several, or nobody knows. Written by a trigger.';
COMMENT ON COLUMN notify_queue.sender_version IS 'Up to which version sender holds. Another than version: something else has changed since, and sender means nothing. Written by a trigger.';
COMMENT ON COLUMN notify_queue.sender_since IS 'Version before the first of the changes that sender made, 0 if nothing was owed then: to a dialog that was notified of this version, nothing but its own changes is new. Written by a trigger.';

CREATE FUNCTION queue_publication_changes(uris text[], events text[], senders text[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    -- nextval() is called row by row, after the ORDER BY, and again after a wait for the row's lock: a number drawn before
    -- the wait could be lower than one that watchers have been notified of, and the change would be lost. lastval() is that number:
    -- columns are computed in their order in the table.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, due, owed_since, sender, sender_version)
    SELECT n.presentity_uri, n.event, n.number, presence_now(), presence_now(), n.sender, n.number
    FROM (SELECT c.presentity_uri, c.event, c.sender, nextval('notify_version') AS number
          FROM (SELECT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event,
                       CASE WHEN min(u.sender) = max(u.sender) THEN min(u.sender) ELSE '' END AS sender
                FROM unnest(uris, events, senders) AS u (presentity_uri, event, sender)
                WHERE u.presentity_uri IS NOT NULL
                GROUP BY 1, 2) AS c
          ORDER BY is_winfo(c.event), c.presentity_uri, c.event) AS n
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version        = nextval('notify_version'),
        due            = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since     = COALESCE(q.owed_since, presence_now()),
        sender         = EXCLUDED.sender,
        sender_version = lastval(),
        -- One more by whoever made the last one: what was new to him before is new to him still.
        sender_since   = CASE WHEN q.sender = EXCLUDED.sender AND q.sender_version = q.version THEN q.sender_since ELSE q.version END;
END
$$;
COMMENT ON FUNCTION queue_publication_changes(text[], text[], text[]) IS
    'Records a change of publications of each of these resources and who made it, due at once or when the pacing allows. Takes queue locks by key.';

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
BEGIN
    -- force_delete: publications expire without a word to their watchers.
    IF current_setting('pgpresence.quiet', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.event), array_agg(n.sender) INTO uris, events, senders
        FROM new_rows AS n WHERE NOT n.removed;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri), array_agg(o.event), array_agg(''::text) INTO uris, events, senders
        FROM old_rows AS o WHERE NOT o.removed;
    ELSE
        -- What a watcher could see. is_live tells when expires was moved over the present, either way, by hand. A row that was
        -- given to another resource by hand concerns both; one whose id was changed is in one half of the join only.
        -- Only a PUBLISH (by SIP, or by presence_publish) leaves an entity-tag behind. What ends by itself, or is changed by hand,
        -- is nobody's own change, whoever published the row.
        SELECT array_agg(n.presentity_uri) || array_agg(o.presentity_uri), array_agg(n.event) || array_agg(o.event),
               array_agg(CASE WHEN n.past_etags <> o.past_etags THEN n.sender ELSE '' END)
                   || array_agg(CASE WHEN n.past_etags <> o.past_etags THEN n.sender ELSE '' END)
        INTO uris, events, senders
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.id = n.id
        WHERE (n.removed, n.content_type, n.priority, n.sender, n.presentity_uri, n.event, n.body)
                  IS DISTINCT FROM (o.removed, o.content_type, o.priority, o.sender, o.presentity_uri, o.event, o.body)
           OR is_live(n.expires, presence_now()) IS DISTINCT FROM is_live(o.expires, presence_now());
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_publication_changes(uris, events, senders);
    END IF;
    RETURN NULL;
END
$$;

-- === an order to tell everybody ===

CREATE OR REPLACE FUNCTION queue_state_changes(uris text[], events text[]) RETURNS void
LANGUAGE plpgsql
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

COMMENT ON COLUMN notify_queue.full_version IS 'A dialog that was last notified of an older version than this is told everything, whatever it was shown last: a NOTIFY to it may have been lost, a watcher deleted, or somebody ordered it; 0 = none. Written by claim, settle and triggers.';

COMMENT ON VIEW presence_subscriptions IS
    'Who watches whom, with which phone, and what the phone is owed: nothing; decision = whether it may watch, then a NOTIFY; answer = the NOTIFY that answers its SUBSCRIBE or ends it; state = a change, which is sent if it shows this watcher something new; again = a NOTIFY that failed, at retry_at. notified = how many NOTIFYs were sent; notified_at = when the last one was taken from the queue; shows = what they show: all, a view of it, polite-block, or none.';
