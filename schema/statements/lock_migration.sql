-- One migrator at a time. A session lock: refinery opens transactions of its own.
SELECT pg_advisory_lock($1::bigint)
