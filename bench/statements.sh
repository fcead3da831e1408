#!/bin/bash
#
# bench/statements.sh - what the planner's hook costs statements without our functions: pgbench's SELECT by key with the library loaded against
# a server without it, in turn (about three minutes).
#
# ROUNDS (5) of SECONDS (15) each way, one client with simple queries, so that each is planned. The last line is the median of the ratios.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-15}

start_server statements </dev/null
bin=$(cluster_bin "$work")
cluster_stop "$work"
echo "shared_preload_libraries = ''" >>"$work/data/postgresql.conf"
cluster_start "$work"
psql=("$bin/psql" -h "$(cat "$work/socket")" -U postgres -d postgres -X -q)
client=(-h "$(cat "$work/socket")" -U postgres)
"$bin/pgbench" "${client[@]}" -i -q -s 1 postgres 2>/dev/null

# rate SET|RESET: transactions a second with the library loaded in the session, or without
rate()
{
	"${psql[@]}" -c "ALTER SYSTEM $1 session_preload_libraries $2" -c "SELECT pg_reload_conf()" >/dev/null
	"$bin/pgbench" "${client[@]}" -S -n -c 1 -T "$seconds" postgres 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

for ((round = 0; round < rounds; round++)); do
	with=$(rate SET "= 'gpt'")
	without=$(rate RESET '')
	echo "$with transactions a second with the library, $without without"
	awk -v a="$with" -v b="$without" 'BEGIN { print a / b }' >>"$work/ratios"
done
sort -n "$work/ratios" | awk '{ a[NR] = $1 } END { printf "with / without: median %.3f of %.3f to %.3f\n", a[int((NR + 1) / 2)], a[1], a[NR] }'
