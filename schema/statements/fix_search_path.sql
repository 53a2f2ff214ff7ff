-- The schema that is being migrated, by its name, for the rest of the session: functions remember it (SET search_path FROM CURRENT). Temporary
-- tables come last, so that nobody's own stand in front of ours.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), false)
WHERE current_schema() IS NOT NULL
