#!/bin/sh
# Run once by the database's image, when it is empty: a role that may read everything and change nothing.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$READER_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE reader LOGIN PASSWORD :'password' IN ROLE pg_read_all_data;
ALTER ROLE reader SET default_transaction_read_only = on;
SQL
