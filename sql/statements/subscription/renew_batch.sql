-- subscription.renew_batch
-- Purpose:    find the To-tag for initial SUBSCRIBEs that come again, whose own is in use by a dialog of the time before
-- Called by:  sql/src/subscription/request.rs, between two subscription.create_batch, for inputs that the first found in use
-- Parameters: callid text[] | to_tag text[] | from_tag text[] | now timestamptz (tests only, else null)
-- Returns:    ord int8 (from 1, of inputs whose dialog is there) | to_tag text
-- Locks:      active_watchers rows by (uri, event, id); those of dialogs with a NOTIFY due lock notify_queue by key (by trigger)
-- Plan:       active_watchers_dialog_idx, active_watchers_pkey
-- Retry:      safe, a second run finds what the first has left
-- RFC:        6665 section 4.2.1; 3261 section 17.1.2.2: after 64*T1 nothing is retransmitted any more
--
-- The row of the first dialog remembers when the SUBSCRIBE came again, and its lock decides between two copies: one gives the second,
-- the other finds it, and both go on with the same To-tag. The row stays for 64*T1 from then, so that no copy takes its place meanwhile.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.callid, i.to_tag, i.from_tag, t.now, floor(extract(epoch FROM t.now))::bigint AS now_s
    FROM unnest(:callid::text[], :to_tag::text[], :from_tag::text[]) WITH ORDINALITY AS i (callid, to_tag, from_tag, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
locked AS MATERIALIZED (
    SELECT i.ord, i.to_tag, i.now, i.now_s, a.id, a.renewed_at,
           GREATEST(a.created_time, a.renewed_at) < i.now_s - 32 AS comes_again
    FROM input AS i
    JOIN active_watchers AS a ON a.callid = i.callid AND a.to_tag = i.to_tag AND a.from_tag = i.from_tag
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
),
renewed AS (
    UPDATE active_watchers AS a
    SET renewed_at    = l.now_s,
        -- One that has not ended yet stays for as long after its end.
        sweep_at      = CASE WHEN a.ended THEN GREATEST(a.sweep_at, expiry_at(33, l.now)) ELSE a.sweep_at END,
        updated_winfo = -1
    FROM locked AS l
    WHERE a.id = l.id AND l.comes_again
)
SELECT
    l.ord,
    CASE WHEN l.comes_again    THEN l.to_tag || '.' || l.now_s
         WHEN l.renewed_at > 0 THEN l.to_tag || '.' || l.renewed_at
         ELSE l.to_tag END AS to_tag
FROM locked AS l
