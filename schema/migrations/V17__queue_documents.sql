-- Statement trigger: whatever changes rules, lists or hard state in xcap.

CREATE FUNCTION queue_documents() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
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

CREATE TRIGGER xcap_inserted AFTER INSERT ON xcap
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_documents();
CREATE TRIGGER xcap_updated AFTER UPDATE ON xcap
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_documents();
CREATE TRIGGER xcap_deleted AFTER DELETE ON xcap
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_documents();
