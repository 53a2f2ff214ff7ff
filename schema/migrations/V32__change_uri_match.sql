-- Changing sip_uri_match (pgpresence migrate --uri-match): the setting, and all rows that another one wrote.

CREATE FUNCTION presence_change_uri_match(match smallint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    changed    bigint;
    collisions text;
    running    text;
BEGIN
    IF match IS NULL OR match NOT IN (0, 1) THEN
        RAISE EXCEPTION 'sip_uri_match is 0 or 1' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- A process that starts waits here with its row, and finds then that it matches URIs otherwise (node.put_node).
    LOCK TABLE node IN EXCLUSIVE MODE;
    IF match <> presence_uri_match() THEN
        SELECT string_agg(format('%s %s on %s', n.kind, n.pid, n.host), ', ') INTO running
        FROM node AS n
        WHERE n.heartbeat > presence_now() - interval '30 s';
        IF running IS NOT NULL THEN
            RAISE EXCEPTION 'processes run that match URIs as it was: %', running
                USING ERRCODE = 'object_in_use', HINT = 'Stop them; one that died is forgotten after 30 s.';
        END IF;
    END IF;
    LOCK TABLE presentity, active_watchers, watchers, xcap, notify_queue IN SHARE ROW EXCLUSIVE MODE;
    IF match <> presence_uri_match() THEN
        SELECT string_agg(c, E'\n') INTO collisions FROM presence_uri_match_collisions(match) AS c;
        IF collisions IS NOT NULL THEN
            RAISE EXCEPTION E'nothing was changed, because this would become one:\n%', collisions
                USING ERRCODE = 'unique_violation', HINT = 'Remove of each pair what is not wanted any more.';
        END IF;
        EXECUTE format('CREATE OR REPLACE FUNCTION %s() RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s::smallint',
                       'presence_uri_match'::regproc, match);
    END IF;
    changed := presence_canonicalise();
    UPDATE cluster SET uri_match = match;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION presence_change_uri_match(smallint) IS
    'Changes sip_uri_match of this database, with all rows; returns how many rows it changed. Refuses while processes run (55006), and if rows would become one that cannot (23505). Called by pgpresence migrate.';

CREATE FUNCTION presence_uri_match_rows(match smallint) RETURNS bigint
LANGUAGE sql STABLE
RETURN (SELECT count(*) FROM presentity AS p WHERE p.presentity_uri <> presence_canonical_uri(p.username, p.domain, match))
     + (SELECT count(*) FROM xcap AS x WHERE x.presentity_uri <> presence_canonical_uri(x.username, x.domain, match))
     + (SELECT count(*) FROM active_watchers AS a CROSS JOIN LATERAL presence_canonical(a.watcher_username, a.watcher_domain, match) AS c
        WHERE NOT presence_is_plain(a.presentity_uri, a.watcher_username, a.watcher_domain)
          AND (a.presentity_uri, a.watcher_username, a.watcher_domain)
              IS DISTINCT FROM (presence_uri_under(a.presentity_uri, match), c.username, c.domain))
     + (SELECT count(*) FROM watchers AS w CROSS JOIN LATERAL presence_canonical(w.watcher_username, w.watcher_domain, match) AS c
        WHERE (w.presentity_uri, w.watcher_username, w.watcher_domain)
              IS DISTINCT FROM (presence_uri_under(w.presentity_uri, match), c.username, c.domain));
COMMENT ON FUNCTION presence_uri_match_rows(smallint) IS
    'How many rows would be of somebody else under this setting of sip_uri_match. Reads all of them.';

CREATE FUNCTION presence_uri_match_collisions(match smallint) RETURNS SETOF text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format('presentity: %s have a publication of %s each for %s (%s)', string_agg(DISTINCT p.presentity_uri, ' and '), p.event,
                  presence_canonical_uri(p.username, p.domain, match), p.ruid)
    FROM presentity AS p
    GROUP BY presence_canonical_uri(p.username, p.domain, match), p.event, p.ruid
    HAVING count(*) > 1
    UNION ALL
    -- Rules of both would hold, and what one allows the other could not forbid.
    SELECT format('xcap: %s have documents of type %s each for %s', string_agg(DISTINCT x.presentity_uri, ' and '), x.doc_type,
                  presence_canonical_uri(x.username, x.domain, match))
    FROM xcap AS x
    GROUP BY presence_canonical_uri(x.username, x.domain, match), x.doc_type
    HAVING count(DISTINCT x.presentity_uri) > 1
    UNION ALL
    SELECT format('watchers: decisions differ about %s who watches %s of %s: %s', presence_canonical_uri(d.username, d.domain, match), d.event,
                  d.uri, string_agg(DISTINCT d.decision, ', '))
    FROM (SELECT presence_uri_under(w.presentity_uri, match) AS uri, c.username, c.domain, w.event,
                 format('%s for %s of %s', presence_status_name(w.status), presence_canonical_uri(w.watcher_username, w.watcher_domain, 0::smallint),
                        w.presentity_uri) AS decision,
                 (w.status, w.reason, w.view)::text AS outcome
          FROM watchers AS w CROSS JOIN LATERAL presence_canonical(w.watcher_username, w.watcher_domain, match) AS c) AS d
    GROUP BY d.uri, d.username, d.domain, d.event
    HAVING count(DISTINCT d.outcome) > 1;
END;
COMMENT ON FUNCTION presence_uri_match_collisions(smallint) IS
    'What would become one under this setting of sip_uri_match, and cannot: two publications of one source, documents of two users, two decisions about one watcher. A line for each.';

CREATE FUNCTION presence_canonicalise() RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    match   CONSTANT smallint := presence_uri_match();
    moved   record;
    states  text[];
    events  text[];
    deciding text[];
    touched bigint;
    total   bigint := 0;
BEGIN
    -- The triggers would queue each resource for each of its rows, and lock them in no order. What is to be queued is queued below.
    ALTER TABLE presentity DISABLE TRIGGER USER;
    ALTER TABLE xcap DISABLE TRIGGER USER;
    ALTER TABLE active_watchers DISABLE TRIGGER USER;
    ALTER TABLE watchers DISABLE TRIGGER USER;
    CREATE TEMPORARY TABLE moved_resources (old_uri text COLLATE "C", new_uri text COLLATE "C", event text COLLATE "C", decides boolean) ON COMMIT DROP;

    WITH changed AS (
        UPDATE presentity AS p
        SET presentity_uri = n.uri
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_join_uri(o.username, o.domain) AS uri FROM presentity AS o) AS n
        WHERE p.id = n.id AND n.uri <> n.old_uri
        RETURNING n.old_uri, n.uri, p.event
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, c.event, false FROM changed AS c;
    GET DIAGNOSTICS total = ROW_COUNT;

    WITH changed AS (
        UPDATE xcap AS x
        SET presentity_uri = n.uri
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_join_uri(o.username, o.domain) AS uri FROM xcap AS o) AS n
        WHERE x.id = n.id AND n.uri <> n.old_uri
        RETURNING n.old_uri, n.uri
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, 'presence', true FROM changed AS c;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;

    -- Of decisions that become one the canonical one was in force, else the newest counts.
    DELETE FROM watchers AS w
    USING (SELECT o.id, row_number() OVER (PARTITION BY presence_uri_under(o.presentity_uri, match), c.username, c.domain, o.event
                                           ORDER BY (o.presentity_uri, o.watcher_username, o.watcher_domain)
                                                    = (presence_uri_under(o.presentity_uri, match), c.username, c.domain) DESC,
                                                    o.inserted_time DESC, o.id DESC) AS place
           FROM watchers AS o CROSS JOIN LATERAL presence_canonical(o.watcher_username, o.watcher_domain, match) AS c) AS n
    WHERE w.id = n.id AND n.place > 1;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;
    WITH changed AS (
        UPDATE watchers AS w
        SET presentity_uri = n.uri, watcher_username = n.username, watcher_domain = n.domain
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_uri_under(o.presentity_uri, match) AS uri, c.username, c.domain
              FROM watchers AS o CROSS JOIN LATERAL presence_canonical(o.watcher_username, o.watcher_domain, match) AS c) AS n
        WHERE w.id = n.id AND (w.presentity_uri, w.watcher_username, w.watcher_domain) IS DISTINCT FROM (n.uri, n.username, n.domain)
        RETURNING n.old_uri, n.uri, w.event
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, c.event, true FROM changed AS c;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;

    WITH changed AS (
        UPDATE active_watchers AS a
        SET presentity_uri = n.uri, watcher_username = n.username, watcher_domain = n.domain
        FROM (SELECT o.id, o.presentity_uri AS old_uri, presence_uri_under(o.presentity_uri, match) AS uri, c.username, c.domain
              FROM active_watchers AS o CROSS JOIN LATERAL presence_canonical(o.watcher_username, o.watcher_domain, match) AS c
              WHERE NOT presence_is_plain(o.presentity_uri, o.watcher_username, o.watcher_domain)) AS n
        WHERE a.id = n.id AND (a.presentity_uri, a.watcher_username, a.watcher_domain) IS DISTINCT FROM (n.uri, n.username, n.domain)
        RETURNING n.old_uri, n.uri, a.event
    )
    INSERT INTO moved_resources SELECT c.old_uri, c.uri, c.event, true FROM changed AS c;
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;

    ALTER TABLE presentity ENABLE TRIGGER USER;
    ALTER TABLE xcap ENABLE TRIGGER USER;
    ALTER TABLE active_watchers ENABLE TRIGGER USER;
    ALTER TABLE watchers ENABLE TRIGGER USER;

    -- What a resource of the old name owes, that of the new name owes; nobody holds it, since no process runs.
    WITH gone AS (
        DELETE FROM notify_queue AS q
        WHERE NOT presence_is_plain(q.presentity_uri, 'u', 'd') AND q.presentity_uri <> presence_uri_under(q.presentity_uri, match)
        RETURNING q.presentity_uri, q.event, q.flagged_due, q.decide_at, q.rules_version, q.winfo_watched
    )
    INSERT INTO moved_resources
    SELECT g.presentity_uri, presence_uri_under(g.presentity_uri, match), g.event, g.rules_version > 0 OR g.decide_at < 'infinity' FROM gone AS g;
    INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, due, owed_since, winfo_watched)
    SELECT m.new_uri, m.event, presence_now(), presence_now(), presence_now(), false
    FROM (SELECT DISTINCT r.new_uri, r.event FROM moved_resources AS r) AS m
    ORDER BY m.new_uri, m.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
        due         = LEAST(q.due, EXCLUDED.due),
        owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since);
    UPDATE notify_queue AS q
    SET winfo_watched = true
    WHERE q.presentity_uri IN (SELECT r.new_uri FROM moved_resources AS r) AND NOT is_winfo(q.event)
      AND EXISTS (SELECT FROM active_watchers AS a WHERE a.presentity_uri = q.presentity_uri AND a.event = winfo_event(q.event));
    SELECT array_agg(m.new_uri), array_agg(m.event) INTO states, events
    FROM (SELECT DISTINCT r.new_uri, r.event FROM moved_resources AS r) AS m;
    IF states IS NOT NULL THEN
        PERFORM queue_state_changes(states, events);
        FOR moved IN SELECT DISTINCT r.new_uri FROM moved_resources AS r WHERE r.decides ORDER BY 1 LOOP
            PERFORM presence_decide(moved.new_uri);
        END LOOP;
    END IF;
    DROP TABLE moved_resources;
    RETURN total;
END
$$;
COMMENT ON FUNCTION presence_canonicalise() IS
    'Brings all rows into the canonical form that the present setting of sip_uri_match gives them, and has those told whom it concerns; returns how many rows it were. While no process runs. For presence_change_uri_match.';
