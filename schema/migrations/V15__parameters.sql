-- What parameters of the guide need: delete_same_subs, presentity_table and its like.

-- === delete_same_subs ===

-- A phone that rebooted subscribes anew and knows nothing of the dialog that it had, which lives on, and is notified in vain, until it
-- expires. What makes two subscriptions one phone's is in the new column (delete_same_subs); the newest of them stays.

ALTER TABLE active_watchers ADD COLUMN subscriber_key text COLLATE "C";
COMMENT ON COLUMN active_watchers.subscriber_key IS 'What makes a later subscription of the same watcher to the same resource take the place of this one: the Call-ID, or the phone (its +sip.instance, or where its Contact leads); null = nothing does. By delete_same_subs. Written once, by servers.';

-- Serves subscription.supersede_batch. Partial: empty as long as delete_same_subs is 0. Not WHERE status <> 3 as well: then each change of
-- status would touch it, and a phone has few rows, which go 32 s after their end.
CREATE INDEX active_watchers_subscriber_idx ON active_watchers (presentity_uri, subscriber_key) WHERE subscriber_key IS NOT NULL;

-- === presentity_table, active_watchers_table, watchers_table ===

-- As before, and with the right to the schemas of their own in which these tables may be.
CREATE OR REPLACE FUNCTION presence_grant() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    place text;
    name  text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_server') THEN
        -- RPC: cleanup removes, lists read, updateWatchers reads decisions.
        GRANT SELECT, INSERT, UPDATE, DELETE ON presentity, active_watchers, notify_queue, node TO pgpresence_server;
        GRANT SELECT ON watchers, xcap, cluster, refinery_schema_history TO pgpresence_server;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_server;
        GRANT SELECT ON presence_publications, presence_subscriptions, presence_decisions, presence_backlog, presence_processes,
            presence_usage, presence_gone_phones TO pgpresence_server;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_notifier') THEN
        -- Not the secret of cluster: a notifier derives nothing.
        GRANT SELECT, UPDATE, DELETE ON presentity, active_watchers TO pgpresence_notifier;
        GRANT SELECT, INSERT, UPDATE, DELETE ON notify_queue, watchers, node TO pgpresence_notifier;
        GRANT SELECT ON xcap, refinery_schema_history TO pgpresence_notifier;
        GRANT USAGE ON SEQUENCE notify_version TO pgpresence_notifier;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgpresence_reader') THEN
        GRANT SELECT ON presence_publications, presence_subscriptions, presence_decisions, presence_backlog, presence_processes,
            presence_usage, presence_gone_phones, presentity, active_watchers, watchers, notify_queue, node TO pgpresence_reader;
    END IF;
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
