-- subscription.refresh_batch
-- Purpose:    refresh and end dialogs; for each accepted request a NOTIFY is due at once
-- Called by:  server/src/subscribe.rs through write_batch.rs, once per batch
-- Parameters: callid text[] | to_tag text[] | from_tag text[] | event text[] | event_id text[] | remote_cseq int8[] | contact text[] (null keeps the old one) | granted_s int8[] (0 = unsubscribe) | flow text[] | local_contact text[] (empty keeps the old one) | cseq_offset int8 | now timestamptz (tests only, else null) | under_rules bool[] (the package is) | requester_username text[] (who has proven that he sends it, null: nobody is asked) | requester_domain text[] | request int8[] (digest: tells a copy from another request with the same CSeq)
-- Returns:    ord int8 (from 1: an input whose dialog is known) | outcome text (accepted, no_dialog, out_of_order, forbidden) | granted_s int8 | local_contact text
-- Locks:      active_watchers rows by (uri, event, id), then notify_queue by key (by trigger)
-- Plan:       active_watchers_dialog_idx, active_watchers_pkey
-- Retry:      safe, a second run finds its own CSeq
-- RFC:        6665 sections 4.2.1.1 and 4.2.1.4; 3261 section 12.2.2: a lower CSeq is out of order
--
-- The same request again is a copy of one that was answered: same answer, no change, also after the dialog has ended. After 64*T1 = 32 s
-- it is no copy any more; when the last one came, expires and granted_s say. The stored CSeq with another request is not lower than
-- itself, and is taken: some phones use one CSeq for all (RFC 3261 section 12.2.2 rejects lower ones only).
-- One that is behind by no more than cseq_offset is taken; it does not lower the stored CSeq.
-- A dialog belongs to whom it was made with: another requester is refused, whatever else holds.
-- A dialog whose time is up is gone (481), although the sweep may not have come by yet.
-- A change of contact or flow raises target_version: verdicts on NOTIFYs to the old target no longer apply, and take does not
-- wait for them. Not so where both flows lead to the same Contact by UDP (their Routes say connect, and not by=tcp): the phone has come
-- to another server, and is where it was. Two NOTIFYs under way through two servers could overtake each other.
-- The route set stays (RFC 3261 section 12.2.2 refreshes the target only).
-- A dialog whose package came under rules since it was stored is undecided from now on; one whose package is free of them is free.
WITH input AS MATERIALIZED (
    SELECT i.ord, i.callid, i.to_tag, i.from_tag, i.event, i.event_id, i.remote_cseq, i.contact, i.granted_s, i.flow,
           i.local_contact, i.under_rules, i.requester_username, i.requester_domain, i.request, t.now
    FROM unnest(:callid::text[], :to_tag::text[], :from_tag::text[], :event::text[], :event_id::text[], :remote_cseq::bigint[],
                :contact::text[], :granted_s::bigint[], :flow::text[], :local_contact::text[], :under_rules::boolean[],
                :requester_username::text[], :requester_domain::text[], :request::bigint[])
             WITH ORDINALITY
             AS i (callid, to_tag, from_tag, event, event_id, remote_cseq, contact, granted_s, flow, local_contact,
                   under_rules, requester_username, requester_domain, request, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
locked AS MATERIALIZED (
    SELECT
        i.ord, i.remote_cseq, i.contact, i.granted_s, i.flow, i.local_contact, i.under_rules, i.request, i.now,
        a.id,
        a.granted_s     AS granted_before_s,
        a.local_contact AS contact_before,
        COALESCE(i.contact, a.contact) <> a.contact
        OR (i.flow <> a.flow
            AND NOT (i.flow LIKE '%;transport=tcp;connect=%' AND a.flow LIKE '%;transport=tcp;connect=%')) AS has_moved,
        CASE WHEN (i.requester_username, i.requester_domain) <> (a.watcher_username, a.watcher_domain) THEN 'forbidden'
             WHEN a.remote_cseq = i.remote_cseq AND a.remote_request = i.request
                  AND floor(extract(epoch FROM i.now)) <= a.expires - a.granted_s + 32 THEN 'repeated'
             WHEN a.status = 3 OR NOT is_live(a.expires, i.now) THEN 'no_dialog'
             WHEN i.remote_cseq + :cseq_offset::bigint < a.remote_cseq THEN 'out_of_order'
             ELSE 'applies' END AS verdict
    FROM input AS i
    JOIN active_watchers AS a ON a.callid = i.callid AND a.to_tag = i.to_tag AND a.from_tag = i.from_tag
    WHERE a.event = i.event AND a.event_id = i.event_id
    ORDER BY a.presentity_uri, a.event, a.id
    FOR UPDATE OF a
),
refreshed AS (
    UPDATE active_watchers AS a
    SET remote_cseq    = GREATEST(a.remote_cseq, l.remote_cseq),
        remote_request = CASE WHEN l.remote_cseq >= a.remote_cseq THEN l.request ELSE a.remote_request END,
        contact        = COALESCE(l.contact, a.contact),
        flow           = l.flow,
        target_version = a.target_version + CASE WHEN l.has_moved THEN 1 ELSE 0 END,
        local_contact  = COALESCE(NULLIF(l.local_contact, ''), a.local_contact),
        granted_s      = l.granted_s,
        expires        = expiry_at(l.granted_s, l.now),
        status         = CASE WHEN l.granted_s = 0 THEN 3
                              WHEN a.status = 2 AND NOT l.under_rules THEN 1
                              ELSE a.status END,
        reason         = CASE WHEN l.granted_s = 0 THEN 'timeout' ELSE a.reason END,
        sweep_at       = CASE WHEN l.granted_s = 0 THEN expiry_at(300, l.now) ELSE a.sweep_at END,
        view           = CASE WHEN l.under_rules OR a.decided_version IS NULL THEN a.view ELSE 'all' END,
        decided_version = CASE WHEN l.under_rules THEN COALESCE(a.decided_version, -1) END,
        -- What was on its way to the old target may not have arrived.
        shown          = CASE WHEN l.has_moved THEN NULL ELSE a.shown END,
        updated        = 0,
        updated_winfo  = -1,
        winfo_told_to  = NULL,
        retry_at       = 0,
        failures       = 0
    FROM locked AS l
    WHERE a.id = l.id AND l.verdict = 'applies'
)
SELECT
    l.ord,
    CASE WHEN l.verdict IN ('applies', 'repeated') THEN 'accepted' ELSE l.verdict END AS outcome,
    CASE WHEN l.verdict = 'repeated' THEN l.granted_before_s ELSE l.granted_s END AS granted_s,
    COALESCE(NULLIF(CASE WHEN l.verdict <> 'repeated' THEN l.local_contact END, ''), l.contact_before) AS local_contact
FROM locked AS l
