-- The statements that took most time, nested ones (of triggers) beside those that contain them.
SELECT format('%8s ms %8s calls %8s rows %7s us/call %6s MB WAL  %s',
              round(total_exec_time), calls, rows, round(total_exec_time * 1000 / calls), round(wal_bytes / 1048576),
              left(regexp_replace(query, '\s+', ' ', 'g'), 90))
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY total_exec_time DESC
LIMIT 12;
