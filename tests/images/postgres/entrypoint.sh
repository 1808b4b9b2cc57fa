#!/bin/sh
# Makes the database at the first start, then becomes PostgreSQL.
#
# POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE (a file that holds it), is required. POSTGRES_USER is
# `postgres` unless said otherwise, POSTGRES_DB the name of the user. Arguments that begin with a
# dash go to the server: `-c max_connections=300`.
set -eu

case ${1:-} in
    -*) ;;
    postgres) shift ;;
    *) exec "$@" ;;
esac

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE must say the password of $user" >&2
        exit 1
    fi
    mkdir -p "$PGDATA"
    printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$PGDATA" --username="$user" \
        --pwfile=/dev/stdin --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    if [ "$database" != postgres ]; then
        quoted=$(printf '%s' "$database" | sed 's/"/""/g')
        echo "CREATE DATABASE \"$quoted\"" | postgres --single -D "$PGDATA" postgres > /dev/null
    fi
fi

# Nothing the server runs has to know it.
unset POSTGRES_PASSWORD
exec postgres -c listen_addresses='*' "$@"
