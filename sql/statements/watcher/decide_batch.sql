-- watcher.decide_batch
-- Purpose:    write down what was decided about dialogs and their watchers, and flag the dialogs that are to be told
-- Called by:  notifier/src/decide.rs
-- Parameters: $1 owner int8 | $2 held text[] (presentities that are decided about) | $3 id int8[] | $4 status_before int2[] | $5 status int2[] | $6 reason text[] (null keeps it) | $7 view text[] | $8 tell bool[] | $9 rules_version int8[] | $10 presentity_uri text[] | $11 watcher_username text[] | $12 watcher_domain text[] | $13 event text[] | $14 watcher_status int2[] | $15 watcher_reason text[] | $16 watcher_view text[] | $17 watcher_rules_version int8[] | $18 recheck_at int8[] (epoch second, null = never) | $19 now timestamptz (tests only, else null)
-- Returns:    written int8 (dialogs)
-- Locks:      active_watchers rows by (uri, event, id), then watchers rows by (uri, watcher, event), then notify_queue by key (by trigger); notify_queue is read without a lock
-- Plan:       notify_queue_pkey, active_watchers_pkey, watchers_watcher_idx
-- Retry:      safe, a second run writes the same
-- RFC:        3857 section 4.7.1, 6665 section 4.2.2
--
-- $3 to $9 are of dialogs, $10 to $18 of watchers.
-- Compare-and-swap: a dialog that was ended, or came to an end, since it was read is left as it is, and its trigger has made the
-- presentity due again.
-- Only the holder of the presentity's row writes, by the database's clock, read when the dialogs are locked. Whoever recovers the
-- row after that moment waits for our commit (watcher.await_decider) before it reads what it decides about.
WITH held AS MATERIALIZED (
    SELECT q.presentity_uri, q.lease_until
    FROM unnest($2::text[]) AS i (presentity_uri)
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = 'presence'
    WHERE q.owner = $1::bigint AND q.lease_until > COALESCE($19::timestamptz, clock_timestamp())
),
locked AS MATERIALIZED (
    SELECT a.id, a.presentity_uri, i.status, i.reason, i.view, i.tell, i.rules_version
    FROM unnest($3::bigint[], $4::smallint[], $5::smallint[], $6::text[], $7::text[], $8::boolean[], $9::bigint[])
             AS i (id, status_before, status, reason, view, tell, rules_version)
    JOIN active_watchers AS a ON a.id = i.id
    WHERE a.status = i.status_before AND a.decided_version <= i.rules_version AND NOT a.ended
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
),
still_held AS MATERIALIZED (
    SELECT h.presentity_uri, COALESCE($19::timestamptz, now()) AS now
    FROM (SELECT count(*) AS dialogs FROM locked) AS l
    CROSS JOIN LATERAL (
        SELECT h.presentity_uri
        FROM held AS h
        WHERE l.dialogs >= 0 AND h.lease_until > COALESCE($19::timestamptz, clock_timestamp())
        -- A fence: the clock is read when the last dialog is locked.
        OFFSET 0
    ) AS h
),
told AS (
    UPDATE active_watchers AS a
    SET status          = l.status,
        reason          = COALESCE(l.reason, a.reason),
        view            = l.view,
        decided_version = l.rules_version,
        updated         = CASE WHEN l.tell THEN 0 ELSE a.updated END,
        sweep_at        = CASE WHEN l.status = 3 AND a.status <> 3 THEN expiry_at(300, h.now) ELSE a.sweep_at END
    FROM locked AS l
    JOIN still_held AS h ON h.presentity_uri = l.presentity_uri
    WHERE a.id = l.id
    RETURNING a.id
),
stored AS (
    INSERT INTO watchers AS w (presentity_uri, watcher_username, watcher_domain, event, status, reason, view, rules_version,
                               recheck_at, inserted_time)
    SELECT p.presentity_uri, p.watcher_username, p.watcher_domain, p.event, p.status, p.reason, p.view, p.rules_version,
           p.recheck_at, floor(extract(epoch FROM h.now))::bigint
    FROM unnest($10::text[], $11::text[], $12::text[], $13::text[], $14::smallint[], $15::text[], $16::text[], $17::bigint[],
                $18::bigint[])
             AS p (presentity_uri, watcher_username, watcher_domain, event, status, reason, view, rules_version, recheck_at)
    JOIN still_held AS h ON h.presentity_uri = p.presentity_uri
    ORDER BY p.presentity_uri COLLATE "C", p.watcher_username COLLATE "C", p.watcher_domain COLLATE "C", p.event COLLATE "C"
    ON CONFLICT (presentity_uri, watcher_username, watcher_domain, event) DO UPDATE
    SET status        = EXCLUDED.status,
        reason        = EXCLUDED.reason,
        view          = EXCLUDED.view,
        rules_version = EXCLUDED.rules_version,
        recheck_at    = EXCLUDED.recheck_at,
        inserted_time = CASE WHEN w.status = EXCLUDED.status THEN w.inserted_time ELSE EXCLUDED.inserted_time END
)
SELECT count(*) AS written
FROM told AS t
