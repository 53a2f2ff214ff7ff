-- Orders about an event package that nobody serves are refused, and one about a document names a document that is there.
--
-- Which packages are served says the configuration, which the database does not know. So each process says it in its row of node, and
-- an order is judged by the rows that are there. Rejected: a list that stays when the processes have gone, which would be that of
-- a configuration that may be another by now. While no process runs (or none that says it), any event is taken: a wrong one owes a
-- NOTIFY to nobody.

ALTER TABLE node ADD COLUMN events text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN node.events IS 'The event packages that it serves, as in column event; empty if it does not say. Written once, at the start.';

CREATE OR REPLACE VIEW presence_processes AS
SELECT
    n.id, n.kind, n.host, n.pid, n.address, n.version, n.started, n.heartbeat,
    -- Six heartbeats.
    CASE WHEN n.heartbeat > presence_now() - interval '30 s' THEN 'alive' ELSE 'silent' END AS state,
    n.events
FROM node AS n;

CREATE FUNCTION presence_serves(event text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT bool_or($1 = ANY (n.events)) FROM node AS n WHERE n.events <> '{}' $$;
COMMENT ON FUNCTION presence_serves(text) IS
    'Whether a process that runs serves an event package; null = none runs that says what it serves.';

CREATE FUNCTION presence_require_served(event text) RETURNS void
LANGUAGE plpgsql STABLE
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

CREATE OR REPLACE FUNCTION presence_refresh_watchers(
    presentity_uri text, event text, type integer DEFAULT 1, file_uri text DEFAULT NULL, filename text DEFAULT NULL)
    RETURNS bigint
LANGUAGE plpgsql
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

CREATE OR REPLACE FUNCTION presence_update_watchers(presentity_uri text, event text) RETURNS bigint
LANGUAGE plpgsql
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
