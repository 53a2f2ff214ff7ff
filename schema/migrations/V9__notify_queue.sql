-- What notifiers poll: one narrow row per resource (presentity, event package) whose watchers are owed something.
--
-- Two kinds of debt. A *state change* (version) is owed to all dialogs and paced: not again before not_before. A *flag*
-- (active_watchers.updated) is owed to one dialog, the answer to its SUBSCRIBE, and not paced.
--
--   state owed, nobody at it     version > claimed_version
--   state owed, a holder at it   version = claimed_version > 0
--   no state owed                version = 0
--   due = the earliest of: flagged_due; not_before, if a state change is owed that nobody is at; changes_at, but not before not_before;
--         decide_at; lease_until, if held
--
-- The last makes a crash visible: an unsettled lease that runs out is due again, and whoever claims the row then gives it a
-- new version, so that every dialog is notified anew: what the dead holder had taken may never have been sent.
--
-- A document may change although no publication does: a call that rings too long to be true is over (changes_at).
--
-- Rules (RFC 4745, RFC 5025): who may watch, and what is shown to whom. Servers store subscriptions and decide nothing. All decisions about a
-- presentity, whatever the event package, are made by the notifier that holds its queue row (presentity_uri, 'presence'), so that one at
-- a time decides:
--
--   a changed rules document      gives that row a new rules_version, and makes it due to decide (decide_at)
--   a new dialog, undecided       makes it due to decide; nobody takes the dialog before
--   a decision that time changes  is made again when decide_at comes
--
-- A server that finds no rules document lets the watcher in by default, without a decision. Both it and whoever stores a document
-- lock the queue row (by trigger); whichever commits second sees the other, and the decision is made anew. Decisions do not wait for
-- not_before.

CREATE SEQUENCE notify_version CACHE 1;
COMMENT ON SEQUENCE notify_version IS
    'Numbers of state changes and of claims. CACHE 1: they must ascend over all sessions.';

CREATE TABLE notify_queue (
    due               timestamptz NOT NULL,
    decide_at         timestamptz NOT NULL DEFAULT 'infinity',
    flagged_due       timestamptz NOT NULL DEFAULT 'infinity',
    not_before        timestamptz NOT NULL DEFAULT '-infinity',
    changes_at        timestamptz NOT NULL DEFAULT 'infinity',
    lease_until       timestamptz NOT NULL DEFAULT '-infinity',
    claim             bigint NOT NULL DEFAULT 0,
    -- Before sender_version, which is made of the number that is drawn for this one (queue_publication_changes).
    version           bigint NOT NULL DEFAULT 0,
    claimed_version   bigint NOT NULL DEFAULT 0,
    recovered_version bigint NOT NULL DEFAULT 0,
    full_version      bigint NOT NULL DEFAULT 0,
    rules_version     bigint NOT NULL DEFAULT 0,
    decided_rules     bigint NOT NULL DEFAULT 0,
    sender_version    bigint NOT NULL DEFAULT 0,
    sender_since      bigint NOT NULL DEFAULT 0,
    -- An upper bound, because nothing is ever taken off; only when it reaches the limit the publications are counted, and from then on it is
    -- right again. Where nobody knows what there is already (a new row), it begins near the limit, so that it is counted soon.
    published_octets  bigint NOT NULL DEFAULT 458752,
    owner             bigint,
    owed_since        timestamptz,
    -- Most resources have nobody who watches their watchers. The row that is locked anyway remembers whether there ever was somebody, and
    -- answers when it is locked, so that nothing has to be looked for. It is never taken back: then the row may go, and with it what it
    -- remembers (maintenance.delete_idle_resources).
    winfo_watched     boolean NOT NULL DEFAULT false,
    presentity_uri    canonical_uri NOT NULL,
    event             queued_event NOT NULL,
    sender            text   NOT NULL DEFAULT '',
    CONSTRAINT notify_queue_pkey PRIMARY KEY (presentity_uri, event),
    CONSTRAINT "nobody works on a state change that has not happened" CHECK (claimed_version <= version)
) WITH (
    -- Every claim and every settle rewrites a row, and due is indexed: many dead rows, which must go quickly, or the
    -- indexes on due fill with them and each poll wades through.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.0,
    autovacuum_analyze_threshold = 20000
);

COMMENT ON TABLE notify_queue IS
    'One row per resource whose watchers are owed a NOTIFY, or were lately. Written by triggers and notifiers, never by hand.';
COMMENT ON COLUMN notify_queue.due IS 'When a notifier looks at the row next; infinity = idle. Written by triggers, claim, renew and settle.';
COMMENT ON COLUMN notify_queue.decide_at IS 'When it is to be decided about watchers; infinity = not. Only in rows of presence. Written by triggers, claim and settle.';
COMMENT ON COLUMN notify_queue.flagged_due IS 'When a flagged dialog is to be taken next; infinity = none known. Written by triggers, claim and settle.';
COMMENT ON COLUMN notify_queue.not_before IS 'Before this no further state change is notified (waitn_time after the last). Written by claim and settle.';
COMMENT ON COLUMN notify_queue.changes_at IS 'When the document changes although no publication does (a call that rings too long to be true); infinity = never. Nothing is owed before. Written by claim and settle.';
COMMENT ON COLUMN notify_queue.lease_until IS 'When the holder loses the row, unless it renews. Written by claim and renew.';
COMMENT ON COLUMN notify_queue.claim IS 'Number of the last claim, never used twice. Written by claim.';
COMMENT ON COLUMN notify_queue.version IS 'Number of the last state change that is owed; 0 = none. Written by triggers, by a claim that recovers, zeroed by settle.';
COMMENT ON COLUMN notify_queue.claimed_version IS 'Number of the state change that the holder is at; 0 = none. Written by claim and settle.';
COMMENT ON COLUMN notify_queue.recovered_version IS 'Version that a recovery gave, which pending dialogs are owed as well, though they are not told of state; 0 = none. Written by claim and settle.';
COMMENT ON COLUMN notify_queue.full_version IS 'A dialog that was last notified of an older version than this is told everything, whatever it was shown last: a NOTIFY to it may have been lost, a watcher deleted, or somebody ordered it; 0 = none. Written by claim, settle and triggers.';
COMMENT ON COLUMN notify_queue.rules_version IS 'Number of the last change of the rules of this presentity; 0 = it never had any. Only in rows of presence. Written by triggers.';
COMMENT ON COLUMN notify_queue.decided_rules IS 'rules_version that all its watchers have been decided by. Written by settle.';
COMMENT ON COLUMN notify_queue.sender_version IS 'Up to which version sender holds. Another than version: something else has changed since, and sender means nothing. Written by a trigger.';
COMMENT ON COLUMN notify_queue.sender_since IS 'Version before the first of the changes that sender made, 0 if nothing was owed then: to a dialog that was notified of this version, nothing but its own changes is new. Written by a trigger.';
COMMENT ON COLUMN notify_queue.published_octets IS 'No less than the octets of all live publications, each counted as 1024 at least: what has come since they were counted last. Counted when it exceeds 524288; then the oldest of the publisher that has most are ended. Written by triggers.';
COMMENT ON COLUMN notify_queue.owner IS 'node.id of the holder; null = free. Written by claim and settle.';
COMMENT ON COLUMN notify_queue.owed_since IS 'Since when something has been owed without a break; null = nothing is. For operators. Written by triggers and settle.';
COMMENT ON COLUMN notify_queue.winfo_watched IS 'Somebody has subscribed to the watcher information of this resource: when its watchers change, a trigger looks for who is to be told. Such a row stays, like one with rules. Written by a trigger.';
COMMENT ON COLUMN notify_queue.presentity_uri IS 'Canonical URI of the presentity. Written once, by triggers.';
COMMENT ON COLUMN notify_queue.event IS 'Event package. Written once, by triggers.';
COMMENT ON COLUMN notify_queue.sender IS 'presentity.sender of all changes after sender_since up to sender_version: that watcher is not told of them. Empty = several, or nobody knows. Written by a trigger.';

-- Serve queue.claim and queue.claim_overdue. A row is in one of the two, or in none while it is idle. Ten thousand documents that are
-- stored at once fill the second, and nobody's state waits behind them.
CREATE INDEX notify_queue_told_idx ON notify_queue (due) WHERE due < decide_at;
CREATE INDEX notify_queue_decide_idx ON notify_queue (due) WHERE decide_at <= due AND due < 'infinity';
-- Serves maintenance.delete_idle_resources.
CREATE INDEX notify_queue_idle_idx ON notify_queue (not_before) WHERE due = 'infinity';
