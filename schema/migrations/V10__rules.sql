-- Rules (RFC 4745, RFC 5025): who may watch, and what is shown to whom.
--
-- Servers store subscriptions and decide nothing. All decisions about a presentity, whatever the event package, are made by the
-- notifier that holds its queue row (presentity_uri, 'presence'), so that one at a time decides:
--
--   a changed rules document      gives that row a new rules_version, and makes it due to decide (decide_at)
--   a new dialog, undecided       makes it due to decide; nobody takes the dialog before
--   a decision that time changes  is made again when decide_at comes
--
-- A server that finds no rules document lets the watcher in by default, without a decision. Both it and whoever stores a document
-- lock the queue row (by trigger); whichever commits second sees the other, and the decision is made anew.
--
-- notify_queue.due is from here on the earliest of what V9 says, and of decide_at. Decisions do not wait for not_before.

-- === What is kept ===

ALTER TABLE active_watchers
    ADD COLUMN view text NOT NULL DEFAULT 'all',
    ADD COLUMN decided_version bigint,
    ADD CONSTRAINT "a decision has a rules_version, or is -1 for still to be made" CHECK (decided_version >= -1);
COMMENT ON COLUMN active_watchers.view IS 'What its NOTIFYs show: all, nothing, the words of a view, polite-block (an unavailable presentity), or none = no body. Written by servers and notifiers.';
COMMENT ON COLUMN active_watchers.decided_version IS 'notify_queue.rules_version of the last decision that changed the dialog; -1 = still to be decided; null = not subject to rules. Written by servers, notifiers and a trigger.';

-- Serves watcher.put_waiting, which looks whether a person's last pending dialog is over. Partial: nearly empty, and untouched by
-- a NOTIFY.
CREATE INDEX active_watchers_pending_idx ON active_watchers (presentity_uri, event, watcher_username, watcher_domain) WHERE status = 2;

ALTER TABLE notify_queue
    ADD COLUMN rules_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN decided_rules bigint NOT NULL DEFAULT 0,
    ADD COLUMN decide_at timestamptz NOT NULL DEFAULT 'infinity',
    ADD COLUMN recovered_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN notify_queue.rules_version IS 'Number of the last change of the rules of this presentity; 0 = it never had any. Only in rows of presence. Written by triggers.';
COMMENT ON COLUMN notify_queue.decided_rules IS 'rules_version that all its watchers have been decided by. Written by settle.';
COMMENT ON COLUMN notify_queue.decide_at IS 'When it is to be decided about watchers; infinity = not. Only in rows of presence. Written by triggers, claim and settle.';
COMMENT ON COLUMN notify_queue.recovered_version IS 'Version that a recovery gave, which pending dialogs are owed as well, though they are not told of state; 0 = none. Written by claim and settle.';

ALTER TABLE watchers
    ADD COLUMN view text,
    ADD COLUMN rules_version bigint,
    ADD COLUMN recheck_at bigint;
COMMENT ON COLUMN watchers.view IS 'What an active watcher is shown, as in active_watchers.view; null = not known (imported). Written with each decision.';
COMMENT ON COLUMN watchers.rules_version IS 'notify_queue.rules_version that it was decided by; null = not by rules of ours (imported). Written with each decision.';
COMMENT ON COLUMN watchers.recheck_at IS 'Epoch second at which the decision is made anew, because a rule begins or ends to be valid then; null = never. Written with each decision.';

-- Serves queue.settle and watcher.list_rules, which look for the next decision that time changes.
CREATE INDEX watchers_recheck_idx ON watchers (presentity_uri, recheck_at) WHERE recheck_at IS NOT NULL;
-- Serves watcher.put_waiting.
CREATE INDEX watchers_pending_idx ON watchers (presentity_uri) WHERE status = 2;
-- Serves watcher.delete_waiting.
CREATE INDEX watchers_waiting_idx ON watchers (inserted_time) WHERE status = 4;
-- Nothing reads by it: the oldest decisions are those that stand.
DROP INDEX watchers_time_status_idx;

-- Serves subscription.create_batch, which is hot, and watcher.list_rules. Partial, so that it holds nothing but rules.
CREATE INDEX xcap_rules_idx ON xcap (presentity_uri, id) WHERE doc_type = 2;
-- Serves xcap.list_lists: the lists of those whom rules name.
CREATE INDEX xcap_lists_idx ON xcap (presentity_uri, id) WHERE doc_type = 4;

-- === What makes a decision due ===

CREATE FUNCTION queue_documents() RETURNS trigger
LANGUAGE plpgsql
-- Transition tables carry no statistics and no index: a nested loop over two of them is quadratic.
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
    uris  text[];
    types bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.doc_type) INTO uris, types
        FROM new_rows AS n WHERE n.doc_type IN (2, 4, 16);
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri), array_agg(o.doc_type) INTO uris, types
        FROM old_rows AS o WHERE o.doc_type IN (2, 4, 16);
    ELSE
        -- A document that changed its owner concerns both; one whose id was changed is in one half of the join only. Lists are
        -- found by their address as well.
        SELECT array_agg(n.presentity_uri) || array_agg(o.presentity_uri), array_agg(n.doc_type) || array_agg(o.doc_type)
        INTO uris, types
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.id = n.id
        WHERE (n.doc_type IN (2, 4, 16) OR o.doc_type IN (2, 4, 16))
          AND (n.doc_type, n.presentity_uri, n.doc, n.doc_uri) IS DISTINCT FROM (o.doc_type, o.presentity_uri, o.doc, o.doc_uri);
    END IF;
    IF uris IS NULL THEN
        RETURN NULL;
    END IF;
    -- nextval() again after a wait for the row's lock: as in queue_state_changes, a number never falls.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, rules_version, decide_at, due, owed_since)
    SELECT c.presentity_uri, 'presence',
           CASE WHEN c.is_state THEN nextval('notify_version') ELSE 0 END,
           CASE WHEN c.is_rules THEN nextval('notify_version') ELSE 0 END,
           CASE WHEN c.is_decisive THEN presence_now() ELSE 'infinity' END,
           presence_now(), presence_now()
    FROM (SELECT u.presentity_uri COLLATE "C" AS presentity_uri, bool_or(u.doc_type = 16) AS is_state,
                 bool_or(u.doc_type = 2) AS is_rules, bool_or(u.doc_type IN (2, 4)) AS is_decisive
          FROM unnest(uris, types) AS u (presentity_uri, doc_type)
          WHERE u.presentity_uri IS NOT NULL AND u.doc_type IN (2, 4, 16)
          GROUP BY u.presentity_uri COLLATE "C") AS c
    ORDER BY c.presentity_uri
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version       = CASE WHEN EXCLUDED.version > 0 THEN nextval('notify_version') ELSE q.version END,
        -- A list is nothing to its owner who has no rules. If some are being stored at this moment, both wait for this lock.
        rules_version = CASE WHEN EXCLUDED.rules_version > 0 OR (EXCLUDED.decide_at < 'infinity' AND q.rules_version > 0)
                             THEN nextval('notify_version') ELSE q.rules_version END,
        decide_at     = LEAST(q.decide_at, EXCLUDED.decide_at),
        due           = LEAST(q.due, EXCLUDED.decide_at,
                              CASE WHEN EXCLUDED.version > 0 THEN GREATEST(presence_now(), q.not_before) END),
        owed_since    = COALESCE(q.owed_since, EXCLUDED.owed_since);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_documents() IS
    'Statement trigger of xcap: changed hard state (RFC 4827) is a state change of its owner''s presence; changed rules, and lists of their owner, have it decided anew about all watchers. Takes queue locks by key, once.';

DROP TRIGGER xcap_inserted ON xcap;
DROP TRIGGER xcap_updated ON xcap;
DROP TRIGGER xcap_deleted ON xcap;
DROP FUNCTION queue_hard_state();
CREATE TRIGGER xcap_inserted AFTER INSERT ON xcap
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_documents();
CREATE TRIGGER xcap_updated AFTER UPDATE ON xcap
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_documents();
CREATE TRIGGER xcap_deleted AFTER DELETE ON xcap
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_documents();

CREATE OR REPLACE FUNCTION queue_flagged_dialogs() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    uris     text[];
    versions bigint[];
BEGIN
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, decide_at, due, owed_since)
        SELECT f.presentity_uri, f.event, min(f.flagged_due), min(f.decide_at), LEAST(min(f.flagged_due), min(f.decide_at)),
               CASE WHEN LEAST(min(f.flagged_due), min(f.decide_at)) < 'infinity' THEN presence_now() END
        FROM (SELECT n.presentity_uri, n.event, GREATEST(presence_now(), to_timestamp(n.retry_at)) AS flagged_due,
                     'infinity'::timestamptz AS decide_at
              FROM new_rows AS n
              WHERE n.updated <> -1 AND n.decided_version IS DISTINCT FROM -1
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
    SELECT array_agg(q.presentity_uri), array_agg(q.rules_version) INTO uris, versions
    FROM queued AS q
    WHERE q.event = 'presence' AND q.rules_version > 0;
    IF TG_OP = 'INSERT' AND uris IS NOT NULL THEN
        -- Let in by default, while a document came that the statement could not see, or after the last one went. Now, under the
        -- lock, it does not matter how far the other has got: the dialog is undecided like any other that comes from here on.
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
    'Statement trigger of active_watchers: queues the resources of flagged dialogs, due at their retry_at, and presentities about whose watchers is to be decided.';

-- Documents that are there already. Dialogs that are there already come under rules with their next refresh.
INSERT INTO notify_queue (presentity_uri, event, rules_version, due)
SELECT x.presentity_uri, 'presence', nextval('notify_version'), 'infinity'
FROM (SELECT DISTINCT presentity_uri FROM xcap WHERE doc_type = 2) AS x
ORDER BY x.presentity_uri
ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE SET rules_version = EXCLUDED.rules_version;

-- === What operators may ask ===

CREATE FUNCTION pres_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    -- As canonical URIs are: sip:user@domain with the domain in lower case, without password, port and parameters; or tel:number.
    parts   text[] := regexp_match(watcher_uri, '^<?(?:sips?|pres):(?:([^@:;>]*)(?::[^@]*)?@)?([^;?:>]+|\[[^]]*\])', 'i');
    aor     text[] := regexp_match(presentity_uri, '^<?(?:sips?|pres):(?:([^@:;>]*)(?::[^@]*)?@)?([^;?:>]+|\[[^]]*\])', 'i');
    watched text;
    found   integer;
BEGIN
    parts   := CASE WHEN parts IS NULL THEN ARRAY[substring(watcher_uri FROM '^<?tel:([^;>]*)'), '']
                    ELSE ARRAY[COALESCE(parts[1], ''), lower(parts[2])] END;
    watched := CASE WHEN aor IS NULL THEN substring(presentity_uri FROM '^<?(tel:[^;>]*)')
                    WHEN COALESCE(aor[1], '') = '' THEN 'sip:' || lower(aor[2])
                    ELSE 'sip:' || aor[1] || '@' || lower(aor[2]) END;
    SELECT CASE WHEN w.status = 1 AND w.reason = 'polite-block' THEN 5 ELSE w.status END INTO found
    FROM watchers AS w
    WHERE w.presentity_uri = watched AND w.watcher_username = parts[1] AND w.watcher_domain = parts[2] AND w.event = 'presence';
    IF found IS NULL THEN
        SELECT CASE WHEN a.status = 1 AND a.view = 'polite-block' THEN 5 ELSE a.status END INTO found
        FROM active_watchers AS a
        WHERE a.presentity_uri = watched AND a.event = 'presence'
          AND a.watcher_username = parts[1] AND a.watcher_domain = parts[2] AND a.status <> 3
        ORDER BY a.id DESC
        LIMIT 1;
    END IF;
    RETURN COALESCE(found, -1);
END
$$;
COMMENT ON FUNCTION pres_auth_status(text, text) IS
    'What was decided about a watcher of a presentity''s presence: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked; -1 = nothing, it never subscribed.';

CREATE FUNCTION pres_has_subscribers(presentity_uri text, event text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT EXISTS (
        SELECT FROM active_watchers AS a
        WHERE a.presentity_uri = $1 AND a.event = $2 AND a.status <> 3 AND is_live(a.expires, presence_now()))
$$;
COMMENT ON FUNCTION pres_has_subscribers(text, text) IS
    'Whether anybody subscribes to an event package of a presentity, given as its canonical URI, active or pending.';
