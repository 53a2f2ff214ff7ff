-- Which migrations made this database.
SELECT h.version, h.name::text
FROM refinery_schema_history AS h
ORDER BY h.version
