-- subscription.settle_batch
-- Purpose:    write down what the answers to NOTIFYs mean for their dialogs
-- Called by:  notifier/src/step/verdicts.rs, before the resources are settled
-- Parameters: id int8[] | remote_cseq int8[] | target_version int4[] | verdict text[] (delivered, ended, retry, more) | after_s int8[] (for retry and more, else 0) | failure text[] (in words; empty but for retry) | told_to int8[] (for more: the document goes on after this; null = it begins anew) | now timestamptz (tests only, else null)
-- Returns:    verdict int8 (ordinal, from 1: one that still applied) | written bool (false: somebody holds the dialog, or its row of the queue)
-- Locks:      free active_watchers rows (SKIP LOCKED) by (uri, event, id), then free notify_queue rows (SKIP LOCKED) by key: those that the trigger writes, for retries
-- Plan:       active_watchers_pkey, notify_queue_pkey
-- Retry:      a retry that is written twice counts one failure more
-- RFC:        6665 section 4.2.2: 481 and its like end the dialog
--
-- A SUBSCRIBE that came after the take voids the verdict (remote_cseq, target_version): it has flagged the dialog itself, and
-- the subscriber is alive whatever happened to the older NOTIFY. But of a NOTIFY that failed it is not known any more what the
-- dialog was shown, also then.
-- Neither is a piece followed by the next if the dialog was flagged meanwhile: what is due for it then is more. A piece that arrives does not set the
-- failures back, because it may be the next one that never does; the last one does.
-- Nobody waits for a row that somebody holds. The trigger would wait for the queue, so its rows are locked here before it.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.id, i.remote_cseq, i.target_version, i.verdict, i.after_s, i.failure, i.told_to, t.now
    FROM unnest(:id::bigint[], :remote_cseq::bigint[], :target_version::integer[], :verdict::text[], :after_s::bigint[],
                :failure::text[], :told_to::bigint[])
             WITH ORDINALITY AS i (id, remote_cseq, target_version, verdict, after_s, failure, told_to, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
locked AS MATERIALIZED (
    SELECT i.ord, a.id, a.presentity_uri, CASE WHEN is_winfo(a.event) THEN watched_event(a.event) ELSE a.event END AS event,
           CASE WHEN a.remote_cseq <> i.remote_cseq OR a.target_version <> i.target_version THEN 'void'
                WHEN i.verdict = 'more' AND a.updated <> -1 THEN 'void'
                ELSE i.verdict END AS verdict,
           i.after_s, i.failure, i.told_to, i.now
    FROM input AS i
    JOIN active_watchers AS a ON a.id = i.id
    WHERE ((a.remote_cseq = i.remote_cseq AND a.target_version = i.target_version) OR (i.verdict = 'retry' AND a.shown IS NOT NULL))
      AND NOT a.ended
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a SKIP LOCKED
),
queued AS MATERIALIZED (
    SELECT q.presentity_uri, q.event
    FROM (SELECT DISTINCT l.presentity_uri, l.event FROM locked AS l) AS l
    JOIN notify_queue AS q ON q.presentity_uri = l.presentity_uri AND q.event = l.event
    ORDER BY is_winfo(q.event), q.presentity_uri, q.event
    FOR UPDATE OF q SKIP LOCKED
),
written AS (
    UPDATE active_watchers AS a
    SET updated  = CASE l.verdict WHEN 'retry' THEN 0 WHEN 'more' THEN 0 WHEN 'ended' THEN -1 ELSE a.updated END,
        updated_winfo = -1,
        retry_at = CASE WHEN l.verdict = 'retry' OR (l.verdict = 'more' AND l.after_s > 0) THEN expiry_at(l.after_s, l.now)
                    -- A retry in 0 s is one when this second is over.
                    WHEN l.verdict = 'more' THEN 0 ELSE a.retry_at END,
        shown    = CASE WHEN l.verdict IN ('retry', 'void') THEN NULL ELSE a.shown END,
        failures = CASE l.verdict WHEN 'retry' THEN a.failures + 1 WHEN 'delivered' THEN 0 ELSE a.failures END,
        failure  = CASE l.verdict WHEN 'retry' THEN l.failure WHEN 'delivered' THEN '' ELSE a.failure END,
        winfo_told_to = CASE WHEN l.verdict = 'more' THEN l.told_to END,
        ended    = l.verdict = 'ended',
        status   = CASE WHEN l.verdict = 'ended' THEN 3 ELSE a.status END,
        sweep_at = CASE WHEN l.verdict = 'ended' THEN expiry_at(32, l.now) ELSE a.sweep_at END
    FROM locked AS l
    WHERE a.id = l.id
      AND ((l.presentity_uri, l.event) IN (SELECT q.presentity_uri, q.event FROM queued AS q)
           OR (SELECT true FROM notify_queue AS q WHERE q.presentity_uri = l.presentity_uri AND q.event = l.event) IS NULL)
    RETURNING l.ord
)
SELECT i.ord AS verdict, i.ord IN (SELECT w.ord FROM written AS w) AS written
FROM input AS i
JOIN active_watchers AS a ON a.id = i.id
WHERE ((a.remote_cseq = i.remote_cseq AND a.target_version = i.target_version) OR (i.verdict = 'retry' AND a.shown IS NOT NULL))
  AND NOT a.ended
