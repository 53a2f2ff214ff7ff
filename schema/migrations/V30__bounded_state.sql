-- Watcher information in pieces.
--
-- The list of ten thousand watchers does not fit in a NOTIFY. Who is to be told all of it gets an empty full state and then partial ones,
-- each with the next watchers by their number (RFC 3857 section 4.5: "partial notifications"; RFC 3858 section 4). How far it was told stands
-- with the dialog, so that any notifier can go on.

ALTER TABLE active_watchers ADD COLUMN winfo_told_to bigint;
COMMENT ON COLUMN active_watchers.winfo_told_to IS 'Only in dialogs of watcher information that is told in pieces: up to which watcher (id in watcher information, without its letter) it has been told. Null: the next NOTIFY tells all, or what changed. Written by notifiers; a SUBSCRIBE begins anew.';
