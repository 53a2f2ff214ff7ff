-- Rights by column: each kind of process may do what its statements do, and nothing else. A test walks the statements under these roles,
-- and holds the catalogue against a list of its own, so that a new table or column is nobody's until somebody decides.
--
-- What they keep apart: a notifier changes no document, Contact, flow or route; a server takes no lease, writes no document of rules and
-- decides about no watcher; a reader sees no flow, entity-tag, dialog, password or secret, in no table and in no view.

CREATE OR REPLACE FUNCTION presence_grant() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
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
COMMENT ON FUNCTION presence_grant() IS
    'Gives pgpresence_server, pgpresence_notifier and pgpresence_reader their rights on this database, column by column, those of them that exist, and takes all others away. Run by the migration; again by hand where they were made later.';

SELECT presence_grant();
