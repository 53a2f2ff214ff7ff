-- Statement trigger: whatever has a watcher wait, or ends that.
--
-- A watcher about whom nobody decided in time is told of as such (RFC 3857 section 4.7.1: waiting, giveup: terminated): watcher.give_up says
-- so in the column reason, partial state shows it as terminated by giveup, and watcher.delete_waiting forgets it a minute later, when
-- nobody has to hear of it any more.

CREATE FUNCTION queue_waiting_watchers() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
-- Transition tables carry no statistics and no index: a nested loop over two of them is quadratic.
SET enable_hashjoin = on
SET enable_nestloop = off
AS $$
DECLARE
    uris   text[];
    events text[];
    gone   boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.event), false INTO uris, events, gone
        FROM new_rows AS n WHERE n.status = 4;
    ELSIF TG_OP = 'DELETE' THEN
        -- Who was given up on has been told of.
        SELECT array_agg(o.presentity_uri), array_agg(o.event), true INTO uris, events, gone
        FROM old_rows AS o WHERE o.status = 4 AND o.reason <> 'giveup';
    ELSE
        -- One that is pending again is so by another subscription: of the one by which it waited there is nothing left to show.
        SELECT array_agg(n.presentity_uri), array_agg(n.event),
               bool_or(o.status = 4 AND o.reason <> 'giveup' AND n.status = 2)
        INTO uris, events, gone
        FROM new_rows AS n
        JOIN old_rows AS o ON o.id = n.id
        WHERE (n.status = 4) <> (o.status = 4)
           OR (n.status = 4 AND (n.reason = 'giveup') <> (o.reason = 'giveup'));
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_winfo(uris, events, gone);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION queue_waiting_watchers() IS
    'Statement trigger of watchers: queues the watcher information where a watcher begins or ceases to wait, or is given up on, if somebody watches it.';

CREATE TRIGGER watchers_inserted AFTER INSERT ON watchers
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_waiting_watchers();
CREATE TRIGGER watchers_updated AFTER UPDATE ON watchers
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_waiting_watchers();
CREATE TRIGGER watchers_deleted AFTER DELETE ON watchers
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_waiting_watchers();
