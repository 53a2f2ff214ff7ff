-- What notifiers poll: one narrow row per resource (presentity, event package) whose watchers are owed something.
--
-- Two kinds of debt. A *state change* (version) is owed to all dialogs and paced: not again before not_before. A *flag*
-- (active_watchers.updated) is owed to one dialog, the answer to its SUBSCRIBE, and not paced.
--
--   state owed, nobody at it     version > claimed_version
--   state owed, a holder at it   version = claimed_version > 0
--   no state owed                version = 0
--   due = the earliest of: flagged_due; not_before, if a state change is owed that nobody is at; lease_until, if held
--
-- The last makes a crash visible: an unsettled lease that runs out is due again, and whoever claims the row then gives it a
-- new version, so that every dialog is notified anew: what the dead holder had taken may never have been sent.

CREATE SEQUENCE notify_version CACHE 1;
COMMENT ON SEQUENCE notify_version IS
    'Numbers of state changes and of claims. CACHE 1: they must ascend over all sessions.';

CREATE TABLE notify_queue (
    presentity_uri  text   COLLATE "C" NOT NULL,
    event           text   COLLATE "C" NOT NULL,
    version         bigint NOT NULL DEFAULT 0,
    claimed_version bigint NOT NULL DEFAULT 0,
    flagged_due     timestamptz NOT NULL DEFAULT 'infinity',
    due             timestamptz NOT NULL,
    not_before      timestamptz NOT NULL DEFAULT '-infinity',
    owner           bigint,
    lease_until     timestamptz NOT NULL DEFAULT '-infinity',
    claim           bigint NOT NULL DEFAULT 0,
    owed_since      timestamptz,
    CONSTRAINT notify_queue_pkey PRIMARY KEY (presentity_uri, event),
    CONSTRAINT "nobody works on a state change that has not happened" CHECK (claimed_version <= version)
) WITH (
    -- Every claim and every settle rewrites a row, and due is indexed: many dead rows, which must go quickly, or the
    -- index on due fills with them and each poll wades through.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.0,
    autovacuum_analyze_threshold = 20000
);

COMMENT ON TABLE notify_queue IS
    'One row per resource whose watchers are owed a NOTIFY, or were lately. Written by triggers and notifiers, never by hand.';
COMMENT ON COLUMN notify_queue.presentity_uri IS 'Canonical URI of the presentity. Written once, by triggers.';
COMMENT ON COLUMN notify_queue.event IS 'Event package. Written once, by triggers.';
COMMENT ON COLUMN notify_queue.version IS 'Number of the last state change that is owed; 0 = none. Written by triggers, by a claim that recovers, zeroed by settle.';
COMMENT ON COLUMN notify_queue.claimed_version IS 'Number of the state change that the holder is at; 0 = none. Written by claim and settle.';
COMMENT ON COLUMN notify_queue.flagged_due IS 'When a flagged dialog is to be taken next; infinity = none known. Written by triggers, claim and settle.';
COMMENT ON COLUMN notify_queue.due IS 'When a notifier looks at the row next; infinity = idle. Written by triggers, claim, renew and settle.';
COMMENT ON COLUMN notify_queue.not_before IS 'Before this no further state change is notified (waitn_time after the last). Written by claim and settle.';
COMMENT ON COLUMN notify_queue.owner IS 'node.id of the holder; null = free. Written by claim and settle.';
COMMENT ON COLUMN notify_queue.lease_until IS 'When the holder loses the row, unless it renews. Written by claim and renew.';
COMMENT ON COLUMN notify_queue.claim IS 'Number of the last claim, never used twice. Written by claim.';
COMMENT ON COLUMN notify_queue.owed_since IS 'Since when something has been owed without a break; null = nothing is. For operators. Written by triggers and settle.';

-- Serves queue.claim, queue.claim_overdue and maintenance.delete_idle_resources.
CREATE INDEX notify_queue_due_idx ON notify_queue (due);
