-- Sweeping: what is looked at again, what ends, and what is forgotten are steps of their own, and cost next to nothing when nothing is due.
--
-- Only what ends has to be ended gently, because watchers are told of it. Publications of 60 s that live on come by 200,000 a minute;
-- ended together with the others, 50 at a time, they were looked at as late as the others, and so were the tombstones deleted.
--
-- What cannot be ended, because a row is refused or somebody holds one that is needed, is passed by: it is looked at again in 5 s.
--
-- Each step asks first whether there is anything to do. A session plans its statements anew every ten seconds, and planning one of
-- these costs more than running it in vain: over all steps 4 ms of each second beside a busy load, 1.5 ms when the steps ask first.

CREATE OR REPLACE FUNCTION expire_publications(max_rows bigint, quiet boolean) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    now_s   bigint := floor(extract(epoch FROM at))::bigint;
    ids     bigint[];
    -- Parts of ids that are still to be done, from and to; and whether that part is only looked at again in 5 s.
    froms   integer[] := ARRAY[1];
    tos     integer[];
    lates   boolean[] := ARRAY[false];
    a       integer;
    b       integer;
    is_late boolean;
    done    bigint;
    touched bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM presentity AS p WHERE p.sweep_at <= now_s AND NOT p.removed) THEN
        RETURN 0;
    END IF;
    -- The row is locked before it is judged: a refresh that got in between is seen, and wins.
    ids := ARRAY(
        SELECT p.id
        FROM presentity AS p
        WHERE p.sweep_at <= now_s AND NOT p.removed AND NOT is_live(p.expires, at)
        ORDER BY p.sweep_at
        LIMIT max_rows
        FOR UPDATE OF p SKIP LOCKED);
    tos := ARRAY[cardinality(ids)];
    WHILE cardinality(froms) > 0 LOOP
        a       := froms[cardinality(froms)];
        b       := tos[cardinality(tos)];
        is_late := lates[cardinality(lates)];
        froms   := trim_array(froms, 1);
        tos     := trim_array(tos, 1);
        lates   := trim_array(lates, 1);
        BEGIN
            PERFORM set_config('pgpresence.quiet', CASE WHEN quiet OR is_late THEN 'on' ELSE 'off' END, true);
            UPDATE presentity AS p
            SET removed  = NOT is_late,
                sweep_at = CASE WHEN is_late THEN now_s + 5 ELSE expiry_at(32, at) END
            WHERE p.id = ANY (ids[a:b]);
            GET DIAGNOSTICS done = ROW_COUNT;
            touched := touched + done;
        EXCEPTION WHEN OTHERS THEN
            -- One row is to blame, or somebody holds what it needs: it is found in halves, without waiting again, and the others end.
            IF left(SQLSTATE, 2) IN ('08', '40', '53', '57', '58', 'XX') THEN
                RAISE;
            ELSIF is_late THEN
                RAISE WARNING 'the publication % has expired and cannot be ended: %', ids[a], SQLERRM;
            ELSIF a = b THEN
                froms := froms || a;
                tos   := tos || a;
                lates := lates || true;
            ELSE
                froms := froms || ARRAY[(a + b) / 2 + 1, a];
                tos   := tos || ARRAY[b, (a + b) / 2];
                lates := lates || ARRAY[false, false];
            END IF;
            PERFORM set_config('lock_timeout', '5ms', true);
        END;
    END LOOP;
    PERFORM set_config('pgpresence.quiet', 'off', true);
    RETURN touched;
END
$$;
COMMENT ON FUNCTION expire_publications(bigint, boolean) IS
    'Ends publications whose time is up (RFC 3903 section 6.1); quiet = watchers are not told (force_delete). For publication.expire_batch and presence_cleanup.';

CREATE FUNCTION postpone_publications(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    now_s   bigint := floor(extract(epoch FROM at))::bigint;
    touched bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM presentity AS p WHERE p.sweep_at <= now_s AND NOT p.removed) THEN
        RETURN 0;
    END IF;
    -- Nothing changes that a watcher could see: the trigger need not look.
    PERFORM set_config('pgpresence.quiet', 'on', true);
    WITH due AS MATERIALIZED (
        SELECT p.id
        FROM presentity AS p
        WHERE p.sweep_at <= now_s AND NOT p.removed AND is_live(p.expires, at)
        ORDER BY p.sweep_at
        LIMIT max_rows
        FOR UPDATE OF p SKIP LOCKED
    )
    UPDATE presentity AS p
    SET sweep_at = CASE WHEN p.expires = -1 THEN 9223372036854775807 ELSE p.expires END
    FROM due AS d
    WHERE p.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    PERFORM set_config('pgpresence.quiet', 'off', true);
    RETURN touched;
END
$$;
COMMENT ON FUNCTION postpone_publications(bigint) IS
    'Looks again later at publications that were refreshed meanwhile. For publication.postpone_batch and presence_cleanup.';

CREATE OR REPLACE FUNCTION hand_on_ends(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM presentity AS p WHERE p.sweep_at <= now_s AND p.removed AND p.ended <> '{}') THEN
        RETURN 0;
    END IF;
    -- An end is of use as long as a publication of the same resource could say otherwise: one that is older, or that a slower server
    -- stored within 64*T1. Which one does cannot be told from here, but all ends of a resource are read together, so any one of its
    -- publications can keep them. The oldest does: it is the one that is most likely wrong. Where there is none, nobody
    -- contradicts, and they are forgotten.
    -- Keeping the tombstones themselves would cost a row for each call of a line whose phone has published for days.
    -- A publication that somebody has locked inherits in the next round; so long, the tombstone stays.
    WITH due AS MATERIALIZED (
        SELECT p.id, p.presentity_uri, p.event, p.ended, p.ended_at
        FROM presentity AS p
        WHERE p.sweep_at <= now_s AND p.removed AND p.ended <> '{}'
        ORDER BY p.sweep_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ),
    heirs AS MATERIALIZED (
        SELECT d.presentity_uri, d.event,
               (SELECT min(o.id)
                FROM presentity AS o
                WHERE o.presentity_uri = d.presentity_uri AND o.event = d.event AND NOT o.removed) AS id
        FROM (SELECT DISTINCT presentity_uri, event FROM due) AS d
    ),
    locked AS MATERIALIZED (
        SELECT p.presentity_uri, p.event, p.id
        FROM heirs AS h
        JOIN presentity AS p ON p.id = h.id
        WHERE NOT p.removed
        ORDER BY p.presentity_uri, p.event, p.id
        FOR UPDATE OF p SKIP LOCKED
    ),
    changes AS MATERIALIZED (
        SELECT d.id, '{}'::bigint[] AS ended, '{}'::bigint[] AS ended_at, true AS emptied
        FROM due AS d
        JOIN heirs AS h ON h.presentity_uri = d.presentity_uri AND h.event = d.event
        WHERE h.id IS NULL OR EXISTS (SELECT 1 FROM locked AS l WHERE l.id = h.id)
        UNION ALL
        SELECT l.id, array_agg(e.key), array_agg(e.at), false
        FROM locked AS l
        JOIN due AS d ON d.presentity_uri = l.presentity_uri AND d.event = l.event
        CROSS JOIN LATERAL unnest(d.ended, d.ended_at) AS e (key, at)
        GROUP BY l.id
    )
    UPDATE presentity AS p
    SET ended    = CASE WHEN c.emptied THEN c.ended ELSE
                        ARRAY(SELECT e.key
                              FROM unnest(p.ended || c.ended, p.ended_at || c.ended_at) AS e (key, at)
                              GROUP BY e.key ORDER BY max(e.at) DESC, e.key LIMIT 128) END,
        ended_at = CASE WHEN c.emptied THEN c.ended_at ELSE
                        ARRAY(SELECT max(e.at)
                              FROM unnest(p.ended || c.ended, p.ended_at || c.ended_at) AS e (key, at)
                              GROUP BY e.key ORDER BY max(e.at) DESC, e.key LIMIT 128) END
    FROM changes AS c
    WHERE p.id = c.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;

CREATE OR REPLACE FUNCTION delete_removed_publications(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM presentity AS p WHERE p.sweep_at <= now_s AND p.removed AND p.ended = '{}') THEN
        RETURN 0;
    END IF;
    WITH due AS MATERIALIZED (
        SELECT p.id
        FROM presentity AS p
        WHERE p.sweep_at <= now_s AND p.removed AND p.ended = '{}'
        ORDER BY p.sweep_at
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM presentity AS p
    USING due AS d
    WHERE p.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;

CREATE OR REPLACE FUNCTION expire_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    now_s   bigint := floor(extract(epoch FROM at))::bigint;
    ids     bigint[];
    -- As in expire_publications.
    froms   integer[] := ARRAY[1];
    tos     integer[];
    lates   boolean[] := ARRAY[false];
    a       integer;
    b       integer;
    is_late boolean;
    done    bigint;
    touched bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM active_watchers AS w WHERE w.sweep_at <= now_s AND NOT w.ended) THEN
        RETURN 0;
    END IF;
    -- The row is locked before it is judged: a refresh that got in between is seen, and wins.
    -- A terminated dialog that has not ended comes by here only if its last NOTIFY was forgotten for 300 s: it is owed again.
    ids := ARRAY(
        SELECT w.id
        FROM active_watchers AS w
        WHERE w.sweep_at <= now_s AND NOT w.ended AND (w.status = 3 OR NOT is_live(w.expires, at))
        ORDER BY w.sweep_at
        LIMIT max_rows
        FOR UPDATE OF w SKIP LOCKED);
    tos := ARRAY[cardinality(ids)];
    WHILE cardinality(froms) > 0 LOOP
        a       := froms[cardinality(froms)];
        b       := tos[cardinality(tos)];
        is_late := lates[cardinality(lates)];
        froms   := trim_array(froms, 1);
        tos     := trim_array(tos, 1);
        lates   := trim_array(lates, 1);
        BEGIN
            UPDATE active_watchers AS w
            SET status        = CASE WHEN is_late THEN w.status ELSE 3 END,
                reason        = CASE WHEN is_late OR w.status = 3 THEN w.reason ELSE 'timeout' END,
                updated       = CASE WHEN is_late THEN w.updated ELSE 0 END,
                updated_winfo = -1,
                sweep_at      = CASE WHEN is_late THEN now_s + 5 ELSE expiry_at(300, at) END
            WHERE w.id = ANY (ids[a:b]);
            GET DIAGNOSTICS done = ROW_COUNT;
            touched := touched + done;
        EXCEPTION WHEN OTHERS THEN
            -- As in expire_publications.
            IF left(SQLSTATE, 2) IN ('08', '40', '53', '57', '58', 'XX') THEN
                RAISE;
            ELSIF is_late THEN
                RAISE WARNING 'the dialog % has expired and cannot be ended: %', ids[a], SQLERRM;
            ELSIF a = b THEN
                froms := froms || a;
                tos   := tos || a;
                lates := lates || true;
            ELSE
                froms := froms || ARRAY[(a + b) / 2 + 1, a];
                tos   := tos || ARRAY[b, (a + b) / 2];
                lates := lates || ARRAY[false, false];
            END IF;
            PERFORM set_config('lock_timeout', '5ms', true);
        END;
    END LOOP;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION expire_subscriptions(bigint) IS
    'Ends dialogs whose time is up, each owed terminated;reason=timeout (RFC 6665 section 4.2.2). For subscription.expire_batch and presence_cleanup.';

CREATE FUNCTION postpone_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    now_s   bigint := floor(extract(epoch FROM at))::bigint;
    touched bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM active_watchers AS a WHERE a.sweep_at <= now_s AND NOT a.ended) THEN
        RETURN 0;
    END IF;
    -- Not while it is owed something: the trigger would queue that once more, and lock the queue's row for it.
    WITH due AS MATERIALIZED (
        SELECT a.id
        FROM active_watchers AS a
        WHERE a.sweep_at <= now_s AND NOT a.ended AND a.status <> 3 AND is_live(a.expires, at)
          AND a.updated = -1 AND a.updated_winfo = -1 AND a.decided_version IS DISTINCT FROM -1
        ORDER BY a.sweep_at
        LIMIT max_rows
        FOR UPDATE OF a SKIP LOCKED
    )
    UPDATE active_watchers AS a
    SET sweep_at = CASE WHEN a.expires = -1 THEN 9223372036854775807 ELSE a.expires END
    FROM due AS d
    WHERE a.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION postpone_subscriptions(bigint) IS
    'Looks again later at dialogs that were refreshed meanwhile. For subscription.postpone_batch and presence_cleanup.';

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
              WHERE q.presentity_uri = a.presentity_uri AND q.event = winfo_event(a.event) AND q.version > 0)
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

CREATE OR REPLACE FUNCTION presence_cleanup(max_rows integer DEFAULT 1000, quiet boolean DEFAULT false, waiting_s bigint DEFAULT 259200) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    total bigint;
BEGIN
    -- One of those that lock queue rows by key: two such rounds in one transaction could wait for each other with somebody else's.
    total := expire_publications(max_rows, quiet);
    IF total = 0 THEN
        total := expire_subscriptions(max_rows);
    END IF;
    IF total = 0 THEN
        total := give_up_on_watchers(max_rows, waiting_s);
    END IF;
    -- No lock is waited for from here on, and nobody is owed anything by what is deleted or looked at again later.
    total := total + postpone_publications(max_rows);
    total := total + postpone_subscriptions(max_rows);
    total := total + hand_on_ends(max_rows);
    total := total + delete_removed_publications(max_rows);
    total := total + delete_ended_subscriptions(max_rows);
    total := total + delete_waiting_watchers(max_rows);
    total := total + delete_idle_resources(max_rows);
    RETURN total + delete_dead_nodes();
END
$$;
