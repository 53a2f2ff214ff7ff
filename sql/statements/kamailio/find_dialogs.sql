-- kamailio.find_dialogs
-- Purpose:    see which dialogs Kamailio still has
-- Called by:  cli/src/import.rs, on Kamailio's database
-- Parameters: $1 callid text[] | $2 to_tag text[] | $3 from_tag text[]
-- Returns:    ord int8 (from 1)
-- Locks:      none
-- Plan:       active_watchers_dialog_idx, or Kamailio's own of the same columns
-- Retry:      safe
-- RFC:        none
SELECT i.ord
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS i (callid, to_tag, from_tag, ord)
JOIN active_watchers AS a ON a.callid = i.callid AND a.to_tag = i.to_tag AND a.from_tag = i.from_tag
