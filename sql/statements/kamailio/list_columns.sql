-- kamailio.list_columns
-- Purpose:    see which of Kamailio's presence tables are there, and with which columns
-- Called by:  cli/src/import.rs, once, on Kamailio's database
-- Parameters: none
-- Returns:    table_name text | column_name text
-- Locks:      none
-- Plan:       system catalogues
-- Retry:      safe
-- RFC:        none
SELECT c.relname::text AS table_name, a.attname::text AS column_name
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
WHERE a.attrelid IN (to_regclass('presentity'), to_regclass('active_watchers'), to_regclass('watchers'), to_regclass('xcap'))
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
