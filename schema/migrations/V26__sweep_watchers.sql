-- Cleaning of watchers who wait: see sweep_publications.

CREATE FUNCTION give_up_on_watchers(max_rows bigint, waiting_s bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
SET search_path FROM CURRENT
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
