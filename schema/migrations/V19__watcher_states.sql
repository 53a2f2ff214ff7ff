-- The states of all subscriptions in one place, as Kamailio's table watchers has them: of those that were decided about, and of those
-- that there is nothing to decide about.
--
-- A watcher who is let in because there are no rules has no row in watchers. Kamailio writes one with each first SUBSCRIBE. Here that
-- would be a write more for each, and for its end, of what stands in active_watchers anyway: hence a view, which costs a SUBSCRIBE nothing.

CREATE VIEW presence_watcher_states AS
SELECT
    w.id, w.presentity_uri, w.watcher_username, w.watcher_domain, w.event, w.status, w.reason, w.inserted_time,
    presence_status_name(w.status) AS state, true AS decided
FROM watchers AS w
UNION ALL
SELECT
    s.id, s.presentity_uri, s.watcher_username, s.watcher_domain, s.event, s.status, s.reason, s.inserted_time,
    presence_status_name(s.status), false
FROM (
    -- Of several dialogs of a watcher the one in the best state, and of these the newest.
    SELECT DISTINCT ON (a.presentity_uri, a.event, a.watcher_username, a.watcher_domain)
        -a.id AS id, a.presentity_uri, a.watcher_username, a.watcher_domain, a.event, a.status,
        CASE WHEN a.status = 1 AND a.view = 'polite-block' THEN 'polite-block' ELSE a.reason END AS reason,
        a.created_time AS inserted_time
    FROM active_watchers AS a
    WHERE a.status <> 3 AND is_live(a.expires, presence_now())
    ORDER BY a.presentity_uri, a.event, a.watcher_username, a.watcher_domain, a.status, a.id DESC) AS s
WHERE NOT EXISTS (
    SELECT FROM watchers AS w
    WHERE w.presentity_uri = s.presentity_uri AND w.watcher_username = s.watcher_username
      AND w.watcher_domain = s.watcher_domain AND w.event = s.event);
COMMENT ON VIEW presence_watcher_states IS
    'In which state each watcher is, with the columns of Kamailio''s table watchers: what was decided (decided, id of watchers), else the state of the living subscription (id of active_watchers, negative; inserted_time = its first SUBSCRIBE). One row for a presentity, watcher and event.';

CREATE OR REPLACE FUNCTION presence_grant() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    place text;
    name  text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_server') THEN
        -- RPC: cleanup removes, gives up on watchers and forgets them; lists read, updateWatchers reads decisions.
        GRANT SELECT, INSERT, UPDATE, DELETE ON presentity, active_watchers, notify_queue, node TO pgpresence_server;
        GRANT SELECT, UPDATE, DELETE ON watchers TO pgpresence_server;
        GRANT SELECT ON xcap, cluster, refinery_schema_history TO pgpresence_server;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_server;
        GRANT SELECT ON presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state TO pgpresence_server;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_notifier') THEN
        -- Not the secret of cluster: a notifier derives nothing.
        GRANT SELECT, UPDATE, DELETE ON presentity, active_watchers TO pgpresence_notifier;
        GRANT SELECT, INSERT, UPDATE, DELETE ON notify_queue, watchers, node TO pgpresence_notifier;
        GRANT SELECT ON xcap, refinery_schema_history TO pgpresence_notifier;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_notifier;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_reader') THEN
        GRANT SELECT ON presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state, presentity, active_watchers, watchers,
            notify_queue, node TO pgpresence_reader;
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

SELECT presence_grant();
