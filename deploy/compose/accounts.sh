#!/bin/sh
# Run by the image of PostgreSQL when its data directory is new: an account for each kind of process, with the rights of its role and no
# others (docs/SQL.md). Only `owner` may change the schema, and only `postgres`, which no process uses, is a superuser.
set -eu

export OF="${SECRETS:-/secrets}/postgres/of"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\set owner `cat "$OF/owner"`
\set front `cat "$OF/front"`
\set engine `cat "$OF/engine"`
\set looker `cat "$OF/looker"`
CREATE ROLE pgpresence_server NOLOGIN;
CREATE ROLE pgpresence_notifier NOLOGIN;
CREATE ROLE pgpresence_reader NOLOGIN;
CREATE ROLE owner LOGIN PASSWORD :'owner';
CREATE ROLE front LOGIN PASSWORD :'front' IN ROLE pgpresence_server;
CREATE ROLE engine LOGIN PASSWORD :'engine' IN ROLE pgpresence_notifier;
CREATE ROLE looker LOGIN PASSWORD :'looker' IN ROLE pgpresence_reader;
SELECT format('ALTER DATABASE %I OWNER TO owner', current_database()) \gexec
SELECT format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO front, engine, looker', current_database()) \gexec
SQL
