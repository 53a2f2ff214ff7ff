-- SQL as an interface: orders about watchers (docs/SQL.md).
--
-- Orders about an event package that nobody serves are refused, and one about a document names a document that is there.

CREATE FUNCTION presence_refresh_watchers(
    presentity_uri text, event text, type integer DEFAULT 1, file_uri text DEFAULT NULL, filename text DEFAULT NULL)
    RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_refresh_watchers.presentity_uri);
BEGIN
    PERFORM presence_require_served(presence_refresh_watchers.event);
    IF presence_refresh_watchers.type IS NULL OR presence_refresh_watchers.type NOT BETWEEN 0 AND 2 THEN
        RAISE EXCEPTION 'type is %', COALESCE(presence_refresh_watchers.type::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = '0 rules changed, 1 state changed, 2 a pidf-manipulation document changed.';
    END IF;
    IF presence_refresh_watchers.type = 2 THEN
        IF COALESCE(presence_refresh_watchers.file_uri, '') = '' OR COALESCE(presence_refresh_watchers.filename, '') = '' THEN
            RAISE EXCEPTION 'No file uri or name parameters' USING ERRCODE = 'invalid_parameter_value';
        ELSIF presence_refresh_watchers.event <> 'presence' THEN
            RAISE EXCEPTION 'A pidf-manipulation document is state of presence, not of %', quote_literal(presence_refresh_watchers.event)
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF NOT EXISTS (SELECT FROM xcap AS x
                          WHERE x.doc_uri = presence_refresh_watchers.file_uri AND x.doc_type = 16 AND x.presentity_uri = watched) THEN
            RAISE EXCEPTION 'There is no pidf-manipulation document % of %', quote_literal(presence_refresh_watchers.file_uri), watched
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'It is looked for in xcap (doc_type 16) by doc_uri. That one was deleted is noticed by itself.';
        END IF;
    END IF;
    IF presence_refresh_watchers.type = 0 THEN
        PERFORM presence_decide(watched);
    ELSE
        PERFORM queue_state_changes(ARRAY[watched], ARRAY[presence_refresh_watchers.event]);
    END IF;
    RETURN (SELECT count(*) FROM active_watchers AS a
            WHERE a.presentity_uri = watched AND a.event = presence_refresh_watchers.event AND a.status <> 3);
END
$$;
COMMENT ON FUNCTION presence_refresh_watchers(text, text, integer, text, text) IS
    'Sends all watchers of a resource a NOTIFY, at the pace of waitn_time; returns how many there are. type: 1 state, 2 the pidf-manipulation document with the address file_uri changed; with 0, rules changed, only those are told for whom it makes a difference. As pres_refresh_watchers of Kamailio.';

CREATE FUNCTION presence_update_watchers(presentity_uri text, event text) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_update_watchers.presentity_uri);
    changed bigint;
BEGIN
    PERFORM presence_require_served(presence_update_watchers.event);
    -- Where there are rules, they decide, and whatever stands in watchers is what they have decided so far.
    IF EXISTS (SELECT FROM xcap AS x WHERE x.presentity_uri = watched AND x.doc_type = 2) THEN
        PERFORM presence_decide(watched);
        RETURN NULL;
    END IF;
    -- What is decided of a waiting watcher's next dialog is that it is pending. Who is not let in is shown nothing.
    WITH locked AS MATERIALIZED (
        SELECT a.id, CASE w.status WHEN 4 THEN 2 ELSE w.status END AS status,
               CASE WHEN w.status = 3 AND w.reason = '' THEN 'rejected' WHEN w.status = 3 THEN w.reason ELSE '' END AS reason,
               CASE WHEN w.status <> 1 THEN 'none'
                    WHEN w.reason = 'polite-block' THEN 'polite-block'
                    ELSE COALESCE(NULLIF(w.view, 'none'), 'all') END AS view
        FROM active_watchers AS a
        JOIN watchers AS w ON w.presentity_uri = a.presentity_uri AND w.watcher_username = a.watcher_username
                          AND w.watcher_domain = a.watcher_domain AND w.event = a.event
        WHERE a.presentity_uri = watched AND a.event = presence_update_watchers.event AND a.status <> 3
          AND a.status <> CASE w.status WHEN 4 THEN 2 ELSE w.status END
        ORDER BY a.presentity_uri, a.event, a.id
        FOR UPDATE OF a
    )
    UPDATE active_watchers AS a
    SET status   = l.status,
        reason   = l.reason,
        view     = l.view,
        decided_version = CASE WHEN a.decided_version = -1 THEN 0 ELSE a.decided_version END,
        updated  = 0,
        sweep_at = CASE WHEN l.status = 3 THEN expiry_at(300, presence_now()) ELSE a.sweep_at END
    FROM locked AS l
    WHERE a.id = l.id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION presence_update_watchers(text, text) IS
    'Has it decided anew about the watchers of a presentity with rules, and returns null. Without rules: carries over what stands in watchers to the subscriptions of a resource that differ from it, has those told, and returns how many.';

CREATE FUNCTION presence_release(presentity_uri text, event text) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    watched  text := presence_uri(presence_release.presentity_uri);
    deciding boolean;
    released bigint;
BEGIN
    WITH gone AS (
        DELETE FROM quarantine AS x
        WHERE x.presentity_uri = watched AND x.event = presence_release.event
        RETURNING x.step
    )
    SELECT count(*), COALESCE(bool_or(g.step = 'decide'), false) INTO released, deciding FROM gone AS g;
    IF deciding THEN
        PERFORM presence_decide(watched);
    END IF;
    IF released > 0 THEN
        PERFORM queue_state_changes(ARRAY[watched], ARRAY[presence_release.event]);
    END IF;
    RETURN released;
END
$$;
COMMENT ON FUNCTION presence_release(text, text) IS
    'Has a notifier try again at once what it has set aside of a resource, and all its watchers told; returns how much that was. What the database still refuses is set aside again.';

-- === What they are made of ===

CREATE FUNCTION presence_decide(presentity_uri text) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    -- Without rules there is nothing to be decided anew, and the row need not be kept for ever.
    has_rules boolean := EXISTS (SELECT FROM xcap AS x WHERE x.presentity_uri = presence_decide.presentity_uri AND x.doc_type = 2);
BEGIN
    -- As after a change of a rules document: see queue_documents.
    INSERT INTO notify_queue AS q (presentity_uri, event, rules_version, decide_at, due, owed_since)
    VALUES (presence_decide.presentity_uri, 'presence', CASE WHEN has_rules THEN nextval('notify_version') ELSE 0 END,
            presence_now(), presence_now(), presence_now())
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET rules_version = CASE WHEN has_rules OR q.rules_version > 0 THEN nextval('notify_version') ELSE q.rules_version END,
        decide_at     = LEAST(q.decide_at, EXCLUDED.decide_at),
        due           = LEAST(q.due, EXCLUDED.due),
        owed_since    = COALESCE(q.owed_since, EXCLUDED.owed_since);
END
$$;
COMMENT ON FUNCTION presence_decide(text) IS
    'Has it decided anew about all watchers of a presentity, given by its canonical URI. For presence_refresh_watchers and presence_update_watchers.';

CREATE FUNCTION presence_require_served(event text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
BEGIN
    IF event IS NULL OR event = '' THEN
        RAISE EXCEPTION 'Empty event parameter' USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT presence_serves(event) THEN
        RAISE EXCEPTION 'Event package % is not served; these are: %', quote_literal(event),
            (SELECT string_agg(DISTINCT e, ', ' ORDER BY e) FROM node AS n CROSS JOIN LATERAL unnest(n.events) AS e)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION presence_require_served(text) IS
    'Error 22023 for an event package that is empty, or that no process serves though some say what they serve.';

CREATE FUNCTION presence_serves(event text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT bool_or($1 = ANY (n.events)) FROM node AS n WHERE n.events <> '{}';
END;
COMMENT ON FUNCTION presence_serves(text) IS
    'Whether a process that runs serves an event package; null = none runs that says what it serves.';
