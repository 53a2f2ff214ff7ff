-- Cleaning: what the notifiers' sweep does and what presence_cleanup does, once.
--
-- Each function below is one step, in the order in which a sweep takes them, and one statement. The sweep calls each by a statement of
-- its own (sql/statements, named beside each); presence_cleanup calls them all, and presence.cleanup calls that. All take only rows
-- that nobody holds (SKIP LOCKED) and return how many they touched. They look at the clock by presence_now().
--
-- Three of them queue something for watchers: expire_publications, expire_subscriptions, give_up_on_watchers. Each locks queue rows by
-- key, so a transaction has one of the three. The others queue nothing and wait for nobody.

-- === Publications ===

CREATE FUNCTION expire_publications(max_rows bigint, quiet boolean) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    now_s   bigint := floor(extract(epoch FROM at))::bigint;
    touched bigint;
BEGIN
    PERFORM set_config('pgpresence.quiet', CASE WHEN quiet THEN 'on' ELSE 'off' END, true);
    -- The row is locked before it is judged: a refresh that got in between is seen, and wins.
    WITH due AS MATERIALIZED (
        SELECT p.id, is_live(p.expires, at) AS live
        FROM presentity AS p
        WHERE p.sweep_at <= now_s AND NOT p.removed
        ORDER BY p.sweep_at
        LIMIT max_rows
        FOR UPDATE OF p SKIP LOCKED
    )
    UPDATE presentity AS p
    SET removed  = NOT d.live,
        sweep_at = CASE WHEN NOT d.live THEN expiry_at(32, at)
                        WHEN p.expires = -1 THEN 9223372036854775807
                        ELSE p.expires END
    FROM due AS d
    WHERE p.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    PERFORM set_config('pgpresence.quiet', 'off', true);
    RETURN touched;
END
$$;
COMMENT ON FUNCTION expire_publications(bigint, boolean) IS
    'Ends publications whose time is up (RFC 3903 section 6.1), and looks again later at those that were refreshed meanwhile; quiet = watchers are not told (force_delete). For publication.expire_batch and presence_cleanup.';

CREATE FUNCTION hand_on_ends(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
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
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
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

-- === Subscriptions ===

CREATE FUNCTION expire_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    now_s   bigint := floor(extract(epoch FROM at))::bigint;
    touched bigint;
BEGIN
    -- The row is locked before it is judged: a refresh that got in between is seen, and wins.
    -- A terminated dialog that has not ended comes by here only if its last NOTIFY was forgotten for 300 s: it is owed again.
    WITH due AS MATERIALIZED (
        SELECT a.id, a.status <> 3 AND is_live(a.expires, at) AS live
        FROM active_watchers AS a
        WHERE a.sweep_at <= now_s AND NOT a.ended
        ORDER BY a.sweep_at
        LIMIT max_rows
        FOR UPDATE OF a SKIP LOCKED
    )
    UPDATE active_watchers AS a
    SET status   = CASE WHEN d.live THEN a.status ELSE 3 END,
        reason   = CASE WHEN d.live OR a.status = 3 THEN a.reason ELSE 'timeout' END,
        updated  = CASE WHEN d.live THEN a.updated ELSE 0 END,
        updated_winfo = -1,
        sweep_at = CASE WHEN NOT d.live THEN expiry_at(300, at)
                        WHEN a.expires = -1 THEN 9223372036854775807
                        ELSE a.expires END
    FROM due AS d
    WHERE a.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION expire_subscriptions(bigint) IS
    'Ends dialogs whose time is up, each owed terminated;reason=timeout (RFC 6665 section 4.2.2), and looks again later at those that were refreshed meanwhile. For subscription.expire_batch and presence_cleanup.';

CREATE FUNCTION delete_ended_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
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
COMMENT ON FUNCTION delete_ended_subscriptions(bigint) IS
    'Forgets dialogs that ended more than 64*T1 ago. For subscription.delete_ended and presence_cleanup.';

-- === Watchers who wait ===

CREATE FUNCTION give_up_on_watchers(max_rows bigint, waiting_s bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
    WITH over AS MATERIALIZED (
        SELECT w.id
        FROM watchers AS w
        WHERE w.status = 4
          AND w.inserted_time <= now_s - waiting_s
          AND w.reason <> 'giveup'
        ORDER BY w.inserted_time
        LIMIT max_rows
        FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE watchers AS w
    SET reason        = 'giveup',
        inserted_time = now_s
    FROM over AS o
    WHERE w.id = o.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION give_up_on_watchers(bigint, bigint) IS
    'Gives up on watchers about whom nobody decided in waiting_s (RFC 3857 section 4.7.1). For watcher.give_up and presence_cleanup.';

CREATE FUNCTION delete_waiting_watchers(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    now_s   bigint := floor(extract(epoch FROM presence_now()))::bigint;
    touched bigint;
BEGIN
    -- A minute: partial state reaches 30 s further back than the NOTIFY before, and a NOTIFY may be paced or repeated. Who has not heard
    -- of it by then is owed full state, which has no such watchers.
    WITH over AS MATERIALIZED (
        SELECT w.id
        FROM watchers AS w
        WHERE w.status = 4
          AND w.reason = 'giveup'
          AND w.inserted_time <= now_s - 60
          -- For the planner, who can else think watchers_winfo_idx as good, all of which it would read.
          AND w.inserted_time >= 0
        ORDER BY w.inserted_time
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM watchers AS w
    USING over AS o
    WHERE w.id = o.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION delete_waiting_watchers(bigint) IS
    'Forgets watchers who were given up on a minute ago. For watcher.delete_waiting and presence_cleanup.';

-- === Queue and processes ===

CREATE FUNCTION delete_idle_resources(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    touched bigint;
BEGIN
    -- Why 15 s, longer than a statement may take: a trigger that draws a version for a row that it is about to insert must not see
    -- the row made, worked off and deleted by others in between, or its number would be lower than what watchers have seen.
    -- A row that numbers the rules of its presentity stays: decisions are compared with that number. So does one whose watcher
    -- information is watched: a trigger asks it about that.
    WITH idle AS MATERIALIZED (
        SELECT q.presentity_uri, q.event
        FROM notify_queue AS q
        WHERE q.due = 'infinity'
          AND q.owner IS NULL
          AND q.rules_version = 0
          AND NOT q.winfo_watched
          AND q.not_before < at - interval '15 seconds'
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM notify_queue AS q
    USING idle AS i
    WHERE q.presentity_uri = i.presentity_uri AND q.event = i.event;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION delete_idle_resources(bigint) IS
    'Deletes queue rows that owe nothing and have been quiet for 15 s. For maintenance.delete_idle_resources and presence_cleanup.';

CREATE FUNCTION delete_dead_nodes() RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    touched bigint;
BEGIN
    -- Many heartbeats, so that a database that was away kills nobody.
    WITH dead AS MATERIALIZED (
        SELECT n.id
        FROM node AS n
        WHERE n.heartbeat < presence_now() - interval '60 seconds'
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM node AS n
    USING dead AS d
    WHERE n.id = d.id;
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN touched;
END
$$;
COMMENT ON FUNCTION delete_dead_nodes() IS
    'Deletes processes that have been silent for 60 s. For maintenance.delete_dead_nodes and presence_cleanup.';

-- === All of it ===

-- One argument more: with two functions a call that leaves it out would be ambiguous.
DROP FUNCTION presence_cleanup(integer, boolean);
CREATE FUNCTION presence_cleanup(max_rows integer DEFAULT 1000, quiet boolean DEFAULT false, waiting_s bigint DEFAULT 259200) RETURNS bigint
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
    -- No lock is waited for from here on, and nobody is owed anything by what is deleted.
    total := total + hand_on_ends(max_rows);
    total := total + delete_removed_publications(max_rows);
    total := total + delete_ended_subscriptions(max_rows);
    total := total + delete_waiting_watchers(max_rows);
    total := total + delete_idle_resources(max_rows);
    RETURN total + delete_dead_nodes();
END
$$;
COMMENT ON FUNCTION presence_cleanup(integer, boolean, bigint) IS
    'Ends what has expired and removes what nobody needs, as the notifiers'' sweep does, up to max_rows of each; returns how many rows it was: 0 = nothing is left. quiet = watchers are not told that publications expired (force_delete). waiting_s = how long watchers wait for a decision (watcher_waiting_s).';
