-- subscription.take
-- Purpose:    take the dialogs with a NOTIFY due of resources that this notifier holds; the only place where a CSeq is taken
-- Called by:  notifier/src/step/take/taking.rs, after each claim and again while a fan-out goes on
-- Parameters: owner int8 | presentity_uri text[] | event text[] | in_flight_id int8[] | in_flight_target int4[] | limit int8 | now timestamptz (tests only, else null) | looked int8[] (last_version of the claim before publication.list_claimed; null = not looked at: to be read afterwards) | digest int8[] (of what the view all shows) | digests text[] (a JSON object: those of other views by name; null = none) | quiet bool[] (send_fast_notify = 0: whether nothing is published; else null) | own_id int8[] (dialogs of whoever made the last changes of their resource, as looked)
-- Returns:    resource int8 (ordinal, from 1) | id int8 | event_id text | callid text | to_tag text | from_tag text | local_uri text | remote_uri text | contact text | record_route text | flow text | local_contact text | watcher_username text | watcher_domain text | accept text | local_cseq int8 | version int8 | target_version int4 | remote_cseq int8 | status int2 | reason text | expires_s int8 (-1 = never ends) | failures int4 | view text (what it is shown; none = no body) | ended bool (no number was left, nothing is to be sent) | partial_since timestamptz (null = a document that can be full or partial must be full; else what a partial one must reach back to) | told_to int8 (a document in pieces goes on after this; null = it does not) | known bool (it shows what was looked at; else it is to be read now) | silent bool (nothing is sent, and it took no CSeq) | left_behind int8[] (ordinals of resources with due dialogs that somebody holds; the same in all rows) | cut bool (as many were chosen as the limit allows: there may be more, of any resource; the same in all rows)
-- Locks:      free active_watchers rows (SKIP LOCKED) by (uri, event, id); notify_queue is read without a lock (SUBSCRIBE locks in the other order)
-- Plan:       notify_queue_pkey, active_watchers_resource_idx, active_watchers_pkey, quarantine_pkey, quarantine_retry_idx
-- Retry:      safe: what a lost run took is recovered by version when the lease runs out
-- RFC:        3261 section 12.2.1.1 (CSeq rises by one per request), 6665 section 4.2.2
--
-- Why nobody else can take these dialogs at the same time: the row of notify_queue names us as the holder until lease_until,
-- and nobody claims it before. Our snapshot of it may be old, and the locks may have kept us waiting, so the lease is
-- compared once more with the clock when the dialogs are locked. Whoever claims after that moment gives the resource a higher
-- version, waits for our commit, and takes every one of these dialogs again: a take that came too late to be sent costs a
-- CSeq, never a notification.
-- The documents are made before this, of publications that were read at version looked, which is at least the claimed one. So it
-- is known here what each dialog will be shown, and a change of state that shows a dialog what it was shown last (shown) is none
-- for it: it is left out, without a write. Nothing is due for it any more when the resource is settled. Not left out is who has not
-- seen full_version, because what it was shown last may never have been sent.
-- A flagged dialog must be shown all that was committed before its SUBSCRIBE: what was looked at will do if the version has not
-- moved since and no other SUBSCRIBE came in while the lock was waited for. Else known is false, its document is read after this
-- commits, notified_version is what this snapshot shows, and nobody knows what it will have been shown.
-- Silent, each without a CSeq: the dialogs of a sender to whom only his own changes are new (own_id; its shown becomes unknown, because
-- he knows more than he was shown); and where quiet asks for it, those that have nothing to be shown, because nothing is published
-- and they were shown nothing else. Polite-block looks as if nothing were published.
-- Flagged dialogs first, since a SUBSCRIBE is waiting for its NOTIFY; then those that have waited longest, so that a large
-- fan-out under steady change starves nobody. Which to take is decided before locking, so that the locks come in key order.
-- A dialog whose row somebody holds is left behind, and nobody waits for it: its resource stays due, and is taken again. So is one that has
-- changed since it was chosen; there may be nothing to take then. One that was set aside (quarantine) is as if it were not there.
-- Whether the limit cut it cannot be seen by how many are returned: some of those that were chosen may be left behind.
-- That there is something left behind is in each row, and not in a row of its own, which would cost 9 % (all columns would be copied). A take that
-- returns nothing does not say it; queue.settle looks after that.
-- An undecided dialog (decided_version = -1) is never taken. A pending one is shown no state, but after a recovery that
-- is due for it which its holder may have taken in vain.
-- NOT IN, not NOT EXISTS: it stays a hashed subplan, however many are in flight, and is judged anew after a wait for a lock.
-- A document that has partial states (watcher information) is full in the first NOTIFY and the last, for flagged
-- dialogs, as answers to SUBSCRIBE and after failures, and for those that have not seen full_version. A partial one reaches 30 s
-- further back than the NOTIFY before: longer than a statement may take, so that a change that was committed after that one was
-- rendered is shown now. Where full state takes several NOTIFYs (subscription.settle_batch flags the dialog for the next), notified_at
-- stays that of the first, and the last (told_to is the highest number) is a partial one that reaches back to it. What is lost of them with
-- a notifier begins anew.
-- Measured on two busy cores, 400 resources of 48 dialogs each: 5,000 dialogs in 150 ms, 33,000/s; 500 at a time 5,000/s, since
-- each run looks at all that is due to choose fairly: give a limit that fits the fan-out. The statement trigger of
-- active_watchers costs 0.7 ms of those 150, so a row trigger with WHEN (updated <> -1), which would not lock the queue in key
-- order, was not worth it.
WITH held AS MATERIALIZED (
    SELECT i.ord, q.presentity_uri, q.event, q.version, q.claimed_version, q.recovered_version, q.full_version, q.lease_until, t.now, date_part('epoch', t.now) AS now_s,
           -- From this version on, nothing but the changes of one sender is new. Null if there is more that is.
           CASE WHEN q.sender_version = q.version AND q.version = (:looked::bigint[])[i.ord] THEN GREATEST(q.sender_since, q.full_version) END AS own_since
    FROM unnest(:presentity_uri::text[], :event::text[]) WITH ORDINALITY AS i (presentity_uri, event, ord)
    JOIN notify_queue AS q ON q.presentity_uri = i.presentity_uri AND q.event = i.event
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
    WHERE q.owner = :owner::bigint AND q.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
),
due AS MATERIALIZED (
    SELECT d.id, d.flagged, d.notified_version, d.remote_cseq, h.ord, h.version, h.claimed_version, h.recovered_version, h.full_version,
           h.lease_until, h.now, h.now_s, h.own_since
    FROM held AS h
    CROSS JOIN LATERAL (
        SELECT a.id, a.updated <> -1 AS flagged, a.notified_version, a.remote_cseq
        FROM active_watchers AS a
        WHERE a.presentity_uri = h.presentity_uri AND a.event = h.event AND NOT a.ended AND a.decided_version IS DISTINCT FROM -1
          AND CASE WHEN a.updated <> -1 THEN a.retry_at <= h.now_s
                   ELSE a.notified_version < CASE WHEN a.status = 2 THEN h.recovered_version ELSE h.claimed_version END
                        AND (a.notified_version < h.full_version
                             OR (a.shown = CASE WHEN a.view = 'all' THEN (:digest::bigint[])[h.ord]
                                                ELSE ((:digests::text[])[h.ord]::jsonb ->> a.view)::bigint END) IS NOT TRUE) END
          AND a.id NOT IN (SELECT x.dialog FROM quarantine AS x WHERE x.dialog > 0 AND x.retry_at > COALESCE(:now::timestamptz, now()))
          AND (a.id, a.target_version) NOT IN (SELECT f.id, f.target FROM unnest(:in_flight_id::bigint[], :in_flight_target::integer[]) AS f (id, target))
    ) AS d
    ORDER BY d.flagged DESC, d.notified_version, d.id
    LIMIT :limit::bigint
),
locked AS MATERIALIZED (
    SELECT a.id, d.ord, d.version, d.lease_until, d.now,
           -- The last CSeq that there is (RFC 3261 section 8.1.1.5) ends the dialog; one that has used it up ends in silence.
           a.status = 3 OR NOT is_live(a.expires, d.now) OR GREATEST(a.local_cseq, a.version) >= 2147483646 AS over,
           GREATEST(a.local_cseq, a.version) = 2147483647 AS spent,
           CASE WHEN (:looked::bigint[])[d.ord] IS NULL THEN false
                WHEN a.updated <> -1 AND (d.version <> (:looked::bigint[])[d.ord] OR a.remote_cseq <> d.remote_cseq) THEN false
                WHEN a.view = 'all' OR a.view = 'none' OR a.status = 2 THEN true
                ELSE COALESCE(jsonb_exists((:digests::text[])[d.ord]::jsonb, a.view), false) END AS known,
           CASE WHEN a.status = 2 OR a.view = 'none' THEN 0
                WHEN a.view = 'all' THEN (:digest::bigint[])[d.ord]
                ELSE ((:digests::text[])[d.ord]::jsonb ->> a.view)::bigint END AS digest,
           d.own_since IS NOT NULL AND a.notified_version >= d.own_since AND a.id = ANY (:own_id::bigint[])
               AND a.status = 1 AND a.updated = -1 AS own,
           (:quiet::boolean[])[d.ord] IS NOT NULL AND a.status = 1 AND ((:quiet::boolean[])[d.ord] OR a.view = 'polite-block') AS shows_nothing,
           CASE WHEN a.local_cseq = 0 THEN 0 WHEN a.notified_version >= d.full_version THEN a.shown END AS shown,
           CASE WHEN (a.updated = -1 OR a.winfo_told_to IS NOT NULL) AND a.notified_version >= d.full_version
                THEN a.notified_at - interval '30 seconds' END AS partial_since,
           CASE WHEN a.updated <> -1 AND a.notified_version >= d.full_version THEN a.winfo_told_to END AS told_to
    FROM due AS d
    JOIN active_watchers AS a ON a.id = d.id
    -- What was true when they were chosen must still be: a verdict or a SUBSCRIBE may have come in between.
    WHERE NOT a.ended AND a.decided_version IS DISTINCT FROM -1
      AND (a.updated <> -1
           OR a.notified_version < CASE WHEN a.status = 2 THEN d.recovered_version ELSE d.claimed_version END)
      AND (a.updated = -1 OR a.retry_at <= d.now_s)
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a SKIP LOCKED
),
still_held AS MATERIALIZED (
    -- The sort holds back the first row until the last one is locked: only then the clock is read, below.
    SELECT l.id, l.ord, l.lease_until, l.now, l.over, l.spent, l.known,
           l.known AND NOT l.over AND (l.own OR (l.shows_nothing AND COALESCE(l.shown IN (0, l.digest), false))) AS silent,
           CASE WHEN l.known THEN (:looked::bigint[])[l.ord] ELSE l.version END AS version,
           CASE WHEN l.known AND NOT l.own THEN l.digest END AS digest,
           CASE WHEN NOT l.over THEN l.partial_since END AS partial_since,
           CASE WHEN NOT l.over THEN l.told_to END AS told_to
    FROM locked AS l
    ORDER BY l.ord, l.id
),
left_behind AS MATERIALIZED (
    SELECT array_agg(DISTINCT d.ord) AS resources
    FROM due AS d
    WHERE (SELECT count(*) FROM due) > (SELECT count(*) FROM still_held) AND d.id NOT IN (SELECT s.id FROM still_held AS s)
)
UPDATE active_watchers AS a
SET local_cseq       = CASE WHEN l.silent THEN a.local_cseq ELSE LEAST(a.local_cseq + 1, 2147483647) END,
    version          = CASE WHEN l.silent THEN a.version ELSE LEAST(a.version + 1, 2147483647) END,
    updated          = -1,
    updated_winfo    = -1,
    winfo_told_to    = NULL,
    notified_at      = CASE WHEN l.silent OR l.told_to < 9223372036854775807 THEN a.notified_at ELSE l.now END,
    notified_version = GREATEST(a.notified_version, l.version),
    shown            = l.digest,
    status           = CASE WHEN l.over THEN 3 ELSE a.status END,
    reason           = CASE WHEN l.over AND a.status <> 3 THEN 'timeout' ELSE a.reason END,
    ended            = l.spent AND NOT l.silent,
    sweep_at         = CASE WHEN l.spent AND NOT l.silent THEN expiry_at(32, l.now)
                            WHEN l.over AND a.status <> 3 THEN expiry_at(300, l.now) ELSE a.sweep_at END
FROM still_held AS l
WHERE a.id = l.id AND l.lease_until > COALESCE(:now::timestamptz, clock_timestamp())
RETURNING
    l.ord AS resource, a.id, a.event_id, a.callid, a.to_tag, a.from_tag, a.local_uri, a.remote_uri, a.contact,
    a.record_route, a.flow, a.local_contact, a.watcher_username, a.watcher_domain, a.accept, a.local_cseq, a.version,
    a.target_version, a.remote_cseq, a.status, a.reason,
    CASE WHEN l.over THEN 0
         WHEN a.expires = -1 THEN -1
         -- Rounded down: a NOTIFY never promises more than was granted.
         ELSE GREATEST(1, a.expires - ceil(date_part('epoch', l.now))::bigint) END AS expires_s,
    a.failures, CASE WHEN a.status = 2 THEN 'none' ELSE a.view END AS view, a.ended, l.partial_since, l.told_to, l.known, l.silent,
    (SELECT b.resources FROM left_behind AS b) AS left_behind, (SELECT count(*) FROM due) >= :limit::bigint AS cut
