#!/bin/bash
#
# bench/parallel.sh - what parallel workers gain for a small table whose rows a model scores: avg(gpt_score) over ROWS
# (20,000) rows of 3 MB, with default settings and with max_parallel_workers_per_gather = 0, in turn, ROUNDS (3) times
# (a minute).
#
# A model of 2 layers and 64 channels, bytes as tokens, random weights; SHAPE="2 1 64". Prints the seconds of both ways,
# the processor time of the session and of its workers, and two ratios: of the seconds, which need two idle cores, and
# of the processor time: twice that of one process over that of all processes, which is what two idle cores give where
# work is shared evenly.
set -euo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=bench/server.sh
. bench/server.sh
rows=${ROWS:-20000} rounds=${ROUNDS:-3}
read -r layers heads channels <<<"${SHAPE:-2 1 64}"

start_server parallel <<SETTINGS
gpt.nice = 0
SETTINGS
psql+=(-At)
server=$(head -n 1 "$work/data/postmaster.pid")
ticks=$(getconf CLK_TCK)

"${psql[@]}" >/dev/null <<SQL
CREATE TABLE message AS SELECT i AS id, left(string_agg(md5(i::text || k), ' '), 100) AS body FROM generate_series(1, $rows) i, generate_series(1, 4) k GROUP BY i;
VACUUM ANALYZE message;
SELECT gpt_train('m', 'SELECT body FROM message WHERE id <= 100', '{"layers": $layers, "heads": $heads, "channels": $channels, "context": 256, "family": "gpt2",
	"optimizer": "adamw", "tokenizer": "bytes", "steps": 1, "learning_rate": 1e-9, "batch_size": 1, "validation_fraction": 0}') AS job \gset
SELECT gpt_wait(:job);
SELECT gpt_score('m', 'a');
SQL
"${psql[@]}" -c "SELECT pg_size_pretty(pg_table_size('message')) || ', ' || current_setting('min_parallel_table_scan_size') || ' is min_parallel_table_scan_size'"
"${psql[@]}" -c "EXPLAIN SELECT avg(gpt_score('m', body)) FROM message"

# Seconds of the processor that processes of the server which ended have taken.
ended()
{
	awk -v ticks="$ticks" '{ sub(/.*\) /, ""); print ($14 + $15) / ticks }' "/proc/$server/stat"
}

# measure WORKERS: seconds of the query, and of the processor by the session and by its workers
measure()
{
	local before after

	before=$(ended)
	"${psql[@]}" <<SQL >"$work/times"
SET max_parallel_workers_per_gather = $1;
SELECT gpt_score('m', 'a') > 0;
SELECT extract(epoch FROM clock_timestamp()), split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
\o /dev/null
SELECT avg(gpt_score('m', body)) FROM message;
\o
SELECT extract(epoch FROM clock_timestamp()), split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);
SQL
	sleep 0.3
	after=$(ended)
	# What the session takes outside of the query counts as neither.
	awk -F '|' -v all="$after" -v before="$before" 'NF == 2 { at[++n] = $1; own[n] = $2 / 1e9 } NF == 1 && $1 + 0 > 1000 { whole = $1 / 1e9 }
		END { printf "%.3f %.3f %.3f\n", at[2] - at[1], own[2] - own[1], all - before - whole }' "$work/times"
}

for ((round = 0; round < rounds; round++)); do
	read -r one_seconds one_own _ <<<"$(measure 0)"
	read -r two_seconds two_own two_workers <<<"$(measure "${WORKERS:-2}")"
	echo "one process: $one_seconds s, processor $one_own s; with workers: $two_seconds s, processor $two_own s and $two_workers s of workers"
	echo "$one_seconds $one_own $two_seconds $two_own $two_workers" >>"$work/measured"
done
awk '{ print $1 / $3, 2 * $2 / ($4 + $5) }' "$work/measured" | sort -n | awk '{ a[NR] = $1 } END { print "ratio of seconds: median " a[int((NR + 1) / 2)] " of " a[1] " to " a[NR] }'
awk '{ print 2 * $2 / ($4 + $5) }' "$work/measured" | sort -n | awk '{ a[NR] = $1 } END { print "ratio by processor time: median " a[int((NR + 1) / 2)] " of " a[1] " to " a[NR] }'
