-- What the migrations add up to. Written by the test of crate `schema`; do not edit.

CREATE DOMAIN public.account_part AS text
	CONSTRAINT "username and domain have at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.canonical_uri AS text COLLATE pg_catalog."C"
	CONSTRAINT "presentity_uri has at most 515 octets" CHECK ((octet_length(VALUE) <= 515));

CREATE DOMAIN public.cseq AS bigint
	CONSTRAINT "the subscriber's CSeq has 32 bits (RFC 3261)" CHECK (((VALUE >= 0) AND (VALUE <= '4294967295'::bigint)));

CREATE DOMAIN public.dialog_part AS text
	CONSTRAINT "callid, to_tag, from_tag, event_id: at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.dialog_text AS text
	CONSTRAINT "contact, user_agent, from_display, view: at most 1024 octets" CHECK ((octet_length(VALUE) <= 1024));

CREATE DOMAIN public.document_address AS text COLLATE pg_catalog."C"
	CONSTRAINT "a document has an address" CHECK ((VALUE <> ''::text))
	CONSTRAINT "doc_uri has at most 2048 octets" CHECK ((octet_length(VALUE) <= 2048));

CREATE DOMAIN public.entity_tag AS text
	CONSTRAINT "a publication has an entity-tag" CHECK ((VALUE <> ''::text))
	CONSTRAINT "etag has at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.event_name AS text COLLATE pg_catalog."C"
	CONSTRAINT "event has at most 128 octets" CHECK ((octet_length(VALUE) <= 128));

CREATE DOMAIN public.event_package AS public.event_name
	CONSTRAINT "there is an event package" CHECK (((VALUE)::text <> ''::text));

CREATE DOMAIN public.header_part AS text
	CONSTRAINT "to_user, to_domain, from_user, from_domain: at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.header_uri AS text
	CONSTRAINT "local_uri and remote_uri have at most 2048 octets" CHECK ((octet_length(VALUE) <= 2048));

CREATE DOMAIN public.md5_digits AS text COLLATE pg_catalog."C"
	CONSTRAINT "ha1 and ha1b are 32 hexadecimal digits, or empty" CHECK ((VALUE ~ '^([0-9A-Fa-f]{32})?$'::text));

CREATE DOMAIN public.notify_number AS bigint
	CONSTRAINT "a dialog retires before its CSeq or version reaches 2^31" CHECK (((VALUE >= 0) AND (VALUE <= 2147483647)));

CREATE DOMAIN public.phone_key AS text COLLATE pg_catalog."C"
	CONSTRAINT "subscriber_key has at most 1280 octets" CHECK ((octet_length(VALUE) <= 1280));

CREATE DOMAIN public.publication_expires AS bigint
	CONSTRAINT "expires is an epoch second, or -1 for never" CHECK ((VALUE >= '-1'::integer));

CREATE DOMAIN public.publication_text AS text
	CONSTRAINT "ruid and content_type have at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.queued_event AS text COLLATE pg_catalog."C"
	CONSTRAINT "event has at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.recent_requests AS text[]
	CONSTRAINT "a publication remembers at most five requests" CHECK ((cardinality(VALUE) <= 5));

CREATE DOMAIN public.route_set AS text
	CONSTRAINT "record_route has at most 4096 octets" CHECK ((octet_length(VALUE) <= 4096));

CREATE DOMAIN public.rules_decision AS bigint
	CONSTRAINT "a decision has a rules_version, or is -1 for still to be made" CHECK ((VALUE >= '-1'::integer));

CREATE DOMAIN public.sender_uri AS text
	CONSTRAINT "sender has at most 1024 octets" CHECK ((octet_length(VALUE) <= 1024));

CREATE DOMAIN public.sha256_digits AS text COLLATE pg_catalog."C"
	CONSTRAINT "ha1_sha256 is 64 hexadecimal digits, or empty" CHECK ((VALUE ~ '^([0-9A-Fa-f]{64})?$'::text));

CREATE DOMAIN public.watcher_part AS text
	CONSTRAINT "watcher_username and watcher_domain have at most 255 octets" CHECK ((octet_length(VALUE) <= 255));

CREATE DOMAIN public.watcher_status AS smallint
	CONSTRAINT "status is 1 active, 2 pending, 3 terminated or 4 waiting" CHECK (((VALUE >= 1) AND (VALUE <= 4)));

CREATE FUNCTION public.delete_dead_nodes() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.delete_dead_nodes() IS 'Deletes processes that have been silent for 60 s. For maintenance.delete_dead_nodes and presence_cleanup.';

CREATE FUNCTION public.delete_ended_subscriptions(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.delete_ended_subscriptions(max_rows bigint) IS 'Forgets dialogs that ended more than 64*T1 ago. For subscription.delete_ended and presence_cleanup.';

CREATE FUNCTION public.delete_idle_resources(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.delete_idle_resources(max_rows bigint) IS 'Deletes queue rows that owe nothing and have been quiet for 15 s. For maintenance.delete_idle_resources and presence_cleanup.';

CREATE FUNCTION public.delete_removed_publications(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.delete_removed_publications(max_rows bigint) IS 'Forgets publications that ended more than 64*T1 ago, and whose ends were handed on (hand_on_ends). For publication.delete_removed and presence_cleanup.';

CREATE FUNCTION public.delete_waiting_watchers(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.delete_waiting_watchers(max_rows bigint) IS 'Forgets watchers who were given up on a minute ago. For watcher.delete_waiting and presence_cleanup.';

CREATE FUNCTION public.expire_publications(max_rows bigint, quiet boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.expire_publications(max_rows bigint, quiet boolean) IS 'Ends publications whose time is up (RFC 3903 section 6.1); quiet = watchers are not told (force_delete). For publication.expire_batch and presence_cleanup.';

CREATE FUNCTION public.expire_subscriptions(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.expire_subscriptions(max_rows bigint) IS 'Ends dialogs whose time is up, each owed terminated;reason=timeout (RFC 6665 section 4.2.2). For subscription.expire_batch and presence_cleanup.';

CREATE FUNCTION public.expiry_at(granted_s bigint, at timestamp with time zone) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((ceil(date_part('epoch'::text, at)))::bigint + granted_s);

COMMENT ON FUNCTION public.expiry_at(granted_s bigint, at timestamp with time zone) IS 'The epoch second at which granted_s seconds are over. Rounded up: nobody gets less than was granted.';

CREATE FUNCTION public.give_up_on_watchers(max_rows bigint, waiting_s bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.give_up_on_watchers(max_rows bigint, waiting_s bigint) IS 'Gives up on watchers about whom nobody decided in waiting_s (RFC 3857 section 4.7.1). For watcher.give_up and presence_cleanup.';

CREATE FUNCTION public.hand_on_ends(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.hand_on_ends(max_rows bigint) IS 'Gives what publications about to be forgotten know of ended dialogs to the oldest publication of the resource that is left, if any is. For publication.hand_on_ends and presence_cleanup.';

CREATE FUNCTION public.is_live(expires bigint, at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((expires = '-1'::integer) OR ((expires)::double precision > date_part('epoch'::text, at)));

COMMENT ON FUNCTION public.is_live(expires bigint, at timestamp with time zone) IS 'Whether a publication or subscription with this expires (epoch second; -1 = never ends) is alive. Written here only.';

CREATE FUNCTION public.is_winfo(event text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((event ~~ '%.winfo%'::text) AND ("right"(split_part(event, ';'::text, 1), 6) = '.winfo'::text));

COMMENT ON FUNCTION public.is_winfo(event text) IS 'Whether an event package is the watcher information of another.';

CREATE FUNCTION public.make_room(uri text, package text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    at     timestamptz := presence_now();
    held   bigint;
    going  bigint := 0;
    gone   bigint[];
BEGIN
    SELECT COALESCE(sum(GREATEST(1024, octet_length(p.body))), 0)
    INTO held
    FROM presentity AS p
    WHERE p.presentity_uri = uri AND p.event = package AND NOT p.removed AND is_live(p.expires, at);
    IF held > 524288 THEN
        -- Each publisher keeps its newest, up to a level that is the same for all, in steps of 16 KiB; of one step the oldest go first. The
        -- newest of all stays in any case. Until a quarter is free, so that not the next one has to count again.
        SELECT array_agg(v.id), COALESCE(sum(v.octets), 0)
        INTO gone, going
        FROM (SELECT l.id, l.octets, sum(l.octets) OVER (ORDER BY l.level DESC, l.age DESC) - l.octets AS freed_before
              FROM (SELECT p.id, GREATEST(1024, octet_length(p.body)) AS octets,
                           sum(GREATEST(1024, octet_length(p.body)))
                               OVER (PARTITION BY presence_publisher(p.etag, p.id) ORDER BY p.received_time DESC, p.modified DESC, p.id DESC)
                               / 16384 AS level,
                           row_number() OVER (ORDER BY p.received_time DESC, p.modified DESC, p.id DESC) AS age
                    FROM presentity AS p
                    WHERE p.presentity_uri = uri AND p.event = package AND NOT p.removed AND is_live(p.expires, at)) AS l
              WHERE l.age > 1) AS v
        WHERE v.freed_before < held - 393216;
    END IF;
    -- Before they end, so that their own trigger does not count once more.
    UPDATE notify_queue AS q SET published_octets = held - going WHERE q.presentity_uri = uri AND q.event = package;
    IF going > 0 THEN
        -- We hold the queue's row, which others want who hold publications: never wait for one of these.
        WITH ended AS (
            UPDATE presentity AS p
            SET removed = true, sweep_at = expiry_at(32, at)
            WHERE p.id IN (SELECT g.id FROM presentity AS g WHERE g.id = ANY (gone) AND NOT g.removed FOR UPDATE SKIP LOCKED)
            RETURNING GREATEST(1024, octet_length(p.body)) AS octets
        )
        SELECT going - COALESCE(sum(e.octets), 0) INTO going FROM ended AS e;
        IF going > 0 THEN
            UPDATE notify_queue AS q SET published_octets = q.published_octets + going WHERE q.presentity_uri = uri AND q.event = package;
        END IF;
    END IF;
END
$$;

COMMENT ON FUNCTION public.make_room(uri text, package text) IS 'Counts the live publications of a resource and ends the oldest if they are too many. For queue_publication_changes, which holds its row of the queue.';

CREATE FUNCTION public.mark_status_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    said text := lower(btrim(split_part(NEW.reason, ';', 1)));
BEGIN
    IF NEW.status <> OLD.status THEN
        NEW.updated_winfo    := 1;
        NEW.winfo_changed_at := presence_now();
        NEW.status_event     := CASE
            -- Whoever changed it by hand said so himself.
            WHEN NEW.status_event <> OLD.status_event THEN NEW.status_event
            -- Before the first decision nobody was pending, whatever the row says: it is about the SUBSCRIBE.
            WHEN NEW.status = 1 AND OLD.status IN (2, 4) AND OLD.decided_version IS DISTINCT FROM -1 THEN 'approved'
            WHEN NEW.status IN (1, 2) THEN 'subscribe'
            WHEN NEW.status = 4 THEN 'timeout'
            WHEN said IN ('deactivated', 'probation', 'rejected', 'timeout', 'giveup', 'noresource') THEN said
            -- Without a reason: the watcher is gone, or somebody ended it by hand, and the watcher may come back.
            WHEN NEW.ended OR NOT is_live(NEW.expires, presence_now()) THEN 'timeout'
            ELSE 'deactivated' END;
    ELSE
        -- A mark of an earlier statement, which has done its work.
        NEW.updated_winfo    := -1;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.mark_status_change() IS 'Row trigger: whatever changes the status of a subscription marks it and writes down which event of RFC 3857 that was; the next statement takes the mark away. Its WHEN clause keeps it away from all other writes.';

CREATE FUNCTION public.mark_waiting_over() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF OLD.status = 4 AND NEW.status IN (1, 3) THEN
        NEW.waited_until    := floor(extract(epoch FROM presence_now()))::bigint;
        NEW.subscription_id := OLD.subscription_id;
    ELSIF NEW.status IN (2, 4) OR NEW.waited_until < extract(epoch FROM presence_now()) - 60 THEN
        -- It is pending again, or everybody has heard of it.
        NEW.waited_until := NULL;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.mark_waiting_over() IS 'Row trigger: notes when a watcher that waited was decided about. Its WHEN clause keeps it away from all others.';

CREATE FUNCTION public.postpone_publications(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.postpone_publications(max_rows bigint) IS 'Looks again later at publications that were refreshed meanwhile. For publication.postpone_batch and presence_cleanup.';

CREATE FUNCTION public.postpone_subscriptions(max_rows bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.postpone_subscriptions(max_rows bigint) IS 'Looks again later at dialogs that were refreshed meanwhile. For subscription.postpone_batch and presence_cleanup.';

CREATE FUNCTION public.pres_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.pres_auth_status(watcher_uri text, presentity_uri text) IS 'Whether a watcher may watch a presentity''s presence, whether it ever subscribed or not: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked. -1: a URI is none; or there are rules, by which nothing was decided about this watcher so far: ask a server, presence.auth_status by RPC.';

CREATE FUNCTION public.pres_has_subscribers(presentity_uri text, event text) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    watched text := presence_uri_under($1, presence_uri_match());
BEGIN
    RETURN EXISTS (
        SELECT FROM active_watchers AS a
        WHERE a.presentity_uri = watched AND a.event = $2 AND a.status <> 3 AND is_live(a.expires, presence_now()));
END
$_$;

COMMENT ON FUNCTION public.pres_has_subscribers(presentity_uri text, event text) IS 'Whether anybody subscribes to an event package of a presentity, active or pending.';

CREATE FUNCTION public.presence_uri(uri text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parts record;
BEGIN
    SELECT s.username, s.domain INTO parts FROM presence_split_uri(uri) AS s;
    RETURN presence_join_uri(parts.username, parts.domain);
END
$$;

COMMENT ON FUNCTION public.presence_uri(uri text) IS 'The canonical form of a URI, as the column presentity_uri has it. Error 22023 if it is none.';

CREATE FUNCTION public.presence_auth_status(watcher_uri text, presentity_uri text) RETURNS integer
    LANGUAGE sql STABLE
    RETURN public.pres_auth_status(public.presence_uri(watcher_uri), public.presence_uri(presentity_uri));

COMMENT ON FUNCTION public.presence_auth_status(watcher_uri text, presentity_uri text) IS 'Whether a watcher may watch a presentity''s presence, whether it ever subscribed or not: 1 active, 2 pending, 3 terminated, 4 waiting, 5 politely blocked; -1 = there are rules, by which nothing was decided about this watcher so far: ask a server, presence.auth_status by RPC. What is no URI is an error. As pres_auth_status of Kamailio.';

CREATE FUNCTION public.presence_canonical(INOUT username text, INOUT domain text, match smallint) RETURNS record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    context text;
BEGIN
    IF domain <> '' THEN
        username := presence_escape(username, match = 1);
        domain   := COALESCE(presence_host(domain), lower(domain COLLATE "C"));
        RETURN;
    END IF;
    -- A number (RFC 3966 section 4): no visual separators, no case; a local one means nothing without its context.
    SELECT presence_escape(CASE WHEN strpos(p.param, '=') > 0 THEN substr(p.param, strpos(p.param, '=') + 1) ELSE '' END, true)
    INTO context
    FROM string_to_table(substr(username, strpos(username || ';', ';') + 1), ';') WITH ORDINALITY AS p (param, ord)
    WHERE presence_escape(split_part(p.param, '=', 1), true) = 'phone-context'
    ORDER BY p.ord
    LIMIT 1;
    username := lower(translate(split_part(username, ';', 1), '-.()', '') COLLATE "C");
    IF context IS NOT NULL AND left(username, 1) <> '+' THEN
        username := username || ';phone-context='
                    || CASE WHEN left(context, 1) = '+' THEN translate(context, '-.()', '') ELSE rtrim(context, '.') END;
    END IF;
END
$$;

COMMENT ON FUNCTION public.presence_canonical(INOUT username text, INOUT domain text, match smallint) IS 'A user and a domain in canonical form, as sip_uri_match says (match). The domain is empty for a number. Takes whatever stands in a column.';

CREATE FUNCTION public.presence_canonical_uri(username text, domain text, match smallint) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parts record;
BEGIN
    SELECT c.username, c.domain INTO parts FROM presence_canonical(username, domain, match) AS c;
    RETURN CASE WHEN parts.domain = ''   THEN 'tel:' || parts.username
                WHEN parts.username = '' THEN 'sip:' || parts.domain
                ELSE 'sip:' || parts.username || '@' || parts.domain END;
END
$$;

COMMENT ON FUNCTION public.presence_canonical_uri(username text, domain text, match smallint) IS 'The canonical URI of a user and a domain, as sip_uri_match says (match).';

CREATE FUNCTION public.presence_canonicalise() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_canonicalise() IS 'Brings all rows into the canonical form that the present setting of sip_uri_match gives them, and has those told whom it concerns; returns how many rows it were. While no process runs. For presence_change_uri_match.';

CREATE FUNCTION public.presence_change_uri_match(match smallint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_change_uri_match(match smallint) IS 'Changes sip_uri_match of this database, with all rows; returns how many rows it changed. Refuses while processes run (55006), and if rows would become one that cannot (23505). Called by pgpresence migrate.';

CREATE FUNCTION public.presence_cleanup(max_rows integer DEFAULT 1000, quiet boolean DEFAULT false, waiting_s bigint DEFAULT 259200) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_cleanup(max_rows integer, quiet boolean, waiting_s bigint) IS 'Ends what has expired and removes what nobody needs, as the notifiers'' sweep does, up to max_rows of each; returns how many rows it was: 0 = nothing is left. quiet = watchers are not told that publications expired (force_delete). waiting_s = how long watchers wait for a decision (watcher_waiting_s).';

CREATE FUNCTION public.presence_decide(presentity_uri text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_decide(presentity_uri text) IS 'Has it decided anew about all watchers of a presentity, given by its canonical URI. For presence_refresh_watchers and presence_update_watchers.';

CREATE FUNCTION public.presence_document(presentity_uri text, event text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_document(presentity_uri text, event text) IS 'The document of a resource, as it was published; null if nobody publishes. Error 21000 where several are to be merged: its hint says where a server is to be asked.';

CREATE FUNCTION public.presence_escape(text text, folds boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    -- RFC 3261 section 25.1: unreserved and reserved characters may stand in a user, but for : and @.
    plain CONSTANT text := '^[A-Za-z0-9_.!~*''();/?&=+$,-]+$';
    token text;
    byte  integer;
    part  text;
    whole text := '';
BEGIN
    FOR token IN SELECT m[1] FROM regexp_matches(text, '%[0-9A-Fa-f]{2}|[A-Za-z0-9_.!~*''();/?&=+$,-]+|.', 'g') AS m LOOP
        IF length(token) = 3 AND left(token, 1) = '%' THEN
            byte := get_byte(decode(substr(token, 2), 'hex'), 0);
            -- Of what is reserved, the escape means something else than the character (RFC 3261 section 19.1.4).
            part := CASE WHEN byte BETWEEN 32 AND 126 AND chr(byte) ~ '[A-Za-z0-9_.!~*''()-]' THEN chr(byte) ELSE upper(token) END;
        ELSIF token ~ plain THEN
            part := token;
        ELSE
            part := regexp_replace(upper(encode(convert_to(token, 'UTF8'), 'hex')), '(..)', '%\1', 'g');
        END IF;
        whole := whole || CASE WHEN folds AND left(part, 1) <> '%' THEN lower(part COLLATE "C") ELSE part END;
    END LOOP;
    RETURN whole;
END
$_$;

COMMENT ON FUNCTION public.presence_escape(text text, folds boolean) IS 'A user in canonical form: needless escapes decoded, the digits of the others in upper case, escaped what may not stand in a URI; in lower case if it folds.';

CREATE FUNCTION public.presence_grant() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    place text;
    name  text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_server') THEN
        -- From nothing: rights of earlier versions go.
        REVOKE ALL ON presentity, active_watchers, watchers, xcap, notify_queue, node, cluster, quarantine, refinery_schema_history,
            presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state, subscriber, domain, presence_delegate,
            presence_credentials FROM pgpresence_server;
        -- DELETE: presence.cleanup.
        GRANT SELECT, INSERT, DELETE ON presentity, active_watchers, node TO pgpresence_server;
        GRANT UPDATE (expires, sweep_at, received_time, modified, priority, renewed_at, removed, has_dialog, etag, past_etags, ended,
                      ended_at, sender, content_type, body) ON presentity TO pgpresence_server;
        GRANT UPDATE (updated, retry_at, expires, remote_cseq, sweep_at, granted_s, updated_winfo, renewed_at, target_version, failures,
                      status, decided_version, shown, winfo_told_to, remote_request, view, reason, contact, flow, local_contact)
            ON active_watchers TO pgpresence_server;
        -- What the triggers write: that something is due. Not who works on it, nor until when.
        GRANT SELECT, DELETE,
              INSERT (presentity_uri, event, due, decide_at, flagged_due, version, full_version, rules_version, sender_version,
                      published_octets, owed_since, winfo_watched, sender),
              UPDATE (due, decide_at, flagged_due, version, full_version, rules_version, sender_version, sender_since, published_octets,
                      owed_since, winfo_watched, sender) ON notify_queue TO pgpresence_server;
        GRANT UPDATE (heartbeat) ON node TO pgpresence_server;
        -- The clean-up gives up on watchers that nobody decides about.
        GRANT SELECT, DELETE, UPDATE (inserted_time, reason) ON watchers TO pgpresence_server;
        GRANT SELECT (id, doc_type, presentity_uri, etag, doc, doc_uri, xmin) ON xcap TO pgpresence_server;
        GRANT SELECT (secret) ON cluster TO pgpresence_server;
        GRANT SELECT ON refinery_schema_history, presence_subscriptions TO pgpresence_server;
        -- Not the table of subscribers: the view may be another one.
        GRANT SELECT ON presence_credentials, presence_delegate TO pgpresence_server;
        GRANT SELECT (domain) ON domain TO pgpresence_server;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_server;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_notifier') THEN
        REVOKE ALL ON presentity, active_watchers, watchers, xcap, notify_queue, node, cluster, quarantine, refinery_schema_history,
            presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state, subscriber, domain, presence_delegate,
            presence_credentials FROM pgpresence_notifier;
        -- UPDATE and DELETE: the sweep.
        GRANT SELECT (id, presentity_uri, event, expires, sweep_at, received_time, modified, created_time, priority, renewed_at, removed,
                      has_dialog, etag, ended, ended_at, sender, content_type, body),
              UPDATE (sweep_at, removed, ended, ended_at), DELETE ON presentity TO pgpresence_notifier;
        GRANT SELECT, DELETE,
              UPDATE (updated, retry_at, notified_version, local_cseq, version, sweep_at, updated_winfo, failures, status, ended,
                      decided_version, shown, notified_at, winfo_told_to, view, reason, failure) ON active_watchers TO pgpresence_notifier;
        -- Not INSERT of its own accord: what it sweeps away is a change, which the triggers write.
        GRANT SELECT, INSERT, DELETE,
              UPDATE (due, decide_at, flagged_due, not_before, changes_at, lease_until, claim, version, claimed_version, recovered_version,
                      full_version, rules_version, decided_rules, sender_version, sender_since, published_octets, owner, owed_since,
                      winfo_watched, sender) ON notify_queue TO pgpresence_notifier;
        GRANT SELECT, INSERT, DELETE,
              UPDATE (inserted_time, status, rules_version, recheck_at, subscription_id, reason, view) ON watchers TO pgpresence_notifier;
        GRANT SELECT, INSERT, DELETE, UPDATE (heartbeat) ON node TO pgpresence_notifier;
        GRANT SELECT, INSERT, DELETE, UPDATE (retry_at, tries, step, sqlstate, message) ON quarantine TO pgpresence_notifier;
        GRANT SELECT (id, doc_type, presentity_uri, etag, doc, doc_uri) ON xcap TO pgpresence_notifier;
        GRANT SELECT ON refinery_schema_history TO pgpresence_notifier;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_notifier;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_reader') THEN
        REVOKE ALL ON presentity, active_watchers, watchers, xcap, notify_queue, node, cluster, quarantine, refinery_schema_history,
            presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state, subscriber, domain, presence_delegate,
            presence_credentials FROM pgpresence_reader;
        GRANT SELECT ON presence_decisions, presence_watcher_states, presence_backlog, presence_processes, presence_usage,
            presence_gone_phones, watchers, notify_queue, node, quarantine, refinery_schema_history TO pgpresence_reader;
        -- All but the entity-tag, by which anybody may change a publication.
        GRANT SELECT (id, presentity_uri, event, state, says, published, expires, sender, priority, content_type, body_bytes, document)
            ON presence_publications TO pgpresence_reader;
        GRANT SELECT (id, presentity_uri, body_bytes, document, doc_uri) ON presence_hard_state TO pgpresence_reader;
        -- All but the Call-ID.
        GRANT SELECT (id, presentity_uri, event, watcher, state, reason, owed, expires, notified, failures, retry_at, user_agent, contact,
                      by_flow, shows, notified_at, last_failure) ON presence_subscriptions TO pgpresence_reader;
        -- For `pgpresence status`, presence_document and pres_auth_status.
        GRANT SELECT (id, presentity_uri, event, ended) ON presentity TO pgpresence_reader;
        GRANT SELECT (id, presentity_uri, event, watcher_username, watcher_domain, status, reason, view, ended, updated, failures, expires,
                      notified_at, notified_version, decided_version, created_time) ON active_watchers TO pgpresence_reader;
    END IF;
    -- Tables may be in schemas of their own (presentity_table and its like).
    FOR place IN
        SELECT DISTINCT c.relnamespace::regnamespace::text
        FROM pg_trigger AS t
        JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE t.tgfoid IN ('queue_publications'::regproc, 'queue_flagged_dialogs'::regproc, 'queue_waiting_watchers'::regproc)
          AND c.relnamespace <> current_schema()::regnamespace
    LOOP
        FOR name IN
            SELECT rolname FROM pg_roles WHERE rolname IN ('pgpresence_server', 'pgpresence_notifier', 'pgpresence_reader')
        LOOP
            EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', place, name);
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.presence_grant() IS 'Gives pgpresence_server, pgpresence_notifier and pgpresence_reader their rights on this database, column by column, those of them that exist, and takes all others away. Run by the migration; again by hand where they were made later.';

CREATE FUNCTION public.presence_has_rules(presentity_uri text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
BEGIN
    RETURN (SELECT true FROM xcap AS x WHERE x.presentity_uri = $1 AND x.doc_type = 2 LIMIT 1) IS NOT NULL;
END
$_$;

COMMENT ON FUNCTION public.presence_has_rules(presentity_uri text) IS 'Whether a presentity, given by its canonical URI, has a rules document.';

CREATE FUNCTION public.presence_has_subscribers(presentity_uri text, event text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN public.pres_has_subscribers(public.presence_uri(presentity_uri), event);

COMMENT ON FUNCTION public.presence_has_subscribers(presentity_uri text, event text) IS 'Whether anybody subscribes to an event package of a presentity, active or pending. As pres_has_subscribers of Kamailio.';

CREATE FUNCTION public.presence_host(host text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    address text := lower(substring(host FROM '^\[([0-9A-Fa-f:.]+)\]$') COLLATE "C");
    dotted  text[];
    halves  text[];
    heads   text[];
    tails   text[];
    words   integer[];
BEGIN
    IF address IS NULL THEN
        -- The root's dot means nothing here.
        RETURN COALESCE(NULLIF(rtrim(lower(host COLLATE "C"), '.'), ''), host);
    END IF;
    -- An IPv4 address at the end is two groups.
    dotted := regexp_match(address, '^(.*:)((?:0|[1-9][0-9]{0,2}))\.((?:0|[1-9][0-9]{0,2}))\.((?:0|[1-9][0-9]{0,2}))\.((?:0|[1-9][0-9]{0,2}))$');
    IF dotted IS NOT NULL THEN
        IF GREATEST(dotted[2]::integer, dotted[3]::integer, dotted[4]::integer, dotted[5]::integer) > 255 THEN
            RETURN NULL;
        END IF;
        address := dotted[1] || to_hex(dotted[2]::integer * 256 + dotted[3]::integer) || ':'
                   || to_hex(dotted[4]::integer * 256 + dotted[5]::integer);
    END IF;
    halves := string_to_array(address, '::');
    heads  := string_to_array(halves[1], ':');
    tails  := COALESCE(string_to_array(halves[2], ':'), '{}');
    IF cardinality(halves) > 2
       OR EXISTS (SELECT FROM unnest(heads || tails) AS w WHERE w !~ '^[0-9a-f]{1,4}$')
       OR (cardinality(halves) = 1 AND cardinality(heads) <> 8)
       OR (cardinality(halves) = 2 AND cardinality(heads) + cardinality(tails) > 7) THEN
        RETURN NULL;
    END IF;
    -- RFC 5952. PostgreSQL shows a few addresses with an IPv4 part that others show without.
    address := pg_catalog.host(address::inet);
    dotted  := regexp_match(address, '^::([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$');
    IF dotted IS NOT NULL THEN
        words := ARRAY[dotted[1]::integer * 256 + dotted[2]::integer, dotted[3]::integer * 256 + dotted[4]::integer];
        address := '::' || CASE WHEN words[1] > 0 THEN to_hex(words[1]) || ':' ELSE '' END || to_hex(words[2]);
    END IF;
    RETURN '[' || address || ']';
END
$_$;

COMMENT ON FUNCTION public.presence_host(host text) IS 'A host in canonical form: lower case, without the root''s dot, IPv6 as RFC 5952 writes it. Null for an IPv6 address that is none.';

CREATE FUNCTION public.presence_is_plain(uri text, username text, domain text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((((substr(uri, 5) || username) || domain) !~ '[^a-z0-9_.!~*''()+@-]'::text) AND ("left"(uri, 4) = 'sip:'::text) AND ("right"(uri, 1) <> '.'::text) AND (strpos((username || domain), '@'::text) = 0) AND ("right"(domain, 1) <> ALL (ARRAY[''::text, '.'::text])));

COMMENT ON FUNCTION public.presence_is_plain(uri text, username text, domain text) IS 'Whether a URI of a presentity, and user and domain of a watcher, are canonical at a glance: in every setting, without anything special. Most are.';

CREATE FUNCTION public.presence_join_uri(username text, domain text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    -- Nearly always it is canonical already.
    IF username || domain !~ '[^a-z0-9_.!~*''()+-]' AND username <> '' AND domain <> '' AND right(domain, 1) <> '.' THEN
        RETURN 'sip:' || username || '@' || domain;
    END IF;
    RETURN presence_canonical_uri(username, domain, presence_uri_match());
END
$$;

COMMENT ON FUNCTION public.presence_join_uri(username text, domain text) IS 'The canonical URI of a user and a domain, as the column presentity_uri has it.';

CREATE FUNCTION public.presence_now() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN COALESCE((NULLIF(current_setting('pgpresence.now'::text, true), ''::text))::timestamp with time zone, now());

COMMENT ON FUNCTION public.presence_now() IS 'The time by which triggers decide: the start of the transaction. Tests set pgpresence.now to be at another time.';

CREATE FUNCTION public.presence_parse_uri(uri text, match smallint, OUT username text, OUT domain text) RETURNS record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    bare  text := COALESCE(substring(uri FROM '^<(.*)>$'), uri);
    parts text[];
BEGIN
    IF bare ~ '[\x01-\x20"<>\x7f]|%(?![0-9A-Fa-f]{2})' THEN
        RETURN;
    END IF;
    -- User, password, host, port, parameters. Parameters and headers after the host hold no @: the first one ends the user.
    parts := regexp_match(bare,
        '^[Ss][Ii][Pp][Ss]?:(?:([^:@]+)(?::[^@]*)?@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::0*([0-9]{1,5}))?((?:;[^?@]*)?)(?:\?[^@]*)?$');
    IF parts IS NOT NULL THEN
        IF parts[2] !~ '[^.]' OR parts[3]::integer > 65535 OR parts[4] LIKE '%;=%' OR presence_host(parts[2]) IS NULL THEN
            RETURN;
        END IF;
        SELECT c.username, c.domain INTO username, domain FROM presence_canonical(COALESCE(parts[1], ''), parts[2], match) AS c;
        RETURN;
    END IF;
    parts := regexp_match(bare, '^[Tt][Ee][Ll]:([0-9A-Fa-f*#+().-]*[0-9A-Fa-f*#][0-9A-Fa-f*#+().-]*)((?:;.*)?)$');
    IF parts IS NOT NULL AND parts[2] NOT LIKE '%;=%' THEN
        SELECT c.username, c.domain INTO username, domain FROM presence_canonical(parts[1] || parts[2], '', match) AS c;
    END IF;
END
$_$;

COMMENT ON FUNCTION public.presence_parse_uri(uri text, match smallint, OUT username text, OUT domain text) IS 'User and domain of a sip:, sips: or tel: URI in canonical form, as sip_uri_match says (match); null if it is none. Password, port, parameters and headers go; sips becomes sip. Angle brackets around it do no harm.';

CREATE FUNCTION public.presence_publish(presentity_uri text, event text, body text, content_type text DEFAULT ''::text, expires_s integer DEFAULT 3600, source text DEFAULT 'sql'::text, sender text DEFAULT ''::text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_publish(presentity_uri text, event text, body text, content_type text, expires_s integer, source text, sender text) IS 'Publishes a document for a presentity, in place of what the same source published before; returns its entity-tag. expires_s null = for ever. Watchers are told if anything changed. One resource per transaction, or several in the order of their URIs.';

CREATE FUNCTION public.presence_publisher(etag text, id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN (etag ~ '^[a-z2-7]{33}(\.[0-9]*)?$'::text) THEN substr(etag, 3, 5) WHEN (etag ~ '^[a-z2-7]{28}(\.[0-9]*)?$'::text) THEN ''::text ELSE (id)::text END;

COMMENT ON FUNCTION public.presence_publisher(etag text, id bigint) IS 'Who a publication is by: what its entity-tag tells of the device that published it; of one that is not by SIP its own number.';

CREATE FUNCTION public.presence_refresh_watchers(presentity_uri text, event text, type integer DEFAULT 1, file_uri text DEFAULT NULL::text, filename text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_refresh_watchers.presentity_uri);
BEGIN
    PERFORM presence_require_served(presence_refresh_watchers.event);
    IF presence_refresh_watchers.type IS NULL OR presence_refresh_watchers.type NOT BETWEEN 0 AND 2 THEN
        RAISE EXCEPTION 'type is %', COALESCE(presence_refresh_watchers.type::text, 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = '0 rules changed, 1 state changed, 2 a pidf-manipulation document changed.';
    END IF;
    IF presence_refresh_watchers.type = 2 THEN
        IF COALESCE(presence_refresh_watchers.file_uri, '') = '' OR COALESCE(presence_refresh_watchers.filename, '') = '' THEN
            RAISE EXCEPTION 'No file uri or name parameters' USING ERRCODE = 'invalid_parameter_value';
        ELSIF presence_refresh_watchers.event <> 'presence' THEN
            RAISE EXCEPTION 'A pidf-manipulation document is state of presence, not of %', quote_literal(presence_refresh_watchers.event)
                USING ERRCODE = 'invalid_parameter_value';
        ELSIF NOT EXISTS (SELECT FROM xcap AS x
                          WHERE x.doc_uri = presence_refresh_watchers.file_uri AND x.doc_type = 16 AND x.presentity_uri = watched) THEN
            RAISE EXCEPTION 'There is no pidf-manipulation document % of %', quote_literal(presence_refresh_watchers.file_uri), watched
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'It is looked for in xcap (doc_type 16) by doc_uri. That one was deleted is noticed by itself.';
        END IF;
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

COMMENT ON FUNCTION public.presence_refresh_watchers(presentity_uri text, event text, type integer, file_uri text, filename text) IS 'Sends all watchers of a resource a NOTIFY, at the pace of waitn_time; returns how many there are. type: 1 state, 2 the pidf-manipulation document with the address file_uri changed; with 0, rules changed, only those are told for whom it makes a difference. As pres_refresh_watchers of Kamailio.';

CREATE FUNCTION public.presence_release(presentity_uri text, event text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    watched  text := presence_uri(presence_release.presentity_uri);
    deciding boolean;
    released bigint;
BEGIN
    WITH gone AS (
        DELETE FROM quarantine AS x
        WHERE x.presentity_uri = watched AND x.event = presence_release.event
        RETURNING x.step
    )
    SELECT count(*), COALESCE(bool_or(g.step = 'decide'), false) INTO released, deciding FROM gone AS g;
    IF deciding THEN
        PERFORM presence_decide(watched);
    END IF;
    IF released > 0 THEN
        PERFORM queue_state_changes(ARRAY[watched], ARRAY[presence_release.event]);
    END IF;
    RETURN released;
END
$$;

COMMENT ON FUNCTION public.presence_release(presentity_uri text, event text) IS 'Has a notifier try again at once what it has set aside of a resource, and all its watchers told; returns how much that was. What the database still refuses is set aside again.';

CREATE FUNCTION public.presence_require_served(event text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF event IS NULL OR event = '' THEN
        RAISE EXCEPTION 'Empty event parameter' USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT presence_serves(event) THEN
        RAISE EXCEPTION 'Event package % is not served; these are: %', quote_literal(event),
            (SELECT string_agg(DISTINCT e, ', ' ORDER BY e) FROM node AS n CROSS JOIN LATERAL unnest(n.events) AS e)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

COMMENT ON FUNCTION public.presence_require_served(event text) IS 'Error 22023 for an event package that is empty, or that no process serves though some say what they serve.';

CREATE FUNCTION public.presence_text(body bytea) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    RETURN convert_from(body, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN encode(body, 'escape');
END
$$;

COMMENT ON FUNCTION public.presence_text(body bytea) IS 'A document as text; with \ooo for its bytes if it is not UTF-8.';

CREATE FUNCTION public.presence_says(event text, body bytea) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT string_agg(m.m[1], ', '::text) AS string_agg
    FROM regexp_matches(public.presence_text(presence_says.body),
         CASE
             WHEN (presence_says.event = 'presence'::text) THEN '<(?:[[:alnum:]_.-]+:)?basic(?:\s[^>]*)?>\s*([^<\s]+)'::text
             WHEN (presence_says.event = ANY (ARRAY['dialog'::text, 'dialog;sla'::text])) THEN '<(?:[[:alnum:]_.-]+:)?state(?:\s[^>]*)?>\s*([^<\s]+)'::text
             WHEN (presence_says.event = 'message-summary'::text) THEN 'Messages-Waiting[ \t]*:[ \t]*([[:alpha:]]+)'::text
             ELSE '(?!)'::text
         END, 'gi'::text) m(m);
END;

COMMENT ON FUNCTION public.presence_says(event text, body bytea) IS 'The words in a document that light a lamp: open or closed, the states of calls, yes or no for waiting messages; null if none. For the eye: found by search, the document is not parsed.';

CREATE TABLE public.node (
    id bigint NOT NULL,
    heartbeat timestamp with time zone DEFAULT now() NOT NULL,
    started timestamp with time zone DEFAULT now() NOT NULL,
    pid integer NOT NULL,
    kind text NOT NULL,
    host text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    version text DEFAULT ''::text NOT NULL,
    events text[] DEFAULT '{}'::text[] NOT NULL,
    default_policy text DEFAULT ''::text NOT NULL,
    believes text DEFAULT ''::text NOT NULL,
    CONSTRAINT "a node has a kind" CHECK ((kind <> ''::text)),
    CONSTRAINT "a process lets in, has confirmed or refuses, or reads no rules" CHECK ((default_policy = ANY (ARRAY[''::text, 'allow'::text, 'confirm'::text, 'block'::text, 'force_active'::text])))
);

COMMENT ON TABLE public.node IS 'One row per running process. Written by that process.';

COMMENT ON COLUMN public.node.id IS 'Never used twice: owner of leases in notify_queue. Written by the database.';

COMMENT ON COLUMN public.node.heartbeat IS 'When it last said that it lives. Written every few seconds.';

COMMENT ON COLUMN public.node.started IS 'When it started. Written once, at the start.';

COMMENT ON COLUMN public.node.pid IS 'Process id on that machine. Written once, at the start.';

COMMENT ON COLUMN public.node.kind IS 'server or notifier. Written once, at the start.';

COMMENT ON COLUMN public.node.host IS 'Name of the machine. Written once, at the start.';

COMMENT ON COLUMN public.node.address IS 'Where other processes reach it; empty if nowhere. Written once, at the start.';

COMMENT ON COLUMN public.node.version IS 'Version of the program. Written once, at the start.';

COMMENT ON COLUMN public.node.events IS 'The event packages that it serves, as in column event; empty if it does not say. Written once, at the start.';

COMMENT ON COLUMN public.node.default_policy IS 'How it has watchers handled whose presentity has no rules: allow, confirm, block; force_active = it reads no rules, and lets everybody in. Empty: it does not say. Written once, at the start.';

COMMENT ON COLUMN public.node.believes IS 'From whom a server accepts requests without a password: open = everybody, this machine, trusted peers, nobody; empty: it takes no requests. Written once, at the start.';

CREATE FUNCTION public.presence_serves(event text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT bool_or((presence_serves.event = ANY (n.events))) AS bool_or
    FROM public.node n
   WHERE (n.events <> '{}'::text[]);
END;

COMMENT ON FUNCTION public.presence_serves(event text) IS 'Whether a process that runs serves an event package; null = none runs that says what it serves.';

CREATE FUNCTION public.presence_split_uri(uri text, OUT username text, OUT domain text) RETURNS record
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    SELECT p.username, p.domain INTO username, domain FROM presence_parse_uri(uri, presence_uri_match()) AS p;
    IF username IS NULL THEN
        RAISE EXCEPTION '% is not the URI of a presentity', COALESCE(quote_literal(uri), 'null')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Write sip:user@example.org, sip:example.org or tel:+441234.';
    END IF;
END
$$;

COMMENT ON FUNCTION public.presence_split_uri(uri text, OUT username text, OUT domain text) IS 'User and domain of a sip:, sips: or tel: URI, in canonical form. Error 22023 if it is none.';

CREATE FUNCTION public.presence_status_name(status smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ARRAY['active'::text, 'pending'::text, 'terminated'::text, 'waiting'::text])[status];

COMMENT ON FUNCTION public.presence_status_name(status smallint) IS 'The word of RFC 3857 for a status of active_watchers or watchers.';

CREATE FUNCTION public.presence_time(epoch bigint) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (epoch = '-1'::integer) THEN 'infinity'::timestamp with time zone ELSE to_timestamp((epoch)::double precision) END;

COMMENT ON FUNCTION public.presence_time(epoch bigint) IS 'The time of an epoch second; infinity for -1, which means never.';

CREATE FUNCTION public.presence_unpublish(presentity_uri text, event text, source text DEFAULT 'sql'::text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.presence_unpublish(presentity_uri text, event text, source text) IS 'Ends what this source published with presence_publish; false if there is nothing. Watchers are told.';

CREATE FUNCTION public.presence_update_watchers(presentity_uri text, event text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    watched text := presence_uri(presence_update_watchers.presentity_uri);
    changed bigint;
BEGIN
    PERFORM presence_require_served(presence_update_watchers.event);
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

COMMENT ON FUNCTION public.presence_update_watchers(presentity_uri text, event text) IS 'Has it decided anew about the watchers of a presentity with rules, and returns null. Without rules: carries over what stands in watchers to the subscriptions of a resource that differ from it, has those told, and returns how many.';

CREATE FUNCTION public.presence_uri_match() RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (0)::smallint;

COMMENT ON FUNCTION public.presence_uri_match() IS 'sip_uri_match of this database: 0 = users are compared by case, 1 = not. A constant, which presence_change_uri_match replaces.';

CREATE FUNCTION public.presence_uri_under(uri text, match smallint) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    parts record;
BEGIN
    SELECT p.username, p.domain INTO parts FROM presence_parse_uri(uri, match) AS p;
    RETURN CASE WHEN parts.username IS NULL THEN uri ELSE presence_canonical_uri(parts.username, parts.domain, match) END;
END
$$;

COMMENT ON FUNCTION public.presence_uri_under(uri text, match smallint) IS 'What a key in the column presentity_uri is under a setting of sip_uri_match; as it is, if it is no URI.';

CREATE TABLE public.presentity (
    id bigint NOT NULL,
    expires public.publication_expires NOT NULL,
    sweep_at bigint DEFAULT '9223372036854775807'::bigint NOT NULL,
    received_time bigint DEFAULT (EXTRACT(epoch FROM now()))::bigint NOT NULL,
    modified timestamp with time zone DEFAULT now() NOT NULL,
    priority bigint DEFAULT 0 NOT NULL,
    created_time bigint DEFAULT (floor(EXTRACT(epoch FROM now())))::bigint NOT NULL,
    renewed_at bigint DEFAULT 0 NOT NULL,
    removed boolean DEFAULT false NOT NULL,
    has_dialog boolean DEFAULT false NOT NULL,
    presentity_uri public.canonical_uri NOT NULL,
    event public.event_package NOT NULL,
    etag public.entity_tag DEFAULT (gen_random_uuid())::text NOT NULL,
    past_etags public.recent_requests DEFAULT '{}'::text[] NOT NULL,
    ended bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    ended_at bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    sender public.sender_uri DEFAULT ''::text NOT NULL,
    content_type public.publication_text DEFAULT ''::text NOT NULL,
    body bytea NOT NULL,
    ruid public.publication_text DEFAULT (gen_random_uuid())::text NOT NULL COLLATE pg_catalog."C",
    username public.account_part NOT NULL,
    domain public.account_part NOT NULL,
    CONSTRAINT "each end has a time, and there are at most 128" CHECK (((cardinality(ended) = cardinality(ended_at)) AND (cardinality(ended) <= 128)))
)
WITH (fillfactor='70');

COMMENT ON TABLE public.presentity IS 'One row per publication. SQL is an interface: a row written by hand notifies the watchers as a PUBLISH does.';

COMMENT ON COLUMN public.presentity.id IS 'Row id, ascending with creation. Written by the database.';

COMMENT ON COLUMN public.presentity.expires IS 'Epoch second at which the publication ends; -1 = never (hard state). Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.sweep_at IS 'Epoch second at which the sweep looks at the row next: never later than expires, often earlier, because a refresh leaves it alone. Written by servers, the sweep and a trigger.';

COMMENT ON COLUMN public.presentity.received_time IS 'Epoch second at which the present body came; orders the merge. Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.modified IS 'When the present body came, finer than received_time. Written by servers.';

COMMENT ON COLUMN public.presentity.priority IS 'Kamailio''s priority; kept, shown, not used to order. Written by hand.';

COMMENT ON COLUMN public.presentity.created_time IS 'Epoch second of the initial PUBLISH. Written once, by servers.';

COMMENT ON COLUMN public.presentity.renewed_at IS 'Epoch second at which the initial PUBLISH came once more, later than 64*T1 = 32 s, and was served anew: its entity-tag was then ruid, a dot and this. 0 = never. Written by servers.';

COMMENT ON COLUMN public.presentity.removed IS 'Ended, and kept for 64*T1 = 32 s so that a retransmitted removal gets its answer. Written by servers and by the sweep.';

COMMENT ON COLUMN public.presentity.has_dialog IS 'Of dialog;sla: the present body has a dialog, so another sender''s body without one does not replace it. Written by servers.';

COMMENT ON COLUMN public.presentity.presentity_uri IS 'Canonical URI of username and domain, as presence_join_uri makes it: sip:user@domain, sip:domain or tel:number. Written by a trigger, whatever is given.';

COMMENT ON COLUMN public.presentity.event IS 'Event package, as in the Event header: presence, dialog;sla. Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.etag IS 'Current entity-tag (RFC 3903 section 2); changes with each PUBLISH. Those that servers give begin with two characters that are a hash of presentity_uri. Written by servers.';

COMMENT ON COLUMN public.presentity.past_etags IS 'What named the last five requests that changed the publication, newest first, each with @ and the epoch second at which it came: a copy within 64*T1 = 32 s finds its own. Mostly the entity-tags that they gave, the current one first. Without @: a tag that was replaced by SQL or HTTP. Written by servers.';

COMMENT ON COLUMN public.presentity.ended IS 'Keys of dialogs that this publication has called terminated, newest first: they do not come back to life. One to four for each dialog. Written by servers, and by the sweep, which hands them on when the publication is forgotten.';

COMMENT ON COLUMN public.presentity.ended_at IS 'When it has called them so, epoch microsecond each. Written with ended.';

COMMENT ON COLUMN public.presentity.sender IS 'Who published, a URI; empty if unknown. Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.content_type IS 'Media type of the body; empty = the one that the event package usually has. Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.body IS 'The published document, as received. Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.ruid IS 'Entity-tag of the initial PUBLISH: names the publication for good, and finds a retransmission of that PUBLISH. Written once, by servers.';

COMMENT ON COLUMN public.presentity.username IS 'User part of the presentity; empty for a bare domain. Written by servers, or by hand.';

COMMENT ON COLUMN public.presentity.domain IS 'Host of the presentity; empty for tel: URIs. Written by servers, or by hand.';

CREATE TABLE public.watchers (
    id bigint NOT NULL,
    inserted_time bigint DEFAULT (EXTRACT(epoch FROM now()))::bigint NOT NULL,
    status public.watcher_status NOT NULL,
    rules_version bigint,
    recheck_at bigint,
    subscription_id bigint,
    waited_until bigint,
    presentity_uri public.canonical_uri NOT NULL,
    watcher_username public.watcher_part NOT NULL COLLATE pg_catalog."C",
    watcher_domain public.watcher_part NOT NULL COLLATE pg_catalog."C",
    event public.event_name DEFAULT 'presence'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    view public.dialog_text
);

COMMENT ON TABLE public.watchers IS 'One row per authorization decision.';

COMMENT ON COLUMN public.watchers.id IS 'Row id. Written by the database.';

COMMENT ON COLUMN public.watchers.inserted_time IS 'Epoch second of the decision. Written with each decision.';

COMMENT ON COLUMN public.watchers.status IS '1 active, 2 pending, 3 terminated, 4 waiting. Written with each decision.';

COMMENT ON COLUMN public.watchers.rules_version IS 'notify_queue.rules_version that it was decided by; null = not by rules of ours (imported). Written with each decision.';

COMMENT ON COLUMN public.watchers.recheck_at IS 'Epoch second at which the decision is made anew, because a rule begins or ends to be valid then; null = never. Written with each decision.';

COMMENT ON COLUMN public.watchers.subscription_id IS 'active_watchers.id of the subscription that ended while it was pending, by which watcher information names the watcher that waits; null = unknown. Written with status 4; stays when the waiting ends.';

COMMENT ON COLUMN public.watchers.waited_until IS 'Epoch second of the decision about one that waited, by which partial watcher information tells of it; null = it did not wait lately. Written by a trigger.';

COMMENT ON COLUMN public.watchers.presentity_uri IS 'Canonical URI of the presentity, as in presentity.presentity_uri. Written once, with the decision; by hand in any form.';

COMMENT ON COLUMN public.watchers.watcher_username IS 'User of the watcher. Written once, with the decision.';

COMMENT ON COLUMN public.watchers.watcher_domain IS 'Domain of the watcher. Written once, with the decision.';

COMMENT ON COLUMN public.watchers.event IS 'Event package. Written once, with the decision.';

COMMENT ON COLUMN public.watchers.reason IS 'Why: timeout of a subscription that waits, giveup of one that waited too long and is deleted a minute later, polite-block, or what the rules say; empty otherwise. Written with each decision.';

COMMENT ON COLUMN public.watchers.view IS 'What an active watcher is shown, as in active_watchers.view; null = not known (imported). Written with each decision.';

CREATE TABLE public.xcap (
    id bigint NOT NULL,
    doc_type bigint NOT NULL,
    source bigint DEFAULT 0 NOT NULL,
    port bigint DEFAULT 0 NOT NULL,
    presentity_uri public.canonical_uri NOT NULL,
    etag text NOT NULL,
    doc bytea NOT NULL,
    doc_uri public.document_address NOT NULL,
    username public.account_part NOT NULL COLLATE pg_catalog."C",
    domain public.account_part NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE public.xcap IS 'One row per XCAP document.';

COMMENT ON COLUMN public.xcap.id IS 'Row id. Written by the database.';

COMMENT ON COLUMN public.xcap.doc_type IS '2 pres-rules, 4 resource-lists, 8 rls-services, 16 pidf-manipulation, 32 xcap-caps, 64 user-profile, 128 pres-content, 256 search, 512 directory. Written by XCAP tools, or by hand.';

COMMENT ON COLUMN public.xcap.source IS 'Kamailio''s mark of who stored it; 0 = an XCAP server. Written by XCAP tools.';

COMMENT ON COLUMN public.xcap.port IS 'Kamailio''s port of the XCAP server; not used. Written by XCAP tools.';

COMMENT ON COLUMN public.xcap.presentity_uri IS 'Canonical URI of the user whose document it is, as in presentity.presentity_uri. Written by a trigger, whatever is given.';

COMMENT ON COLUMN public.xcap.etag IS 'Entity-tag of the document. Written by XCAP tools, or by hand.';

COMMENT ON COLUMN public.xcap.doc IS 'The document, XML. Written by XCAP tools, or by hand.';

COMMENT ON COLUMN public.xcap.doc_uri IS 'Address of the document within the XCAP root. Written by XCAP tools, or by hand.';

COMMENT ON COLUMN public.xcap.username IS 'User whose document it is. Written by XCAP tools, or by hand.';

COMMENT ON COLUMN public.xcap.domain IS 'Domain of that user. Written by XCAP tools, or by hand.';

CREATE FUNCTION public.presence_uri_match_collisions(match smallint) RETURNS SETOF text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT format('presentity: %s have a publication of %s each for %s (%s)'::text, string_agg(DISTINCT (p.presentity_uri)::text, ' and '::text), p.event, public.presence_canonical_uri((p.username)::text, (p.domain)::text, presence_uri_match_collisions.match), p.ruid) AS format
    FROM public.presentity p
   GROUP BY (public.presence_canonical_uri((p.username)::text, (p.domain)::text, presence_uri_match_collisions.match)), p.event, p.ruid
  HAVING (count(*) > 1)
 UNION ALL
  SELECT format('xcap: %s have documents of type %s each for %s'::text, string_agg(DISTINCT (x.presentity_uri)::text, ' and '::text), x.doc_type, public.presence_canonical_uri((x.username)::text, (x.domain)::text, presence_uri_match_collisions.match)) AS format
    FROM public.xcap x
   GROUP BY (public.presence_canonical_uri((x.username)::text, (x.domain)::text, presence_uri_match_collisions.match)), x.doc_type
  HAVING (count(DISTINCT x.presentity_uri) > 1)
 UNION ALL
  SELECT format('watchers: decisions differ about %s who watches %s of %s: %s'::text, public.presence_canonical_uri(d.username, d.domain, presence_uri_match_collisions.match), d.event, d.uri, string_agg(DISTINCT d.decision, ', '::text)) AS format
    FROM ( SELECT public.presence_uri_under((w.presentity_uri)::text, presence_uri_match_collisions.match) AS uri,
             c.username,
             c.domain,
             w.event,
             format('%s for %s of %s'::text, public.presence_status_name((w.status)::smallint), public.presence_canonical_uri((w.watcher_username)::text, (w.watcher_domain)::text, (0)::smallint), w.presentity_uri) AS decision,
             (ROW(w.status, w.reason, w.view))::text AS outcome
            FROM (public.watchers w
              CROSS JOIN LATERAL public.presence_canonical((w.watcher_username)::text, (w.watcher_domain)::text, presence_uri_match_collisions.match) c(username, domain))) d
   GROUP BY d.uri, d.username, d.domain, d.event
  HAVING (count(DISTINCT d.outcome) > 1);
END;

COMMENT ON FUNCTION public.presence_uri_match_collisions(match smallint) IS 'What would become one under this setting of sip_uri_match, and cannot: two publications of one source, documents of two users, two decisions about one watcher. A line for each.';

CREATE TABLE public.active_watchers (
    id bigint NOT NULL,
    updated bigint DEFAULT 0 NOT NULL,
    retry_at bigint DEFAULT 0 NOT NULL,
    notified_version bigint DEFAULT 0 NOT NULL,
    expires bigint NOT NULL,
    local_cseq public.notify_number DEFAULT 0 NOT NULL,
    version public.notify_number DEFAULT 0 NOT NULL,
    remote_cseq public.cseq NOT NULL,
    sweep_at bigint DEFAULT '9223372036854775807'::bigint NOT NULL,
    granted_s bigint DEFAULT 0 NOT NULL,
    updated_winfo bigint DEFAULT 1 NOT NULL,
    winfo_changed_at timestamp with time zone DEFAULT public.presence_now() NOT NULL,
    created_time bigint DEFAULT (floor(EXTRACT(epoch FROM now())))::bigint NOT NULL,
    renewed_at bigint DEFAULT 0 NOT NULL,
    flags bigint DEFAULT 0 NOT NULL,
    target_version integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    status public.watcher_status DEFAULT 2 NOT NULL,
    ended boolean DEFAULT false NOT NULL,
    decided_version public.rules_decision,
    shown bigint,
    notified_at timestamp with time zone,
    winfo_told_to bigint,
    remote_request bigint,
    view public.dialog_text DEFAULT 'all'::text NOT NULL,
    presentity_uri public.canonical_uri NOT NULL,
    event public.event_package DEFAULT 'presence'::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    callid public.dialog_part NOT NULL COLLATE pg_catalog."C",
    to_tag public.dialog_part NOT NULL COLLATE pg_catalog."C",
    from_tag public.dialog_part NOT NULL COLLATE pg_catalog."C",
    event_id public.dialog_part DEFAULT ''::text NOT NULL,
    contact public.dialog_text NOT NULL,
    flow text DEFAULT ''::text NOT NULL,
    local_contact text DEFAULT ''::text NOT NULL,
    local_uri public.header_uri DEFAULT ''::text NOT NULL,
    remote_uri public.header_uri DEFAULT ''::text NOT NULL,
    record_route public.route_set DEFAULT ''::text NOT NULL,
    watcher_username public.watcher_part NOT NULL,
    watcher_domain public.watcher_part NOT NULL,
    accept text DEFAULT ''::text NOT NULL,
    status_event text DEFAULT ''::text NOT NULL,
    failure text DEFAULT ''::text NOT NULL,
    subscriber_key public.phone_key,
    from_display public.dialog_text DEFAULT ''::text NOT NULL,
    user_agent public.dialog_text DEFAULT ''::text NOT NULL,
    socket_info text DEFAULT ''::text NOT NULL,
    to_user public.header_part NOT NULL,
    to_domain public.header_part NOT NULL,
    from_user public.header_part NOT NULL,
    from_domain public.header_part NOT NULL,
    CONSTRAINT "an ended dialog is terminated and owes nothing" CHECK (((NOT ended) OR (((status)::smallint = 3) AND (updated = '-1'::integer))))
)
WITH (fillfactor='45');

COMMENT ON TABLE public.active_watchers IS 'One row per subscription dialog. "Local" is our side of the dialog, "remote" the subscriber''s.';

COMMENT ON COLUMN public.active_watchers.id IS 'Row id. Written by the database.';

COMMENT ON COLUMN public.active_watchers.updated IS 'Flag: -1 = nothing but state changes to send; 0 or more = a NOTIFY is owed whatever the version. Set by servers, the sweep, or by hand; cleared by subscription.take.';

COMMENT ON COLUMN public.active_watchers.retry_at IS 'Epoch second before which no NOTIFY is taken, after a failure; 0 = at once. Written by notifiers, reset by servers.';

COMMENT ON COLUMN public.active_watchers.notified_version IS 'notify_queue.version that the last NOTIFY taken shows at least. Written by subscription.take.';

COMMENT ON COLUMN public.active_watchers.expires IS 'Epoch second at which the subscription ends; -1 = never. Written by servers, or by hand.';

COMMENT ON COLUMN public.active_watchers.local_cseq IS 'CSeq of the last NOTIFY that was taken; 0 before the first. Written by subscription.take only.';

COMMENT ON COLUMN public.active_watchers.version IS 'Version of the last document sent; grows by one with each NOTIFY. Written by subscription.take.';

COMMENT ON COLUMN public.active_watchers.remote_cseq IS 'CSeq of the last SUBSCRIBE. Written by servers.';

COMMENT ON COLUMN public.active_watchers.sweep_at IS 'Epoch second at which the sweep looks at the row next: never later than expires, often earlier, because a refresh leaves it alone. Written by servers, notifiers, the sweep and a trigger.';

COMMENT ON COLUMN public.active_watchers.granted_s IS 'Seconds granted to the last SUBSCRIBE, for the answer to its retransmission. Written by servers.';

COMMENT ON COLUMN public.active_watchers.updated_winfo IS 'Flag: 1 = status changed in the statement that wrote the row last, which a trigger told the watchers of the watcher information; -1 = it did not. Written by the database, or by hand.';

COMMENT ON COLUMN public.active_watchers.winfo_changed_at IS 'When status last changed: what a partial watcher information has to tell. Written by the database.';

COMMENT ON COLUMN public.active_watchers.created_time IS 'Epoch second of the first SUBSCRIBE; 0 = unknown. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.renewed_at IS 'Epoch second at which the first SUBSCRIBE came once more, later than 64*T1 = 32 s, and was given a dialog of its own: its to_tag is that of this row, a dot and this. 0 = never. Written by servers.';

COMMENT ON COLUMN public.active_watchers.flags IS 'Kamailio''s branch flags; not used. Kept for its tools.';

COMMENT ON COLUMN public.active_watchers.target_version IS 'Grows by one when the phone is to be reached elsewhere, by another contact or flow: a NOTIFY in flight to the old target is given up. Written by servers.';

COMMENT ON COLUMN public.active_watchers.failures IS 'NOTIFYs failed since the last good one. Written by notifiers, reset by servers.';

COMMENT ON COLUMN public.active_watchers.status IS '1 active, 2 pending, 3 terminated, 4 waiting. Written by servers and notifiers.';

COMMENT ON COLUMN public.active_watchers.ended IS 'The last NOTIFY was answered, or given up. The row stays for 64*T1 = 32 s, so that a retransmitted SUBSCRIBE gets its answer. Written by notifiers.';

COMMENT ON COLUMN public.active_watchers.decided_version IS 'notify_queue.rules_version of the last decision that changed the dialog; -1 = still to be decided; null = not subject to rules. Written by servers, notifiers and a trigger.';

COMMENT ON COLUMN public.active_watchers.shown IS 'Digest of the document that the last NOTIFY showed: a change of state that shows the same again sends none. 0 = no document, null = not known. Written by subscription.take and subscription.settle_batch; null by hand makes the next change sent whatever it shows.';

COMMENT ON COLUMN public.active_watchers.notified_at IS 'When the last NOTIFY was taken; null before the first. Written by subscription.take.';

COMMENT ON COLUMN public.active_watchers.winfo_told_to IS 'Only in dialogs of watcher information that is told in pieces: up to which watcher (id in watcher information, without its letter) it has been told. Null: the next NOTIFY tells all, or what changed. Written by notifiers; a SUBSCRIBE begins anew.';

COMMENT ON COLUMN public.active_watchers.remote_request IS 'Digest of the last SUBSCRIBE within the dialog: the same CSeq is its copy only if this is the same. Null before the first. Written by servers.';

COMMENT ON COLUMN public.active_watchers.view IS 'What its NOTIFYs show: all, nothing, the words of a view, polite-block (an unavailable presentity), or none = no body. Written by servers and notifiers.';

COMMENT ON COLUMN public.active_watchers.presentity_uri IS 'Canonical URI of the presentity, as in presentity.presentity_uri. Written once, by servers; by hand in any form.';

COMMENT ON COLUMN public.active_watchers.event IS 'Event package. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.reason IS 'Why it is not active (timeout, rejected, noresource); empty otherwise. Written by servers and notifiers.';

COMMENT ON COLUMN public.active_watchers.callid IS 'Call-ID. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.to_tag IS 'Our tag, derived from the first SUBSCRIBE; begins with two characters that are a hash of presentity_uri. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.from_tag IS 'The subscriber''s tag. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.event_id IS 'id parameter of Event; empty if none. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.contact IS 'Remote target, a URI. Written by servers.';

COMMENT ON COLUMN public.active_watchers.flow IS 'Route URI of the server that holds the phone''s flow, with the signed token; empty = none. Written by servers.';

COMMENT ON COLUMN public.active_watchers.local_contact IS 'Our Contact. Written by servers.';

COMMENT ON COLUMN public.active_watchers.local_uri IS 'To of the first SUBSCRIBE without tag: From of each NOTIFY. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.remote_uri IS 'From of the first SUBSCRIBE without tag: To of each NOTIFY. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.record_route IS 'Route set in the order to be used, comma-separated. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.watcher_username IS 'User of the watcher. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.watcher_domain IS 'Domain of the watcher. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.accept IS 'Accept of the SUBSCRIBE; empty = the package''s default. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.status_event IS 'Event of RFC 3857 that led to status: subscribe, approved, deactivated, probation, rejected, timeout, giveup, noresource; empty = none since the row was stored: subscribe, or what reason says. Written by a trigger, or by hand together with status.';

COMMENT ON COLUMN public.active_watchers.failure IS 'Why the last NOTIFY failed, in words (message too long, could not be reached, answered 503); of no meaning where failures is 0. Written by notifiers together with failures.';

COMMENT ON COLUMN public.active_watchers.subscriber_key IS 'What makes a later subscription to the same resource take the place of this one: the Call-ID, whoever watches; or, of the same watcher, the phone (its +sip.instance, or where its Contact leads); null = nothing does. By delete_same_subs. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.from_display IS 'Display name of the From header of the first SUBSCRIBE; empty if none. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.user_agent IS 'User-Agent of the SUBSCRIBE; for operators. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.socket_info IS 'Socket that the SUBSCRIBE came to (udp:192.0.2.1:5060); for operators. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.to_user IS 'User of the To header of the first SUBSCRIBE. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.to_domain IS 'Domain of the To header of the first SUBSCRIBE. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.from_user IS 'User of the From header of the first SUBSCRIBE. Written once, by servers.';

COMMENT ON COLUMN public.active_watchers.from_domain IS 'Domain of the From header of the first SUBSCRIBE. Written once, by servers.';

CREATE FUNCTION public.presence_uri_match_rows(match smallint) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN ((((SELECT count(*) AS count FROM public.presentity p WHERE ((p.presentity_uri)::text <> public.presence_canonical_uri((p.username)::text, (p.domain)::text, presence_uri_match_rows.match))) + (SELECT count(*) AS count FROM public.xcap x WHERE ((x.presentity_uri)::text <> public.presence_canonical_uri((x.username)::text, (x.domain)::text, presence_uri_match_rows.match)))) + (SELECT count(*) AS count FROM (public.active_watchers a CROSS JOIN LATERAL public.presence_canonical((a.watcher_username)::text, (a.watcher_domain)::text, presence_uri_match_rows.match) c(username, domain)) WHERE ((NOT public.presence_is_plain((a.presentity_uri)::text, (a.watcher_username)::text, (a.watcher_domain)::text)) AND ((((a.presentity_uri)::text IS DISTINCT FROM public.presence_uri_under((a.presentity_uri)::text, presence_uri_match_rows.match)) OR ((a.watcher_username)::text IS DISTINCT FROM c.username)) OR ((a.watcher_domain)::text IS DISTINCT FROM c.domain))))) + (SELECT count(*) AS count FROM (public.watchers w CROSS JOIN LATERAL public.presence_canonical((w.watcher_username)::text, (w.watcher_domain)::text, presence_uri_match_rows.match) c(username, domain)) WHERE ((((w.presentity_uri)::text IS DISTINCT FROM public.presence_uri_under((w.presentity_uri)::text, presence_uri_match_rows.match)) OR ((w.watcher_username)::text IS DISTINCT FROM c.username)) OR ((w.watcher_domain)::text IS DISTINCT FROM c.domain))));

COMMENT ON FUNCTION public.presence_uri_match_rows(match smallint) IS 'How many rows would be of somebody else under this setting of sip_uri_match. Reads all of them.';

CREATE FUNCTION public.put_canonical_key() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF presence_is_plain(NEW.presentity_uri, NEW.watcher_username, NEW.watcher_domain) THEN
        RETURN NEW;
    END IF;
    NEW.presentity_uri := presence_uri(NEW.presentity_uri);
    SELECT c.username, c.domain INTO NEW.watcher_username, NEW.watcher_domain
    FROM presence_canonical(NEW.watcher_username, NEW.watcher_domain, presence_uri_match()) AS c;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.put_canonical_key() IS 'Row trigger of active_watchers and watchers: presentity and watcher are in canonical form, however they are written.';

CREATE FUNCTION public.put_delegate() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    -- Raises an error for what is not a URI.
    PERFORM presence_uri(NEW.identity), presence_uri(NEW.presentity_uri);
    -- With the case that was given: a change of sip_uri_match changes no row here.
    NEW.identity := presence_uri_under(NEW.identity, 0::smallint);
    NEW.presentity_uri := presence_uri_under(NEW.presentity_uri, 0::smallint);
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.put_delegate() IS 'Row trigger of presence_delegate: both URIs get their canonical form, but for case.';

CREATE FUNCTION public.put_presentity_uri() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.presentity_uri := presence_join_uri(NEW.username, NEW.domain);
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.put_presentity_uri() IS 'Row trigger of presentity and xcap: presentity_uri is what username and domain are in canonical form.';

CREATE FUNCTION public.queue_deleted_dialogs() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    uris   text[];
    events text[];
BEGIN
    SELECT array_agg(o.presentity_uri), array_agg(o.event) INTO uris, events
    FROM old_rows AS o
    WHERE o.status <> 3 AND NOT is_winfo(o.event);
    IF uris IS NOT NULL THEN
        PERFORM queue_winfo(uris, events, true);
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.queue_deleted_dialogs() IS 'Statement trigger of active_watchers: queues full watcher information where a living subscription was deleted, if somebody watches it.';

CREATE FUNCTION public.queue_documents() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
    AS $$
DECLARE
    uris  text[];
    types bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.doc_type) INTO uris, types
        FROM new_rows AS n WHERE n.doc_type IN (2, 4, 16);
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri), array_agg(o.doc_type) INTO uris, types
        FROM old_rows AS o WHERE o.doc_type IN (2, 4, 16);
    ELSE
        -- A document that changed its owner concerns both; one whose id was changed is in one half of the join only. Lists are
        -- found by their address as well.
        SELECT array_agg(n.presentity_uri) || array_agg(o.presentity_uri), array_agg(n.doc_type) || array_agg(o.doc_type)
        INTO uris, types
        FROM new_rows AS n
        FULL JOIN old_rows AS o ON o.id = n.id
        WHERE (n.doc_type IN (2, 4, 16) OR o.doc_type IN (2, 4, 16))
          AND (n.doc_type, n.presentity_uri, n.doc, n.doc_uri) IS DISTINCT FROM (o.doc_type, o.presentity_uri, o.doc, o.doc_uri);
    END IF;
    IF uris IS NULL THEN
        RETURN NULL;
    END IF;
    -- nextval() again after a wait for the row's lock: as in queue_state_changes, a number never falls.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, rules_version, decide_at, due, owed_since)
    SELECT c.presentity_uri, 'presence',
           CASE WHEN c.is_state THEN nextval('notify_version') ELSE 0 END,
           CASE WHEN c.is_rules THEN nextval('notify_version') ELSE 0 END,
           CASE WHEN c.is_decisive THEN presence_now() ELSE 'infinity' END,
           presence_now(), presence_now()
    FROM (SELECT u.presentity_uri COLLATE "C" AS presentity_uri, bool_or(u.doc_type = 16) AS is_state,
                 bool_or(u.doc_type = 2) AS is_rules, bool_or(u.doc_type IN (2, 4)) AS is_decisive
          FROM unnest(uris, types) AS u (presentity_uri, doc_type)
          WHERE u.presentity_uri IS NOT NULL AND u.doc_type IN (2, 4, 16)
          GROUP BY u.presentity_uri COLLATE "C") AS c
    ORDER BY c.presentity_uri
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version       = CASE WHEN EXCLUDED.version > 0 THEN nextval('notify_version') ELSE q.version END,
        -- A list is nothing to its owner who has no rules. If some are being stored at this moment, both wait for this lock.
        rules_version = CASE WHEN EXCLUDED.rules_version > 0 OR (EXCLUDED.decide_at < 'infinity' AND q.rules_version > 0)
                             THEN nextval('notify_version') ELSE q.rules_version END,
        decide_at     = LEAST(q.decide_at, EXCLUDED.decide_at),
        due           = LEAST(q.due, EXCLUDED.decide_at,
                              CASE WHEN EXCLUDED.version > 0 THEN GREATEST(presence_now(), q.not_before) END),
        owed_since    = COALESCE(q.owed_since, EXCLUDED.owed_since);
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.queue_documents() IS 'Statement trigger of xcap: changed hard state (RFC 4827) is a state change of its owner''s presence; changed rules, and lists of their owner, have it decided anew about all watchers. Takes queue locks by key, once.';

CREATE FUNCTION public.queue_flagged_dialogs() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    at       timestamptz := presence_now();
    uris     text[];
    versions bigint[];
    watched  boolean;
BEGIN
    -- A take for a state change is done here, having looked at its rows once.
    IF TG_OP = 'UPDATE' THEN
        PERFORM FROM new_rows AS n
        WHERE n.updated <> -1 OR n.updated_winfo <> -1 OR n.decided_version = -1 OR (n.status = 3 AND n.view = 'none')
        LIMIT 1;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;

    -- decide_at: decided about, or to be. The lock of the row of presence stands between the dialog and a document that is being
    -- stored. To be looked at are undecided dialogs, and pending ones that are over: their watcher may have to wait from now on.
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, flagged_due, decide_at, due, owed_since, winfo_watched)
        SELECT f.presentity_uri, f.event, min(f.flagged_due), min(f.decide_at), LEAST(min(f.flagged_due), min(f.decide_at)),
               CASE WHEN LEAST(min(f.flagged_due), min(f.decide_at)) < 'infinity' THEN at END, bool_or(f.winfo_watched)
        FROM (SELECT n.presentity_uri,
                     -- Only locked and marked: what is watched, when somebody begins to watch its watchers.
                     CASE WHEN is_winfo(n.event) THEN watched_event(n.event) ELSE n.event END AS event,
                     CASE WHEN n.updated <> -1 AND n.decided_version IS DISTINCT FROM -1 AND NOT is_winfo(n.event)
                          THEN GREATEST(at, to_timestamp(n.retry_at)) ELSE 'infinity' END AS flagged_due,
                     'infinity'::timestamptz AS decide_at,
                     is_winfo(n.event) AS winfo_watched
              FROM new_rows AS n
              -- Only locked: that whose watchers change.
              WHERE n.updated_winfo <> -1
                 OR (n.updated <> -1 AND (n.decided_version IS DISTINCT FROM -1 OR is_winfo(n.event)))
              UNION ALL
              SELECT n.presentity_uri, 'presence', 'infinity',
                     CASE WHEN n.decided_version = -1 OR n.view = 'none' THEN at ELSE 'infinity' END,
                     false
              FROM new_rows AS n
              WHERE n.decided_version IS NOT NULL
                -- A flagged dialog of presence that there is nothing to decide about locks that row above.
                AND NOT (n.event = 'presence' AND n.updated <> -1 AND n.decided_version >= 0 AND n.view <> 'none')
                AND (n.decided_version = -1 OR TG_OP = 'INSERT'
                     OR (n.status = 3 AND n.view = 'none' AND n.reason IN ('', 'timeout')))) AS f
        GROUP BY f.presentity_uri, f.event
        ORDER BY f.presentity_uri, f.event
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET flagged_due   = LEAST(q.flagged_due, EXCLUDED.flagged_due),
            decide_at     = LEAST(q.decide_at, EXCLUDED.decide_at),
            due           = LEAST(q.due, EXCLUDED.due),
            owed_since    = COALESCE(q.owed_since, EXCLUDED.owed_since),
            winfo_watched = q.winfo_watched OR EXCLUDED.winfo_watched
        RETURNING q.presentity_uri, q.event, q.rules_version, q.winfo_watched
    )
    SELECT array_agg(q.presentity_uri) FILTER (WHERE q.event = 'presence' AND q.rules_version > 0),
           array_agg(q.rules_version) FILTER (WHERE q.event = 'presence' AND q.rules_version > 0),
           bool_or(q.winfo_watched)
    INTO uris, versions, watched
    FROM queued AS q;

    -- Before the update below: what that fires then locks nothing that is not locked already.
    IF watched THEN
        INSERT INTO notify_queue AS q (presentity_uri, event, version, flagged_due, due, owed_since)
        SELECT w.presentity_uri, w.event, CASE WHEN w.changed THEN nextval('notify_version') ELSE 0 END, w.flagged_due,
               LEAST(w.flagged_due, CASE WHEN w.changed THEN at END), at
        FROM (SELECT c.presentity_uri, c.event, bool_or(c.changed) AS changed, min(c.flagged_due) AS flagged_due
              FROM (SELECT n.presentity_uri, n.event, false AS changed,
                           GREATEST(at, to_timestamp(n.retry_at)) AS flagged_due
                    FROM new_rows AS n
                    WHERE n.updated <> -1 AND is_winfo(n.event)
                    UNION ALL
                    SELECT s.presentity_uri, s.event, true, 'infinity'
                    FROM (SELECT DISTINCT n.presentity_uri, winfo_event(n.event) AS event
                          FROM new_rows AS n
                          WHERE n.updated_winfo <> -1 AND NOT is_winfo(n.event)) AS s
                    CROSS JOIN LATERAL (SELECT a.id
                                        FROM active_watchers AS a
                                        WHERE a.presentity_uri = s.presentity_uri AND a.event = s.event AND a.status <> 3
                                        LIMIT 1) AS a) AS c
              GROUP BY c.presentity_uri, c.event) AS w
        ORDER BY w.presentity_uri, w.event
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET version     = CASE WHEN EXCLUDED.version > 0 THEN nextval('notify_version') ELSE q.version END,
            flagged_due = LEAST(q.flagged_due, EXCLUDED.flagged_due),
            due         = LEAST(q.due, EXCLUDED.flagged_due,
                                CASE WHEN EXCLUDED.version > 0 THEN GREATEST(at, q.not_before) END),
            owed_since  = COALESCE(q.owed_since, EXCLUDED.owed_since);
    END IF;
    IF TG_OP = 'INSERT' AND uris IS NOT NULL THEN
        -- Let in by default, while a document came that the statement could not see. Now, under the lock, it does not matter how
        -- far the other has got: the dialog is undecided like any other that comes from here on.
        UPDATE active_watchers AS a
        SET status          = CASE WHEN a.status = 1 THEN 2 ELSE a.status END,
            view            = 'none',
            decided_version = -1
        FROM new_rows AS n
        JOIN unnest(uris, versions) AS v (presentity_uri, rules_version) ON v.presentity_uri = n.presentity_uri
        WHERE a.id = n.id AND n.decided_version >= 0 AND n.decided_version < v.rules_version;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.queue_flagged_dialogs() IS 'Statement trigger of active_watchers: queues the resources of flagged dialogs, due at their retry_at, presentities about whose watchers is to be decided, and the watcher information of those whose status changed, if somebody watches it.';

CREATE FUNCTION public.queue_publication_changes(uris text[], events text[], senders text[], octets bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    -- Read once: presence_now() looks into the settings of the session.
    at          timestamptz := presence_now();
    full_uris   text[];
    full_events text[];
BEGIN
    -- nextval() is called row by row, after the ORDER BY, and again after a wait for the row's lock: a number drawn before
    -- the wait could be lower than one that watchers have been notified of, and the change would be lost. lastval() is that number:
    -- columns are computed in their order in the table.
    WITH queued AS (
        INSERT INTO notify_queue AS q (presentity_uri, event, version, due, owed_since, sender, sender_version, published_octets)
        SELECT n.presentity_uri, n.event, n.number, at, at, n.sender, n.number, 458752 + n.octets
        FROM (SELECT c.presentity_uri, c.event, c.sender, c.octets, nextval('notify_version') AS number
              FROM (SELECT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event,
                           CASE WHEN min(u.sender COLLATE "C") = max(u.sender COLLATE "C") THEN min(u.sender COLLATE "C") ELSE '' END AS sender,
                           sum(u.octets)::bigint AS octets
                    FROM unnest(uris, events, senders, octets) AS u (presentity_uri, event, sender, octets)
                    WHERE u.presentity_uri IS NOT NULL
                    GROUP BY 1, 2) AS c
              ORDER BY is_winfo(c.event), c.presentity_uri, c.event) AS n
        ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
        SET version          = nextval('notify_version'),
            due              = LEAST(q.due, GREATEST(at, q.not_before)),
            owed_since       = COALESCE(q.owed_since, at),
            sender           = EXCLUDED.sender,
            sender_version   = lastval(),
            -- One more by whoever made the last one: what was new to him before is new to him still.
            sender_since     = CASE WHEN q.sender = EXCLUDED.sender AND q.sender_version = q.version THEN q.sender_since ELSE q.version END,
            published_octets = q.published_octets + EXCLUDED.published_octets - 458752
        RETURNING q.presentity_uri, q.event, q.published_octets
    )
    SELECT array_agg(q.presentity_uri), array_agg(q.event)
    INTO full_uris, full_events
    FROM queued AS q
    WHERE q.published_octets > 524288;
    FOR i IN 1 .. COALESCE(cardinality(full_uris), 0) LOOP
        PERFORM make_room(full_uris[i], full_events[i]);
    END LOOP;
END
$$;

COMMENT ON FUNCTION public.queue_publication_changes(uris text[], events text[], senders text[], octets bigint[]) IS 'Records a change of publications of each of these resources, who made it and how large they are, due at once or when the pacing allows. Takes queue locks by key.';

CREATE FUNCTION public.queue_publications() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
    AS $$
DECLARE
    at      timestamptz := presence_now();
    uris    text[];
    events  text[];
    senders text[];
    octets  bigint[];
BEGIN
    -- force_delete: publications expire without a word to their watchers.
    IF current_setting('pgpresence.quiet', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(n.presentity_uri), array_agg(n.event), array_agg(n.sender), array_agg(GREATEST(1024, octet_length(n.body))::bigint)
        INTO uris, events, senders, octets
        FROM new_rows AS n WHERE NOT n.removed;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(o.presentity_uri), array_agg(o.event), array_agg(''::text), array_agg(0::bigint) INTO uris, events, senders, octets
        FROM old_rows AS o WHERE NOT o.removed;
    ELSE
        -- What a watcher could see. is_live tells when expires was moved over the present, either way, by hand. A row that was
        -- given to another resource by hand concerns both; one whose id was changed is in one half of the join only.
        -- Only a PUBLISH (by SIP, or by presence_publish) leaves an entity-tag behind. What ends by itself, or is changed by hand,
        -- is nobody's own change, whoever published the row.
        SELECT array_agg(c.presentity_uri) || array_agg(c.left_uri) FILTER (WHERE c.has_moved),
               array_agg(c.event) || array_agg(c.left_event) FILTER (WHERE c.has_moved),
               array_agg(c.sender) || array_agg(c.sender) FILTER (WHERE c.has_moved),
               array_agg(c.octets) || array_agg(0::bigint) FILTER (WHERE c.has_moved)
        INTO uris, events, senders, octets
        FROM (SELECT n.presentity_uri, n.event, o.presentity_uri AS left_uri, o.event AS left_event,
                     (n.presentity_uri, n.event) IS DISTINCT FROM (o.presentity_uri, o.event) AS has_moved,
                     CASE WHEN n.past_etags <> o.past_etags THEN n.sender ELSE '' END AS sender,
                     CASE WHEN n.removed THEN 0 ELSE GREATEST(1024, octet_length(n.body)) END::bigint AS octets
              FROM new_rows AS n
              FULL JOIN old_rows AS o ON o.id = n.id
              WHERE (n.removed, n.content_type, n.priority, n.sender, n.presentity_uri, n.event, n.body)
                        IS DISTINCT FROM (o.removed, o.content_type, o.priority, o.sender, o.presentity_uri, o.event, o.body)
                 OR is_live(n.expires, at) IS DISTINCT FROM is_live(o.expires, at)) AS c;
    END IF;
    IF uris IS NOT NULL THEN
        PERFORM queue_publication_changes(uris, events, senders, octets);
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION public.queue_publications() IS 'Statement trigger of presentity: queues the resources whose visible state changed. A refresh queues nothing.';

CREATE FUNCTION public.queue_state_changes(uris text[], events text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    -- nextval() as in queue_publication_changes.
    INSERT INTO notify_queue AS q (presentity_uri, event, version, full_version, due, owed_since)
    SELECT n.presentity_uri, n.event, n.number, n.number, presence_now(), presence_now()
    FROM (SELECT c.presentity_uri, c.event, nextval('notify_version') AS number
          FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event
                FROM unnest(uris, events) AS u (presentity_uri, event)
                WHERE u.presentity_uri IS NOT NULL) AS c
          ORDER BY is_winfo(c.event), c.presentity_uri, c.event) AS n
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version      = nextval('notify_version'),
        full_version = lastval(),
        due          = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since   = COALESCE(q.owed_since, presence_now());
END
$$;

COMMENT ON FUNCTION public.queue_state_changes(uris text[], events text[]) IS 'Has all watchers of each of these resources told the state in full, whatever they were shown last, at once or when the pacing allows. Takes queue locks by key.';

CREATE FUNCTION public.queue_waiting_watchers() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    SET enable_hashjoin TO 'on'
    SET enable_nestloop TO 'off'
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

COMMENT ON FUNCTION public.queue_waiting_watchers() IS 'Statement trigger of watchers: queues the watcher information where a watcher begins or ceases to wait, or is given up on, if somebody watches it.';

CREATE FUNCTION public.queue_winfo(uris text[], events text[], is_whole boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    -- Locked first, as above: whoever begins to watch these watchers at this moment is seen below, or sees what we did.
    INSERT INTO notify_queue AS q (presentity_uri, event, due)
    SELECT u.presentity_uri, u.event, 'infinity'
    FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, u.event COLLATE "C" AS event
          FROM unnest(uris, events) AS u (presentity_uri, event)) AS u
    ORDER BY u.presentity_uri, u.event
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE SET due = q.due;

    INSERT INTO notify_queue AS q (presentity_uri, event, version, full_version, due, owed_since)
    SELECT w.presentity_uri, w.event, w.number, CASE WHEN is_whole THEN w.number ELSE 0 END, presence_now(), presence_now()
    FROM (SELECT s.presentity_uri, s.event, nextval('notify_version') AS number
          FROM (SELECT DISTINCT u.presentity_uri COLLATE "C" AS presentity_uri, winfo_event(u.event) COLLATE "C" AS event
                FROM unnest(uris, events) AS u (presentity_uri, event)) AS s
          CROSS JOIN LATERAL (SELECT a.id
                              FROM active_watchers AS a
                              WHERE a.presentity_uri = s.presentity_uri AND a.event = s.event AND a.status <> 3
                              LIMIT 1) AS a
          ORDER BY s.presentity_uri, s.event) AS w
    ON CONFLICT ON CONSTRAINT notify_queue_pkey DO UPDATE
    SET version      = nextval('notify_version'),
        -- The number that was just drawn: columns are computed in their order in the table.
        full_version = CASE WHEN is_whole THEN lastval() ELSE q.full_version END,
        due          = LEAST(q.due, GREATEST(presence_now(), q.not_before)),
        owed_since   = COALESCE(q.owed_since, presence_now());
END
$$;

COMMENT ON FUNCTION public.queue_winfo(uris text[], events text[], is_whole boolean) IS 'Records a state change of the watcher information of these resources, if somebody watches it; is_whole: partial state cannot tell it. Takes queue locks in their order.';

CREATE FUNCTION public.sweep_by_expires() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.sweep_at := NEW.expires;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION public.sweep_by_expires() IS 'Row trigger: a row that would outlive its expires is swept then. Its WHEN clause keeps it away from all other writes.';

CREATE FUNCTION public.watched_event(event text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ("left"(split_part(event, ';'::text, 1), '-6'::integer) || substr(event, (length(split_part(event, ';'::text, 1)) + 1)));

COMMENT ON FUNCTION public.watched_event(event text) IS 'The event package that this one is the watcher information of (is_winfo): presence for presence.winfo.';

CREATE FUNCTION public.winfo_event(event text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((split_part(event, ';'::text, 1) || '.winfo'::text) || substr(event, (length(split_part(event, ';'::text, 1)) + 1)));

COMMENT ON FUNCTION public.winfo_event(event text) IS 'The watcher information of an event package: presence.winfo for presence.';

ALTER TABLE public.active_watchers ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.active_watchers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.cluster (
    only_row boolean DEFAULT true NOT NULL,
    uri_match smallint,
    secret bytea NOT NULL,
    CONSTRAINT "change it by: pgpresence migrate --uri-match" CHECK ((uri_match = public.presence_uri_match())),
    CONSTRAINT "there is one cluster" CHECK (only_row)
);

COMMENT ON TABLE public.cluster IS 'What all processes on this database share. One row.';

COMMENT ON COLUMN public.cluster.only_row IS 'Always true: keeps the table at one row. Written by the migration.';

COMMENT ON COLUMN public.cluster.uri_match IS 'What presence_uri_match() is: 0 = users are compared by case, 1 = not; null until the first pgpresence migrate has written what its configuration says. Written by presence_change_uri_match.';

COMMENT ON COLUMN public.cluster.secret IS 'Key of entity-tags, To-tags and flow tokens. Written by the migration; changing it orphans what phones hold.';

CREATE TABLE public.domain (
    id bigint NOT NULL,
    last_modified timestamp with time zone DEFAULT now() NOT NULL,
    domain public.account_part NOT NULL COLLATE pg_catalog."C",
    did public.account_part,
    CONSTRAINT "a domain has a name" CHECK (((domain)::text <> ''::text))
);

COMMENT ON TABLE public.domain IS 'The domains whose presentities are served, with identity.domains; none in both: all. Kamailio''s table of the same name.';

COMMENT ON COLUMN public.domain.id IS 'Row id. Written by the database.';

COMMENT ON COLUMN public.domain.last_modified IS 'When the row was written. Not used. Written by the database, or by hand.';

COMMENT ON COLUMN public.domain.domain IS 'The domain. Written by hand.';

COMMENT ON COLUMN public.domain.did IS 'Kamailio''s id of a domain that has several names. Not used. Written by hand.';

ALTER TABLE public.domain ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.domain_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.node ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.node_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.notify_queue (
    due timestamp with time zone NOT NULL,
    decide_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    flagged_due timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    not_before timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    changes_at timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    lease_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    claim bigint DEFAULT 0 NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    claimed_version bigint DEFAULT 0 NOT NULL,
    recovered_version bigint DEFAULT 0 NOT NULL,
    full_version bigint DEFAULT 0 NOT NULL,
    rules_version bigint DEFAULT 0 NOT NULL,
    decided_rules bigint DEFAULT 0 NOT NULL,
    sender_version bigint DEFAULT 0 NOT NULL,
    sender_since bigint DEFAULT 0 NOT NULL,
    published_octets bigint DEFAULT 458752 NOT NULL,
    owner bigint,
    owed_since timestamp with time zone,
    winfo_watched boolean DEFAULT false NOT NULL,
    presentity_uri public.canonical_uri NOT NULL,
    event public.queued_event NOT NULL,
    sender text DEFAULT ''::text NOT NULL,
    CONSTRAINT "nobody works on a state change that has not happened" CHECK ((claimed_version <= version))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0.0', autovacuum_analyze_threshold='20000');

COMMENT ON TABLE public.notify_queue IS 'One row per resource whose watchers are owed a NOTIFY, or were lately. Written by triggers and notifiers, never by hand.';

COMMENT ON COLUMN public.notify_queue.due IS 'When a notifier looks at the row next; infinity = idle. Written by triggers, claim, renew and settle.';

COMMENT ON COLUMN public.notify_queue.decide_at IS 'When it is to be decided about watchers; infinity = not. Only in rows of presence. Written by triggers, claim and settle.';

COMMENT ON COLUMN public.notify_queue.flagged_due IS 'When a flagged dialog is to be taken next; infinity = none known. Written by triggers, claim and settle.';

COMMENT ON COLUMN public.notify_queue.not_before IS 'Before this no further state change is notified (waitn_time after the last). Written by claim and settle.';

COMMENT ON COLUMN public.notify_queue.changes_at IS 'When the document changes although no publication does (a call that rings too long to be true); infinity = never. Nothing is owed before. Written by claim and settle.';

COMMENT ON COLUMN public.notify_queue.lease_until IS 'When the holder loses the row, unless it renews. Written by claim and renew.';

COMMENT ON COLUMN public.notify_queue.claim IS 'Number of the last claim, never used twice. Written by claim.';

COMMENT ON COLUMN public.notify_queue.version IS 'Number of the last state change that is owed; 0 = none. Written by triggers, by a claim that recovers, zeroed by settle.';

COMMENT ON COLUMN public.notify_queue.claimed_version IS 'Number of the state change that the holder is at; 0 = none. Written by claim and settle.';

COMMENT ON COLUMN public.notify_queue.recovered_version IS 'Version that a recovery gave, which pending dialogs are owed as well, though they are not told of state; 0 = none. Written by claim and settle.';

COMMENT ON COLUMN public.notify_queue.full_version IS 'A dialog that was last notified of an older version than this is told everything, whatever it was shown last: a NOTIFY to it may have been lost, a watcher deleted, or somebody ordered it; 0 = none. Written by claim, settle and triggers.';

COMMENT ON COLUMN public.notify_queue.rules_version IS 'Number of the last change of the rules of this presentity; 0 = it never had any. Only in rows of presence. Written by triggers.';

COMMENT ON COLUMN public.notify_queue.decided_rules IS 'rules_version that all its watchers have been decided by. Written by settle.';

COMMENT ON COLUMN public.notify_queue.sender_version IS 'Up to which version sender holds. Another than version: something else has changed since, and sender means nothing. Written by a trigger.';

COMMENT ON COLUMN public.notify_queue.sender_since IS 'Version before the first of the changes that sender made, 0 if nothing was owed then: to a dialog that was notified of this version, nothing but its own changes is new. Written by a trigger.';

COMMENT ON COLUMN public.notify_queue.published_octets IS 'No less than the octets of all live publications, each counted as 1024 at least: what has come since they were counted last. Counted when it exceeds 524288; then the oldest of the publisher that has most are ended. Written by triggers.';

COMMENT ON COLUMN public.notify_queue.owner IS 'node.id of the holder; null = free. Written by claim and settle.';

COMMENT ON COLUMN public.notify_queue.owed_since IS 'Since when something has been owed without a break; null = nothing is. For operators. Written by triggers and settle.';

COMMENT ON COLUMN public.notify_queue.winfo_watched IS 'Somebody has subscribed to the watcher information of this resource: when its watchers change, a trigger looks for who is to be told. Such a row stays, like one with rules. Written by a trigger.';

COMMENT ON COLUMN public.notify_queue.presentity_uri IS 'Canonical URI of the presentity. Written once, by triggers.';

COMMENT ON COLUMN public.notify_queue.event IS 'Event package. Written once, by triggers.';

COMMENT ON COLUMN public.notify_queue.sender IS 'presentity.sender of all changes after sender_since up to sender_version: that watcher is not told of them. Empty = several, or nobody knows. Written by a trigger.';

CREATE SEQUENCE public.notify_version
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE public.notify_version IS 'Numbers of state changes and of claims. CACHE 1: they must ascend over all sessions.';

CREATE TABLE public.quarantine (
    dialog bigint DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone NOT NULL,
    since timestamp with time zone DEFAULT public.presence_now() NOT NULL,
    tries integer DEFAULT 1 NOT NULL,
    presentity_uri text NOT NULL COLLATE pg_catalog."C",
    event text NOT NULL COLLATE pg_catalog."C",
    step text NOT NULL,
    sqlstate text NOT NULL,
    message text NOT NULL
);

COMMENT ON TABLE public.quarantine IS 'What a notifier could not work on, because the database refused its data. Written by notifiers; presence_release() lets go.';

COMMENT ON COLUMN public.quarantine.dialog IS 'active_watchers.id of the dialog that is set aside; 0 = the whole resource; -1 = what is decided about a watcher who has no dialog. Written once, by a notifier.';

COMMENT ON COLUMN public.quarantine.retry_at IS 'When it is tried again: 5 s after the first time, then twice as long each time, up to 5 minutes. Written by notifiers.';

COMMENT ON COLUMN public.quarantine.since IS 'When it was set aside first. Written once, by a notifier.';

COMMENT ON COLUMN public.quarantine.tries IS 'How often it was tried in vain. Written by notifiers.';

COMMENT ON COLUMN public.quarantine.presentity_uri IS 'Canonical URI of the presentity, as in notify_queue. Written once, by a notifier.';

COMMENT ON COLUMN public.quarantine.event IS 'Event package, as in notify_queue; presence for decisions. Written once, by a notifier.';

COMMENT ON COLUMN public.quarantine.step IS 'What could not be done: claim, take, decide, verdicts, settle. Written by notifiers.';

COMMENT ON COLUMN public.quarantine.sqlstate IS 'The error of PostgreSQL. Written by notifiers.';

COMMENT ON COLUMN public.quarantine.message IS 'What PostgreSQL said. Written by notifiers.';

CREATE VIEW public.presence_backlog AS
 SELECT q.presentity_uri,
    q.event,
        CASE
            WHEN ((q.version > q.claimed_version) AND (q.flagged_due < 'infinity'::timestamp with time zone)) THEN 'state and answers'::text
            WHEN (q.version > 0) THEN 'state'::text
            WHEN ((q.decide_at <= public.presence_now()) AND (q.flagged_due = 'infinity'::timestamp with time zone)) THEN 'decisions'::text
            ELSE 'answers'::text
        END AS owed,
    q.owed_since,
        CASE
            WHEN (EXISTS ( SELECT
               FROM public.quarantine x
              WHERE ((x.presentity_uri = (q.presentity_uri)::text) AND (x.event = (q.event)::text) AND (x.dialog = 0) AND (x.retry_at > public.presence_now())))) THEN 'set aside'::text
            WHEN ((q.owner IS NOT NULL) AND (q.lease_until > public.presence_now())) THEN 'being sent'::text
            WHEN (q.owner IS NOT NULL) THEN 'left behind'::text
            WHEN (q.due <= public.presence_now()) THEN 'due'::text
            WHEN (q.version > 0) THEN 'paced'::text
            ELSE 'again'::text
        END AS state,
    q.due,
    ( SELECT ((((n.kind || ' '::text) || n.pid) || ' on '::text) || n.host)
           FROM public.node n
          WHERE (n.id = q.owner)) AS holder,
    ( SELECT count(*) AS count
           FROM public.active_watchers a
          WHERE (((a.presentity_uri)::text = (q.presentity_uri)::text) AND ((a.event)::text = (q.event)::text) AND (NOT a.ended) AND ((a.updated <> '-1'::integer) OR (((a.status)::smallint = 1) AND (a.notified_version < q.version))))) AS dialogs
   FROM public.notify_queue q
  WHERE (q.owed_since IS NOT NULL);

COMMENT ON VIEW public.presence_backlog IS 'What is waiting to be sent, and since when. state: due = the next free notifier takes it; being sent = by holder; paced = waitn_time holds it until due; again = after a failure, at due; left behind = its holder died, the next notifier sends all of it; set aside = the database refuses its data: see quarantine.';

CREATE TABLE public.subscriber (
    id bigint NOT NULL,
    username public.account_part NOT NULL COLLATE pg_catalog."C",
    domain public.account_part NOT NULL COLLATE pg_catalog."C",
    password public.account_part DEFAULT ''::text NOT NULL,
    ha1 public.md5_digits DEFAULT ''::text NOT NULL,
    ha1b public.md5_digits DEFAULT ''::text NOT NULL,
    ha1_sha256 public.sha256_digits DEFAULT ''::text NOT NULL,
    CONSTRAINT "a name does not end with its own domain" CHECK (("right"(lower((username)::text), (length((domain)::text) + 1)) <> ('@'::text || lower((domain)::text)))),
    CONSTRAINT "a subscriber has a name and a domain" CHECK ((((username)::text <> ''::text) AND ((domain)::text <> ''::text)))
);

COMMENT ON TABLE public.subscriber IS 'Users of digest authentication. Kamailio''s table of the same name, and ha1_sha256. Read through the view presence_credentials.';

COMMENT ON COLUMN public.subscriber.id IS 'Row id. Written by the database.';

COMMENT ON COLUMN public.subscriber.username IS 'User, as the phone sends it. Written by pgpresence user, or by hand.';

COMMENT ON COLUMN public.subscriber.domain IS 'Domain of the user, and the realm. Written by pgpresence user, or by hand.';

COMMENT ON COLUMN public.subscriber.password IS 'Password in clear; used where a hash is empty. Empty is better. Written by hand only.';

COMMENT ON COLUMN public.subscriber.ha1 IS 'MD5 of username:domain:password, in hexadecimal digits, or empty. Written by pgpresence user, or by hand.';

COMMENT ON COLUMN public.subscriber.ha1b IS 'MD5 of username@domain:domain:password, for phones that send user and domain as their name, or empty. Written by pgpresence user, or by hand.';

COMMENT ON COLUMN public.subscriber.ha1_sha256 IS 'SHA-256 of username:domain:password, in hexadecimal digits, or empty. Written by pgpresence user, or by hand.';

CREATE VIEW public.presence_credentials AS
 SELECT (s.username)::text AS username,
    lower((s.domain)::text) AS realm,
        CASE
            WHEN ((s.ha1)::text <> ''::text) THEN lower((s.ha1)::text)
            WHEN ((s.password)::text <> ''::text) THEN md5((((((s.username)::text || ':'::text) || lower((s.domain)::text)) || ':'::text) || (s.password)::text))
            ELSE ''::text
        END AS ha1_md5,
        CASE
            WHEN ((s.ha1_sha256)::text <> ''::text) THEN lower((s.ha1_sha256)::text)
            WHEN ((s.password)::text <> ''::text) THEN encode(sha256(convert_to((((((s.username)::text || ':'::text) || lower((s.domain)::text)) || ':'::text) || (s.password)::text), 'UTF8'::name)), 'hex'::text)
            ELSE ''::text
        END AS ha1_sha256
   FROM public.subscriber s
UNION ALL
 SELECT (((s.username)::text || '@'::text) || (s.domain)::text) AS username,
    lower((s.domain)::text) AS realm,
        CASE
            WHEN ((s.ha1b)::text <> ''::text) THEN lower((s.ha1b)::text)
            WHEN ((s.password)::text <> ''::text) THEN md5((((((((s.username)::text || '@'::text) || (s.domain)::text) || ':'::text) || lower((s.domain)::text)) || ':'::text) || (s.password)::text))
            ELSE ''::text
        END AS ha1_md5,
        CASE
            WHEN ((s.password)::text <> ''::text) THEN encode(sha256(convert_to((((((((s.username)::text || '@'::text) || (s.domain)::text) || ':'::text) || lower((s.domain)::text)) || ':'::text) || (s.password)::text), 'UTF8'::name)), 'hex'::text)
            ELSE ''::text
        END AS ha1_sha256
   FROM public.subscriber s;

COMMENT ON VIEW public.presence_credentials IS 'What proves a password: user name as sent, realm in lower case, and the hashes of username:realm:password by MD5 and by SHA-256, either of them empty. All that servers read of passwords: replace the view to have them read elsewhere.';

CREATE VIEW public.presence_decisions AS
 SELECT w.id,
    w.presentity_uri,
    public.presence_join_uri((w.watcher_username)::text, (w.watcher_domain)::text) AS watcher,
    w.event,
    public.presence_status_name((w.status)::smallint) AS decision,
    w.reason,
    to_timestamp((w.inserted_time)::double precision) AS decided,
    w.view AS shows,
    to_timestamp((w.recheck_at)::double precision) AS recheck_at
   FROM public.watchers w;

COMMENT ON VIEW public.presence_decisions IS 'What was decided about who may watch whom; it is looked at again at recheck_at, if a rule begins or ends then.';

CREATE TABLE public.presence_delegate (
    identity public.canonical_uri NOT NULL,
    presentity_uri public.canonical_uri NOT NULL,
    event public.event_package DEFAULT '*'::text NOT NULL
);

COMMENT ON TABLE public.presence_delegate IS 'Who may act for whom besides himself: publish, see who watches, set features, be known by the other''s name.';

COMMENT ON COLUMN public.presence_delegate.identity IS 'Who may: the URI of the user that has proven who he is. Written by hand; a trigger makes its canonical form.';

COMMENT ON COLUMN public.presence_delegate.presentity_uri IS 'For whom; sip:*@example.org for everybody of a domain. Written by hand; a trigger makes its canonical form.';

COMMENT ON COLUMN public.presence_delegate.event IS 'The event package in which he may; * in all. Written by hand.';

CREATE VIEW public.presence_gone_phones AS
 SELECT a.id,
    public.presence_join_uri((a.watcher_username)::text, (a.watcher_domain)::text) AS watcher,
    a.user_agent,
    a.contact,
    a.presentity_uri,
    a.event,
        CASE
            WHEN (a.ended AND (a.reason = ''::text)) THEN 'refused or left unanswered its last NOTIFY'::text
            WHEN ((a.status)::smallint = 3) THEN 'did not renew its subscription'::text
            WHEN (a.failures > 0) THEN 'does not answer'::text
            ELSE 'did not renew its subscription'::text
        END AS why,
    a.failures,
        CASE
            WHEN ((a.failures > 0) AND (a.updated <> '-1'::integer)) THEN to_timestamp((a.retry_at)::double precision)
            ELSE NULL::timestamp with time zone
        END AS retry_at
   FROM public.active_watchers a
  WHERE (((a.failures > 0) AND (NOT a.ended)) OR (a.ended AND (a.reason = ''::text)) OR (((a.status)::smallint = 3) AND (a.reason = 'timeout'::text) AND (a.granted_s > 0)) OR (((a.status)::smallint <> 3) AND (NOT public.is_live(a.expires, public.presence_now()))));

COMMENT ON VIEW public.presence_gone_phones IS 'Phones that do not answer, and those whose subscription ended without a word from them in the last 32 s (then its row goes).';

CREATE VIEW public.presence_hard_state AS
 SELECT x.id,
    x.presentity_uri,
    x.etag,
    octet_length(x.doc) AS body_bytes,
    public.presence_text(x.doc) AS document,
    x.doc_uri
   FROM public.xcap x
  WHERE (x.doc_type = 16);

COMMENT ON VIEW public.presence_hard_state IS 'Stored documents (pidf-manipulation, RFC 4827) that are shown with what is published of presence, and stay when that ends.';

CREATE VIEW public.presence_processes AS
 SELECT n.id,
    n.kind,
    n.host,
    n.pid,
    n.address,
    n.version,
    n.started,
    n.heartbeat,
        CASE
            WHEN (n.heartbeat > (public.presence_now() - '00:00:30'::interval)) THEN 'alive'::text
            ELSE 'silent'::text
        END AS state,
    n.events,
    n.believes
   FROM public.node n;

COMMENT ON VIEW public.presence_processes IS 'Which processes run. silent = no heartbeat for 30 s; it is removed after 60 s.';

CREATE VIEW public.presence_publications AS
 SELECT p.id,
    p.presentity_uri,
    p.event,
        CASE
            WHEN p.removed THEN 'removed'::text
            WHEN public.is_live((p.expires)::bigint, public.presence_now()) THEN 'live'::text
            ELSE 'expired'::text
        END AS state,
    public.presence_says((p.event)::text, p.body) AS says,
        CASE
            WHEN isfinite(p.modified) THEN p.modified
            ELSE to_timestamp((p.received_time)::double precision)
        END AS published,
    public.presence_time((p.expires)::bigint) AS expires,
    p.sender,
    p.etag,
    p.priority,
    p.content_type,
    octet_length(p.body) AS body_bytes,
    public.presence_text(p.body) AS document
   FROM public.presentity p;

COMMENT ON VIEW public.presence_publications IS 'Who published what. state: live is shown to watchers; expired and removed are not, and go within a second or 32 s.';

CREATE VIEW public.presence_subscriptions AS
 SELECT a.id,
    a.presentity_uri,
    a.event,
    public.presence_join_uri((a.watcher_username)::text, (a.watcher_domain)::text) AS watcher,
        CASE
            WHEN a.ended THEN 'ended'::text
            WHEN (((a.status)::smallint <> 3) AND (NOT public.is_live(a.expires, public.presence_now()))) THEN 'expired'::text
            ELSE public.presence_status_name((a.status)::smallint)
        END AS state,
    a.reason,
        CASE
            WHEN a.ended THEN 'nothing'::text
            WHEN ((a.updated <> '-1'::integer) AND ((a.retry_at)::numeric > EXTRACT(epoch FROM public.presence_now()))) THEN 'again'::text
            WHEN ((a.decided_version)::bigint = '-1'::integer) THEN 'decision'::text
            WHEN (a.updated <> '-1'::integer) THEN 'answer'::text
            WHEN ((q.version > a.notified_version) AND ((a.status)::smallint = 1)) THEN 'state'::text
            ELSE 'nothing'::text
        END AS owed,
    public.presence_time(a.expires) AS expires,
    a.local_cseq AS notified,
    a.failures,
        CASE
            WHEN ((a.updated <> '-1'::integer) AND (a.retry_at > 0)) THEN to_timestamp((a.retry_at)::double precision)
            ELSE NULL::timestamp with time zone
        END AS retry_at,
    a.user_agent,
    a.contact,
    (a.flow <> ''::text) AS by_flow,
    a.callid,
    a.view AS shows,
    a.notified_at,
        CASE
            WHEN (a.failures > 0) THEN NULLIF(a.failure, ''::text)
            ELSE NULL::text
        END AS last_failure
   FROM (public.active_watchers a
     LEFT JOIN public.notify_queue q ON ((((q.presentity_uri)::text = (a.presentity_uri)::text) AND ((q.event)::text = (a.event)::text))));

COMMENT ON VIEW public.presence_subscriptions IS 'Who watches whom, with which phone, and what the phone is owed: nothing; decision = whether it may watch, then a NOTIFY; answer = the NOTIFY that answers its SUBSCRIBE or ends it; state = a change, which is sent if it shows this watcher something new; again = a NOTIFY that failed, at retry_at. notified = how many NOTIFYs were sent; notified_at = when the last one was taken from the queue; shows = what they show: all, a view of it, polite-block, or none; last_failure = why the last one failed, null if it did not.';

CREATE VIEW public.presence_usage AS
 SELECT s.event,
    s.state,
    s.user_agent,
    count(*) AS subscriptions
   FROM public.presence_subscriptions s
  GROUP BY s.event, s.state, s.user_agent;

COMMENT ON VIEW public.presence_usage IS 'How many subscriptions there are, by event package, state and user agent. Reads all subscriptions.';

CREATE VIEW public.presence_watcher_states AS
 SELECT w.id,
    w.presentity_uri,
    w.watcher_username,
    w.watcher_domain,
    w.event,
    w.status,
    w.reason,
    w.inserted_time,
    public.presence_status_name((w.status)::smallint) AS state,
    true AS decided
   FROM public.watchers w
UNION ALL
 SELECT s.id,
    s.presentity_uri,
    s.watcher_username,
    s.watcher_domain,
    s.event,
    s.status,
    s.reason,
    s.inserted_time,
    public.presence_status_name((s.status)::smallint) AS state,
    false AS decided
   FROM ( SELECT DISTINCT ON (a.presentity_uri, a.event, a.watcher_username, a.watcher_domain) (- a.id) AS id,
            a.presentity_uri,
            a.watcher_username,
            a.watcher_domain,
            a.event,
            a.status,
                CASE
                    WHEN (((a.status)::smallint = 1) AND ((a.view)::text = 'polite-block'::text)) THEN 'polite-block'::text
                    ELSE a.reason
                END AS reason,
            a.created_time AS inserted_time
           FROM public.active_watchers a
          WHERE (((a.status)::smallint <> 3) AND public.is_live(a.expires, public.presence_now()))
          ORDER BY a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.id DESC) s
  WHERE (NOT (EXISTS ( SELECT
           FROM public.watchers w
          WHERE (((w.presentity_uri)::text = (s.presentity_uri)::text) AND ((w.watcher_username)::text = (s.watcher_username)::text) AND ((w.watcher_domain)::text = (s.watcher_domain)::text) AND ((w.event)::text = (s.event)::text)))));

COMMENT ON VIEW public.presence_watcher_states IS 'In which state each watcher is, with the columns of Kamailio''s table watchers: what was decided (decided, id of watchers), else the state of the living subscription (id of active_watchers, negative; inserted_time = its first SUBSCRIBE). One row for a presentity, watcher and event.';

ALTER TABLE public.presentity ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.presentity_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.subscriber ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.subscriber_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.watchers ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.watchers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.xcap ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.xcap_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.active_watchers
    ADD CONSTRAINT active_watchers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.cluster
    ADD CONSTRAINT cluster_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY public.domain
    ADD CONSTRAINT domain_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.node
    ADD CONSTRAINT node_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.notify_queue
    ADD CONSTRAINT notify_queue_pkey PRIMARY KEY (presentity_uri, event);

ALTER TABLE ONLY public.presence_delegate
    ADD CONSTRAINT presence_delegate_pkey PRIMARY KEY (identity, presentity_uri, event);

ALTER TABLE ONLY public.presentity
    ADD CONSTRAINT presentity_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (presentity_uri, event, dialog);

ALTER TABLE ONLY public.subscriber
    ADD CONSTRAINT subscriber_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.watchers
    ADD CONSTRAINT watchers_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.xcap
    ADD CONSTRAINT xcap_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX active_watchers_dialog_idx ON public.active_watchers USING btree (callid, to_tag, from_tag);

CREATE INDEX active_watchers_failing_idx ON public.active_watchers USING btree (presentity_uri) WHERE (failures > 0);

CREATE INDEX active_watchers_pending_idx ON public.active_watchers USING btree (presentity_uri, event, watcher_username, watcher_domain) WHERE ((status)::smallint = 2);

CREATE INDEX active_watchers_resource_idx ON public.active_watchers USING btree (presentity_uri, event, id);

CREATE INDEX active_watchers_subscriber_idx ON public.active_watchers USING btree (presentity_uri, subscriber_key) WHERE (subscriber_key IS NOT NULL);

CREATE INDEX active_watchers_sweep_idx ON public.active_watchers USING btree (sweep_at);

CREATE INDEX active_watchers_undecided_idx ON public.active_watchers USING btree (presentity_uri, event, id) WHERE ((decided_version)::bigint = '-1'::integer);

CREATE INDEX active_watchers_view_idx ON public.active_watchers USING btree (presentity_uri, event, view) WHERE ((view)::text <> 'all'::text);

CREATE UNIQUE INDEX domain_domain_idx ON public.domain USING btree (lower((domain)::text));

CREATE INDEX notify_queue_decide_idx ON public.notify_queue USING btree (due) WHERE ((decide_at <= due) AND (due < 'infinity'::timestamp with time zone));

CREATE INDEX notify_queue_idle_idx ON public.notify_queue USING btree (not_before) WHERE (due = 'infinity'::timestamp with time zone);

CREATE INDEX notify_queue_told_idx ON public.notify_queue USING btree (due) WHERE (due < decide_at);

CREATE INDEX presence_delegate_identity_idx ON public.presence_delegate USING btree (lower((identity)::text));

CREATE UNIQUE INDEX presentity_resource_idx ON public.presentity USING btree (presentity_uri, event, ruid);

CREATE INDEX presentity_sweep_idx ON public.presentity USING btree (sweep_at);

CREATE INDEX quarantine_retry_idx ON public.quarantine USING btree (retry_at);

CREATE UNIQUE INDEX subscriber_account_idx ON public.subscriber USING btree (username, lower((domain)::text));

CREATE INDEX subscriber_address_idx ON public.subscriber USING btree (((((username)::text || '@'::text) || (domain)::text)));

CREATE INDEX watchers_pending_idx ON public.watchers USING btree (presentity_uri) WHERE ((status)::smallint = 2);

CREATE INDEX watchers_recheck_idx ON public.watchers USING btree (presentity_uri, recheck_at) WHERE (recheck_at IS NOT NULL);

CREATE INDEX watchers_waited_idx ON public.watchers USING btree (presentity_uri, event) WHERE (waited_until IS NOT NULL);

CREATE INDEX watchers_waiting_idx ON public.watchers USING btree (inserted_time) WHERE ((status)::smallint = 4);

CREATE UNIQUE INDEX watchers_watcher_idx ON public.watchers USING btree (presentity_uri, watcher_username, watcher_domain, event);

CREATE INDEX watchers_winfo_idx ON public.watchers USING btree (presentity_uri, event) WHERE ((status)::smallint > 3);

CREATE INDEX xcap_account_doc_type_idx ON public.xcap USING btree (username, domain, doc_type);

CREATE UNIQUE INDEX xcap_doc_uri_idx ON public.xcap USING btree (doc_uri);

CREATE INDEX xcap_hard_state_idx ON public.xcap USING btree (presentity_uri, id) WHERE (doc_type = 16);

CREATE INDEX xcap_lists_idx ON public.xcap USING btree (presentity_uri, id) WHERE (doc_type = 4);

CREATE INDEX xcap_rules_idx ON public.xcap USING btree (presentity_uri, id) WHERE (doc_type = 2);

CREATE TRIGGER active_watchers_deleted AFTER DELETE ON public.active_watchers REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_deleted_dialogs();

CREATE TRIGGER active_watchers_insert_key BEFORE INSERT ON public.active_watchers FOR EACH ROW WHEN ((current_setting('pgpresence.canonical'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION public.put_canonical_key();

CREATE TRIGGER active_watchers_inserted AFTER INSERT ON public.active_watchers REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_flagged_dialogs();

CREATE TRIGGER active_watchers_status_changes BEFORE UPDATE ON public.active_watchers FOR EACH ROW WHEN ((((new.status)::smallint <> (old.status)::smallint) OR ((new.updated_winfo <> '-1'::integer) AND (old.updated_winfo <> '-1'::integer)))) EXECUTE FUNCTION public.mark_status_change();

CREATE TRIGGER active_watchers_sweep_by_expires BEFORE INSERT OR UPDATE ON public.active_watchers FOR EACH ROW WHEN ((((new.status)::smallint <> 3) AND (new.expires <> '-1'::integer) AND (new.expires < new.sweep_at))) EXECUTE FUNCTION public.sweep_by_expires();

CREATE TRIGGER active_watchers_update_key BEFORE UPDATE OF presentity_uri, watcher_username, watcher_domain ON public.active_watchers FOR EACH ROW EXECUTE FUNCTION public.put_canonical_key();

CREATE TRIGGER active_watchers_updated AFTER UPDATE ON public.active_watchers REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_flagged_dialogs();

CREATE TRIGGER presence_delegate_uri BEFORE INSERT OR UPDATE ON public.presence_delegate FOR EACH ROW EXECUTE FUNCTION public.put_delegate();

CREATE TRIGGER presentity_deleted AFTER DELETE ON public.presentity REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_publications();

CREATE TRIGGER presentity_insert_uri BEFORE INSERT ON public.presentity FOR EACH ROW WHEN (((new.presentity_uri IS NULL) OR (current_setting('pgpresence.canonical'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION public.put_presentity_uri();

CREATE TRIGGER presentity_inserted AFTER INSERT ON public.presentity REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_publications();

CREATE TRIGGER presentity_sweep_by_expires BEFORE INSERT OR UPDATE ON public.presentity FOR EACH ROW WHEN (((NOT new.removed) AND ((new.expires)::bigint <> '-1'::integer) AND ((new.expires)::bigint < new.sweep_at))) EXECUTE FUNCTION public.sweep_by_expires();

CREATE TRIGGER presentity_update_uri BEFORE UPDATE OF username, domain, presentity_uri ON public.presentity FOR EACH ROW EXECUTE FUNCTION public.put_presentity_uri();

CREATE TRIGGER presentity_updated AFTER UPDATE ON public.presentity REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_publications();

CREATE TRIGGER watchers_deleted AFTER DELETE ON public.watchers REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_waiting_watchers();

CREATE TRIGGER watchers_insert_key BEFORE INSERT ON public.watchers FOR EACH ROW WHEN ((current_setting('pgpresence.canonical'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION public.put_canonical_key();

CREATE TRIGGER watchers_inserted AFTER INSERT ON public.watchers REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_waiting_watchers();

CREATE TRIGGER watchers_update_key BEFORE UPDATE OF presentity_uri, watcher_username, watcher_domain ON public.watchers FOR EACH ROW EXECUTE FUNCTION public.put_canonical_key();

CREATE TRIGGER watchers_updated AFTER UPDATE ON public.watchers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_waiting_watchers();

CREATE TRIGGER watchers_waiting_over BEFORE UPDATE ON public.watchers FOR EACH ROW WHEN ((((old.status)::smallint = 4) OR (old.waited_until IS NOT NULL))) EXECUTE FUNCTION public.mark_waiting_over();

CREATE TRIGGER xcap_deleted AFTER DELETE ON public.xcap REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_documents();

CREATE TRIGGER xcap_inserted AFTER INSERT ON public.xcap REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_documents();

CREATE TRIGGER xcap_updated AFTER UPDATE ON public.xcap REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.queue_documents();

CREATE TRIGGER xcap_uri BEFORE INSERT OR UPDATE OF username, domain, presentity_uri ON public.xcap FOR EACH ROW EXECUTE FUNCTION public.put_presentity_uri();

