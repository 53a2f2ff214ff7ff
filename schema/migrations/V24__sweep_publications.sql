-- Cleaning: what the notifiers' sweep does and what presence_cleanup does, once. First publications.
--
-- Each function is one step, in the order in which a sweep takes them. The sweep calls each by a statement of its own (sql/statements, named
-- beside each); presence_cleanup calls them all, and presence.cleanup calls that. All take only rows that nobody holds (SKIP LOCKED) and
-- return how many they touched. They look at the clock by presence_now().
--
-- Three of them queue something for watchers: expire_publications, expire_subscriptions, give_up_on_watchers. Each locks queue rows by
-- key, so a transaction has one of the three. The others queue nothing and wait for nobody.
--
-- What is looked at again, what ends, and what is forgotten are steps of their own. Only what ends has to be ended gently, because watchers are
-- told of it. Publications of 60 s that live on come by 200,000 a minute; ended together with the others, 50 at a time, they were
-- looked at as late as the others, and so were the tombstones deleted.
--
-- What cannot be ended, because a row is refused or somebody holds one that is needed, is passed by: it is looked at again in 5 s.
--
-- Each step asks first whether there is anything to do. A session plans its statements anew every ten seconds, and planning one of
-- these costs more than running it in vain: over all steps 4 ms of each second beside a busy load, 1.5 ms when the steps ask first.

CREATE FUNCTION expire_publications(max_rows bigint, quiet boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
SET search_path FROM CURRENT
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

CREATE FUNCTION hand_on_ends(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
COMMENT ON FUNCTION hand_on_ends(bigint) IS
    'Gives what publications about to be forgotten know of ended dialogs to the oldest publication of the resource that is left, if any is. For publication.hand_on_ends and presence_cleanup.';

CREATE FUNCTION delete_removed_publications(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
COMMENT ON FUNCTION delete_removed_publications(bigint) IS
    'Forgets publications that ended more than 64*T1 ago, and whose ends were handed on (hand_on_ends). For publication.delete_removed and presence_cleanup.';
