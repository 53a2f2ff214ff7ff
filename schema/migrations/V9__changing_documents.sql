-- A document may change although no publication does: a call that rings too long to be true is over.
--
-- notify_queue.due is from here on the earliest of what V6 says, and of changes_at, but not before not_before.

ALTER TABLE notify_queue ADD COLUMN changes_at timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN notify_queue.changes_at IS 'When the document changes although no publication does (a call that rings too long to be true); infinity = never. Nothing is owed before. Written by claim and settle.';
