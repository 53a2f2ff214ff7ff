CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
SELECT FROM pg_stat_statements_reset();
