-- SQL as an interface: who may watch, and who does (docs/SQL.md).
--
-- pres_auth_status tells of whoever never subscribed as well, as far as SQL can. Rules documents are XML, which only servers and notifiers
-- evaluate. What SQL knows without them: what was decided by the rules as they are now, what stands in watchers where there are no rules,
-- and else the default, which each process writes into its row of node. It does not wait for a notifier: none decides about somebody who
-- does not subscribe, and a function that sleeps keeps its caller's connection, snapshot and locks, and sees no later commit in a
-- transaction of REPEATABLE READ. So -1 says that it is not known here, or not yet, and a server is to be asked (presence.auth_status by
-- RPC, pres_auth_status in the script), which evaluates the rules at once.

CREATE FUNCTION pres_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
-- Unsafe in parallel plans: what is no URI is caught, and that needs a subtransaction.
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    watched  text;
    user_part text;
    domain_part text;
    policies text[];
    queued   record;
    stored   record;
    told     integer;
BEGIN
    BEGIN
        -- pres: is the address of a presentity or watcher, whatever protocol serves it (RFC 3859); here it is SIP.
        watched := presence_uri(regexp_replace(pres_auth_status.presentity_uri, '^(<?)pres:', '\1sip:', 'i'));
        SELECT s.username, s.domain INTO user_part, domain_part
        FROM presence_split_uri(regexp_replace(pres_auth_status.watcher_uri, '^(<?)pres:', '\1sip:', 'i')) AS s;
    EXCEPTION
        WHEN invalid_parameter_value THEN RETURN -1;
    END;
    SELECT array_agg(DISTINCT n.default_policy) INTO policies
    FROM node AS n
    -- Six heartbeats, as in presence_processes.
    WHERE n.default_policy <> '' AND n.heartbeat > presence_now() - interval '30 s';
    IF policies = ARRAY['force_active'] THEN
        RETURN 1;
    END IF;
    SELECT q.rules_version, q.decided_rules INTO queued
    FROM notify_queue AS q
    WHERE q.presentity_uri = watched AND q.event = 'presence';
    SELECT w.status, w.reason, w.rules_version, w.recheck_at INTO stored
    FROM watchers AS w
    WHERE w.presentity_uri = watched AND w.watcher_username = user_part AND w.watcher_domain = domain_part AND w.event = 'presence';
    told := CASE WHEN stored.status = 1 AND stored.reason = 'polite-block' THEN 5 ELSE stored.status END;
    IF NOT presence_has_rules(watched) THEN
        -- What was decided by rules that are gone says nothing; what an operator wrote by hand does.
        IF told IS NOT NULL AND (stored.rules_version IS NULL OR stored.rules_version >= COALESCE(queued.rules_version, 0)) THEN
            RETURN told;
        ELSIF policies IS NOT NULL THEN
            -- While processes disagree, what lets in the fewest.
            RETURN CASE WHEN 'block' = ANY (policies) THEN 3
                        WHEN NOT 'confirm' = ANY (policies) THEN 1
                        WHEN told = 4 THEN 4
                        ELSE 2 END;
        END IF;
    ELSIF told IS NOT NULL THEN
        -- By hand, where rules decide: not by the rules. By earlier rules, or until a moment that has come: not any more.
        RETURN CASE WHEN stored.rules_version >= COALESCE(queued.rules_version, 0)
                      OR (stored.rules_version IS NOT NULL AND queued.decided_rules >= queued.rules_version)
                    THEN CASE WHEN stored.recheck_at <= extract(epoch FROM presence_now()) THEN -1 ELSE told END
                    ELSE -1 END;
    ELSIF queued.decided_rules < queued.rules_version THEN
        RETURN -1;
    END IF;
    -- Let in before there were rules, and still: of such a watcher nothing is stored but the dialog.
    SELECT CASE WHEN a.status = 1 AND a.view = 'polite-block' THEN 5 ELSE a.status END INTO told
    FROM active_watchers AS a
    WHERE a.presentity_uri = watched AND a.event = 'presence' AND a.watcher_username = user_part AND a.watcher_domain = domain_part
      AND a.status <> 3 AND a.decided_version IS DISTINCT FROM -1
    ORDER BY a.id DESC
    LIMIT 1;
    RETURN COALESCE(told, -1);
END
$$;
COMMENT ON FUNCTION pres_auth_status(text, text) IS
    'Whether a watcher may watch a presentity''s presence, whether it ever subscribed or not: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked. -1: a URI is none; or there are rules, by which nothing was decided about this watcher so far: ask a server, presence.auth_status by RPC.';

CREATE FUNCTION presence_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
LANGUAGE sql STABLE
RETURN pres_auth_status(presence_uri($1), presence_uri($2));
COMMENT ON FUNCTION presence_auth_status(text, text) IS
    'Whether a watcher may watch a presentity''s presence, whether it ever subscribed or not: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked; -1 = there are rules, by which nothing was decided about this watcher so far: ask a server, presence.auth_status by RPC. What is no URI is an error. As pres_auth_status of Kamailio.';

CREATE FUNCTION pres_has_subscribers(presentity_uri text, event text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
DECLARE
    watched text := presence_uri_under($1, presence_uri_match());
BEGIN
    RETURN EXISTS (
        SELECT FROM active_watchers AS a
        WHERE a.presentity_uri = watched AND a.event = $2 AND a.status <> 3 AND is_live(a.expires, presence_now()));
END
$$;
COMMENT ON FUNCTION pres_has_subscribers(text, text) IS
    'Whether anybody subscribes to an event package of a presentity, active or pending.';

CREATE FUNCTION presence_has_subscribers(presentity_uri text, event text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pres_has_subscribers(presence_uri($1), $2);
COMMENT ON FUNCTION presence_has_subscribers(text, text) IS
    'Whether anybody subscribes to an event package of a presentity, active or pending. As pres_has_subscribers of Kamailio.';

-- As its owner: a reader of subscriptions may know whether there are rules, and not what they say. Nobody else's table is read, because
-- search_path is fixed.
CREATE FUNCTION presence_has_rules(presentity_uri text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
BEGIN
    RETURN (SELECT true FROM xcap AS x WHERE x.presentity_uri = $1 AND x.doc_type = 2 LIMIT 1) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION presence_has_rules(text) IS 'Whether a presentity, given by its canonical URI, has a rules document.';
