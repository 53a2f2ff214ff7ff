-- What has ended stays ended: publications remember which dialogs they have called terminated, when their body says so no more.
--
-- On the publication's own row, because a PUBLISH writes that one anyway; as numbers, because a call-id is some 50 octets, and a
-- busy line ends a call a minute. Nobody who writes a row by hand needs to fill them: then an end is known as long as the row's
-- body says so.

ALTER TABLE presentity
    ADD COLUMN ended    bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN ended_at bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN has_dialog boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT "each end has a time, and there are at most 128"
        CHECK (cardinality(ended) = cardinality(ended_at) AND cardinality(ended) <= 128);

COMMENT ON COLUMN presentity.ended IS 'Keys of dialogs that this publication has called terminated, newest first: they do not come back to life. One to four for each dialog. Written by servers, and by the sweep, which hands them on when the publication is forgotten.';
COMMENT ON COLUMN presentity.ended_at IS 'When it has called them so, epoch microsecond each. Written with ended.';
COMMENT ON COLUMN presentity.has_dialog IS 'Of dialog;sla: the present body has a dialog, so another sender''s body without one does not replace it. Written by servers.';
