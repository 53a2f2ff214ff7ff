-- subscription.create_batch
-- Purpose:    store new dialogs and fetches, with a NOTIFY due for each at once; a copy of a request finds its own dialog
-- Called by:  server/src/subscribe.rs through write_batch.rs, once per batch
-- Parameters: presentity_uri text[] | event text[] | event_id text[] | watcher_username text[] | watcher_domain text[] | to_user text[] | to_domain text[] | from_user text[] | from_domain text[] | local_uri text[] | remote_uri text[] | to_tag text[] | from_tag text[] | callid text[] | remote_cseq int8[] | contact text[] | record_route text[] | granted_s int8[] (0 = fetch) | accept text[] | user_agent text[] | flow text[] | local_contact text[] | socket_info text[] | now timestamptz (tests only, else null) | under_rules bool[] (the package is) | allowed bool[] (by default, without a document) | from_display text[] | subscriber_key text[] (shorter than the others, or null: the rest has none)
-- Returns:    one row per input, input order: granted_s int8 | local_contact text | in_use bool (its To-tag is that of a dialog of the time before: see subscription.renew_batch)
-- Locks:      new keys of active_watchers by (callid, to_tag, from_tag) (only statements like this one wait for each other there), then notify_queue by key (by trigger)
-- Plan:       active_watchers_dialog_idx, xcap_rules_idx
-- Retry:      safe, the To-tag is derived from the request
-- RFC:        6665 section 4.2.1; a fetch (4.4.3) is a dialog that is born terminated
--
-- The answer to a copy comes from the stored row. A row that this statement's snapshot cannot see was inserted
-- here, or at this moment by a copy of the request: the same input gives the same answer.
-- Nothing is decided here but that there is nothing to be decided: the presentity has no rules document, and without one everybody
-- is let in. Else the dialog is stored undecided and shows nothing. A document that is being stored at this moment is seen by the
-- trigger, which compares decided_version with the rules_version that the document gives. (It also makes those undecided whose
-- presentity once had a document: reading rules_version here would spare a notifier the decision, and cost each SUBSCRIBE 2 us.)
WITH input AS MATERIALIZED (
    SELECT
        i.ord, i.presentity_uri, i.event, i.event_id, i.watcher_username, i.watcher_domain, i.to_user, i.to_domain,
        i.from_user, i.from_domain, i.local_uri, i.remote_uri, i.to_tag, i.from_tag, i.callid, i.remote_cseq, i.contact,
        i.record_route, i.granted_s, i.accept, i.user_agent, i.flow, i.local_contact, i.socket_info,
        i.from_display, i.subscriber_key, t.now,
        -- null = not under rules, -1 = to be decided.
        CASE WHEN NOT i.under_rules THEN NULL
             WHEN NOT i.allowed THEN -1
             -- Not EXISTS, which a plan made while the table was small might answer by reading all of it.
             WHEN (SELECT true FROM xcap AS x WHERE x.presentity_uri = i.presentity_uri AND x.doc_type = 2 LIMIT 1)
             THEN -1
             ELSE 0 END AS decided_version
    FROM unnest(:presentity_uri::text[], :event::text[], :event_id::text[], :watcher_username::text[], :watcher_domain::text[],
                :to_user::text[], :to_domain::text[], :from_user::text[], :from_domain::text[], :local_uri::text[],
                :remote_uri::text[], :to_tag::text[], :from_tag::text[], :callid::text[], :remote_cseq::bigint[], :contact::text[],
                :record_route::text[], :granted_s::bigint[], :accept::text[], :user_agent::text[], :flow::text[],
                :local_contact::text[], :socket_info::text[], :under_rules::boolean[], :allowed::boolean[], :from_display::text[],
                :subscriber_key::text[])
             WITH ORDINALITY
             AS i (presentity_uri, event, event_id, watcher_username, watcher_domain, to_user, to_domain, from_user,
                   from_domain, local_uri, remote_uri, to_tag, from_tag, callid, remote_cseq, contact, record_route,
                   granted_s, accept, user_agent, flow, local_contact, socket_info, under_rules, allowed, from_display,
                   subscriber_key, ord)
    CROSS JOIN (SELECT COALESCE(:now::timestamptz, now()) AS now) AS t
),
created AS (
    INSERT INTO active_watchers (
        presentity_uri, event, event_id, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
        local_uri, remote_uri, to_tag, from_tag, callid, remote_cseq, contact, record_route, granted_s, accept, user_agent,
        flow, local_contact, socket_info, from_display, created_time, expires, status, reason, updated, updated_winfo,
        winfo_changed_at, sweep_at, view, decided_version, subscriber_key)
    SELECT
        i.presentity_uri, i.event, i.event_id, i.watcher_username, i.watcher_domain, i.to_user, i.to_domain, i.from_user,
        i.from_domain, i.local_uri, i.remote_uri, i.to_tag, i.from_tag, i.callid, i.remote_cseq, i.contact, i.record_route,
        i.granted_s, i.accept, i.user_agent, i.flow, i.local_contact, i.socket_info, i.from_display,
        floor(extract(epoch FROM i.now))::bigint,
        expiry_at(i.granted_s, i.now),
        CASE WHEN i.granted_s = 0 THEN 3 WHEN i.decided_version = -1 THEN 2 ELSE 1 END,
        CASE WHEN i.granted_s = 0 THEN 'timeout' ELSE '' END,
        0,
        1,
        i.now,
        -- A fetch is not swept, it ends with its NOTIFY; should that be forgotten, the sweep makes it due again.
        expiry_at(CASE WHEN i.granted_s = 0 THEN 300 ELSE i.granted_s END, i.now),
        CASE WHEN i.decided_version = -1 THEN 'none' ELSE 'all' END,
        i.decided_version,
        i.subscriber_key
    FROM input AS i
    ORDER BY i.callid COLLATE "C", i.to_tag COLLATE "C", i.from_tag COLLATE "C"
    ON CONFLICT (callid, to_tag, from_tag) DO NOTHING
)
SELECT
    CASE WHEN a.remote_cseq = i.remote_cseq THEN a.granted_s ELSE i.granted_s END AS granted_s,
    COALESCE(a.local_contact, i.local_contact) AS local_contact,
    COALESCE(a.renewed_at > 0 OR a.created_time < floor(extract(epoch FROM i.now))::bigint - 32, false) AS in_use
FROM input AS i
LEFT JOIN active_watchers AS a ON a.callid = i.callid AND a.to_tag = i.to_tag AND a.from_tag = i.from_tag
ORDER BY i.ord
