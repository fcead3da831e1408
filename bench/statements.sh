#!/bin/bash
#
# bench/statements.sh - what the planner's hooks cost statements without our functions: pgbench's SELECT by key, and a
# join of 20 tables, with the library loaded against a server without it (about four minutes).
#
# First the processor's instructions of a statement, counted by valgrind in a server of one session: the difference
# between 2,000 and 1,000 statements, so that starting does not count; of the join, which takes a thousand times as
# many, between 20 and 10. Then ROUNDS (5) of STATEMENTS (100,000) each way in turn, one client with simple queries, so
# that each is planned: transactions a second and the processor's time of the session. The last lines are the ratios.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rounds=${ROUNDS:-5} statements=${STATEMENTS:-100000}

start_server statements <<SETTINGS
autovacuum = off
SETTINGS
bin=$(cluster_bin "$work")
"$bin/pgbench" -h "$(cat "$work/socket")" -U postgres -i -q -s 1 postgres 2>/dev/null
"$bin/psql" -h "$(cat "$work/socket")" -U postgres -d postgres -X -q <<'SQL'
SELECT format('CREATE TABLE part_%s (id int PRIMARY KEY, next int, name text)', i) FROM generate_series(1, 20) i \gexec
SELECT format('INSERT INTO part_%s SELECT i, i %% 100 + 1, i FROM generate_series(1, 100) i', i) FROM generate_series(1, 20) i \gexec
ANALYZE;
SQL
cluster_stop "$work"
echo "shared_preload_libraries = ''" >>"$work/data/postgresql.conf"

# by_key N, join N: that many statements
by_key()
{
	for ((i = 0; i < $1; i++)); do
		echo "SELECT abalance FROM pgbench_accounts WHERE aid = $((i * 7919 % 100000 + 1));"
	done
}
join()
{
	local statement="SELECT count(*), max(part_20.name) FROM part_1"

	for ((i = 2; i <= 20; i++)); do statement+=" JOIN part_$i ON part_$i.id = part_$((i - 1)).next"; done
	for ((k = 0; k < $1; k++)); do echo "EXPLAIN $statement WHERE part_1.id = $((k + 1));"; done
}

# instructions LIBRARIES STATEMENTS N: of a statement
instructions()
{
	local n

	for n in $((2 * $3)) "$3"; do
		"$2" "$n" >"$work/statements"
		chmod a+r "$work/statements"
		as_server valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin/postgres" --single -D "$work/data" \
			-c session_preload_libraries="$1" postgres <"$work/statements" 2>&1 >/dev/null | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
	done | paste -sd' ' | awk -v n="$3" 'NF == 2 { printf "%.0f\n", ($1 - $2) / n; counted = 1 } END { if (!counted) exit 1 }'
}
if ! count_with=$(instructions gpt by_key 1000) || ! count_without=$(instructions '' by_key 1000) ||
	! join_with=$(instructions gpt join 10) || ! join_without=$(instructions '' join 10); then
	echo "valgrind did not count the instructions" >&2
	exit 1
fi
echo "$count_with instructions a statement with the library, $count_without without"
echo "$join_with instructions to plan a join of 20 tables with the library, $join_without without"

cluster_start "$work"
client=(-h "$(cat "$work/socket")" -U postgres)
psql=("$bin/psql" "${client[@]}" -d postgres -X -q)
server=$(head -n 1 "$work/data/postmaster.pid")
ticks=$(getconf CLK_TCK)

# Seconds of the processor that sessions which ended have taken.
ended()
{
	awk -v ticks="$ticks" '{ sub(/.*\) /, ""); print ($14 + $15) / ticks }' "/proc/$server/stat"
}

# measure SET|RESET: transactions a second, and microseconds of the processor for each, with the library loaded in the
# session or without
measure()
{
	local before after rate

	"${psql[@]}" -c "ALTER SYSTEM $1 session_preload_libraries $2" -c "SELECT pg_reload_conf()" >/dev/null
	sleep 0.5
	before=$(ended)
	rate=$("$bin/pgbench" "${client[@]}" -S -n -c 1 -t "$statements" postgres 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p')
	sleep 0.5
	after=$(ended)
	awk -v rate="$rate" -v a="$after" -v b="$before" -v n="$statements" 'BEGIN { printf "%.0f %.2f\n", rate, (a - b) / n * 1e6 }'
}

for ((round = 0; round < rounds; round++)); do
	if ((round % 2 == 0)); then
		with=$(measure SET "= 'gpt'") without=$(measure RESET '')
	else
		without=$(measure RESET '') with=$(measure SET "= 'gpt'")
	fi
	echo "transactions a second and microseconds of the session for each: $with with the library, $without without"
	echo "$with $without" >>"$work/measured"
done

# ratios EXPRESSION
ratios()
{
	awk "{ print $1 }" "$work/measured" | sort -n | awk '{ a[NR] = $1 } END { printf "median %.3f of %.3f to %.3f\n", a[int((NR + 1) / 2)], a[1], a[NR] }'
}
echo "with / without, transactions a second: $(ratios '$1 / $3')"
echo "with / without, the session's time:    $(ratios '$2 / $4')"
echo "with / without, instructions:          $(bc <<<"scale=5; $count_with / $count_without")"
echo "the same of the join of 20 tables:     $(bc <<<"scale=5; $join_with / $join_without")"
