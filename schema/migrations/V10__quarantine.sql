-- One bad row harms only itself: what a statement cannot work on is set aside, with the reason, and tried again later.

CREATE TABLE quarantine (
    dialog         bigint      NOT NULL DEFAULT 0,
    retry_at       timestamptz NOT NULL,
    since          timestamptz NOT NULL DEFAULT presence_now(),
    tries          integer     NOT NULL DEFAULT 1,
    presentity_uri text        COLLATE "C" NOT NULL,
    event          text        COLLATE "C" NOT NULL,
    step           text        NOT NULL,
    sqlstate       text        NOT NULL,
    message        text        NOT NULL,
    PRIMARY KEY (presentity_uri, event, dialog)
);

COMMENT ON TABLE quarantine IS 'What a notifier could not work on, because the database refused its data. Written by notifiers; presence_release() lets go.';
COMMENT ON COLUMN quarantine.dialog IS 'active_watchers.id of the dialog that is set aside; 0 = the whole resource; -1 = what is decided about a watcher who has no dialog. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.retry_at IS 'When it is tried again: 5 s after the first time, then twice as long each time, up to 5 minutes. Written by notifiers.';
COMMENT ON COLUMN quarantine.since IS 'When it was set aside first. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.tries IS 'How often it was tried in vain. Written by notifiers.';
COMMENT ON COLUMN quarantine.presentity_uri IS 'Canonical URI of the presentity, as in notify_queue. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.event IS 'Event package, as in notify_queue; presence for decisions. Written once, by a notifier.';
COMMENT ON COLUMN quarantine.step IS 'What could not be done: claim, take, decide, verdicts, settle. Written by notifiers.';
COMMENT ON COLUMN quarantine.sqlstate IS 'The error of PostgreSQL. Written by notifiers.';
COMMENT ON COLUMN quarantine.message IS 'What PostgreSQL said. Written by notifiers.';

-- Serves queue.claim, subscription.take, queue.settle and watcher.list_undecided: what is set aside now. Nearly always empty.
CREATE INDEX quarantine_retry_idx ON quarantine (retry_at);
