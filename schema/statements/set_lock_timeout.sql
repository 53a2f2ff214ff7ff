-- How long to wait for another migrator.
SELECT set_config('lock_timeout', $1::text, false)
