-- Cleaning of dialogs: see sweep_publications.

CREATE FUNCTION expire_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
SET search_path FROM CURRENT
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

-- A dialog that ends while watcher information is told in pieces stays until the last of them, too: then nothing is owed by version, only by
-- the flag of whom it is told. No longer than ten minutes, because a phone that is gone is owed something for an hour.
CREATE FUNCTION delete_ended_subscriptions(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
COMMENT ON FUNCTION delete_ended_subscriptions(bigint) IS
    'Forgets dialogs that ended more than 64*T1 ago. For subscription.delete_ended and presence_cleanup.';
