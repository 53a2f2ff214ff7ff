-- Roles with exactly the rights that each kind of process needs. Grant one to the account that the process logs in with:
--   GRANT pgpresence_server TO sip_frontend
-- A server with notifier_processes = 0 sends NOTIFYs itself and needs both.
--
-- Roles belong to the whole cluster: another database may have made them, and whoever migrates may not be allowed to. Then there are
-- no roles, the migrating account's own rights are what there is, and a warning says so.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['pgpresence_server', 'pgpresence_notifier', 'pgpresence_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                -- Made at this moment by the migration of another database.
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE WARNING 'the role % is missing and % may not create it: have it created, then run SELECT presence_grant()', name, current_user;
            END;
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION presence_grant() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    place text;
    name  text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_server') THEN
        -- RPC: cleanup removes, gives up on watchers and forgets them; lists read, updateWatchers reads decisions.
        GRANT SELECT, INSERT, UPDATE, DELETE ON presentity, active_watchers, notify_queue, node TO pgpresence_server;
        GRANT SELECT, UPDATE, DELETE ON watchers TO pgpresence_server;
        GRANT SELECT ON xcap, cluster, quarantine, refinery_schema_history TO pgpresence_server;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_server;
        GRANT SELECT ON presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state TO pgpresence_server;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_notifier') THEN
        -- Not the secret of cluster: a notifier derives nothing.
        GRANT SELECT, UPDATE, DELETE ON presentity, active_watchers TO pgpresence_notifier;
        GRANT SELECT, INSERT, UPDATE, DELETE ON notify_queue, watchers, node, quarantine TO pgpresence_notifier;
        GRANT SELECT ON xcap, refinery_schema_history TO pgpresence_notifier;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_notifier;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_reader') THEN
        GRANT SELECT ON presence_publications, presence_subscriptions, presence_decisions, presence_watcher_states, presence_backlog,
            presence_processes, presence_usage, presence_gone_phones, presence_hard_state, presentity, active_watchers, watchers,
            notify_queue, node, quarantine TO pgpresence_reader;
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
    'Gives pgpresence_server, pgpresence_notifier and pgpresence_reader their rights on this database, those of them that exist. Run by the migration; again by hand where they were made later.';

SELECT presence_grant();
