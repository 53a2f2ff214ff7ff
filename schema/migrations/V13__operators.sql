-- SQL as an interface: what operators and other programs may ask and order. docs/SQL.md is its documentation, and a test runs each
-- example there. The names and columns below are promised: they stay, later versions only add to them.
--
-- Everything goes through the tables, so that the triggers queue what watchers are owed, as after a PUBLISH.

-- === Names of people ===

CREATE FUNCTION presence_split_uri(uri text, OUT username text, OUT domain text)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    -- Password, port, parameters and headers go; sips becomes sip, as in a PUBLISH.
    parts text[] := regexp_match(uri, '^<?sips?:(?:([^@:;?<>[:space:]]*)(?::[^@]*)?@)?([[:alnum:]_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:[;?][^>]*)?>?$', 'i');
BEGIN
    IF parts IS NOT NULL THEN
        username := COALESCE(parts[1], '');
        domain   := lower(parts[2]);
        RETURN;
    END IF;
    username := translate(substring(uri FROM '^<?[Tt][Ee][Ll]:([+0-9A-Fa-f*#().-]+)(?:;[^>]*)?>?$'), '-.()', '');
    domain   := '';
    IF username IS NULL OR username = '' THEN
        RAISE EXCEPTION '% is not the URI of a presentity', COALESCE(quote_literal(uri), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write sip:user@example.org, sip:example.org or tel:+441234.';
    END IF;
END
$$;
COMMENT ON FUNCTION presence_split_uri(text) IS
    'User and domain of a sip:, sips: or tel: URI, as the columns username and domain have them. Error 22023 if it is none.';

CREATE FUNCTION presence_join_uri(username text, domain text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN domain = ''   THEN 'tel:' || username
                WHEN username = '' THEN 'sip:' || lower(domain)
                ELSE 'sip:' || username || '@' || lower(domain) END
$$;
COMMENT ON FUNCTION presence_join_uri(text, text) IS 'The URI of a user and a domain, as the column presentity_uri has it.';

CREATE FUNCTION presence_uri(uri text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    parts record;
BEGIN
    SELECT s.username, s.domain INTO parts FROM presence_split_uri(uri) AS s;
    RETURN presence_join_uri(parts.username, parts.domain);
END
$$;
COMMENT ON FUNCTION presence_uri(text) IS 'The canonical form of a URI, as the column presentity_uri has it. Error 22023 if it is none.';

-- === Words for codes ===

CREATE FUNCTION presence_time(epoch bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN epoch = -1 THEN 'infinity' ELSE to_timestamp(epoch) END $$;
COMMENT ON FUNCTION presence_time(bigint) IS 'The time of an epoch second; infinity for -1, which means never.';

CREATE FUNCTION presence_status_name(status smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (ARRAY['active', 'pending', 'terminated', 'waiting'])[status] $$;
COMMENT ON FUNCTION presence_status_name(smallint) IS 'The word of RFC 3857 for a status of active_watchers or watchers.';

CREATE FUNCTION presence_text(body bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN convert_from(body, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN encode(body, 'escape');
END
$$;
COMMENT ON FUNCTION presence_text(bytea) IS 'A document as text; with \ooo for its bytes if it is not UTF-8.';

CREATE FUNCTION presence_says(event text, body bytea) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT string_agg(m[1], ', ')
    FROM regexp_matches(
        presence_text(body),
        CASE WHEN event = 'presence'            THEN '<(?:[[:alnum:]_.-]+:)?basic(?:\s[^>]*)?>\s*([^<\s]+)'
             WHEN event IN ('dialog', 'dialog;sla') THEN '<(?:[[:alnum:]_.-]+:)?state(?:\s[^>]*)?>\s*([^<\s]+)'
             WHEN event = 'message-summary'     THEN 'Messages-Waiting[ \t]*:[ \t]*([[:alpha:]]+)'
             ELSE '(?!)' END, 'gi') AS m
$$;
COMMENT ON FUNCTION presence_says(text, bytea) IS
    'The words in a document that light a lamp: open or closed, the states of calls, yes or no for waiting messages; null if none. For the eye: found by search, the document is not parsed.';

-- === Views for people ===

CREATE VIEW presence_publications AS
SELECT
    p.id, p.presentity_uri, p.event,
    CASE WHEN p.removed THEN 'removed' WHEN is_live(p.expires, presence_now()) THEN 'live' ELSE 'expired' END AS state,
    presence_says(p.event, p.body) AS says,
    CASE WHEN isfinite(p.modified) THEN p.modified ELSE to_timestamp(p.received_time) END AS published,
    presence_time(p.expires) AS expires,
    p.sender, p.etag, p.priority, p.content_type, octet_length(p.body) AS body_bytes, presence_text(p.body) AS document
FROM presentity AS p;
COMMENT ON VIEW presence_publications IS
    'Who published what. state: live is shown to watchers; expired and removed are not, and go within a second or 32 s.';

CREATE VIEW presence_subscriptions AS
SELECT
    a.id, a.presentity_uri, a.event, presence_join_uri(a.watcher_username, a.watcher_domain) AS watcher,
    CASE WHEN a.ended THEN 'ended'
         WHEN a.status <> 3 AND NOT is_live(a.expires, presence_now()) THEN 'expired'
         ELSE presence_status_name(a.status) END AS state,
    a.reason,
    CASE WHEN a.ended THEN 'nothing'
         WHEN a.updated <> -1 AND a.retry_at > extract(epoch FROM presence_now()) THEN 'again'
         WHEN a.decided_version = -1 THEN 'decision'
         WHEN a.updated <> -1 THEN 'answer'
         WHEN q.version > a.notified_version AND a.status = 1 THEN 'state'
         ELSE 'nothing' END AS owed,
    presence_time(a.expires) AS expires,
    a.local_cseq AS notified, a.failures,
    CASE WHEN a.updated <> -1 AND a.retry_at > 0 THEN to_timestamp(a.retry_at) END AS retry_at,
    a.user_agent, a.contact, a.flow <> '' AS by_flow, a.callid, a.view AS shows,
    a.notified_at
FROM active_watchers AS a
LEFT JOIN notify_queue AS q ON q.presentity_uri = a.presentity_uri AND q.event = a.event;
COMMENT ON VIEW presence_subscriptions IS
    'Who watches whom, with which phone, and what the phone is owed: nothing; decision = whether it may watch, then a NOTIFY; answer = the NOTIFY that answers its SUBSCRIBE or ends it; state = a change; again = a NOTIFY that failed, at retry_at. notified = how many NOTIFYs were sent; notified_at = when the last one was taken from the queue; shows = what they show: all, a view of it, polite-block, or none.';

CREATE VIEW presence_decisions AS
SELECT
    w.id, w.presentity_uri, presence_join_uri(w.watcher_username, w.watcher_domain) AS watcher, w.event,
    presence_status_name(w.status) AS decision, w.reason, to_timestamp(w.inserted_time) AS decided, w.view AS shows,
    to_timestamp(w.recheck_at) AS recheck_at
FROM watchers AS w;
COMMENT ON VIEW presence_decisions IS 'What was decided about who may watch whom; it is looked at again at recheck_at, if a rule begins or ends then.';

CREATE VIEW presence_backlog AS
SELECT
    q.presentity_uri, q.event,
    CASE WHEN q.version > q.claimed_version AND q.flagged_due < 'infinity' THEN 'state and answers'
         WHEN q.version > 0 THEN 'state'
         WHEN q.decide_at <= presence_now() AND q.flagged_due = 'infinity' THEN 'decisions'
         ELSE 'answers' END AS owed,
    q.owed_since,
    CASE WHEN q.owner IS NOT NULL AND q.lease_until > presence_now() THEN 'being sent'
         WHEN q.owner IS NOT NULL THEN 'left behind'
         WHEN q.due <= presence_now() THEN 'due'
         WHEN q.version > 0 THEN 'paced'
         ELSE 'again' END AS state,
    q.due,
    (SELECT n.kind || ' ' || n.pid || ' on ' || n.host FROM node AS n WHERE n.id = q.owner) AS holder,
    (SELECT count(*)
     FROM active_watchers AS a
     WHERE a.presentity_uri = q.presentity_uri AND a.event = q.event AND NOT a.ended
       AND (a.updated <> -1 OR (a.status = 1 AND a.notified_version < q.version))) AS dialogs
FROM notify_queue AS q
WHERE q.owed_since IS NOT NULL;
COMMENT ON VIEW presence_backlog IS
    'What is waiting to be sent, and since when. state: due = the next free notifier takes it; being sent = by holder; paced = waitn_time holds it until due; again = after a failure, at due; left behind = its holder died, the next notifier sends all of it.';

CREATE VIEW presence_processes AS
SELECT
    n.id, n.kind, n.host, n.pid, n.address, n.version, n.started, n.heartbeat,
    -- Six heartbeats.
    CASE WHEN n.heartbeat > presence_now() - interval '30 s' THEN 'alive' ELSE 'silent' END AS state
FROM node AS n;
COMMENT ON VIEW presence_processes IS 'Which processes run. silent = no heartbeat for 30 s; it is removed after 60 s.';

CREATE VIEW presence_usage AS
SELECT s.event, s.state, s.user_agent, count(*) AS subscriptions
FROM presence_subscriptions AS s
GROUP BY s.event, s.state, s.user_agent;
COMMENT ON VIEW presence_usage IS 'How many subscriptions there are, by event package, state and user agent. Reads all subscriptions.';

CREATE VIEW presence_gone_phones AS
SELECT
    a.id, presence_join_uri(a.watcher_username, a.watcher_domain) AS watcher, a.user_agent, a.contact, a.presentity_uri, a.event,
    -- An unsubscription and a fetch have granted_s = 0.
    CASE WHEN a.ended AND a.reason = '' THEN 'refused or left unanswered its last NOTIFY'
         WHEN a.status = 3 THEN 'did not renew its subscription'
         WHEN a.failures > 0 THEN 'does not answer'
         ELSE 'did not renew its subscription' END AS why,
    a.failures,
    CASE WHEN a.failures > 0 AND a.updated <> -1 THEN to_timestamp(a.retry_at) END AS retry_at
FROM active_watchers AS a
WHERE (a.failures > 0 AND NOT a.ended)
   OR (a.ended AND a.reason = '')
   OR (a.status = 3 AND a.reason = 'timeout' AND a.granted_s > 0)
   OR (a.status <> 3 AND NOT is_live(a.expires, presence_now()));
COMMENT ON VIEW presence_gone_phones IS
    'Phones that do not answer, and those whose subscription ended without a word from them in the last 32 s (then its row goes).';

-- === Orders ===

CREATE FUNCTION presence_publish(
    presentity_uri text, event text, body text, content_type text DEFAULT '', expires_s integer DEFAULT 3600,
    source text DEFAULT 'sql', sender text DEFAULT '') RETURNS text
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    who     record;
    key     text   := 'sql:' || presence_publish.source;
    tag     text   := gen_random_uuid()::text;
    at      timestamptz := presence_now();
    ends    bigint := CASE WHEN presence_publish.expires_s IS NULL THEN -1 ELSE expiry_at(presence_publish.expires_s, at) END;
    content bytea  := convert_to(presence_publish.body, 'UTF8');
BEGIN
    IF presence_publish.expires_s <= 0 THEN
        RAISE EXCEPTION 'expires_s is %, and a publication lives for at least a second', presence_publish.expires_s
            USING ERRCODE = 'invalid_parameter_value', HINT = 'NULL means for ever; presence_unpublish ends a publication.';
    END IF;
    SELECT s.username, s.domain INTO who FROM presence_split_uri(presence_publish.presentity_uri) AS s;
    LOOP
        -- Update or insert, never both in one statement: each locks the queue by its own trigger, and only one of them does here.
        UPDATE presentity AS p
        SET etag          = tag,
            past_etags    = (ARRAY[p.etag] || p.past_etags)[1:4],
            expires       = ends,
            sweep_at      = 9223372036854775807,
            removed       = false,
            sender        = presence_publish.sender,
            body          = content,
            content_type  = presence_publish.content_type,
            received_time = CASE WHEN p.removed OR p.body <> content OR p.content_type <> presence_publish.content_type
                                 THEN floor(extract(epoch FROM at))::bigint ELSE p.received_time END,
            modified      = CASE WHEN p.removed OR p.body <> content OR p.content_type <> presence_publish.content_type
                                 THEN at ELSE p.modified END
        WHERE p.presentity_uri = presence_join_uri(who.username, who.domain) AND p.event = presence_publish.event AND p.ruid = key;
        EXIT WHEN FOUND;
        INSERT INTO presentity (username, domain, event, etag, ruid, expires, received_time, modified, body, content_type, sender)
        VALUES (who.username, who.domain, presence_publish.event, tag, key, ends, floor(extract(epoch FROM at))::bigint, at, content,
                presence_publish.content_type, presence_publish.sender)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN tag;
END
$$;
COMMENT ON FUNCTION presence_publish(text, text, text, text, integer, text, text) IS
    'Publishes a document for a presentity, in place of what the same source published before; returns its entity-tag. expires_s null = for ever. Watchers are told if anything changed. One resource per transaction, or several in the order of their URIs.';

CREATE FUNCTION presence_unpublish(presentity_uri text, event text, source text DEFAULT 'sql') RETURNS boolean
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    at timestamptz := presence_now();
BEGIN
    UPDATE presentity AS p
    SET removed  = true,
        expires  = LEAST(NULLIF(p.expires, -1), floor(extract(epoch FROM at))::bigint),
        sweep_at = expiry_at(32, at)
    WHERE p.presentity_uri = presence_uri(presence_unpublish.presentity_uri) AND p.event = presence_unpublish.event
      AND p.ruid = 'sql:' || presence_unpublish.source AND NOT p.removed;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION presence_unpublish(text, text, text) IS
    'Ends what this source published with presence_publish; false if there is nothing. Watchers are told.';

CREATE FUNCTION presence_decide(presentity_uri text) RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    -- Without rules there is nothing to be decided anew, and the row need not be kept for ever.
    has_rules boolean := EXISTS (SELECT FROM xcap AS x WHERE x.presentity_uri = presence_decide.presentity_uri AND x.doc_type = 2);
BEGIN
    -- As after a change of a rules document: see queue_documents.
    INSERT INTO notify_queue AS q (presentity_uri, event, rules_version, decide_at, due, owed_since)
    VALUES (presence_decide.presentity_uri, 'presence', CASE WHEN has_rules THEN nextval('notify_version') ELSE 0 END,
            presence_now(), presence_now(), presence_now())
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET rules_version = CASE WHEN has_rules OR q.rules_version > 0 THEN nextval('notify_version') ELSE q.rules_version END,
        decide_at     = LEAST(q.decide_at, EXCLUDED.decide_at),
        due           = LEAST(q.due, EXCLUDED.due),
        owed_since    = COALESCE(q.owed_since, EXCLUDED.owed_since);
END
$$;
COMMENT ON FUNCTION presence_decide(text) IS
    'Has it decided anew about all watchers of a presentity, given by its canonical URI. For presence_refresh_watchers and presence_update_watchers.';

CREATE FUNCTION presence_refresh_watchers(
    presentity_uri text, event text, type integer DEFAULT 1, file_uri text DEFAULT NULL, filename text DEFAULT NULL)
    RETURNS bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_refresh_watchers.presentity_uri);
BEGIN
    IF presence_refresh_watchers.event IS NULL OR presence_refresh_watchers.event = '' THEN
        RAISE EXCEPTION 'Empty event parameter' USING ERRCODE = 'invalid_parameter_value';
    ELSIF presence_refresh_watchers.type IS NULL OR presence_refresh_watchers.type NOT BETWEEN 0 AND 2 THEN
        RAISE EXCEPTION 'type is %', COALESCE(presence_refresh_watchers.type::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = '0 rules changed, 1 state changed, 2 a pidf-manipulation document changed.';
    ELSIF presence_refresh_watchers.type = 2 AND (COALESCE(presence_refresh_watchers.file_uri, '') = '' OR COALESCE(presence_refresh_watchers.filename, '') = '') THEN
        RAISE EXCEPTION 'No file uri or name parameters' USING ERRCODE = 'invalid_parameter_value';
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
    'Sends all watchers of a resource a NOTIFY, at the pace of waitn_time; returns how many there are. type: 1 state, 2 a pidf-manipulation document changed; with 0, rules changed, only those are told for whom it makes a difference. As pres_refresh_watchers of Kamailio.';

CREATE FUNCTION presence_update_watchers(presentity_uri text, event text) RETURNS bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_update_watchers.presentity_uri);
    changed bigint;
BEGIN
    IF presence_update_watchers.event IS NULL OR presence_update_watchers.event = '' THEN
        RAISE EXCEPTION 'Empty event parameter' USING ERRCODE = 'invalid_parameter_value';
    END IF;
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
COMMENT ON FUNCTION presence_update_watchers(text, text) IS
    'Has it decided anew about the watchers of a presentity with rules, and returns null. Without rules: carries over what stands in watchers to the subscriptions of a resource that differ from it, has those told, and returns how many.';

CREATE FUNCTION presence_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT pres_auth_status(presence_uri($1), presence_uri($2)) $$;
COMMENT ON FUNCTION presence_auth_status(text, text) IS
    'What was decided about a watcher of a presentity''s presence: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked; -1 = nothing, it never subscribed. As pres_auth_status of Kamailio.';

CREATE FUNCTION presence_has_subscribers(presentity_uri text, event text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT pres_has_subscribers(presence_uri($1), $2) $$;
COMMENT ON FUNCTION presence_has_subscribers(text, text) IS
    'Whether anybody subscribes to an event package of a presentity, active or pending. As pres_has_subscribers of Kamailio.';

CREATE FUNCTION presence_cleanup(max_rows integer DEFAULT 1000, quiet boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    at      timestamptz := presence_now();
    second  bigint := floor(extract(epoch FROM at))::bigint;
    touched bigint;
    total   bigint;
BEGIN
    -- What publication.expire_batch and subscription.expire_batch do, but only one of them in a transaction: each locks queue rows
    -- by key, and two such rounds in one transaction could wait for each other with somebody else's.
    WITH due AS MATERIALIZED (
        SELECT p.id, is_live(p.expires, at) AS live
        FROM presentity AS p
        WHERE p.sweep_at <= second AND NOT p.removed
        ORDER BY p.sweep_at
        LIMIT max_rows
        FOR UPDATE OF p SKIP LOCKED
    ), silenced AS MATERIALIZED (
        SELECT set_config('pgpresence.quiet', CASE WHEN quiet THEN 'on' ELSE 'off' END, true)
    )
    UPDATE presentity AS p
    SET removed  = NOT d.live,
        sweep_at = CASE WHEN NOT d.live THEN expiry_at(32, at) WHEN p.expires = -1 THEN 9223372036854775807 ELSE p.expires END
    FROM due AS d CROSS JOIN silenced
    WHERE p.id = d.id;
    GET DIAGNOSTICS total = ROW_COUNT;
    PERFORM set_config('pgpresence.quiet', 'off', true);
    IF total = 0 THEN
        WITH due AS MATERIALIZED (
            SELECT a.id, a.status <> 3 AND is_live(a.expires, at) AS live
            FROM active_watchers AS a
            WHERE a.sweep_at <= second AND NOT a.ended
            ORDER BY a.sweep_at
            LIMIT max_rows
            FOR UPDATE OF a SKIP LOCKED
        )
        UPDATE active_watchers AS a
        SET status   = CASE WHEN d.live THEN a.status ELSE 3 END,
            reason   = CASE WHEN d.live OR a.status = 3 THEN a.reason ELSE 'timeout' END,
            updated  = CASE WHEN d.live THEN a.updated ELSE 0 END,
            sweep_at = CASE WHEN NOT d.live THEN expiry_at(300, at) WHEN a.expires = -1 THEN 9223372036854775807 ELSE a.expires END
        FROM due AS d
        WHERE a.id = d.id;
        GET DIAGNOSTICS total = ROW_COUNT;
    END IF;
    -- Tombstones: no lock is waited for, and nobody is owed anything by their removal. Those that remember ended dialogs are for
    -- publication.delete_removed, which hands that on.
    DELETE FROM presentity AS p
    WHERE p.id IN (SELECT t.id FROM presentity AS t WHERE t.sweep_at <= second AND t.removed AND t.ended = '{}'
                   ORDER BY t.sweep_at LIMIT max_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS touched = ROW_COUNT;
    total := total + touched;
    DELETE FROM active_watchers AS a
    WHERE a.id IN (SELECT t.id FROM active_watchers AS t WHERE t.sweep_at <= second AND t.ended
                   ORDER BY t.sweep_at LIMIT max_rows FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS touched = ROW_COUNT;
    RETURN total + touched;
END
$$;
COMMENT ON FUNCTION presence_cleanup(integer, boolean) IS
    'Ends what has expired and removes what nobody needs, up to max_rows of each; returns how many rows it was: 0 = nothing is left. quiet = watchers are not told that publications expired (force_delete).';

-- === Documents ===

-- A document is merged by the event package, which knows XML and the configuration. Where there is one publication there is nothing to
-- merge. Where there are several, an answer from here could only be a guess, so it says who knows. Rejected: the newest of them, which
-- is what watchers are shown of some packages only, and there by retrieve_order.

CREATE VIEW presence_hard_state AS
SELECT x.id, x.presentity_uri, x.etag, octet_length(x.doc) AS body_bytes, presence_text(x.doc) AS document, x.doc_uri
FROM xcap AS x
WHERE x.doc_type = 16;
COMMENT ON VIEW presence_hard_state IS
    'Stored documents (pidf-manipulation, RFC 4827) that are shown with what is published of presence, and stay when that ends.';

CREATE FUNCTION presence_document(presentity_uri text, event text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_document.presentity_uri);
    -- What may not stand in a path as it is.
    path    text := '/v1/presentities/' || replace(replace(replace(replace(watched, '%', '%25'), '/', '%2F'), '?', '%3F'), '#', '%23')
                    || '/' || presence_document.event;
    texts   text[];
    ids     bigint[];
BEGIN
    IF presence_document.event IS NULL OR presence_document.event = '' THEN
        RAISE EXCEPTION 'Empty event parameter' USING ERRCODE = 'invalid_parameter_value';
    ELSIF presence_document.event LIKE '%.winfo' THEN
        RAISE EXCEPTION '% is made of subscriptions, not of documents', presence_document.event
            USING ERRCODE = 'feature_not_supported',
                  HINT = format('Ask a server: GET %s. The view presence_subscriptions has the same in rows.', path);
    END IF;
    SELECT array_agg(d.document), array_agg(d.id) INTO texts, ids
    FROM (SELECT p.document, p.id
          FROM presence_publications AS p
          WHERE p.presentity_uri = watched AND p.event = presence_document.event AND p.state = 'live'
          UNION ALL
          SELECT h.document, -h.id
          FROM presence_hard_state AS h
          WHERE h.presentity_uri = watched AND presence_document.event = 'presence') AS d;
    IF texts IS NULL THEN
        RETURN NULL;
    ELSIF cardinality(texts) > 1 THEN
        RAISE EXCEPTION '% documents of % are to be merged', cardinality(texts), watched
            USING ERRCODE = 'cardinality_violation',
                  HINT = format('Ask a server: GET %s. The view presence_publications has them one by one.', path);
    ELSIF EXISTS (SELECT FROM presentity AS p
                  WHERE p.presentity_uri = watched AND p.event = presence_document.event AND p.ended <> '{}' AND p.id <> ids[1]) THEN
        RAISE EXCEPTION 'another publication of % has ended a dialog', watched
            USING ERRCODE = 'cardinality_violation',
                  HINT = format('Ask a server, which knows whether this one still shows it: GET %s.', path);
    END IF;
    RETURN texts[1];
END
$$;
COMMENT ON FUNCTION presence_document(text, text) IS
    'The document of a resource, as it was published; null if nobody publishes. Error 21000 where several are to be merged: its hint says where a server is to be asked.';
