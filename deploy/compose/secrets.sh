#!/bin/sh
# Makes the passwords of docker-compose.yml, once: a random one for each account, in a file that only its own container sees, and there the
# whole URL of the database (database.url_file). Nothing of it stands in docker-compose.yml, in an environment or on a command line.
set -eu

secrets=${SECRETS:-/secrets}
address=172.28.0.10:5432/pgpresence

for account in postgres owner front engine looker; do
    folder=$secrets/$account
    mkdir -p "$folder" "$secrets/postgres/of"
    [ -s "$folder/db_url" ] && continue
    password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
    printf '%s' "$password" >"$secrets/postgres/of/$account"
    printf 'postgres://%s:%s@%s\n' "$account" "$password" "$address" >"$folder/db_url"
    # The container's user is not known here; nobody else has this volume.
    chmod 0444 "$folder/db_url" "$secrets/postgres/of/$account"
done
