#!/usr/bin/env bash
# The floor: what `pgrepl run` does, as plain shell commands with nothing around them, verification included.
# Usage: floor.sh local|docker FOLDER PROJECT PORT NETWORK IMAGE   (local: the programs are on PATH, PGUSER_OS may name a user)
set -euo pipefail
engine=$1 folder=$2 project=$3 port=$4 network=$5 image=$6
here=$(cd "$(dirname "$0")/.." && pwd)
replica_port=$((port + 1))
as=()
if [ "$engine" = local ] && [ "$(id -u)" = 0 ]; then as=(runuser -u "$PGUSER_OS" --); fi

mkdir -p "$folder"/primary "$folder"/replica "$folder"/secrets "$folder"/logs
cd "$folder"
umask 077
openssl rand -hex 16 >secrets/superuser
openssl rand -hex 16 >secrets/replication
echo "*:*:*:repl:$(cat secrets/replication)" >secrets/replication.pgpass
(echo "*:*:*:postgres:$(cat secrets/superuser)" && cat secrets/replication.pgpass) >secrets/pgpass
echo "set log_statement = none; set log_min_error_statement = panic;
alter role repl password '$(cat secrets/replication)';" >secrets/replication.sql
umask 022
export PGPASSFILE=$folder/secrets/pgpass
if [ "$engine" = local ]; then
    mkdir -p data
    if [ "$(id -u)" = 0 ]; then chown -R "$PGUSER_OS" data logs secrets; fi
fi

settings() {
    printf "\nwal_level = replica\nmax_wal_senders = 10\nwal_keep_size = '1GB'\nwal_compression = on\nwal_log_hints = on
wal_retrieve_retry_interval = '100ms'\nlog_replication_commands = on\nmax_slot_wal_keep_size = '10GB'\n" >>"$1/postgresql.conf"
    sed -i "0,/^[^#[:space:]]/s||host replication repl $2 scram-sha-256\nhost all repl all reject\nhost all postgres samehost scram-sha-256\n\
host all postgres $2 scram-sha-256\nhost all postgres all reject\n&|" "$1/pg_hba.conf"
}
sql() { # INSTANCE STATEMENT
    local p=$port
    [ "$1" = primary ] || p=$replica_port
    "${as[@]}" psql --no-psqlrc --quiet --tuples-only --no-align --host=127.0.0.1 --port="$p" --username=postgres -c "$2"
}
close_public() { # in 14 it is everybody's
    local database
    for database in postgres template1; do PGDATABASE=$database sql primary "revoke create on schema public from public"; done
}
inside() { # COMMAND…: on the primary's own machine
    if [ "$engine" = local ]; then "$@"; else docker container exec -u postgres "$(docker container ls -q --filter "name=${project}.primary")" "$@"; fi
}
until_true() { # INSTANCE STATEMENT
    for _ in $(seq 300); do
        [ "$(sql "$1" "$2" 2>/dev/null)" = t ] && return
        sleep 0.1
    done
    echo "never true on $1: $2" >&2
    exit 1
}
serve() { # INSTANCE PORT
    "${as[@]}" pg_ctl --pgdata="data/$1" --log="logs/$1.log" --wait start --options="-c config_file=$folder/$1/postgresql.conf \
        -c hba_file=$folder/$1/pg_hba.conf -c port=$2 -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" >/dev/null
}
initialise() {
    "${as[@]}" initdb --pgdata="$1" --username=postgres --encoding=UTF8 --locale=C --auth=scram-sha-256 \
        --pwfile=secrets/superuser --data-checksums >/dev/null
}
backup_options=(--format=p --write-recovery-conf --checkpoint=fast --label=replica-1 --progress --username=repl
    --no-password --slot=replica_1_slot)
make_slot="select pg_create_physical_replication_slot('replica_1_slot', true);"

if [ "$engine" = local ]; then
    initialise data/pg_temp
    cp data/pg_temp/postgresql.conf data/pg_temp/pg_hba.conf primary/
    rm -r data/pg_temp
    chmod 644 primary/*
    settings primary 127.0.0.1/32
    initialise data/primary
    serve primary "$port"
    close_public
    "${as[@]}" createuser --host=127.0.0.1 --port="$port" --username=postgres --replication repl
    "${as[@]}" psql --quiet --host=127.0.0.1 --port="$port" --username=postgres <secrets/replication.sql
    sql primary "$make_slot" >/dev/null
    "${as[@]}" pg_basebackup --pgdata=data/replica "${backup_options[@]}" --host=127.0.0.1 --port="$port" 2>/dev/null
    cp data/replica/postgresql.conf data/replica/pg_hba.conf replica/
    sed -i '/^primary_/d' data/replica/postgresql.auto.conf
    chmod 644 replica/*
    settings replica 127.0.0.1/32
    "${as[@]}" install -m 600 secrets/replication.pgpass data/replica
    upstream="port=$port host=127.0.0.1 passfile=$folder/data/replica/replication.pgpass"
else
    compose=(docker-compose)
    if docker compose version >/dev/null 2>&1; then compose=(docker compose); fi
    cp "$here/docker-compose.yaml" .
    printf 'PGREPL_ID=floor\nCOMPOSE_PROJECT_NAME=%s\nPGREPL_IMAGE=%s\nPGREPL_NETWORK=%s\nPGREPL_PRIMARY_PORT=%s\nPGREPL_REPLICA_PORT=%s\nPGREPL_INITDB_ARGS=--data-checksums\n' \
        "$project" "$image" "$network" "$port" "$replica_port" >.env
    docker container run --name "${project}_pg_temp" -d --env POSTGRES_PASSWORD_FILE=/run/secrets/superuser \
        --volume "$folder/secrets/superuser:/run/secrets/superuser:ro" "$image" >/dev/null
    until docker container exec "${project}_pg_temp" pg_isready --host=127.0.0.1 --quiet; do sleep 0.1; done
    docker container cp "${project}_pg_temp:/var/lib/postgresql/data/postgresql.conf" primary/ >/dev/null
    docker container cp "${project}_pg_temp:/var/lib/postgresql/data/pg_hba.conf" primary/ >/dev/null
    docker container rm -f "${project}_pg_temp" >/dev/null
    chmod 644 primary/*
    settings primary "$network"
    "${compose[@]}" up -d primary >/dev/null 2>&1
    until_true primary "select true"
    close_public
    "${compose[@]}" exec -T -u postgres primary createuser --replication repl
    "${compose[@]}" exec -T -u postgres primary psql --quiet <secrets/replication.sql
    "${compose[@]}" exec -T -u postgres primary psql -c "$make_slot" >/dev/null
    "${compose[@]}" run --rm -d -u postgres --name "${project}_repl_temp" replica bash >/dev/null 2>&1
    docker container exec -i "${project}_repl_temp" sh -c 'umask 077; cat >/tmp/pgpass' <secrets/replication.pgpass
    docker container exec --env PGPASSFILE=/tmp/pgpass "${project}_repl_temp" pg_basebackup --pgdata=/var/lib/postgresql/data "${backup_options[@]}" \
        --host=primary --port=5432 2>/dev/null
    docker container cp "${project}_repl_temp:/var/lib/postgresql/data/postgresql.conf" replica/ >/dev/null
    docker container cp "${project}_repl_temp:/var/lib/postgresql/data/pg_hba.conf" replica/ >/dev/null
    docker container exec "${project}_repl_temp" cp /tmp/pgpass /var/lib/postgresql/data/replication.pgpass
    docker container exec "${project}_repl_temp" sed -i '/^primary_/d' /var/lib/postgresql/data/postgresql.auto.conf
    docker container rm -f "${project}_repl_temp" >/dev/null
    chmod 644 replica/*
    settings replica "$network"
    upstream="port=5432 host=primary passfile=/var/lib/postgresql/data/replication.pgpass"
fi
printf "primary_conninfo = 'user=repl %s application_name=replica-1'\nprimary_slot_name = 'replica_1_slot'\n" "$upstream" \
    >>replica/postgresql.conf
if [ "$engine" = local ]; then serve replica "$replica_port"; else "${compose[@]}" up -d replica >/dev/null 2>&1; fi
until_true primary "select exists (select from pg_stat_replication where application_name = 'replica-1' and state = 'streaming')"

# Verification: the questions of chapter 03 that a shell can ask (it cannot choose the address that it asks from).
sql primary "create schema s; create table s.t as select 1 as n; drop schema s cascade" 2>/dev/null
until_true replica "select pg_is_in_recovery()"
if sql replica "create temporary table t (n int)" 2>/dev/null; then exit 1; fi
until_true primary "select active and restart_lsn is not null from pg_replication_slots where slot_name = 'replica_1_slot'"
until_true replica "select status = 'streaming' and slot_name = 'replica_1_slot' from pg_stat_wal_receiver"
[ "$(sql primary 'select system_identifier from pg_control_system()')" = \
    "$(sql replica 'select system_identifier from pg_control_system()')" ]
[ "$(sql primary 'select timeline_id from pg_control_checkpoint()')" = \
    "$(sql replica 'select received_tli from pg_stat_wal_receiver')" ]
[ "$(sql primary 'show server_version')" = "$(sql replica 'show server_version')" ]
for instance in primary replica; do
    until_true $instance "select not exists (select from pg_file_settings where error is not null)
        and not exists (select from pg_hba_file_rules where error is not null)
        and not exists (select from pg_settings where pending_restart)"
done
sql primary "create table t as select i as id, md5(i::text) as word, i * 0.5 as number from generate_series(1, 100000) i"
lsn=$(sql primary "select pg_current_wal_flush_lsn()")
until_true replica "select pg_last_wal_replay_lsn() >= '$lsn'"
digest="select md5(string_agg(md5(t::text), '' order by id)) from t"
[ "$(sql primary "$digest")" = "$(sql replica "$digest")" ]
sql primary "drop table t"
sql primary "create role c login password 'c'"
inner=$([ "$engine" = local ] && echo "$port" || echo 5432)
if inside env PGPASSWORD=c psql "host=127.0.0.1 port=$inner dbname=postgres user=c replication=true" -c IDENTIFY_SYSTEM 2>/dev/null; then
    exit 1
fi
sql primary "drop role c"
