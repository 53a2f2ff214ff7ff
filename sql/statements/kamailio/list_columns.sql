-- kamailio.list_columns
-- Purpose:    see which of Kamailio's presence tables are there, and with which columns
-- Called by:  cli/src/import.rs, once, on Kamailio's database
-- Parameters: presentity text (what the table is called there, ready to stand in SQL) | active_watchers text | watchers text
-- Returns:    table_name text (the usual one) | column_name text
-- Locks:      none
-- Plan:       system catalogues
-- Retry:      safe
-- RFC:        none
SELECT t.table_name, a.attname::text AS column_name
FROM (VALUES ('presentity', to_regclass(:presentity::text)), ('active_watchers', to_regclass(:active_watchers::text)), ('watchers', to_regclass(:watchers::text)),
             ('xcap', to_regclass('xcap'))) AS t (table_name, oid)
JOIN pg_attribute AS a ON a.attrelid = t.oid
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY t.table_name, a.attnum
