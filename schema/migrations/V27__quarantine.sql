-- One bad row harms only itself: what a statement cannot work on is set aside, with the reason, and tried again later; and what is
-- due because of a decision is found by itself.

CREATE TABLE quarantine (
    presentity_uri text        COLLATE "C" NOT NULL,
    event          text        COLLATE "C" NOT NULL,
    dialog         bigint      NOT NULL DEFAULT 0,
    step           text        NOT NULL,
    sqlstate       text        NOT NULL,
    message        text        NOT NULL,
    since          timestamptz NOT NULL DEFAULT presence_now(),
    tries          integer     NOT NULL DEFAULT 1,
    retry_at       timestamptz NOT NULL,
    PRIMARY KEY (presentity_uri, event, dialog)
);

COMMENT ON TABLE quarantine IS 'What a notifier could not work on, because the database refused its data. Written by notifiers; presence_release() lets go.';
COMMENT ON COLUMN quarantine.presentity_uri IS 'Canonical URI of the presentity, as in notify_queue. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.event IS 'Event package, as in notify_queue; presence for decisions. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.dialog IS 'active_watchers.id of the dialog that is set aside; 0 = the whole resource; -1 = what is decided about a watcher who has no dialog. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.step IS 'What could not be done: claim, take, decide, verdicts, settle. Written by notifiers.';
COMMENT ON COLUMN quarantine.sqlstate IS 'The error of PostgreSQL. Written by notifiers.';
COMMENT ON COLUMN quarantine.message IS 'What PostgreSQL said. Written by notifiers.';
COMMENT ON COLUMN quarantine.since IS 'When it was set aside first. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.tries IS 'How often it was tried in vain. Written by notifiers.';
COMMENT ON COLUMN quarantine.retry_at IS 'When it is tried again: 5 s after the first time, then twice as long each time, up to 5 minutes. Written by notifiers.';

-- Serves queue.claim, subscription.take, queue.settle and watcher.list_undecided: what is set aside now. Nearly always empty.
CREATE INDEX quarantine_retry_idx ON quarantine (retry_at);

-- === What is due because of a decision ===

-- Serve queue.claim and queue.claim_overdue. A row is in one of the two, or in none while it is idle. Ten thousand documents that are
-- stored at once fill the second, and nobody's state waits behind them.
CREATE INDEX notify_queue_told_idx ON notify_queue (due) WHERE due < decide_at;
CREATE INDEX notify_queue_decide_idx ON notify_queue (due) WHERE decide_at <= due AND due < 'infinity';
-- Serves maintenance.delete_idle_resources.
CREATE INDEX notify_queue_idle_idx ON notify_queue (not_before) WHERE due = 'infinity';
DROP INDEX notify_queue_due_idx;

-- === What operators see and order ===

CREATE OR REPLACE VIEW presence_backlog AS
SELECT
    q.presentity_uri, q.event,
    CASE WHEN q.version > q.claimed_version AND q.flagged_due < 'infinity' THEN 'state and answers'
         WHEN q.version > 0 THEN 'state'
         WHEN q.decide_at <= presence_now() AND q.flagged_due = 'infinity' THEN 'decisions'
         ELSE 'answers' END AS owed,
    q.owed_since,
    CASE WHEN EXISTS (SELECT FROM quarantine AS x
                      WHERE x.presentity_uri = q.presentity_uri AND x.event = q.event AND x.dialog = 0
                        AND x.retry_at > presence_now()) THEN 'set aside'
         WHEN q.owner IS NOT NULL AND q.lease_until > presence_now() THEN 'being sent'
         WHEN q.owner IS NOT NULL THEN 'left behind'
         WHEN q.due <= presence_now() THEN 'due'
         WHEN q.version > 0 THEN 'paced'
         ELSE 'again' END AS state,
    q.due,
    (SELECT n.kind || ' ' || n.pid || ' on ' || n.host FROM node AS n WHERE n.id = q.owner) AS holder,
    (SELECT count(*)
     FROM active_watchers AS a
     WHERE a.presentity_uri = q.presentity_uri AND a.event = q.event AND NOT a.ended
       AND (a.updated <> -1 OR (a.status = 1 AND a.notified_version < q.version))) AS dialogs
FROM notify_queue AS q
WHERE q.owed_since IS NOT NULL;
COMMENT ON VIEW presence_backlog IS
    'What is waiting to be sent, and since when. state: due = the next free notifier takes it; being sent = by holder; paced = waitn_time holds it until due; again = after a failure, at due; left behind = its holder died, the next notifier sends all of it; set aside = the database refuses its data: see quarantine.';

CREATE FUNCTION presence_release(presentity_uri text, event text) RETURNS bigint
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    watched  text := presence_uri(presence_release.presentity_uri);
    deciding boolean;
    released bigint;
BEGIN
    WITH gone AS (
        DELETE FROM quarantine AS x
        WHERE x.presentity_uri = watched AND x.event = presence_release.event
        RETURNING x.step
    )
    SELECT count(*), COALESCE(bool_or(g.step = 'decide'), false) INTO released, deciding FROM gone AS g;
    IF deciding THEN
        PERFORM presence_decide(watched);
    END IF;
    IF released > 0 THEN
        PERFORM queue_state_changes(ARRAY[watched], ARRAY[presence_release.event]);
    END IF;
    RETURN released;
END
$$;
COMMENT ON FUNCTION presence_release(text, text) IS
    'Has a notifier try again at once what it has set aside of a resource, and all its watchers told; returns how much that was. What the database still refuses is set aside again.';

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
SELECT presence_grant();
