-- The tables that the triggers of this schema stand on, next to those that are asked for: $1 presentity, $2 active_watchers, $3 watchers.
-- The functions are found as statements find them, so that of several schemas in one database it is this one's.
SELECT t.tgrelid::regclass::text AS found, t.tgrelid = to_regclass(f.name) AS same
FROM (VALUES (1, 'queue_publications', $1::text), (2, 'queue_flagged_dialogs', $2::text), (3, 'queue_waiting_watchers', $3::text))
         AS f (number, trigger_function, name)
LEFT JOIN LATERAL (SELECT g.tgrelid FROM pg_trigger AS g WHERE g.tgfoid = to_regproc(f.trigger_function) LIMIT 1) AS t ON true
ORDER BY f.number
