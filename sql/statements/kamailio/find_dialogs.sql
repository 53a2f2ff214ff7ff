-- kamailio.find_dialogs
-- Purpose:    see which dialogs Kamailio still has
-- Called by:  cli/src/import.rs, on Kamailio's database
-- Parameters: callid text[] | to_tag text[] | from_tag text[]
-- Returns:    ord int8 (from 1)
-- Locks:      none
-- Plan:       active_watchers_dialog_idx, or Kamailio's own of the same columns
-- Retry:      safe
-- RFC:        none
SELECT i.ord
FROM unnest(:callid::text[], :to_tag::text[], :from_tag::text[]) WITH ORDINALITY AS i (callid, to_tag, from_tag, ord)
JOIN active_watchers AS a ON a.callid = i.callid AND a.to_tag = i.to_tag AND a.from_tag = i.from_tag
