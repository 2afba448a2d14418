#!/usr/bin/env bash
# The floor for several replicas: a plain loop, one after the other, until all stream and hold the same rows.
# Usage: replicas.sh make|remove FOLDER COUNT PRIMARY_PORT FIRST_PORT   (programs on PATH, PGUSER_OS may name a user)
set -euo pipefail
what=$1 folder=$2 count=$3 port=$4 first=$5
as=()
if [ "$(id -u)" = 0 ]; then as=(runuser -u "$PGUSER_OS" --); fi
cd "$folder"

sql() { # PORT STATEMENT
    "${as[@]}" psql --no-psqlrc --quiet --tuples-only --no-align --host=127.0.0.1 --port="$1" --username=postgres -c "$2"
}

for n in $(seq "$count"); do
    data=data/plain-$n
    if [ "$what" = remove ]; then
        "${as[@]}" pg_ctl --pgdata="$data" --mode=fast --wait stop
        rm -r "$data"
        until sql "$port" "select pg_drop_replication_slot('plain_$n')" 2>/dev/null; do sleep 0.1; done
        continue
    fi
    sql "$port" "select pg_create_physical_replication_slot('plain_$n', true)"
    "${as[@]}" pg_basebackup --pgdata="$data" --format=p --write-recovery-conf --checkpoint=fast --progress --username=repl \
        --no-password --slot="plain_$n" --host=127.0.0.1 --port="$port" 2>/dev/null
    "${as[@]}" pg_ctl --pgdata="$data" --log="logs/plain-$n.log" --wait start --options="-c hba_file=$folder/primary/pg_hba.conf \
        -c port=$((first + n)) -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
        -c max_wal_senders=60 -c max_replication_slots=60"
done
if [ "$what" = remove ]; then exit; fi
until [ "$(sql "$port" "select count(*) from pg_stat_replication where state = 'streaming'")" = "$count" ]; do sleep 0.1; done
sql "$port" "create table t as select i as id, md5(i::text) as word, i * 0.5 as number from generate_series(1, 100000) i"
lsn=$(sql "$port" "select pg_current_wal_flush_lsn()")
digest="select md5(string_agg(md5(t::text), '' order by id)) from t"
wanted=$(sql "$port" "$digest")
for n in $(seq "$count"); do
    until [ "$(sql $((first + n)) "select pg_last_wal_replay_lsn() >= '$lsn'")" = t ]; do sleep 0.1; done
    [ "$(sql $((first + n)) "$digest")" = "$wanted" ]
done
sql "$port" "drop table t"
