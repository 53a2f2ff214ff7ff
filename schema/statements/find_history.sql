-- Whether any migration was ever applied here.
SELECT to_regclass('refinery_schema_history') IS NOT NULL
