-- Who is alive, and the secret that all share.

CREATE TABLE node (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text NOT NULL,
    host      text NOT NULL,
    pid       integer NOT NULL,
    address   text NOT NULL DEFAULT '',
    version   text NOT NULL DEFAULT '',
    started   timestamptz NOT NULL DEFAULT now(),
    heartbeat timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "a node has a kind" CHECK (kind <> '')
);

COMMENT ON TABLE node IS 'One row per running process. Written by that process.';
COMMENT ON COLUMN node.id IS 'Never used twice: owner of leases in notify_queue. Written by the database.';
COMMENT ON COLUMN node.kind IS 'server or notifier. Written once, at the start.';
COMMENT ON COLUMN node.host IS 'Name of the machine. Written once, at the start.';
COMMENT ON COLUMN node.pid IS 'Process id on that machine. Written once, at the start.';
COMMENT ON COLUMN node.address IS 'Where other processes reach it; empty if nowhere. Written once, at the start.';
COMMENT ON COLUMN node.version IS 'Version of the program. Written once, at the start.';
COMMENT ON COLUMN node.started IS 'When it started. Written once, at the start.';
COMMENT ON COLUMN node.heartbeat IS 'When it last said that it lives. Written every few seconds.';

CREATE TABLE cluster (
    only_row boolean PRIMARY KEY DEFAULT true,
    secret   bytea NOT NULL,
    CONSTRAINT "there is one cluster" CHECK (only_row)
);

COMMENT ON TABLE cluster IS 'What all processes on this database share. One row.';
COMMENT ON COLUMN cluster.only_row IS 'Always true: keeps the table at one row. Written by the migration.';
COMMENT ON COLUMN cluster.secret IS 'Key of entity-tags, To-tags and flow tokens. Written by the migration; changing it orphans what phones hold.';

INSERT INTO cluster (secret)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
