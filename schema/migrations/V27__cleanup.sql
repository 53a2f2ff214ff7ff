-- Cleaning of the queue and of processes (see sweep_publications), and all of it in one order.

CREATE FUNCTION delete_idle_resources(max_rows bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
SET search_path FROM CURRENT
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

CREATE FUNCTION presence_cleanup(max_rows integer DEFAULT 1000, quiet boolean DEFAULT false, waiting_s bigint DEFAULT 259200) RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
COMMENT ON FUNCTION presence_cleanup(integer, boolean, bigint) IS
    'Ends what has expired and removes what nobody needs, as the notifiers'' sweep does, up to max_rows of each; returns how many rows it was: 0 = nothing is left. quiet = watchers are not told that publications expired (force_delete). waiting_s = how long watchers wait for a decision (watcher_waiting_s).';
