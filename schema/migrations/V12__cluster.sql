-- What all processes on this database share.

CREATE TABLE cluster (
    only_row  boolean PRIMARY KEY DEFAULT true,
    uri_match smallint,
    secret    bytea NOT NULL,
    CONSTRAINT "there is one cluster" CHECK (only_row),
    CONSTRAINT "change it by: pgpresence migrate --uri-match" CHECK (uri_match = presence_uri_match())
);

COMMENT ON TABLE cluster IS 'What all processes on this database share. One row.';
COMMENT ON COLUMN cluster.only_row IS 'Always true: keeps the table at one row. Written by the migration.';
COMMENT ON COLUMN cluster.uri_match IS 'What presence_uri_match() is: 0 = users are compared by case, 1 = not; null until the first pgpresence migrate has written what its configuration says. Written by presence_change_uri_match.';
COMMENT ON COLUMN cluster.secret IS 'Key of entity-tags, To-tags and flow tokens. Written by the migration; changing it orphans what phones hold.';

INSERT INTO cluster (secret)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
