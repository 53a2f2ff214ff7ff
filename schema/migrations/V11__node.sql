-- Who is alive, and what it does.
--
-- Which event packages are served and what becomes of watchers without rules says the configuration, which the database does not know. So each
-- process says it in its row, and an order is judged by the rows that are there. Rejected: a list that stays when the processes have gone, which
-- would be that of a configuration that may be another by now. While no process runs (or none that says it), any event is taken: a wrong one
-- owes a NOTIFY to nobody.

CREATE TABLE node (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    heartbeat      timestamptz NOT NULL DEFAULT now(),
    started        timestamptz NOT NULL DEFAULT now(),
    pid            integer NOT NULL,
    kind           text NOT NULL,
    host           text NOT NULL,
    address        text NOT NULL DEFAULT '',
    version        text NOT NULL DEFAULT '',
    events         text[] NOT NULL DEFAULT '{}',
    default_policy text NOT NULL DEFAULT '',
    CONSTRAINT "a node has a kind" CHECK (kind <> ''),
    CONSTRAINT "a process lets in, has confirmed or refuses, or reads no rules"
        CHECK (default_policy IN ('', 'allow', 'confirm', 'block', 'force_active'))
);

COMMENT ON TABLE node IS 'One row per running process. Written by that process.';
COMMENT ON COLUMN node.id IS 'Never used twice: owner of leases in notify_queue. Written by the database.';
COMMENT ON COLUMN node.heartbeat IS 'When it last said that it lives. Written every few seconds.';
COMMENT ON COLUMN node.started IS 'When it started. Written once, at the start.';
COMMENT ON COLUMN node.pid IS 'Process id on that machine. Written once, at the start.';
COMMENT ON COLUMN node.kind IS 'server or notifier. Written once, at the start.';
COMMENT ON COLUMN node.host IS 'Name of the machine. Written once, at the start.';
COMMENT ON COLUMN node.address IS 'Where other processes reach it; empty if nowhere. Written once, at the start.';
COMMENT ON COLUMN node.version IS 'Version of the program. Written once, at the start.';
COMMENT ON COLUMN node.events IS 'The event packages that it serves, as in column event; empty if it does not say. Written once, at the start.';
COMMENT ON COLUMN node.default_policy IS 'How it has watchers handled whose presentity has no rules: allow, confirm, block; force_active = it reads no rules, and lets everybody in. Empty: it does not say. Written once, at the start.';
