SELECT COALESCE(max(version), 0)::integer
FROM refinery_schema_history
